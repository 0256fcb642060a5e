/* SPDX-License-Identifier: Apache-2.0 */

/** bulla-query: the commands that read.  argv[0] says which. */

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/http_client.h"
#include "base/log.h"
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

int command_check_at(const char *url)
{
	const char *why;
	int r = http_client_check_url(url, &why);

	if (r == -EINVAL)
		log_usage("--at %s: %s", url, why);
	else if (r < 0)
		log_error_code(r, "--at %s", url);
	return r;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return EXIT_USAGE;
	for (size_t i = 0; argc > 0 && i < ELEMENTS(commands); i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return commands[i].run(argc, argv);
	fprintf(stderr, "bulla-query is run as: bulla query, tail, verify, keys, status, prove or "
			"verify-proof\n");
	return EXIT_USAGE;
}
