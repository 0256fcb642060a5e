/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An eye on every seed that is drawn: preloaded into the real programs.
 *
 * What a sealer draws from libsodium is appended to the file $BULLA_SECRETS, which no attacker of the test reads, so that
 * it is known afterwards what to look for.  Nothing of it stays in this library's memory.  Only whole seeds are written: draws
 * of a multiple of 32 bytes.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define PUBLIC __attribute__((__visibility__("default")))

enum { SEED = 32 };

static int secrets = -1;

__attribute__((__constructor__)) static void start(void)
{
	const char *path = getenv("BULLA_SECRETS"), *name = program_invocation_short_name;

	if (path && (strcmp(name, "bulla-sealer") == 0 || strcmp(name, "intruder") == 0))
		secrets = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

PUBLIC void randombytes_buf(void *to, size_t n);
PUBLIC void randombytes_buf(void *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t k = getrandom((char *) to + at, n - at, 0);

		if (k < 0 && errno != EINTR)
			abort();
		at += k > 0 ? (size_t) k : 0;
	}
	if (secrets >= 0 && n > 0 && n % SEED == 0 && write(secrets, to, n) != (ssize_t) n)
		abort();
}
