/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Behind harness.h.
 *
 * Criterion runs each test in a process of its own and does not look at how that process *ends*:
 * LeakSanitizer prints its report at exit, the test counts as passed, and the run exits 0.  A
 * failing assertion or _exit() in a teardown changes nothing.  An abort() does: so the teardown
 * asks for the leaks itself and aborts.  The symbol is weak, because only AddressSanitizer's
 * runtime has it.
 *
 * Directories are removed here rather than by _cleanup_ in the test, because a failing cr_assert()
 * leaves the test by longjmp(), which runs no clean-up.
 */

#include "tests/harness.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

extern int __lsan_do_recoverable_leak_check(void) __attribute__((__weak__));

enum { TEMPDIRS_MAX = 16 };

/* For all tests that run at once, many times over. */
#define MEMORY_MIN ((fsblkcnt_t) 512 << 20)

static char tempdirs[TEMPDIRS_MAX][512];
static size_t n_tempdirs;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void) st;
	(void) type;
	(void) at;
	if (remove(path) < 0)
		perror(path);
	return 0;
}

void harness_teardown(void)
{
	while (n_tempdirs > 0)
		nftw(tempdirs[--n_tempdirs], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
		abort();
}

static void give_up(const char *what)
{
	perror(what);
	abort();
}

/* Who syncs for nobody but a test need not wait for a disk.  The programs themselves do so in tests/e2e/. */
static const char *parent_of_tempdirs(void)
{
	const char *set = getenv("TMPDIR");
	struct statvfs fs;

	if (set && *set)
		return set;
	if (access("/dev/shm", W_OK | X_OK) == 0 && statvfs("/dev/shm", &fs) == 0 &&
	    fs.f_bavail >= MEMORY_MIN / fs.f_frsize)
		return "/dev/shm";
	return "/tmp";
}

const char *tempdir(void)
{
	const char *parent = parent_of_tempdirs();
	char *path = tempdirs[n_tempdirs];
	int n;

	if (n_tempdirs == TEMPDIRS_MAX)
		give_up("too many temporary directories");
	n = snprintf(path, sizeof tempdirs[0], "%s/bulla-test-XXXXXX", parent);
	if (n < 0 || (size_t) n >= sizeof tempdirs[0] || !mkdtemp(path))
		give_up(parent);
	n_tempdirs++;
	return path;
}

const char *testdata(void)
{
	const char *path = getenv("BULLA_TESTDATA");

	if (!path || !*path)
		path = TESTDATA_DEFAULT;
	return access(path, R_OK | X_OK) == 0 ? path : NULL;
}

uint8_t *exact_copy(const void *from, size_t n)
{
	uint8_t *p = malloc(n);

	if (!p && n > 0)
		give_up("malloc");
	if (n > 0)
		memcpy(p, from, n);
	return p;
}
