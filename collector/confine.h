/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_CONFINE_H
#define BULLA_COLLECTOR_CONFINE_H

/**
 * What a process that reads hostile bytes may still ask of the kernel.
 *
 * All filters kill the process at any other system call: no socket, no exec, no signal to others, and but for the keeper no
 * open.  Which files a keeper may open is Landlock's to say.  Builds with a sanitizer are not confined: its runtime needs the
 * calls.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/** Whether this build confines at all. */
bool confine_is_on(void);

/** A collector: its descriptors are open, it reads, writes and waits. */
_must_check_ int confine_collector(void);
/** A parser: the input is in memory, one descriptor is to be written. */
_must_check_ int confine_parser(void);
/** A parser of a file or stream that is open, which it maps or reads piece by piece. */
_must_check_ int confine_reader(void);
/** A directory, open, and whether files below it may be changed, made and removed, or only read. */
struct confine_dir {
	int fd; /* -1: there is none */
	bool write;
};
/**
 * A keeper: it opens files in these directories, by their descriptors, and no others.
 *
 * @return 1; 0 where the kernel has no Landlock, so that any file may be opened; a negated errno.
 */
_must_check_ int confine_keeper(const struct confine_dir *dirs, size_t n);

#endif
