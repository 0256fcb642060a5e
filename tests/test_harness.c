/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The harness gives each test what it asks for, and keeps nothing.
 */

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite(harness);

Test(harness, directories_are_fresh_and_differ)
{
	const char *a = tempdir(), *b = tempdir();

	cr_assert(ne(str, (char *) a, (char *) b));
	cr_expect(eq(int, rmdir(a), 0), "it was not empty");
	cr_expect(eq(int, rmdir(b), 0), "it was not empty");
	cr_assert(eq(int, mkdir(a, 0700), 0));
	cr_assert(eq(int, mkdir(b, 0700), 0));
}

Test(harness, teardown_removes_a_full_directory)
{
	char dir[512], path[600];

	snprintf(dir, sizeof dir, "%s", tempdir());
	snprintf(path, sizeof path, "%s/sub", dir);
	cr_assert(eq(int, mkdir(path, 0700), 0));
	snprintf(path, sizeof path, "%s/sub/link", dir);
	cr_assert(eq(int, symlink("/", path), 0));
	harness_teardown();
	cr_expect(eq(int, access(dir, F_OK), -1));
	cr_expect(eq(int, access("/", F_OK), 0), "a link was followed");
}

Test(harness, test_data_can_be_moved_and_can_be_absent)
{
	char dir[512];

	snprintf(dir, sizeof dir, "%s", tempdir());
	setenv("BULLA_TESTDATA", dir, 1);
	cr_assert(testdata() != NULL);
	cr_expect(eq(str, (char *) testdata(), dir));
	harness_teardown();
	cr_expect(eq(ptr, (void *) testdata(), NULL));
}

Test(harness, the_same_seed_gives_the_same_numbers)
{
	uint64_t a = 7, b = 7;

	for (int i = 0; i < 100; i++)
		cr_expect(eq(u64, random_u64(&a), random_u64(&b)), "number %d", i);
	/* The first output of the reference implementation for seed 0. */
	a = 0;
	cr_expect(eq(u64, random_u64(&a), 0xe220a8397b1dcdafull));
}
