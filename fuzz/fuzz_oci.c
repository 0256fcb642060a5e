/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: oci_parse_config(), oci_cgroup().
 *
 * Whatever a bundle says, the answer is a row of NAME=value strings with names from our list, and each cgroup in it gives a path
 * that is absolute or nothing.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "bulla/error.h"
#include "collector/oci.h"
#include "fuzz/fuzz.h"

static bool is_known(const char *answer, size_t n)
{
	static const char *const names[] = { "_IMAGE_NAME",    "_CONTAINER_NAME", "_POD_NAME",
					     "_POD_NAMESPACE", "_POD_UID",	  "cgroup" };

	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (strlen(names[i]) == n && memcmp(names[i], answer, n) == 0)
			return true;
	return false;
}

static void check_cgroup(const char *path, bool systemd)
{
	struct identity i = { 0 };
	struct buf cgroup = { 0 };
	int r = oci_cgroup(path, systemd, &cgroup);

	assert(r == 0);
	if (cgroup.len > 0) {
		assert(cgroup.data[0] == '/');
		assert(!memchr(cgroup.data, '\0', cgroup.len));
		buf_char(&cgroup, '\0');
		r = identity_add_cgroup(&i, (char *) cgroup.data);
		assert(r == 0 || r == BULLA_ELIMIT);
	}
	buf_done(&cgroup);
	identity_done(&i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf answers = { 0 };
	int r = oci_parse_config((const char *) data, size, &answers);

	assert(r == 0 || (r == BULLA_EPARSE && answers.len == 0));
	for (size_t at = 0; at < answers.len;) {
		const char *a = (const char *) answers.data + at;
		const char *end = memchr(a, '\0', answers.len - at), *equals = strchr(a, '=');

		assert(end && equals && equals[1]);
		assert(is_known(a, (size_t) (equals - a)));
		assert(end - equals <= 4097);
		if (a[0] == 'c') {
			check_cgroup(equals + 1, false);
			check_cgroup(equals + 1, true);
		}
		at += strlen(a) + 1;
	}
	buf_done(&answers);
	return 0;
}
