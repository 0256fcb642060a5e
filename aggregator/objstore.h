/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_OBJSTORE_H
#define BULLA_AGGREGATOR_OBJSTORE_H

/**
 * Where lanes are kept: objects with a name and a content, created once and never changed.
 *
 * The one primitive that the rest relies on is create-if-absent.  This is the local directory: an object under way is a
 * file "<name>.open" that is appended to and synced, and it becomes an object by link(2), which refuses a name that is
 * taken.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct objstore {
	int root; /* directory, owned */
};

/** Open a store, creating it, for this process alone.  @return 0; -EBUSY: another has it open; a negated errno. */
_must_check_ int objstore_open(struct objstore *s, const char *path);
void objstore_close(struct objstore *s);

/** Make a directory for objects.  @return its fd. */
_must_check_ int objstore_prefix(struct objstore *s, const char *prefix);
/** Open the file of an object under way, creating it.  @return fd for reading and appending. */
_must_check_ int objstore_open_next(int prefix_fd, const char *name);
/** Make a synced file under way an object; after a failure, again.  @return 0; -EEXIST: the name is taken by another. */
_must_check_ int objstore_publish(int prefix_fd, const char *name);
/** Begin an object anew: what was left of an attempt before goes.  @return fd for reading and appending. */
_must_check_ int objstore_begin(int prefix_fd, const char *name);
/** Take back what objstore_begin() has begun. */
void objstore_give_up(int prefix_fd, const char *name);
/** Whether there is an object of this name; one under way is none. */
bool objstore_has(int prefix_fd, const char *name);
/** Whether the object of this name has the same bytes as the one under way.  @return 1, 0, an error. */
_must_check_ int objstore_compare(int prefix_fd, const char *name);
/** Remove an object, durably; its name must not be used again.  One that is not there is fine. */
_must_check_ int objstore_remove(int prefix_fd, const char *name);
/** Open an object for reading, be it published or under way. */
_must_check_ int objstore_read(int prefix_fd, const char *name);

#endif
