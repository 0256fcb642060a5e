/* SPDX-License-Identifier: Apache-2.0 */

/** bulla verify: the verdict, in words that a person understands. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/span.h"
#include "base/text.h"
#include "bulla/error.h"
#include "query/commands.h"
#include "query/local.h"
#include "query/pins.h"
#include "store/receipts.h"
#include "store/segment/set.h"
#include "store/verify.h"

struct asked {
	const char *state, *key;
	uint64_t max_age_ns;
	bool quiet;
};

static void usage(FILE *to)
{
	fputs("usage: bulla verify [OPTION]...\n"
	      "\n"
	      "Compute every seal and every entry anew and say whether the logs are whole.\n"
	      "\n"
	      "      --key KEY      the key to verify with, as `bulla keys` printed it on that "
	      "host\n"
	      "      --max-age TIME a last commit older than this (as \"10min\") is STALE\n"
	      "      --state DIR    state directory (default: $BULLA_STATE or /var/lib/bulla)\n"
	      "  -q, --quiet        the verdict alone\n"
	      "  -h, --help         show this\n"
	      "\n"
	      "Exit status: 0 OK; 1 TAMPERED; 2 usage or input/output; 3 INCOMPLETE or STALE;\n"
	      "4 UNPINNED (no key known) or UNSEALED.\n",
	      to);
}

static void print_time(const char *label, uint64_t time_ns)
{
	time_t second = (time_t) (time_ns / NS_PER_S);
	char text[64];
	struct tm tm;

	if (localtime_r(&second, &tm) &&
	    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &tm) > 0)
		printf("%s%s", label, text);
}

static void print_finding(void *arg, const struct finding *f)
{
	const struct asked *a = arg;

	if (a->quiet)
		return;
	printf("%s: %s: ", verdict_name(f->verdict), f->file);
	/* The name of a tail says whose it is. */
	if (f->journal && text_starts(f->file, SEGMENTS_DIR)) {
		char id[2 * ID_SIZE + 1];

		text_hex(id, f->journal->b, ID_SIZE);
		printf("journal %s: ", id);
	}
	if (f->batches > 1)
		printf("batches %" PRIu64 " to %" PRIu64 ": ", f->batch, f->batch + f->batches - 1);
	else if (f->batch != UINT64_MAX)
		printf("batch %" PRIu64 ": ", f->batch);
	if (f->commit_last > 0)
		printf("commits %" PRIu64 " to %" PRIu64 ": ", f->commit, f->commit_last);
	else if (f->commit != UINT64_MAX)
		printf("commit %" PRIu64 ": ", f->commit);
	if (f->offset != UINT64_MAX)
		printf("at byte %" PRIu64 ": ", f->offset);
	if (f->entries > 0)
		printf("%" PRIu64 " entr%s: ", f->entries, f->entries == 1 ? "y" : "ies");
	puts(f->what);
}

static void print_report(const struct verify_report *v, const char *pinned)
{
	char size[16];

	text_size(size, v->bytes);
	if (v->has_key) {
		char key[VKEY_SIZE];

		vkey_write(&v->key, key);
		printf("host      %s\n", v->host);
		printf("key       %s\n", key);
		printf("pinned    %s\n", pinned);
	}
	printf("covers    %" PRIu64 " entries (%s) of %u journals in %" PRIu64
	       " batches and %" PRIu64 " commits\n",
	       v->entries, size, v->journals, v->batches, v->commits);
	if (v->gaps.counted > 0) {
		text_size(size, v->gaps.bytes);
		printf("dropped   %" PRIu64 " entr%s (%s) in %" PRIu64 " gap%s\n", v->gaps.entries,
		       v->gaps.entries == 1 ? "y" : "ies", size, v->gaps.counted,
		       v->gaps.counted == 1 ? "" : "s");
	}
	if (v->pruned_batches > 0)
		printf("pruned    %" PRIu64 " entries in %" PRIu64 " batches, as the ledger says\n",
		       v->pruned_entries, v->pruned_batches);
	if (v->lost_batches > 0)
		printf("unproved  %" PRIu64 " entries in %" PRIu64 " batches, damaged or missing\n",
		       v->lost_entries, v->lost_batches);
	if (v->unsealed_entries > 0)
		printf("besides   %" PRIu64 " entries that no seal covers\n", v->unsealed_entries);
	if (v->commits > 0) {
		print_time("from      ", v->time_first);
		print_time("\nto        ", v->time_last);
		putchar('\n');
	}
}

/* Which key to hold the ledger to: the one given, else the one pinned on this host for this origin. */
static int find_pin(const struct asked *a, const struct state *s, struct vkey *ret, bool *ret_local)
{
	struct history *h = NULL;
	struct id origin;
	int r;

	*ret_local = false;
	if (a->key) {
		r = vkey_parse(a->key, ret);
		return r < 0 ? log_usage("--key %s: not a key as `bulla keys` prints it", a->key)
			     : 1;
	}
	/* A ledger that cannot be read has no origin to look up; verify will say what is wrong with it. */
	if (local_history(s, &h) < 0)
		return 0;
	origin = history_vkey(h).origin;
	history_free(h);
	r = pins_find(&origin, ret);
	*ret_local = r > 0;
	return r < 0 ? log_error_code(r, "cannot read the pinned keys") : r;
}

static int verify(const struct asked *a)
{
	struct verify_options options = {
		.now_ns = clock_realtime_ns(),
		.max_age_ns = a->max_age_ns,
		.found = print_finding,
		.arg = (void *) (uintptr_t) a,
	};
	struct verify_report report;
	struct state state;
	struct vkey pin;
	bool local;
	int r, pinned;

	r = local_open(a->state, &state);
	if (r < 0)
		return EXIT_USAGE;
	pinned = find_pin(a, &state, &pin, &local);
	if (pinned < 0) {
		state_close(&state);
		return EXIT_USAGE;
	}
	options.pin = pinned > 0 ? &pin : NULL;
	options.running = local_sealer_runs(&state);
	r = receipts_size(&state, &options.receipt_size);
	if (r >= 0)
		r = verify_state(&state, &options, &report);
	state_close(&state);
	if (r < 0) {
		log_error_code(r, "cannot read all of it");
		return EXIT_USAGE;
	}
	if (!a->quiet)
		print_report(&report, a->key  ? "given with --key"
				      : local ? "on this host only"
					      : "nowhere");
	printf("%s%s\n", verdict_name(report.verdict),
	       report.verdict == VERDICT_OK && local ? " (key pinned on this host only)" : "");
	return verdict_exit_status(report.verdict);
}

static int parse_age(const char *text, uint64_t *ret)
{
	if (span_parse(text, strlen(text), ret) < 0 || *ret == 0)
		return log_usage("--max-age %s: a time span as \"10min\" is wanted", text);
	return 0;
}

int command_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' },
		{ "max-age", required_argument, NULL, 'm' },
		{ "state", required_argument, NULL, 's' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct asked a = { 0 };
	int c;

	log_setup("bulla verify", LOG_LEVEL_INFO);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":qh", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			a.key = optarg;
			break;
		case 'm':
			if (parse_age(optarg, &a.max_age_ns) < 0)
				return EXIT_USAGE;
			break;
		case 's':
			a.state = optarg;
			break;
		case 'q':
			a.quiet = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			log_bad_option(c, argv);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		log_usage("%s is too much", argv[optind]);
		return EXIT_USAGE;
	}
	return verify(&a);
}
