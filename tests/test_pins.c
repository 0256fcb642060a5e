/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Keys pinned on this host: found by origin, added once, never silently replaced.
 */

#include "query/pins.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bulla/error.h"

static char path[600];

static void begin(void)
{
	snprintf(path, sizeof path, "%s/below/keys", tempdir());
	setenv("BULLA_KEYS", path, 1);
}

TestSuite(pins, .init = begin, .fini = harness_teardown, .timeout = HARNESS_TIMEOUT_S);

static struct vkey key(uint8_t origin, uint8_t byte)
{
	struct vkey k = { 0 };
	char text[VKEY_SIZE];
	struct vkey again;

	memset(k.origin.b, origin, sizeof k.origin.b);
	memset(k.public_key, byte, sizeof k.public_key);
	vkey_write(&k, text);
	cr_assert(eq(int, vkey_parse(text, &again), 0), "%s", text);
	return again;
}

static void write_file(const char *text)
{
	FILE *f;

	*strrchr(path, '/') = '\0';
	mkdir(path, 0755);
	path[strlen(path)] = '/';
	f = fopen(path, "w");
	cr_assert(f != NULL);
	fputs(text, f);
	fclose(f);
}

Test(pins, none_are_found_where_there_is_no_file)
{
	struct vkey k = key(1, 1), found;

	cr_expect(eq(int, pins_find(&k.origin, &found), 0));
}

Test(pins, are_found_by_origin)
{
	struct vkey a = key(1, 10), b = key(2, 20), found;

	cr_assert(eq(int, pins_add(&a), 0));
	cr_assert(eq(int, pins_add(&b), 0));
	cr_assert(eq(int, pins_find(&b.origin, &found), 1));
	cr_expect(zero(int, memcmp(found.public_key, b.public_key, sizeof b.public_key)));
	cr_assert(eq(int, pins_find(&a.origin, &found), 1));
	cr_expect(zero(int, memcmp(found.public_key, a.public_key, sizeof a.public_key)));
}

Test(pins, are_added_once_and_never_replaced)
{
	struct vkey a = key(1, 10), other = key(1, 11), found;
	struct stat before, after;

	cr_assert(eq(int, pins_add(&a), 0));
	cr_assert(zero(int, stat(path, &before)));
	cr_expect(eq(int, pins_add(&a), 0));
	cr_expect(eq(int, pins_add(&other), -EEXIST));
	cr_assert(zero(int, stat(path, &after)));
	cr_expect(eq(long, before.st_size, after.st_size));
	cr_assert(eq(int, pins_find(&a.origin, &found), 1));
	cr_expect(zero(int, memcmp(found.public_key, a.public_key, sizeof a.public_key)));
}

Test(pins, go_behind_a_last_line_without_newline)
{
	struct vkey a = key(1, 10), b = key(2, 20), found;
	char text[VKEY_SIZE];

	vkey_write(&a, text);
	write_file(text);
	cr_assert(eq(int, pins_add(&b), 0));
	cr_expect(eq(int, pins_find(&a.origin, &found), 1));
	cr_expect(eq(int, pins_find(&b.origin, &found), 1));
}

Test(pins, comments_and_blank_lines_are_skipped)
{
	struct vkey a = key(1, 10), found;
	char text[VKEY_SIZE], file[VKEY_SIZE + 100];

	vkey_write(&a, text);
	snprintf(file, sizeof file, "# a host\n\n  \t\n%s \r\n# end", text);
	write_file(file);
	cr_expect(eq(int, pins_find(&a.origin, &found), 1));
}

Test(pins, a_bad_line_is_no_missing_key)
{
	struct vkey a = key(1, 10), found;

	write_file("what is this?\n");
	cr_expect(eq(int, pins_find(&a.origin, &found), BULLA_EPARSE));
	cr_expect(eq(int, pins_add(&a), BULLA_EPARSE));
}

Test(pins, lie_where_the_environment_says)
{
	char got[4096];

	cr_expect(zero(int, pins_path(got)));
	cr_expect(eq(str, got, path));
	setenv("BULLA_KEYS", "", 1);
	setenv("XDG_CONFIG_HOME", "/x", 1);
	cr_assert(zero(int, pins_path(got)));
	cr_expect(eq(str, got, (char *) (geteuid() == 0 ? "/etc/bulla/keys" : "/x/bulla/keys")));
}

/* Aggregators, in the same list. */

static struct cosigner aggregator(const char *name, uint8_t byte)
{
	struct cosigner c = { 0 };

	strcpy(c.name, name);
	memset(c.public_key, byte, sizeof c.public_key);
	return c;
}

Test(pins, aggregators_lie_beside_origins_and_are_never_replaced)
{
	struct cosigner far = aggregator("far", 1), near = aggregator("near", 2),
			other = aggregator("far", 3), found[3];
	struct vkey k = key(1, 1), found_key;

	cr_expect(eq(int, pins_aggregators(found, 3), 0));
	cr_assert(eq(int, pins_add_aggregator(&far), 0));
	cr_assert(eq(int, pins_add(&k), 0));
	cr_assert(eq(int, pins_add_aggregator(&near), 0));
	cr_expect(eq(int, pins_add_aggregator(&far), 0));
	cr_expect(eq(int, pins_add_aggregator(&other), -EEXIST));
	cr_assert(eq(int, pins_aggregators(found, 3), 2));
	cr_expect(eq(int, memcmp(&found[0], &far, sizeof far), 0));
	cr_expect(eq(int, memcmp(&found[1], &near, sizeof near), 0));
	cr_expect(eq(int, pins_aggregators(found, 1), 1));
	cr_expect(eq(int, pins_find(&k.origin, &found_key), 1));
	write_file("far+00000000+BAAA\n");
	cr_expect(eq(int, pins_aggregators(found, 3), BULLA_EPARSE));
}
