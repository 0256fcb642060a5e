/* SPDX-License-Identifier: Apache-2.0 */

/** bulla-query: the commands that read.  argv[0] says which. */

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/heap.h"
#include "query/commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "query", command_query },
	{ "tail", command_tail },
	{ "verify", command_verify },
	{ "keys", command_keys },
	{ "status", command_status },
	{ "prove", command_prove },
	{ "verify-proof", command_verify_proof },
};

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return EXIT_USAGE;
	heap_keep();
	for (size_t i = 0; argc > 0 && i < ELEMENTS(commands); i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return commands[i].run(argc, argv);
	fprintf(stderr, "bulla-query is run as: bulla query, tail, verify, keys, status, prove or "
			"verify-proof\n");
	return EXIT_USAGE;
}
