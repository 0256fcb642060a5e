/* SPDX-License-Identifier: Apache-2.0 */

/** bulla query and bulla tail: ask here, or with --at an aggregator, and print the answer. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/span.h"
#include "bulla/error.h"
#include "query/ask_verified.h"
#include "query/commands.h"
#include "query/follow.h"
#include "query/local.h"
#include "query/pager.h"
#include "query/remote.h"
#include "query/request.h"

enum {
	THREADS_MAX =
		4 /* of a query: they make room for groups, and what they find is printed by one */
};

struct asked {
	struct request request;
	const char *state, *at, *key;
	bool no_pager, quiet, limited, help, verified;
	bool plain; /* the answer goes to a terminal, and is not wanted byte for byte */
};

static void usage(FILE *to, const char *command)
{
	fprintf(to,
		"usage: bulla %s [OPTION]... [MATCH]...\n"
		"\n"
		"%s\n"
		"\n"
		"Matches:\n"
		"  FIELD=value   entries with this field; one field: any of them, several fields: "
		"all of them\n"
		"  FIELD!=value  entries without it\n"
		"  A + B         entries that match A or B\n"
		"  unit= host= container= image= pod= namespace= stream= level= pid= msg= "
		"tenant= identifier=\n"
		"                short names, most of them take patterns as web*; a word without "
		"'=' is a container\n"
		"\n"
		"Options:\n"
		"  -u, --unit UNIT          of this systemd unit, or pattern of units\n"
		"  -t, --identifier STRING  with this SYSLOG_IDENTIFIER\n"
		"  -p, --priority RANGE     of this priority or worse, or within A..B\n"
		"  -g, --grep PATTERN       whose message matches (PCRE2; no capitals: in any "
		"case)\n"
		"  -S, --since TIME         not older than this\n"
		"  -U, --until TIME         not newer than this\n"
		"  -n, --lines [N]          the newest N (10; \"all\" for all), or with +N the "
		"oldest\n"
		"  -r, --reverse            newest first\n"
		"  -f, --follow             go on with what arrives\n"
		"  -o, --output FORMAT      short, short-iso, json, export, cat, verbose\n"
		"  -F, --field FIELD        the values that a field has\n"
		"  -N, --fields             the names of all fields\n"
		"      --count-by FIELD     how many entries have each value of this field\n"
		"      --histogram TIME     how many entries there are in each span, as 10s\n"
		"  -a, --all                show unprintable messages as they are\n"
		"      --utc                times in UTC\n"
		"      --no-pager           print straight to the terminal\n"
		"  -q, --quiet              no remarks\n"
		"      --verified           verify everything, and show only what checks\n"
		"      --key KEY            the key to verify with, as `bulla keys` printed it\n"
		"      --at URL             ask this aggregator\n"
		"      --state DIR          state directory (default: $BULLA_STATE or "
		"/var/lib/bulla)\n"
		"  -h, --help               show this\n",
		command,
		strcmp(command, "tail") == 0
			? "Show the newest entries that match, and follow (as query -f -n 10)."
			: "Show the entries that match, oldest first.");
}

/* Options that are keys of the request, by their letter. */
static const char *key_of(int c)
{
	switch (c) {
	case 'u':
		return "unit";
	case 'p':
		return "priority";
	case 'g':
		return "grep";
	case 'o':
		return "output";
	case 'F':
		return "field";
	default:
		return NULL;
	}
}

static int set(struct asked *a, const char *key, const char *value)
{
	char why[256] = "";
	int r = request_set(&a->request, key, value, why);

	return r < 0 ? log_usage("%s", *why ? why : bulla_strerror(r)) : 0;
}

static int set_time(struct asked *a, const char *key, const char *value)
{
	uint64_t at;
	char number[24];
	int r = local_time(key, value, &at);

	if (r < 0)
		return r;
	snprintf(number, sizeof number, "%llu", (unsigned long long) at);
	return set(a, key, number);
}

static int set_histogram(struct asked *a, const char *value)
{
	uint64_t span;
	char number[24];

	if (span_parse(value, strlen(value), &span) < 0 || span == 0)
		return log_usage("--histogram %s: a time span as 10s or 1h is wanted", value);
	snprintf(number, sizeof number, "%llu", (unsigned long long) span);
	return set(a, "histogram", number);
}

static int set_lines(struct asked *a, const char *value)
{
	bool oldest = value && *value == '+';

	a->limited = true;
	a->request.query.newest = false;
	if (value && strcmp(value, "all") == 0) {
		a->request.query.limit = UINT64_MAX;
		return 0;
	}
	a->request.query.newest = !oldest;
	return set(a, "limit", value ? value + oldest : "10");
}

static bool is_lines(const char *text)
{
	size_t n = *text == '+';

	return strcmp(text, "all") == 0 ||
	       (text[n] != '\0' && strspn(text + n, "0123456789") == strlen(text + n));
}

/* What follows a lone -n may be another option, a match or a plus sign. */
static bool may_follow_lines(const char *word)
{
	return *word == '-' || strchr(word, '=') || strcmp(word, "+") == 0;
}

/* `-n` may stand alone; "-n 20" and "-n20" both mean twenty. */
static int set_optional_lines(struct asked *a, int argc, char **argv)
{
	const char *word = optarg ? optarg : optind < argc ? argv[optind] : NULL;

	if (!optarg && word && may_follow_lines(word))
		return set_lines(a, NULL);
	if (word && !is_lines(word))
		return log_usage("--lines %s: a number or \"all\" is wanted", word);
	if (word && !optarg)
		optind++;
	return set_lines(a, word);
}

/* -t takes names as they are, as programs give them. */
static int set_identifier(struct asked *a, const char *value)
{
	int r = match_require_field(a->request.match, "SYSLOG_IDENTIFIER", value, strlen(value));

	return r < 0 ? log_error_code(r, "-t %s", value) : 0;
}

static int on_option(struct asked *a, int c, int argc, char **argv)
{
	switch (c) {
	case 'u':
	case 'p':
	case 'g':
	case 'o':
	case 'F':
		return set(a, key_of(c), optarg);
	case 't':
		return set_identifier(a, optarg);
	case 'S':
		return set_time(a, "since", optarg);
	case 'U':
		return set_time(a, "until", optarg);
	case 'n':
		return set_optional_lines(a, argc, argv);
	case 'r':
		return set(a, "reverse", "1");
	case 'f':
		a->request.follow = true;
		return 0;
	case 'N':
		return set(a, "names", "1");
	case 'c':
		return set(a, "count-by", optarg);
	case 'H':
		return set_histogram(a, optarg);
	case 'a':
		return set(a, "all", "1");
	case 'z':
		return set(a, "utc", "1");
	case 'P':
		a->no_pager = true;
		return 0;
	case 'q':
		a->quiet = true;
		return 0;
	case 'V':
		a->verified = true;
		return 0;
	case 'k':
		a->key = optarg;
		return 0;
	case 'A':
		a->at = optarg;
		return 0;
	case 's':
		a->state = optarg;
		return 0;
	case 'h':
		a->help = true;
		return 0;
	default:
		return log_bad_option(c, argv);
	}
}

static const char *check_verified(const struct asked *a)
{
	const struct request *q = &a->request;

	if (!a->verified)
		return "--key is for --verified";
	if (q->follow)
		return "--follow shows entries before they are sealed: not with --verified";
	if (a->at)
		return "what an aggregator answers cannot be verified from here: not --at with "
		       "--verified";
	if (q->count_by || q->histogram_ns > 0)
		return "--count-by and --histogram do not look at entries: not with --verified";
	return NULL;
}

/* What cannot be asked. */
static int check(const struct asked *a)
{
	const struct request *q = &a->request;
	const char *why = a->verified || a->key ? check_verified(a) : NULL;

	if (why)
		return log_usage("%s", why);
	if (q->follow && q->query.reverse)
		why = "--follow and --reverse cannot both be";
	else if (q->follow && request_is_summary(q))
		why = "a list of values, names or counts has an end: not with --follow";
	else if (!!q->list_field + q->list_names + !!q->count_by + (q->histogram_ns > 0) > 1)
		why = "only one of --field, --fields, --count-by and --histogram";
	else if (q->follow && a->limited && !q->query.newest && q->query.limit != UINT64_MAX)
		why = "--follow goes on from the newest entries: not with --lines +N";
	else if (q->query.since_ns > q->query.until_ns)
		why = "--since is later than --until";
	return why ? log_usage("%s", why) : 0;
}

static int parse(struct asked *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "unit", required_argument, NULL, 'u' },
		{ "identifier", required_argument, NULL, 't' },
		{ "priority", required_argument, NULL, 'p' },
		{ "grep", required_argument, NULL, 'g' },
		{ "since", required_argument, NULL, 'S' },
		{ "until", required_argument, NULL, 'U' },
		{ "lines", optional_argument, NULL, 'n' },
		{ "reverse", no_argument, NULL, 'r' },
		{ "follow", no_argument, NULL, 'f' },
		{ "output", required_argument, NULL, 'o' },
		{ "field", required_argument, NULL, 'F' },
		{ "fields", no_argument, NULL, 'N' },
		{ "count-by", required_argument, NULL, 'c' },
		{ "histogram", required_argument, NULL, 'H' },
		{ "all", no_argument, NULL, 'a' },
		{ "utc", no_argument, NULL, 'z' },
		{ "no-pager", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "verified", no_argument, NULL, 'V' },
		{ "key", required_argument, NULL, 'k' },
		{ "at", required_argument, NULL, 'A' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	opterr = 0;
	while (r >= 0 &&
	       (c = getopt_long(argc, argv, ":u:t:p:g:S:U:n::rfo:F:Naqh", options, NULL)) != -1)
		r = on_option(a, c, argc, argv);
	for (; r >= 0 && optind < argc; optind++)
		r = set(a, "match", argv[optind]);
	return r < 0 || a->help ? r : check(a);
}

/* Output. */

static int write_out(void *arg, const void *data, size_t n)
{
	int r = io_write(1, data, n);

	(void) arg;
	return r;
}

static const char *name_of(const struct segment_set *set, const struct segment *segment)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (&set->files[i].segment == segment)
			return set->files[i].name;
	return "?";
}

/* Segments that are damaged, whole or in places. */
static void remark_segments(const struct query_stats *stats, const struct segment_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct segment_file *f = &set->files[i];

		if (f->error < 0)
			log_warning(SEGMENTS_DIR "/%s: at byte %" PRIu64
						 ": %s; nothing of it is shown",
				    f->name, f->error_at, bulla_strerror(f->error));
	}
	for (uint32_t i = 0; i < stats->n_damage; i++) {
		const struct damage *d = &stats->damage[i];

		log_warning(SEGMENTS_DIR "/%s: at byte %" PRIu64
					 ": %s; what needs this block is not shown",
			    name_of(set, d->segment), d->offset, bulla_strerror(d->error));
	}
}

/* @return whether everything could be read. */
static bool remark(const struct asked *a, const struct answer *answer,
		   const struct local_catalog *catalog)
{
	const struct query_stats *stats = &answer->stats;
	uint64_t damaged = stats->frames_damaged - stats->n_damage + catalog->n_damaged;
	uint32_t unusable = catalog->n_unusable - catalog->segments.n_damaged;

	if (!a->quiet)
		remark_segments(stats, &catalog->segments);
	if (!a->quiet && damaged > 0)
		log_warning("%" PRIu64 " damaged %s passed over; bulla verify tells more", damaged,
			    damaged == 1 ? "place was" : "places were");
	if (!a->quiet && unusable > 0)
		log_warning("%u %s cannot be read; bulla verify tells more", unusable,
			    unusable == 1 ? "journal" : "journals");
	return stats->frames_damaged + catalog->n_damaged + catalog->n_unusable == 0;
}

/* Only some formats tell, and reading a ledger takes its time. */
static int read_seals(const struct asked *a, struct local_catalog *catalog)
{
	int r = 0;

	if (output_tells_seals(a->request.output.format) && !request_is_summary(&a->request))
		r = local_catalog_read_seals(catalog);
	if (r < 0 && r != -ENOMEM && !a->quiet)
		log_warning("the ledger cannot be read to its end; what it seals behind that is "
			    "shown as not sealed");
	return r == -ENOMEM ? r : 0;
}

static int follow(struct follower *f, struct answer *answer)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = f->inotify, .events = POLLIN },
			{ .fd = 1, .events = 0 }, /* a reader that is gone */
		};
		int r;

		if (poll(p, ELEMENTS(p), -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
			return -EPIPE;
		r = follower_step(f, answer);
		if (r < 0)
			return r;
	}
}

static int say_what_stopped(const struct state *s, int r)
{
	switch (r) {
	case -EPIPE: /* whoever reads has seen enough */
		return 0;
	case BULLA_ELIMIT:
		return log_error_code(
			r, "the pattern is too expensive for an entry; the answer is not complete");
	case -E2BIG:
		return log_error_code(r, "there are too many different values to list");
	default:
		return log_error_code(r, "%s", s->path);
	}
}

static int ask_here(struct asked *a)
{
	struct local_catalog catalog = { .open_fd = -1 };
	struct follower follower = { .inotify = -1 };
	struct answer answer;
	struct state state;
	bool whole = true;
	int r;

	r = local_open(a->state, &state);
	if (r < 0)
		return r;
	answer_init(&answer, &a->request, write_out, NULL);
	if (a->request.follow)
		r = follower_open(&follower, &catalog, &state);
	if (r >= 0)
		r = local_catalog_build(&catalog, &state);
	if (r >= 0)
		r = read_seals(a, &catalog);
	if (r >= 0)
		r = answer_query(&answer, &catalog.catalog);
	if (r >= 0)
		whole = remark(a, &answer, &catalog);
	if (r >= 0 && a->request.follow)
		r = follow(&follower, &answer);
	if (r < 0)
		r = say_what_stopped(&state, r);
	follower_close(&follower);
	local_catalog_done(&catalog);
	answer_done(&answer);
	state_close(&state);
	return r < 0 || whole ? r : BULLA_ECORRUPT;
}

static int ask_checked(struct asked *a)
{
	struct answer answer;
	struct state state;
	bool said;
	int r = local_open(a->state, &state);

	if (r < 0)
		return r;
	answer_init(&answer, &a->request, write_out, NULL);
	r = ask_verified(&state, a->key, &answer, a->quiet, &said);
	if (r < 0 && !said)
		r = say_what_stopped(&state, r);
	answer_done(&answer);
	state_close(&state);
	return r;
}

static int ask_there(struct asked *a, const char *name)
{
	_cleanup_buf_ struct buf path = { 0 }, query = { 0 };
	int r;

	request_url(&a->request, &query);
	buf_str(&path, a->request.follow ? "/v1/tail?" : "/v1/query?");
	buf_append(&path, query.data, query.len);
	buf_char(&path, '\0');
	if (path.bad || query.bad)
		return log_error_code(-ENOMEM, "%s", a->at);
	r = remote_get(name, a->at, (const char *) path.data,
		       (a->request.follow ? REMOTE_FOLLOW : 0) | (a->quiet ? REMOTE_QUIET : 0) |
			       (a->plain ? REMOTE_PLAIN : 0));
	return r == BULLA_ETAMPERED ? 1 : r;
}

static bool wants_colour(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(1) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

/* Whatever a terminal makes of them. */
static bool wants_bytes(const struct request *r)
{
	return r->output.all || r->list_field || r->output.format == OUTPUT_CAT;
}

static int run(struct asked *a, const char *command, int argc, char **argv)
{
	struct pager pager = { 0 };
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = parse(a, argc, argv);
	if (r < 0 || a->help) {
		if (a->help)
			usage(stdout, command);
		return r < 0 ? EXIT_USAGE : 0;
	}
	if (a->request.follow && !a->limited)
		r = set_lines(a, NULL);
	if (r < 0)
		return EXIT_USAGE;
	a->request.output.colour = wants_colour();
	a->plain = isatty(1) && !wants_bytes(&a->request);
	if (!a->no_pager && !a->request.follow)
		pager_open(&pager);
	r = a->verified ? ask_checked(a) : a->at ? ask_there(a, argv[0]) : ask_here(a);
	pager_close(&pager);
	return r < 0 ? EXIT_USAGE : r;
}

static unsigned threads_at_hand(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (unsigned) MIN_OF(CPU_COUNT(&set), (int) THREADS_MAX);
}

static int start(const char *command, bool follows, int argc, char **argv)
{
	struct asked a = { 0 };
	char name[32];
	int r;

	snprintf(name, sizeof name, "bulla %s", command);
	argv[0] = name; /* getopt's complaints begin with it */
	log_setup(name, LOG_LEVEL_INFO);
	if (request_init(&a.request) < 0)
		return EXIT_USAGE;
	a.request.follow = follows;
	a.request.query.threads = threads_at_hand();
	r = run(&a, command, argc, argv);
	request_done(&a.request);
	return r;
}

int command_query(int argc, char **argv)
{
	return start("query", false, argc, argv);
}

int command_tail(int argc, char **argv)
{
	return start("tail", true, argc, argv);
}
