/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_CLEANUP_H
#define BULLA_BASE_CLEANUP_H

/**
 * Resources that clean up after themselves.
 *
 * Declare the clean-up with the variable; hand a resource on with TAKE_PTR() or TAKE_FD().  Closers keep errno, so
 * `return -errno` after a failed call stays true.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"

#define TAKE_PTR(p)                          \
	({                                   \
		__typeof__(p) *_pp = &(p);   \
		__typeof__(p) _taken = *_pp; \
		*_pp = NULL;                 \
		_taken;                      \
	})

#define TAKE_FD(fd)                \
	({                         \
		int *_fp = &(fd);  \
		int _taken = *_fp; \
		*_fp = -1;         \
		_taken;            \
	})

static inline void freep(void *p)
{
	free(*(void **) p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

static inline void fclosep(FILE **f)
{
	if (*f) {
		int saved = errno;
		fclose(*f);
		errno = saved;
	}
}

static inline void closedirp(DIR **d)
{
	if (*d) {
		int saved = errno;
		closedir(*d);
		errno = saved;
	}
}

/** Close the fd that `*fd` holds, if any, and mark it closed. */
static inline void close_fd(int *fd)
{
	closep(fd);
	*fd = -1;
}

#define _cleanup_free_	   _cleanup_(freep)
#define _cleanup_close_	   _cleanup_(closep)
#define _cleanup_fclose_   _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

#endif
