/* SPDX-License-Identifier: Apache-2.0 */

#include "query/pins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

enum { PINS_SIZE_MAX = 16 << 20 };

int pins_path(char ret[4096])
{
	const char *env = getenv("BULLA_KEYS"), *xdg = getenv("XDG_CONFIG_HOME"),
		   *home = getenv("HOME");
	int n;

	if (env && *env)
		n = snprintf(ret, 4096, "%s", env);
	else if (geteuid() == 0)
		n = snprintf(ret, 4096, "/etc/bulla/keys");
	else if (xdg && *xdg)
		n = snprintf(ret, 4096, "%s/bulla/keys", xdg);
	else if (home && *home)
		n = snprintf(ret, 4096, "%s/.config/bulla/keys", home);
	else
		return -ENOENT;
	return n < 0 || n >= 4096 ? -ENAMETOOLONG : 0;
}

/* A line without the blanks around it; people edit this file. */
static char *trim(char *line)
{
	size_t n;

	line += strspn(line, " \t\r");
	n = strlen(line);
	while (n > 0 && strchr(" \t\r", line[n - 1]))
		line[--n] = '\0';
	return line;
}

/* `*ret_open` says whether the last line lacks its end. */
static int find(const struct id *origin, struct vkey *ret, bool *ret_open)
{
	_cleanup_buf_ struct buf text = { 0 };
	char path[4096];
	int r;

	*ret_open = false;
	r = pins_path(path);
	if (r >= 0)
		r = io_read_file(AT_FDCWD, path, PINS_SIZE_MAX, &text);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	*ret_open = text.len > 0 && text.data[text.len - 1] != '\n';
	buf_char(&text, '\0');
	if (text.bad)
		return -ENOMEM;
	for (char *save, *line = strtok_r((char *) text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		struct vkey k;

		line = trim(line);
		if (*line == '#' || *line == '\0')
			continue;
		if (vkey_parse(line, &k) < 0)
			return BULLA_EPARSE;
		if (id_equal(&k.origin, origin)) {
			*ret = k;
			return 1;
		}
	}
	return 0;
}

int pins_find(const struct id *origin, struct vkey *ret)
{
	bool open;

	return find(origin, ret, &open);
}

int pins_add(const struct vkey *key)
{
	_cleanup_close_ int fd = -1;
	char path[4096], text[VKEY_SIZE], line[VKEY_SIZE + 2], *slash;
	struct vkey have;
	bool open_line;
	int r;

	r = find(&key->origin, &have, &open_line);
	if (r < 0)
		return r;
	if (r > 0)
		return memcmp(have.public_key, key->public_key, sizeof have.public_key) == 0
			       ? 0
			       : -EEXIST;
	r = pins_path(path);
	if (r < 0)
		return r;
	slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = '\0';
		r = io_make_dirs(path, 0755);
		*slash = '/';
		if (r < 0)
			return r;
	}
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	vkey_write(key, text);
	snprintf(line, sizeof line, "%s%s\n", open_line ? "\n" : "", text);
	r = io_write(fd, line, strlen(line));
	return r < 0 ? r : io_sync(fd);
}
