/* SPDX-License-Identifier: Apache-2.0 */

/** bulla query and bulla tail: ask here, or with --at an aggregator, and print the answer. */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/io.h"
#include "base/log.h"
#include "bulla/error.h"
#include "query/commands.h"
#include "query/follow.h"
#include "query/pager.h"
#include "query/request.h"
#include "query/when.h"

struct asked {
	struct request request;
	const char *state, *at;
	bool no_pager, quiet, limited, help;
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
		"identifier=\n"
		"                short names; a word without '=' is a container\n"
		"\n"
		"Options:\n"
		"  -u, --unit UNIT          of this systemd unit\n"
		"  -t, --identifier STRING  with this SYSLOG_IDENTIFIER\n"
		"  -p, --priority RANGE     of this priority or worse, or within A..B\n"
		"  -g, --grep PATTERN       whose message matches (PCRE2; no capitals: in any "
		"case)\n"
		"  -S, --since TIME         not older than this\n"
		"  -U, --until TIME         not newer than this\n"
		"  -n, --lines [N]          the newest N (10; \"all\" for all)\n"
		"  -r, --reverse            newest first\n"
		"  -f, --follow             go on with what arrives\n"
		"  -o, --output FORMAT      short, short-iso, json, export, cat, verbose\n"
		"  -F, --field FIELD        the values that a field has\n"
		"  -N, --fields             the names of all fields\n"
		"  -a, --all                show unprintable messages as they are\n"
		"      --utc                times in UTC\n"
		"      --no-pager           print straight to the terminal\n"
		"  -q, --quiet              no remarks\n"
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

	if (r < 0)
		log_error("%s", *why ? why : bulla_strerror(r));
	return r;
}

static int set_time(struct asked *a, const char *key, const char *value)
{
	uint64_t at;
	char number[24];
	int r = when_parse(value, clock_realtime_ns(), &at);

	if (r < 0) {
		log_error("%s is no time: try \"2026-11-23 19:34\", \"-2h\", \"yesterday\", "
			  "\"@1795462441\"",
			  value);
		return r;
	}
	snprintf(number, sizeof number, "%llu", (unsigned long long) at);
	return set(a, key, number);
}

static int set_lines(struct asked *a, const char *value)
{
	a->limited = true;
	if (value && strcmp(value, "all") == 0) {
		a->request.query.limit = UINT64_MAX;
		return 0;
	}
	a->request.query.newest = true;
	return set(a, "limit", value ? value : "10");
}

/* `-n` may stand alone; "-n 20" and "-n20" both mean twenty. */
static const char *optional_number(int argc, char **argv)
{
	if (optarg)
		return optarg;
	if (optind < argc && (strcmp(argv[optind], "all") == 0 ||
			      strspn(argv[optind], "0123456789") == strlen(argv[optind])))
		return argv[optind++];
	return NULL;
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
		return match_add_field(a->request.match, "SYSLOG_IDENTIFIER", optarg,
				       strlen(optarg));
	case 'S':
		return set_time(a, "since", optarg);
	case 'U':
		return set_time(a, "until", optarg);
	case 'n':
		return set_lines(a, optional_number(argc, argv));
	case 'r':
		return set(a, "reverse", "1");
	case 'f':
		a->request.follow = true;
		return 0;
	case 'N':
		return set(a, "names", "1");
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
		return -EINVAL;
	}
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
		{ "all", no_argument, NULL, 'a' },
		{ "utc", no_argument, NULL, 'z' },
		{ "no-pager", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "at", required_argument, NULL, 'A' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	while (r >= 0 &&
	       (c = getopt_long(argc, argv, "u:t:p:g:S:U:n::rfo:F:Naqh", options, NULL)) != -1)
		r = on_option(a, c, argc, argv);
	for (; r >= 0 && optind < argc; optind++)
		r = set(a, "match", argv[optind]);
	if (a->request.follow && a->request.query.reverse) {
		log_error("--follow and --reverse cannot both be");
		return -EINVAL;
	}
	return r;
}

/* Output. */

static int write_out(void *arg, const void *data, size_t n)
{
	int r = io_write(1, data, n);

	(void) arg;
	return r;
}

static int remark(const struct asked *a, const struct answer *answer, uint32_t unusable)
{
	if (!a->quiet && answer->stats.frames_damaged > 0)
		log_warning("%llu damaged frames were passed over; bulla verify tells more",
			    (unsigned long long) answer->stats.frames_damaged);
	if (!a->quiet && unusable > 0)
		log_warning("%u journals cannot be read; bulla verify tells more", unusable);
	return 0;
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
		if (p[1].revents & (POLLERR | POLLHUP))
			return -EPIPE;
		r = follower_step(f, answer);
		if (r < 0)
			return r;
	}
}

static int ask_here(struct asked *a)
{
	struct local_catalog catalog = { .open_fd = -1 };
	struct follower follower = { .inotify = -1 };
	struct answer answer;
	struct state state;
	char path[4096];
	int r;

	r = state_path(a->state, path);
	if (r >= 0)
		r = state_open(&state, path, false);
	if (r < 0)
		return log_error_code(r, "cannot open %s", path);
	answer_init(&answer, &a->request, write_out, NULL);
	if (a->request.follow)
		r = follower_open(&follower, &catalog, &state);
	if (r >= 0)
		r = local_catalog_build(&catalog, &state);
	if (r >= 0)
		r = answer_query(&answer, &catalog.catalog);
	if (r >= 0)
		r = remark(a, &answer, catalog.n_unusable);
	if (r >= 0 && a->request.follow)
		r = follow(&follower, &answer);
	follower_close(&follower);
	local_catalog_done(&catalog);
	answer_done(&answer);
	state_close(&state);
	if (r == BULLA_ELIMIT)
		return log_error_code(
			r, "the pattern is too expensive for an entry; the answer is not complete");
	return r < 0 && r != -EPIPE ? log_error_code(r, "%s", path) : 0;
}

static int ask_there(struct asked *a)
{
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	_cleanup_buf_ struct buf url = { 0 }, query = { 0 };
	struct http_request q = { .method = "GET", .write = write_out, .text_max = 64 << 10 };
	struct http_answer answer = { 0 };
	size_t n = strlen(a->at);
	int r;

	while (n > 0 && a->at[n - 1] == '/')
		n--;
	request_url(&a->request, &query);
	buf_append(&url, a->at, n);
	buf_str(&url, a->request.follow ? "/v1/tail?" : "/v1/query?");
	buf_append(&url, query.data, query.len);
	buf_char(&url, '\0');
	if (url.bad || query.bad)
		return log_error_code(-ENOMEM, "%s", a->at);
	q.url = (const char *) url.data;
	r = http_client_new(&client);
	if (r >= 0)
		r = http_client_do(client, &q, &answer);
	if (r == -EPIPE && answer.status == 200 && a->request.follow)
		r = log_error_code(r, "the aggregator at %s went away", a->at);
	else if (r < 0)
		log_error_code(r, "cannot ask %s", a->at);
	else if (answer.status != 200)
		log_error("%s answers %ld: %.*s", a->at, answer.status,
			  (int) MIN_OF(answer.text.len, (size_t) 500),
			  answer.text.len ? (const char *) answer.text.data : "");
	if (r >= 0 && answer.status != 200)
		r = -EIO;
	buf_done(&answer.text);
	return r;
}

static bool wants_colour(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(1) && !(no && *no) && term && strcmp(term, "dumb") != 0;
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
	if (!a->no_pager && !a->request.follow)
		pager_open(&pager);
	r = a->at ? ask_there(a) : ask_here(a);
	pager_close(&pager);
	return r < 0 ? EXIT_USAGE : 0;
}

static int start(const char *command, bool follows, int argc, char **argv)
{
	struct asked a = { 0 };
	char name[32];
	int r;

	snprintf(name, sizeof name, "bulla %s", command);
	log_setup(name, LOG_LEVEL_INFO);
	if (request_init(&a.request) < 0)
		return EXIT_USAGE;
	a.request.follow = follows;
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
