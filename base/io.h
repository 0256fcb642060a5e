/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_IO_H
#define BULLA_BASE_IO_H

/**
 * File operations that do not stop half way: short counts and EINTR are dealt with here, once.
 *
 * All return 0 or a count on success and a negated errno on failure.
 */

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"

_must_check_ int io_write(int fd, const void *data, size_t n);
_must_check_ int io_pwrite(int fd, const void *data, size_t n, uint64_t offset);
/**
 * Write what a file holds from `from` to `to` over itself.  After a failed sync, whoever's, the kernel may hold those pages
 * for clean though they are on no disk, and a later sync would not write them.
 */
_must_check_ int io_write_again(int fd, uint64_t from, uint64_t to);
/** Whether a file holds nothing but zeroes from `offset` on.  @return 1, 0, a negated errno. */
_must_check_ int io_is_blank(int fd, uint64_t offset);
/** @return bytes read: less than `n` only at the end of the file. */
_must_check_ ssize_t io_pread(int fd, void *to, size_t n, uint64_t offset);
/** Make the content (and the size) durable.  After an error the file is not to be trusted with another try. */
_must_check_ int io_sync(int fd);
/** Make the names in a directory durable. */
_must_check_ int io_sync_dir(int dirfd);
/** Extend a file with zeroes to at least `size`, in one step; plain ftruncate where the file system cannot allocate. */
_must_check_ int io_preallocate(int fd, uint64_t size);
/**
 * Open an existing regular file; what else bears the name is refused, not waited for.
 *
 * @return fd; -ENOENT; -ELOOP for a symbolic link; -EISDIR; -ENXIO for a FIFO, socket or device; a negated errno.
 */
_must_check_ int io_open_regular(int dirfd, const char *name, int flags);
/** Append a whole file to `to`; more than `size_max` bytes are -EFBIG. */
_must_check_ int io_read_file(int dirfd, const char *name, size_t size_max, struct buf *to);
/** Replace a file atomically and durably: temporary name, fsync, rename, fsync of the directory. */
_must_check_ int io_replace_file(int dirfd, const char *name, const void *data, size_t n,
				 mode_t mode);
/** mkdir -p, each new name durable when it returns; existing directories are fine.  @return 0, -ENOTDIR, a negated errno. */
_must_check_ int io_make_dirs(const char *path, mode_t mode);
/** Open a directory below `dirfd`, created if it has to be; its name is durable. */
_must_check_ int io_open_dir(int dirfd, const char *name, mode_t mode);
/** Open a directory below `dirfd`, "." for that itself, to be read from its beginning.  @return 0; -ENOENT; a negated errno. */
_must_check_ int io_list_dir(int dirfd, const char *name, DIR **ret);
_must_check_ int io_set_nonblocking(int fd);

#endif
