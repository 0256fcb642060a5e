/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IDENTITY_H
#define BULLA_COLLECTOR_IDENTITY_H

/**
 * Who a journal belongs to: the trusted fields that are bound to it once, before the first byte.
 *
 * Values come from the kernel, the runtime's bundle or the command line of whoever starts the command; never from the
 * command's own output.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"

/** A growing set of fields; names and values are owned. */
struct identity {
	struct field *fields; /* sorted by identity_leaf() */
	uint16_t n, cap;
};

void identity_done(struct identity *i);
/** Add NAME=value; an empty or NULL value adds nothing.  @return 0, -EINVAL (a bad name), BULLA_ELIMIT, -ENOMEM. */
_must_check_ int identity_add(struct identity *i, const char *name, const char *value);
_must_check_ int identity_add_bytes(struct identity *i, const char *name, const void *value,
				    size_t n);
/** Whether a field of this name is there. */
bool identity_has(const struct identity *i, const char *name);
/** Add a field with the value of another one, if that is there. */
_must_check_ int identity_add_same(struct identity *i, const char *name, const char *other);
/** Add what the kernel says of this host. */
_must_check_ int identity_add_host(struct identity *i);
/**
 * Add what the kernel says of a process that is about to become a command: its ids, and its cgroup, unless that is not the
 * `container`'s.
 */
_must_check_ int identity_add_process(struct identity *i, pid_t pid, char *const *command,
				      bool container);
/** Add unit, slice and session that a cgroup path stands for, as systemd names them. */
_must_check_ int identity_add_cgroup(struct identity *i, const char *cgroup);
/** Sort the fields and append the canonical leaf of the identity context. */
_must_check_ int identity_leaf(struct identity *i, struct buf *to, struct hash *ret_hash);

#endif
