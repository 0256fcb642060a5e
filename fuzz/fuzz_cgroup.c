/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: cgroup_of_proc(), cgroup_parse().
 *
 * Every name is a component of the path (or of one without its underscore) and lawful.  What lies behind the last name does not
 * matter, and neither do slashes in excess: names depend on what systemd owns, not on what it has handed over.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "collector/cgroup.h"
#include "fuzz/fuzz.h"

enum { N_NAMES = 6 };

static void names_of(const struct cgroup_names *n, struct cgroup_name to[N_NAMES])
{
	memcpy(to,
	       (struct cgroup_name[]){ n->slice, n->unit, n->session, n->owner_uid, n->user_slice,
				       n->user_unit },
	       N_NAMES * sizeof *to);
}

static bool same(struct cgroup_name a, struct cgroup_name b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static bool ends(struct cgroup_name c, const char *suffix)
{
	size_t m = strlen(suffix);

	return c.n > m && memcmp(c.p + c.n - m, suffix, m) == 0;
}

/* Whether a name begins where a component does, or one byte behind, and ends where it does. */
static bool is_component(const char *path, struct cgroup_name c)
{
	bool begins = c.p == path || c.p[-1] == '/' ||
		      (c.p[-1] == '_' && (c.p - 1 == path || c.p[-2] == '/'));

	return begins && (c.p[c.n] == '/' || c.p[c.n] == '\0') && !memchr(c.p, '/', c.n);
}

static void check(const char *path, const struct cgroup_names *n)
{
	struct cgroup_name whole[] = { n->slice, n->unit, n->user_slice, n->user_unit };

	for (size_t i = 0; i < ELEMENTS(whole); i++)
		assert(whole[i].n == 0 || is_component(path, whole[i]));
	assert(n->slice.n == 0 || ends(n->slice, ".slice"));
	assert(n->user_slice.n == 0 || ends(n->user_slice, ".slice"));
	assert(n->unit.n == 0 || !ends(n->unit, ".slice"));
	assert(n->user_unit.n == 0 || !ends(n->user_unit, ".slice"));
	assert(n->unit.n > 0 || (n->session.n == 0 && n->user_unit.n == 0 && n->user_slice.n == 0));
	if (n->slice.n > 0 && n->unit.n > 0)
		assert(n->slice.p < n->unit.p);
	if (n->user_unit.n > 0)
		assert(n->unit.p < n->user_unit.p);
}

/* The same names from the path with something behind it, and with each slash twice. */
static void check_again(const char *path, const struct cgroup_names *n)
{
	struct cgroup_name want[N_NAMES], got[N_NAMES];
	size_t len = strlen(path), at = 0;
	char *longer = malloc(2 * len + 32);
	struct cgroup_names again;

	assert(longer);
	names_of(n, want);
	for (size_t i = 0; i < len; i++) {
		longer[at++] = path[i];
		if (path[i] == '/')
			longer[at++] = '/';
	}
	/* Behind a unit of a user anything may follow; behind a unit of the system only what is no user's. */
	strcpy(longer + at, n->user_unit.n > 0 ? "/evil.service" : "");
	cgroup_parse(longer, &again);
	names_of(&again, got);
	for (size_t i = 0; i < N_NAMES; i++)
		assert(same(want[i], got[i]));
	free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *path;
	struct cgroup_names n;
	const char *found;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	path = strdup(text);
	assert(path);
	cgroup_parse(path, &n);
	check(path, &n);
	check_again(path, &n);
	found = cgroup_of_proc(text);
	assert(!found || (found >= text && found <= text + size));
	if (found) {
		cgroup_parse(found, &n);
		check(found, &n);
	}
	free(path);
	free(text);
	return 0;
}
