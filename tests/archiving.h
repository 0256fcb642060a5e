/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_ARCHIVING_H
#define BULLA_TESTS_ARCHIVING_H

/** A host, and an aggregator that may be closed and opened again. */

#include "aggregator/archive.h"
#include "base/buf.h"
#include "forwarder/pack.h"
#include "tests/builder.h"

struct fixture {
	struct builder b;
	struct packer *packer;
	struct id origin;
	uint64_t commits, entries;
	const char *store;
	struct archive *archive;
};

void open_archive(struct fixture *f);
void reopen(struct fixture *f);
/** Begin to pack, or anew, what the host has by now. */
void begin_packing(struct fixture *f);
/** Append commits as they travel. */
void pack(const struct fixture *f, uint64_t from, uint64_t to, struct pack_options o,
	  struct buf *body);
/** @return the status of a PUT, or an error of the archive. */
int put_body(struct fixture *f, uint64_t from, uint64_t to, const struct buf *body);
int put(struct fixture *f, uint64_t from, uint64_t to);
/** What a query finds of the host's entries. */
uint64_t entries_found(struct fixture *f);
/** Append what a query for everything says that it cannot show; a line for each place. */
void ask_damage(struct archive *a, struct buf *to);
/** Append the answer to a request, given as keys and values, NULL behind the last. */
void ask(struct archive *a, const char *const *keys, struct buf *to);

#endif
