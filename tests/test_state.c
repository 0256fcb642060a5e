/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A state directory is found where it was said, made when that is wanted, and shows its journals and nothing else.
 */

#include "store/state.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/tail_reader.h"

Suite(state);

Test(state, who_says_where_it_is_goes_first)
{
	char path[4096], longer[5000];

	setenv("BULLA_STATE", "/by/environment", 1);
	setenv("XDG_STATE_HOME", "/by/xdg", 1);
	cr_assert(eq(int, state_path("/by/option", path), 0));
	cr_expect(eq(str, path, (char *) "/by/option"));
	cr_assert(eq(int, state_path(NULL, path), 0));
	cr_expect(eq(str, path, (char *) "/by/environment"));
	setenv("BULLA_STATE", "", 1);
	cr_assert(eq(int, state_path(NULL, path), 0));
	cr_expect(eq(str, path, (char *) (geteuid() == 0 ? "/var/lib/bulla" : "/by/xdg/bulla")));
	memset(longer, 'x', sizeof longer);
	longer[4096] = '\0';
	cr_expect(eq(int, state_path(longer, path), -ENAMETOOLONG));
	longer[4095] = '\0';
	cr_expect(eq(int, state_path(longer, path), 0));
}

Test(state, it_is_made_when_wanted_only)
{
	char path[600];
	struct state s;
	struct stat st;

	snprintf(path, sizeof path, "%s/a/b", tempdir());
	cr_expect(eq(int, state_open(&s, path, false), -ENOENT));
	cr_expect(eq(int, access(path, F_OK), -1));
	cr_assert(eq(int, state_open(&s, path, true), 0));
	cr_expect(ge(int, s.seal, 0));
	cr_assert(eq(int, fstat(s.seal, &st), 0));
	cr_expect(eq(u32, st.st_mode & 07777, 0700));
	state_close(&s);
	cr_assert(eq(int, state_open(&s, path, false), 0));
	cr_expect(eq(str, s.path, path));
	state_close(&s);
	state_close(&s);
	cr_expect(eq(int, unlinkat(AT_FDCWD, strcat(path, "/journals"), AT_REMOVEDIR), 0));
	*strrchr(path, '/') = '\0';
	cr_expect(eq(int, state_open(&s, path, false), -ENOENT));
	strcat(path, "/ledger/x");
	cr_expect(lt(int, state_open(&s, path, false), 0));
}

static int count(void *arg, const struct id *journal, const char *name)
{
	char again[TAIL_NAME_SIZE];

	tail_name(journal, again);
	cr_expect(eq(str, again, (char *) name));
	return ++*(int *) arg == 100 ? -EINTR : 0;
}

Test(state, only_names_of_tails_are_journals)
{
	static const char *const others[] = { "x.tail",
					      "00112233445566778899aabbccddeeff",
					      "00112233445566778899AABBCCDDEEFF.tail",
					      "00112233445566778899aabbccddeef.tail",
					      "00112233445566778899aabbccddeefff.tail",
					      "00112233445566778899aabbccddeeff.tail~",
					      "00112233445566778899aabbccddeegg.tail" };
	struct state s;
	int n = 0;

	cr_assert(eq(int, state_open(&s, tempdir(), true), 0));
	cr_expect(eq(int, state_each_journal(&s, count, &n), 0));
	for (size_t i = 0; i < ELEMENTS(others); i++)
		cr_assert(eq(int, mknodat(s.journals, others[i], S_IFREG | 0600, 0), 0));
	cr_assert(
		eq(int,
		   mknodat(s.journals, "00112233445566778899aabbccddeeff.tail", S_IFREG | 0600, 0),
		   0));
	cr_expect(eq(int, state_each_journal(&s, count, &n), 0));
	cr_expect(eq(int, n, 1));
	n = 99;
	cr_expect(eq(int, state_each_journal(&s, count, &n), -EINTR));
	state_close(&s);
}
