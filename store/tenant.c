/* SPDX-License-Identifier: Apache-2.0 */

#include "store/tenant.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int tenant_parse(const void *text, size_t n, struct tenant *ret)
{
	const char *p = text;

	if (n == 0 || n > TENANT_MAX || !is_plain(p[0]))
		return -EINVAL;
	for (size_t i = 1; i < n; i++)
		if (!is_plain(p[i]) && p[i] != '.' && p[i] != '_' && p[i] != '-')
			return -EINVAL;
	*ret = (struct tenant){ { 0 } };
	memcpy(ret->name, p, n);
	return 0;
}

struct tenant tenant_of(const struct contexts *c)
{
	const struct field *f = c->n > 0 ? contexts_lookup(c, 0, TENANT_FIELD) : NULL;
	struct tenant t = { TENANT_DEFAULT };

	if (f && tenant_parse(f->value, f->value_len, &t) < 0)
		return (struct tenant){ TENANT_DEFAULT };
	return t;
}

int tenant_compare(const struct tenant *a, const struct tenant *b)
{
	return strcmp(a->name, b->name);
}
