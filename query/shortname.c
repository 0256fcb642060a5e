/* SPDX-License-Identifier: Apache-2.0 */

#include "query/shortname.h"

#include <errno.h>
#include <string.h>

#include "base/attr.h"

static const struct short_name short_names[] = {
	{ "unit", UNIT, (const char *const[]){ "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", NULL } },
	{ "host", PATTERN, (const char *const[]){ "_HOSTNAME", NULL } },
	{ "container", CONTAINER,
	  (const char *const[]){ "_CONTAINER_NAME", "_CONTAINER_ID", NULL } },
	{ "image", PATTERN, (const char *const[]){ "_IMAGE_NAME", NULL } },
	{ "pod", PATTERN, (const char *const[]){ "_POD_NAME", NULL } },
	{ "namespace", PATTERN, (const char *const[]){ "_POD_NAMESPACE", NULL } },
	{ "stream", PLAIN, (const char *const[]){ "_STREAM", NULL } },
	{ "level", LEVEL, (const char *const[]){ "PRIORITY", NULL } },
	{ "pid", PLAIN, (const char *const[]){ "_PID", NULL } },
	{ "msg", PLAIN, (const char *const[]){ "MESSAGE", NULL } },
	{ "tenant", PLAIN, (const char *const[]){ "_TENANT", NULL } },
	{ "identifier", PLAIN, (const char *const[]){ "SYSLOG_IDENTIFIER", NULL } },
};

const struct short_name *short_name_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ELEMENTS(short_names); i++)
		if (strlen(short_names[i].name) == len &&
		    memcmp(short_names[i].name, name, len) == 0)
			return &short_names[i];
	return NULL;
}

int level_parse(const void *text, size_t n)
{
	static const char *const names[] = { "emerg",  "alert", "crit",	 "err",	  "warning",
					     "notice", "info",	"debug", "panic", NULL,
					     NULL,     "error", "warn" };
	const char *p = text;

	if (n == 1 && *p >= '0' && *p <= '7')
		return *p - '0';
	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (names[i] && strlen(names[i]) == n && memcmp(names[i], p, n) == 0)
			return (int) (i & 7);
	return -EINVAL;
}
