/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_CRASH_MODEL_H
#define BULLA_TESTS_CRASH_MODEL_H

/**
 * A disk with a memory in front of it, as pessimistic as POSIX lets it be.
 *
 * Whatever was not synced may be on disk or not, each call for itself, in any combination; a write may have reached only
 * some of its 512-byte sectors.  Syncing a file makes its content and size durable, not its name; syncing a directory makes
 * the names in it durable.  Calls on one file or directory that did reach the disk did so in their order.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tests/trace.h"

enum { MODEL_FILES_MAX = 1024, MODEL_NAMES_MAX = 256, SECTOR = 512 };

/* A name in a directory. */
struct model_name {
	char name[80];
	unsigned file; /* index */
};

/** What is on disk of one file or directory. */
struct model_file {
	uint64_t ino;
	bool is_dir;
	uint8_t *data; /* owned */
	uint64_t size;
	struct model_name *names; /* of a directory; owned */
	unsigned n_names;
};

/** A call that is not on disk yet. */
struct model_pending {
	const struct trace_record *r;
	unsigned file;	/* that it is a call on: a directory where it is about names */
	unsigned other; /* the file or directory that it names */
};

struct model {
	struct model_file file[MODEL_FILES_MAX]; /* 0 is the root */
	unsigned n;
	struct model_pending *pending; /* owned */
	size_t n_pending, cap;
};

void model_init(struct model *m);
void model_done(struct model *m);
/** Do one call: it becomes pending, or, if it is a sync, makes others durable. */
void model_do(struct model *m, const struct trace_record *r);
/** The file with this inode number now, or -1. */
int model_find(const struct model *m, uint64_t ino);

/** How much of one pending call reached the disk. */
enum model_fate { FATE_LOST, FATE_DONE, FATE_TORN };

/**
 * Make the directory `path` (empty) what is on disk after a crash, given the fate of each pending call; `dice` decides about
 * sectors.
 *
 * @return a hash of what was made.
 */
uint64_t model_crash(const struct model *m, const uint8_t *fate, uint64_t *dice, const char *path);

#endif
