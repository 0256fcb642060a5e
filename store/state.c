/* SPDX-License-Identifier: Apache-2.0 */

#include "store/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "store/tail_reader.h"

int state_path(const char *option, char ret[4096])
{
	const char *env = getenv("BULLA_STATE"), *xdg = getenv("XDG_STATE_HOME"),
		   *home = getenv("HOME");
	int n;

	if (option)
		n = snprintf(ret, 4096, "%s", option);
	else if (env && *env)
		n = snprintf(ret, 4096, "%s", env);
	else if (geteuid() == 0)
		n = snprintf(ret, 4096, "/var/lib/bulla");
	else if (xdg && *xdg)
		n = snprintf(ret, 4096, "%s/bulla", xdg);
	else if (home && *home)
		n = snprintf(ret, 4096, "%s/.local/state/bulla", home);
	else
		return -ENOENT;
	return n < 0 || n >= 4096 ? -ENAMETOOLONG : 0;
}

static int open_part(const struct state *s, const char *name, mode_t mode, bool create)
{
	int fd;

	if (create)
		return io_open_dir(s->root, name, mode);
	fd = openat(s->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int state_open(struct state *s, const char *path, bool create)
{
	int r;

	*s = (struct state){ .root = -1, .seal = -1, .ledger = -1, .journals = -1 };
	if (strlen(path) >= sizeof s->path)
		return -ENAMETOOLONG;
	strcpy(s->path, path);
	if (create) {
		r = io_make_dirs(path, 0755);
		if (r < 0)
			return r;
	}
	s->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return -errno;
	s->seal = open_part(s, "seal", 0700, create);
	s->ledger = open_part(s, "ledger", 0755, create);
	s->journals = open_part(s, "journals", 0755, create);
	r = s->ledger < 0 ? s->ledger : s->journals;
	if (create && s->seal < 0)
		r = s->seal;
	if (r < 0) {
		state_close(s);
		return r;
	}
	return 0;
}

int state_make_absolute(struct state *s)
{
	char path[sizeof s->path], link[32];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", s->root);
	n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	path[n] = '\0';
	strcpy(s->path, path);
	return 0;
}

void state_close(struct state *s)
{
	close_fd(&s->seal);
	close_fd(&s->ledger);
	close_fd(&s->journals);
	close_fd(&s->root);
}

int state_each_journal(const struct state *s, state_journal_fn each, void *arg)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int r = io_list_dir(s->journals, ".", &dir);

	if (r < 0)
		return r;
	while (errno = 0, (e = readdir(dir)) != NULL) {
		struct id id;

		if (tail_name_parse(e->d_name, &id) < 0)
			continue;
		r = each(arg, &id, e->d_name);
		if (r < 0)
			return r;
	}
	return -errno;
}
