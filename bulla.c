/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla: the door.  `bulla COMMAND ...` becomes the role program that knows the command, as git does.
 *
 * Each role is a program of its own, so that the one which reads a container's output maps neither TLS nor HTTP.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/heap.h"
#include "base/role.h"

/* Such a build is for tests: its collectors are not confined (collector/confine.h). */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define BUILT_WITH " (with a sanitizer, not confined)"
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BUILT_WITH " (with a sanitizer, not confined)"
#endif
#ifndef BUILT_WITH
#define BUILT_WITH ""
#endif

/* Every command, the program that does it, and what it is for: `--help` is made of this. */
static const struct {
	const char *command, *program, *text;
} commands[] = {
	{ "run", "bulla-run", "run a command and keep what it writes" },
	{ "tail", "bulla-query", "show the newest entries and follow" },
	{ "query", "bulla-query", "show the entries that match" },
	{ "verify", "bulla-query", "prove that the logs are whole" },
	{ "prove", "bulla-query", "write proofs of entries, for others" },
	{ "verify-proof", "bulla-query", "check such a proof" },
	{ "keys", "bulla-query", "print the key to verify with" },
	{ "status", "bulla-query", "show journals, sizes, seals and shipping" },
	{ "import", "bulla-import", "keep what another program has logged" },
	{ "keep", "bulla-keep", "pack what is sealed, and make room" },
	{ "forward", "bulla-forward", "ship commits to an aggregator" },
	{ "serve", "bulla-serve", "be an aggregator" },
};

static void usage(FILE *to)
{
	fputs("usage: bulla COMMAND [OPTION]... [ARGUMENT]...\n\nKeep container logs that prove "
	      "themselves whole.\n\n",
	      to);
	for (size_t i = 0; i < ELEMENTS(commands); i++)
		fprintf(to, "  %-12s  %s\n", commands[i].command, commands[i].text);
	fputs("\n`bulla COMMAND --help` and `man bulla-COMMAND` tell more.\n", to);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : NULL;
	char path[4096];

	if (!command) {
		usage(stderr);
		return 2;
	}
	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
	    strcmp(command, "help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(command, "--version") == 0) {
		puts("bulla " BULLA_VERSION BUILT_WITH);
		return 0;
	}
	for (size_t i = 0; i < ELEMENTS(commands); i++) {
		if (strcmp(command, commands[i].command) != 0)
			continue;
		if (role_path(commands[i].program, path) < 0) {
			fprintf(stderr, "bulla: %s is not installed\n", commands[i].program);
			return 2;
		}
		if (strcmp(commands[i].program, "bulla-query") == 0 ||
		    strcmp(commands[i].program, "bulla-keep") == 0)
			heap_large_pages();
		/* The program sees its command as argv[0]. */
		execv(path, argv + 1);
		fprintf(stderr, "bulla: cannot run %s: %s\n", path, strerror(errno));
		return 2;
	}
	fprintf(stderr, "bulla: no command %s\n\n", command);
	usage(stderr);
	return 2;
}
