/* SPDX-License-Identifier: Apache-2.0 */

/** bulla verify: the verdict, in words that a person understands. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/span.h"
#include "query/commands.h"
#include "query/local.h"
#include "query/pins.h"
#include "query/seen.h"

enum { PROGRESS_EVERY_MS = 250 };

struct asked {
	const char *state, *key, *aggregator;
	uint64_t max_age_ns;
	bool quiet, json;
};

/* A run of verify: what it saw, and what was printed of it. */
struct run {
	const struct asked *asked;
	struct seen seen;
	struct buf text; /* to be printed */
	uint64_t findings;
	bool progress, line; /* to be shown; there is a line of it */
	uint64_t told_ns, begun_ns;
};

static void usage(FILE *to)
{
	fputs("usage: bulla verify [OPTION]...\n"
	      "\n"
	      "Compute every seal and every entry anew and say whether the logs are whole.\n"
	      "\n"
	      "      --key KEY        the key to verify with, as `bulla keys` printed it on that "
	      "host\n"
	      "      --aggregator KEY the key of an aggregator that must have signed the receipts\n"
	      "      --max-age TIME   a last commit older than this (as \"10min\") is STALE\n"
	      "  -o, --output FORMAT  text, or json: one object with all that was found\n"
	      "      --state DIR      state directory (default: $BULLA_STATE or /var/lib/bulla)\n"
	      "  -q, --quiet          the verdict alone\n"
	      "  -h, --help           show this\n"
	      "\n"
	      "Exit status: 0 OK; 1 TAMPERED; 2 usage or input/output; 3 INCOMPLETE or STALE;\n"
	      "4 UNPINNED (no key known) or UNSEALED.\n",
	      to);
}

/* Progress, where somebody waits at a terminal. */

static void hide_progress(struct run *run)
{
	if (run->line)
		fputs("\r\033[K", stderr);
	run->line = false;
}

static void show_progress(void *arg, const struct verify_progress *p)
{
	struct run *run = arg;
	uint64_t now = clock_monotonic_ns(), percent, per_s;

	if (now - run->told_ns < PROGRESS_EVERY_MS * NS_PER_MS)
		return;
	percent = p->ledger_total > 0 ? 100 * p->ledger / p->ledger_total : 0;
	per_s = p->entries * NS_PER_S / MAX_OF(now - run->begun_ns, UINT64_C(1));
	fprintf(stderr, "\r%3" PRIu64 "%% of the ledger, %" PRIu64 " entries, %" PRIu64 "/s\033[K",
		MIN_OF(percent, UINT64_C(100)), p->entries, per_s);
	run->line = true;
	run->told_ns = now;
}

/* Output. */

/* @return 0 or -ENOMEM. */
static int print(struct run *run)
{
	bool bad = run->text.bad;

	hide_progress(run);
	if (!bad)
		fwrite(run->text.data, 1, run->text.len, stdout);
	buf_done(&run->text);
	return bad ? -ENOMEM : 0;
}

/* Findings are printed as they come: there may be more of them than memory holds. */
static void on_finding(void *arg, const struct finding *f)
{
	struct run *run = arg;

	seen_finding(&run->seen, f);
	if (run->asked->json) {
		buf_str(&run->text, run->findings++ > 0 ? ",\n" : "");
		seen_put_finding_json(f, &run->text);
	} else if (!run->asked->quiet) {
		seen_put_finding(f, &run->text);
		buf_char(&run->text, '\n');
	}
	if (run->text.len > 0 && print(run) < 0)
		log_error_code(-ENOMEM, "a finding cannot be told");
}

static int print_seen(struct run *run)
{
	const struct seen *s = &run->seen;

	if (run->asked->json) {
		buf_str(&run->text, "],\n");
		seen_put_json(s, &run->text);
		buf_str(&run->text, "}\n");
		return print(run);
	}
	if (!run->asked->quiet)
		seen_put(s, &run->text);
	buf_printf(&run->text, "%s%s\n", verdict_name(s->report.verdict),
		   s->report.verdict == VERDICT_OK && s->pin == SEEN_HERE
			   ? " (key pinned on this host only)"
			   : "");
	return print(run);
}

static int see(struct run *run, const struct state *state, const struct vkey *pin)
{
	const struct asked *a = run->asked;
	struct verify_options options = {
		.pin = pin,
		.now_ns = clock_realtime_ns(),
		.max_age_ns = a->max_age_ns,
		.found = on_finding,
		.progress = run->progress ? show_progress : NULL,
		.arg = run,
		.running = local_sealer_runs(state),
	};
	enum verdict receipts;
	int r = receipts_each(state, seen_receipt, &run->seen);

	if (r < 0)
		return r;
	run->seen.now_ns = options.now_ns;
	seen_hold_to_receipts(&run->seen, &options);
	if (a->json)
		fputs("{\"findings\":[", stdout);
	receipts = seen_judge_receipts(&run->seen, on_finding, run);
	r = verify_state(state, &options, &run->seen.report);
	run->seen.report.verdict = MAX_OF(run->seen.report.verdict, receipts);
	hide_progress(run);
	if (r < 0 && a->json)
		fputs("],\"verdict\":null}\n", stdout);
	return r < 0 ? r : print_seen(run);
}

static int verify(const struct asked *a)
{
	struct run run = {
		.asked = a,
		.progress = !a->quiet && isatty(2),
		.begun_ns = clock_monotonic_ns(),
		.told_ns = clock_monotonic_ns(),
	};
	char pins[4096] = "";
	struct state state;
	struct vkey pin;
	bool local;
	int r, pinned;

	r = local_open(a->state, &state);
	if (r < 0)
		return EXIT_USAGE;
	pinned = local_pin(&state, a->key, &pin, &local);
	if (pinned < 0) {
		state_close(&state);
		return EXIT_USAGE;
	}
	run.seen.pin = a->key ? SEEN_GIVEN : local ? SEEN_HERE : SEEN_NOWHERE;
	r = local_aggregators(&state, a->aggregator, &run.seen);
	if (r < 0) {
		state_close(&state);
		return EXIT_USAGE;
	}
	if (local && pins_path(pins) == 0)
		run.seen.pins = pins;
	r = see(&run, &state, pinned > 0 ? &pin : NULL);
	state_close(&state);
	buf_done(&run.text);
	if (r < 0) {
		log_error_code(r, "cannot read all of it");
		return EXIT_USAGE;
	}
	return verdict_exit_status(run.seen.report.verdict);
}

static int parse_age(const char *text, uint64_t *ret)
{
	if (span_parse(text, strlen(text), ret) < 0 || *ret == 0)
		return log_usage("--max-age %s: a time span as \"10min\" is wanted", text);
	return 0;
}

static int parse_output(const char *text, bool *ret)
{
	if (strcmp(text, "json") != 0 && strcmp(text, "text") != 0)
		return log_usage("--output %s: text or json is wanted", text);
	*ret = *text == 'j';
	return 0;
}

int command_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' },
		{ "aggregator", required_argument, NULL, 'g' },
		{ "max-age", required_argument, NULL, 'm' },
		{ "output", required_argument, NULL, 'o' },
		{ "state", required_argument, NULL, 's' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct asked a = { 0 };
	int c;

	log_setup("bulla verify", LOG_LEVEL_INFO);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:qh", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			a.key = optarg;
			break;
		case 'g':
			a.aggregator = optarg;
			break;
		case 'm':
			if (parse_age(optarg, &a.max_age_ns) < 0)
				return EXIT_USAGE;
			break;
		case 'o':
			if (parse_output(optarg, &a.json) < 0)
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
