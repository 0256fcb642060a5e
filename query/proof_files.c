/* SPDX-License-Identifier: Apache-2.0 */

#include "query/proof_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

int proof_file_write(const char *name, const struct buf *file)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!name)
		return io_write(STDOUT_FILENO, file->data, file->len);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	r = fd < 0 ? -errno : io_write(fd, file->data, file->len);
	return r < 0 ? log_error_code(r, "%s", name) : 0;
}

int proof_files_open(const char *name)
{
	int fd, r = io_make_dirs(name, 0777);

	if (r < 0)
		return log_error_code(r, "%s", name);
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? log_error_code(-errno, "%s", name) : fd;
}

int proof_file_batch(int dirfd, const struct batch *b, const struct buf *file)
{
	char name[2 * ID_SIZE + 64], id[2 * ID_SIZE + 1];
	_cleanup_close_ int fd = -1;
	int r;

	text_hex(id, b->journal.b, ID_SIZE);
	snprintf(name, sizeof name, "%s-%010" PRIu64 ".tlog-proof", id, b->batch_no);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	r = fd < 0 ? -errno : io_write(fd, file->data, file->len);
	return r < 0 ? log_error_code(r, "%s", name) : 0;
}
