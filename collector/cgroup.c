/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/cgroup.h"

#include <string.h>

#include "base/attr.h"
#include "base/text.h"

enum { UNIT_NAME_MAX = 255 };

static struct cgroup_name first_component(const char *p)
{
	p += strspn(p, "/");
	return (struct cgroup_name){ p, strcspn(p, "/") };
}

/* Names that could be mistaken for files of the kernel's own have an underscore in front. */
static struct cgroup_name unescape(struct cgroup_name c)
{
	if (c.n > 0 && *c.p == '_') {
		c.p++;
		c.n--;
	}
	return c;
}

static bool ends_with(struct cgroup_name c, const char *suffix)
{
	size_t m = strlen(suffix);

	return c.n >= m && memcmp(c.p + c.n - m, suffix, m) == 0;
}

/* What is between a prefix and a suffix, if there is something. */
static struct cgroup_name between(struct cgroup_name c, const char *prefix, const char *suffix)
{
	size_t before = strlen(prefix), after = strlen(suffix);

	if (c.n <= before + after || memcmp(c.p, prefix, before) != 0 || !ends_with(c, suffix))
		return (struct cgroup_name){ NULL, 0 };
	return (struct cgroup_name){ c.p + before, c.n - before - after };
}

static bool is_unit(struct cgroup_name c)
{
	static const char *const suffixes[] = {
		".service", ".scope",	  ".slice", ".socket", ".mount",  ".swap",
		".target",  ".automount", ".timer", ".path",   ".device",
	};
	static const char letters[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		":-_.\\@";

	if (c.n == 0 || c.n > UNIT_NAME_MAX || *c.p == '@')
		return false;
	for (size_t i = 0; i < c.n; i++)
		if (!memchr(letters, c.p[i], STRLEN(letters)))
			return false;
	for (size_t i = 0; i < ELEMENTS(suffixes); i++)
		if (c.n > strlen(suffixes[i]) && ends_with(c, suffixes[i]))
			return true;
	return false;
}

/* Step over slices.  @return what comes behind; `*ret_slice` is the last of them. */
static const char *skip_slices(const char *p, struct cgroup_name *ret_slice)
{
	for (;;) {
		struct cgroup_name c = first_component(p), name = unescape(c);

		if (!ends_with(name, ".slice") || !is_unit(name))
			return p;
		*ret_slice = name;
		p = c.p + c.n;
	}
}

static bool all_digits(struct cgroup_name c)
{
	for (size_t i = 0; i < c.n; i++)
		if (c.p[i] < '0' || c.p[i] > '9')
			return false;
	return c.n > 0 && c.n <= 10;
}

static bool all_alphanumeric(struct cgroup_name c)
{
	for (size_t i = 0; i < c.n; i++)
		if (!((c.p[i] >= '0' && c.p[i] <= '9') || (c.p[i] >= 'a' && c.p[i] <= 'z') ||
		      (c.p[i] >= 'A' && c.p[i] <= 'Z')))
			return false;
	return c.n > 0;
}

static const char *take_unit(const char *p, struct cgroup_name *ret)
{
	struct cgroup_name c = first_component(p), name = unescape(c);

	if (c.n < 3 || !is_unit(name) || ends_with(name, ".slice"))
		return NULL;
	*ret = name;
	return c.p + c.n;
}

void cgroup_parse(const char *path, struct cgroup_names *ret)
{
	struct cgroup_name user, session;
	struct cgroup_names n = { 0 };
	const char *p = skip_slices(path, &n.slice);

	n.owner_uid = between(n.slice, "user-", ".slice");
	if (!all_digits(n.owner_uid))
		n.owner_uid = (struct cgroup_name){ 0 };
	p = take_unit(p, &n.unit);
	if (p) {
		user = between(n.unit, "user@", ".service");
		session = between(n.unit, "session-", ".scope");
		if (all_alphanumeric(session))
			n.session = session;
		if (all_digits(user) || n.session.n > 0)
			take_unit(skip_slices(p, &n.user_slice), &n.user_unit);
	}
	*ret = n;
}

const char *cgroup_of_proc(char *text)
{
	const char *unified = NULL, *named = NULL;

	for (char *save, *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;

		if (!second)
			continue;
		*second = '\0';
		if (text_starts(line, "0:") && first + 1 == second)
			unified = second + 1;
		else if (strcmp(first + 1, "name=systemd") == 0)
			named = second + 1;
	}
	if (unified && strcmp(unified, "/") != 0)
		return unified;
	return named ? named : unified;
}
