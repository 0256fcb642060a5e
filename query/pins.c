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

/* Takes a line of the list; of the two keys one is NULL.  @return 0 to go on, 1 to stop. */
typedef int (*pin_fn)(void *arg, const struct vkey *origin, const struct cosigner *aggregator);

static int take_line(const char *line, pin_fn each, void *arg)
{
	struct cosigner aggregator;
	struct vkey origin;

	if (vkey_parse(line, &origin) >= 0)
		return each(arg, &origin, NULL);
	if (cosigner_parse(line, &aggregator) >= 0)
		return each(arg, NULL, &aggregator);
	return BULLA_EPARSE;
}

/* `*ret_open` says whether the last line lacks its end.  @return 1 where `each` has stopped; 0; an error. */
static int each_pin(pin_fn each, void *arg, bool *ret_open)
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
	for (char *save, *line = strtok_r((char *) text.data, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		line = trim(line);
		if (*line != '#' && *line != '\0')
			r = take_line(line, each, arg);
	}
	return r;
}

struct wanted {
	const struct id *origin; /* or */
	const char *name;	 /* of an aggregator */
	struct vkey key;
	struct cosigner aggregator;
};

static int is_wanted(void *arg, const struct vkey *origin, const struct cosigner *aggregator)
{
	struct wanted *w = arg;

	if (w->origin && origin && id_equal(&origin->origin, w->origin)) {
		w->key = *origin;
		return 1;
	}
	if (w->name && aggregator && strcmp(aggregator->name, w->name) == 0) {
		w->aggregator = *aggregator;
		return 1;
	}
	return 0;
}

int pins_find(const struct id *origin, struct vkey *ret)
{
	struct wanted w = { .origin = origin };
	bool open;
	int r = each_pin(is_wanted, &w, &open);

	if (r > 0)
		*ret = w.key;
	return r;
}

struct gathering {
	struct cosigner *to;
	int n, max;
};

static int gather(void *arg, const struct vkey *origin, const struct cosigner *aggregator)
{
	struct gathering *g = arg;

	(void) origin;
	if (aggregator && g->n < g->max)
		g->to[g->n++] = *aggregator;
	return 0;
}

int pins_aggregators(struct cosigner *ret, int max)
{
	struct gathering g = { .to = ret, .max = max };
	bool open;
	int r = each_pin(gather, &g, &open);

	return r < 0 ? r : g.n;
}

/* Append a line to the list, which is made if it is not there. */
static int append(const char *text, bool open_line)
{
	_cleanup_close_ int fd = -1;
	char path[4096], line[COSIGNER_VKEY_SIZE + 2], *slash;
	int r;

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
	snprintf(line, sizeof line, "%s%s\n", open_line ? "\n" : "", text);
	r = io_write(fd, line, strlen(line));
	return r < 0 ? r : io_sync(fd);
}

_Static_assert((int) KES_PUBLIC_SIZE == (int) COSIGN_PUBLIC_SIZE, "keys of both are as long");

/* Add a line unless there is one for the same, whose key comes to be at `found`: that stays. */
static int add(struct wanted *w, const uint8_t *found, const uint8_t *key, const char *text)
{
	bool open_line;
	int r = each_pin(is_wanted, w, &open_line);

	if (r > 0)
		return memcmp(found, key, KES_PUBLIC_SIZE) == 0 ? 0 : -EEXIST;
	return r < 0 ? r : append(text, open_line);
}

int pins_add(const struct vkey *key)
{
	struct wanted w = { .origin = &key->origin };
	char text[VKEY_SIZE];

	vkey_write(key, text);
	return add(&w, w.key.public_key, key->public_key, text);
}

int pins_add_aggregator(const struct cosigner *key)
{
	struct wanted w = { .name = key->name };
	char text[COSIGNER_VKEY_SIZE];

	cosigner_vkey(key, text);
	return add(&w, w.aggregator.public_key, key->public_key, text);
}
