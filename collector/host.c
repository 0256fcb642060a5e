/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"

/* 32 hex digits, with dashes or without, and a newline. */
static int read_id(const char *path, struct id *ret)
{
	_cleanup_buf_ struct buf text = { 0 };
	char hex[2 * ID_SIZE];
	size_t n = 0;
	int r;

	r = io_read_file(AT_FDCWD, path, 128, &text);
	if (r < 0)
		return r;
	for (size_t i = 0; i < text.len && text.data[i] != '\n'; i++) {
		if (text.data[i] == '-')
			continue;
		if (n == sizeof hex)
			return -EINVAL;
		hex[n++] = (char) text.data[i];
	}
	return text_unhex(hex, n, ret->b, ID_SIZE);
}

int host_describe(struct host *ret)
{
	struct host h = { 0 };
	int r;

	if (gethostname(h.name, sizeof h.name - 1) < 0)
		return -errno;
	r = read_id("/proc/sys/kernel/random/boot_id", &h.boot);
	if (r < 0)
		return r;
	/* A container without machine-id is no reason not to log. */
	if (read_id("/etc/machine-id", &h.machine) < 0)
		h.machine = (struct id){ 0 };
	*ret = h;
	return 0;
}
