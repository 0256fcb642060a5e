/* SPDX-License-Identifier: Apache-2.0 */

/** bulla keys: the verification key, and how to pin it. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "query/commands.h"
#include "query/local.h"
#include "query/pins.h"

static void usage(FILE *to)
{
	fputs("usage: bulla keys [OPTION]...\n"
	      "\n"
	      "Print the key that the logs of this host verify with.  It is public: keep it where "
	      "this host cannot\n"
	      "change it (a repository, the aggregator, paper), and verify with `bulla verify "
	      "--key KEY`.\n"
	      "\n"
	      "      --pin        also keep it in this host's own list, for `bulla verify` "
	      "without --key\n"
	      "      --pin-aggregator KEY\n"
	      "                   keep the key of an aggregator in that list instead, for its "
	      "receipts\n"
	      "      --state DIR  state directory (default: $BULLA_STATE or /var/lib/bulla)\n"
	      "  -h, --help       show this\n",
	      to);
}

static int pin(const struct vkey *k)
{
	char path[4096];
	int r;

	r = pins_add(k);
	if (r == -EEXIST)
		return log_error_code(r, "this origin is pinned with another key");
	if (r < 0)
		return log_error_code(r, "cannot pin the key");
	if (pins_path(path) == 0)
		log_info("pinned in %s", path);
	return 0;
}

static int pin_aggregator(const char *text)
{
	struct cosigner key;
	char path[4096];
	int r;

	if (cosigner_parse(text, &key) < 0) {
		log_usage("--pin-aggregator %s: not a key as `bulla status --at` prints it", text);
		return EXIT_USAGE;
	}
	r = pins_add_aggregator(&key);
	if (r == -EEXIST)
		log_error_code(r, "an aggregator of this name is pinned with another key");
	else if (r < 0)
		log_error_code(r, "cannot pin the key");
	else if (pins_path(path) == 0)
		log_info("pinned in %s", path);
	return r < 0 ? EXIT_USAGE : 0;
}

static int print_key(const char *option, bool and_pin)
{
	struct history *h = NULL;
	char text[VKEY_SIZE];
	struct state state;
	struct vkey k;
	int r;

	r = local_open(option, &state);
	if (r < 0)
		return EXIT_USAGE;
	r = local_history(&state, &h);
	if (r < 0) {
		log_error_code(r, r == -ENOENT ? "%s: nothing was sealed here yet" : "%s",
			       state.path);
		state_close(&state);
		return EXIT_USAGE;
	}
	k = history_vkey(h);
	history_free(h);
	state_close(&state);
	vkey_write(&k, text);
	puts(text);
	fflush(stdout);
	if (isatty(1) && !and_pin)
		fputs("\nKeep this line where this host cannot change it, and verify with it:\n"
		      "    bulla verify --key \"$(cat FILE-WITH-THE-LINE)\"\n"
		      "`bulla keys --pin` keeps it on this host as well, so that a plain `bulla "
		      "verify` has a key; that\n"
		      "is worth less, for who owns the host can change the list, too.\n",
		      stderr);
	return and_pin && pin(&k) < 0 ? EXIT_USAGE : 0;
}

int command_keys(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pin", no_argument, NULL, 'p' },
		{ "pin-aggregator", required_argument, NULL, 'g' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *state = NULL, *aggregator = NULL;
	bool and_pin = false;
	int c;

	log_setup("bulla keys", LOG_LEVEL_INFO);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'p')
			and_pin = true;
		else if (c == 'g')
			aggregator = optarg;
		else if (c == 's')
			state = optarg;
		else {
			log_bad_option(c, argv);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		log_usage("%s is too much", argv[optind]);
		return EXIT_USAGE;
	}
	return aggregator ? pin_aggregator(aggregator) : print_key(state, and_pin);
}
