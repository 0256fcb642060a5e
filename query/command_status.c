/* SPDX-License-Identifier: Apache-2.0 */

/** bulla status: what is kept here, how far it is sealed and how far it was shipped. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "query/commands.h"
#include "query/local.h"
#include "query/remote.h"
#include "store/gaps.h"
#include "store/receipts.h"
#include "store/segment/set.h"
#include "store/tail_reader.h"

enum { VALUE_MAX = 40 };

/* A state directory being looked at. */
struct status {
	const struct state *state;
	struct segment_set segments;
};

static void usage(FILE *to)
{
	fputs("usage: bulla status [OPTION]...\n"
	      "\n"
	      "Show journals, sizes, the head of the ledger, and how old seals and receipts are.\n"
	      "\n"
	      "      --at URL     of this aggregator\n"
	      "      --state DIR  state directory (default: $BULLA_STATE or /var/lib/bulla)\n"
	      "  -h, --help       show this\n",
	      to);
}

/* "3s", "5min", "2h", "4d": enough to see whether something stands still. */
static void age_text(uint64_t now, uint64_t then, char ret[24])
{
	uint64_t s = now > then ? (now - then) / NS_PER_S : 0;

	if (s < 120)
		snprintf(ret, 24, "%" PRIu64 "s", s);
	else if (s < 7200)
		snprintf(ret, 24, "%" PRIu64 "min", s / 60);
	else if (s < 172800)
		snprintf(ret, 24, "%" PRIu64 "h", s / 3600);
	else
		snprintf(ret, 24, "%" PRIu64 "d", s / 86400);
}

static void copy_value(const struct contexts *c, const char *name, char ret[VALUE_MAX])
{
	const struct field *f = c->n > 0 ? contexts_lookup(c, 0, name) : NULL;
	size_t n = f ? MIN_OF((size_t) f->value_len, (size_t) VALUE_MAX - 1) : 0;

	/* Not to be cut within a character. */
	while (f && n < f->value_len && n > 0 && (f->value[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		ret[i] = (char) (f->value[i] >= ' ' && f->value[i] != 127 ? f->value[i] : '?');
	ret[n] = '\0';
}

/* Columns are counted in characters, which printf() does not. */
static void print_padded(const char *text, int width)
{
	for (const char *p = text; *p; p++)
		width -= ((unsigned char) *p & 0xc0) != 0x80;
	printf("%s%*s", text, width > 0 ? width : 0, "");
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* Who writes: as the identity says. */
static void copy_names(const struct contexts *c, char name[VALUE_MAX], char unit[VALUE_MAX])
{
	copy_value(c, "_CONTAINER_NAME", name);
	if (!*name)
		copy_value(c, "SYSLOG_IDENTIFIER", name);
	copy_value(c, "_SYSTEMD_UNIT", unit);
}

/* What a tail says of itself: its identity is among its first frames.  @return whether there is one. */
static bool describe_tail(const struct state *s, const struct id *journal, char name[VALUE_MAX],
			  char unit[VALUE_MAX], uint64_t *ret_size)
{
	struct tail_reader t;
	struct tail_item item;
	char file[TAIL_NAME_SIZE];
	struct stat st;

	tail_name(journal, file);
	if (tail_reader_open(&t, s->journals, file) < 0)
		return false;
	if (fstat(t.fd, &st) == 0)
		*ret_size = (uint64_t) st.st_blocks * 512;
	if (tail_reader_next(&t, &item) >= 0)
		copy_names(&t.contexts, name, unit);
	tail_reader_close(&t);
	return true;
}

static void describe(const struct status *s, const struct id *journal, char name[VALUE_MAX],
		     char unit[VALUE_MAX], uint64_t *ret_size)
{
	const struct segment_span *span;
	uint32_t n;

	strcpy(name, "?");
	*unit = '\0';
	*ret_size = 0;
	if (describe_tail(s->state, journal, name, unit, ret_size))
		return;
	span = segment_set_of(&s->segments, journal, &n);
	if (n > 0)
		copy_names(&s->segments.files[span->file].segment.journals[span->number].contexts,
			   name, unit);
}

/* Gaps of journals whose tails are gone, by handle. */
static int gaps_of_packed(const struct status *s, const struct history *h, struct gaps *of)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < s->segments.n; i++) {
		const struct segment *g = &s->segments.files[i].segment;
		_cleanup_free_ struct gaps *here = calloc(g->n_journals + 1u, sizeof *here);

		r = here ? gaps_of_segment(here, g) : -ENOMEM;
		for (uint32_t k = 0; r >= 0 && k < g->n_journals; k++) {
			int64_t handle = history_find_journal(h, &g->journals[k].id);

			if (handle >= 0)
				gaps_add(&of[handle], &here[k]);
		}
	}
	return r;
}

/* Sequence number of the first entry that no segment has. */
static uint64_t packed_upto(const struct status *s, const struct id *journal)
{
	uint32_t n;
	const struct segment_span *span = segment_set_of(&s->segments, journal, &n);

	return n > 0 ? span[n - 1].end_seq : 0;
}

static int print_gaps(const struct status *s, const struct history *h)
{
	_cleanup_free_ struct gaps *of = calloc(history_n_journals(h) + 1u, sizeof *of);
	struct gaps all = { 0 };
	uint32_t open = 0;
	char bytes[16];
	int r = of ? gaps_of_packed(s, h, of) : -ENOMEM;

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		const struct id *id = &history_journal(h, i)->id;
		struct gaps tail = { 0 };

		/* One that cannot be read is for verify to find; one that is gone is in segments. */
		r = gaps_of_tail(&tail, s->state->journals, id, packed_upto(s, id));
		if (r == -ENOMEM)
			return r;
		gaps_add(&of[i], &tail);
		gaps_add(&all, &of[i]);
		open += of[i].open;
	}
	text_size(bytes, all.bytes);
	if (all.counted > 0)
		printf("dropped   %" PRIu64 " entr%s (%s) in %" PRIu64 " gap%s\n", all.entries,
		       all.entries == 1 ? "y" : "ies", bytes, all.counted, plural(all.counted));
	if (open > 0)
		printf("dropping  %u journal%s, not counted yet or at all\n", open, plural(open));
	return 0;
}

/* What files [first, end) hold. */
static void print_files(const struct status *s, const char *of, uint32_t first, uint32_t end)
{
	uint64_t rows = 0, size = 0;
	char bytes[16];

	for (uint32_t i = first; i < end; i++) {
		size += s->segments.files[i].segment.size;
		for (uint32_t k = 0; k < s->segments.files[i].segment.n_groups; k++)
			rows += s->segments.files[i].segment.groups[k].rows;
	}
	text_size(bytes, size);
	printf("%s%" PRIu64 " entr%s in %u segment%s of %s\n", of, rows, rows == 1 ? "y" : "ies",
	       end - first, plural(end - first), bytes);
}

/* Files come by tenant. */
static void print_tenants(const struct status *s)
{
	const struct segment_set *set = &s->segments;
	uint32_t end;

	for (uint32_t i = 0; i < set->n; i = end) {
		char of[TENANT_MAX + 16];

		for (end = i + 1; end < set->n && tenant_compare(&set->files[i].tenant,
								 &set->files[end].tenant) == 0;)
			end++;
		if (i == 0 && end == set->n)
			return;
		snprintf(of, sizeof of, "tenant    %s: ", set->files[i].tenant.name);
		print_files(s, of, i, end);
	}
}

static void print_segments(const struct status *s)
{
	if (s->segments.n > 0)
		print_files(s, "packed    ", 0, s->segments.n);
	print_tenants(s);
	for (uint32_t i = 0; i < s->segments.n; i++) {
		const struct segment_file *f = &s->segments.files[i];

		if (!segment_file_is_sound(f))
			printf("damaged   " SEGMENTS_DIR "/%s: %s; see bulla verify\n", f->name,
			       f->error < 0 ? bulla_strerror(f->error) : "marked by bulla keep");
	}
}

static void print_pruned(const struct history *h)
{
	uint32_t whole = 0, part = 0;

	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		const struct ledger_journal *j = history_journal(h, i);

		whole += j->pruned && j->pruned_batches == j->batches;
		part += j->pruned && j->pruned_batches < j->batches;
	}
	if (whole + part > 0)
		printf("pruned    %u journal%s whole, the beginning of %u\n", whole, plural(whole),
		       part);
}

static const char *journal_state(const struct ledger_journal *j, uint64_t bytes)
{
	if (!j->closed)
		return "open";
	if (j->pruned && j->pruned_batches == j->batches)
		return "pruned";
	return bytes > 0 || j->entries == 0 ? "closed" : "packed";
}

static void print_journals(const struct status *s, const struct history *h, uint64_t now)
{
	if (history_n_journals(h) == 0)
		return;
	printf("\n%-12s  %-6s %12s %8s %10s %8s  %-20s %s\n", "JOURNAL", "STATE", "ENTRIES", "SIZE",
	       "RATE", "NEWEST", "NAME", "UNIT");
	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		const struct ledger_journal *j = history_journal(h, i);
		char id[2 * ID_SIZE + 1], name[VALUE_MAX], unit[VALUE_MAX], size[16],
			age[24] = "-", rate[24] = "-";
		uint64_t bytes, span = j->time_max > j->time_min ? j->time_max - j->time_min : 0;

		describe(s, &j->id, name, unit, &bytes);
		text_hex(id, j->id.b, ID_SIZE);
		text_size(size, bytes);
		if (j->batches > 0)
			age_text(now, j->time_max, age);
		if (j->batches > 0 && span > 0)
			snprintf(rate, sizeof rate, "%.1f/s",
				 (double) j->entries * 1e9 / (double) span);
		printf("%-12.12s  %-6s %12" PRIu64 " %8s %10s %8s  ", id, journal_state(j, bytes),
		       j->entries, size, rate, age);
		print_padded(name, *unit ? 20 : 0);
		printf("%s%s\n", *unit ? " " : "", unit);
	}
}

struct shipping {
	uint64_t size, now;
};

static int print_receipt(void *arg, const struct receipt *r)
{
	const struct shipping *s = arg;
	char age[24];

	age_text(s->now, r->time_ns, age);
	printf("shipped   %" PRIu64 " of %" PRIu64 " commits to %s, receipt %s old\n", r->size,
	       s->size, r->destination, age);
	return 0;
}

static int print_state(const struct status *s, const struct history *h)
{
	struct shipping shipping = { history_size(h), clock_realtime_ns() };
	struct hash root = frontier_root(history_tree(h));
	struct vkey k = history_vkey(h);
	char name[ORIGIN_NAME_SIZE], hex[2 * HASH_SIZE + 1], age[24], bytes[16];
	uint64_t total = 0, entries = 0, used = history_size(h) - history_key_first(h);
	int r;

	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		total += history_journal(h, i)->bytes;
		entries += history_journal(h, i)->entries;
	}
	origin_name(&k.origin, name);
	text_hex(hex, root.b, HASH_SIZE);
	age_text(shipping.now, history_time(h), age);
	text_size(bytes, total);
	printf("host      %s\n", history_host(h));
	printf("origin    %s\n", name);
	printf("sealer    %s\n", local_sealer_runs(s->state) ? "running"
				 : history_is_up(h) ? "not running; the last run was cut off"
						    : "not running");
	printf("sealed    %" PRIu64 " entr%s, %s of messages, in %u journal%s\n", entries,
	       entries == 1 ? "y" : "ies", bytes, history_n_journals(h),
	       plural(history_n_journals(h)));
	printf("head      commit %" PRIu64 ", root %.16s..., %s old\n", history_size(h) - 1, hex,
	       age);
	printf("key       %" PRIu64 " of %" PRIu64 " seals used\n", used,
	       kes_capacity(history_params(h)));
	print_segments(s);
	print_pruned(h);
	r = print_gaps(s, h);
	return r < 0 ? r : receipts_each(s->state, print_receipt, &shipping);
}

static int status_here(const char *option)
{
	struct history *h = NULL;
	struct state state;
	struct status s = { .state = &state };
	int r;

	r = local_open(option, &state);
	if (r < 0)
		return EXIT_USAGE;
	r = local_history(&state, &h);
	if (r < 0)
		log_error_code(r, r == -ENOENT ? "%s: nothing was sealed here yet" : "%s",
			       state.path);
	if (r >= 0)
		r = segment_set_open(&s.segments, &state);
	if (r >= 0)
		r = print_state(&s, h);
	if (r >= 0)
		print_journals(&s, h, clock_realtime_ns());
	segment_set_close(&s.segments);
	history_free(h);
	state_close(&state);
	return r < 0 ? EXIT_USAGE : 0;
}

int command_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "at", required_argument, NULL, 'A' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *state = NULL, *at = NULL;
	int c;

	log_setup("bulla status", LOG_LEVEL_INFO);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'A')
			at = optarg;
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
	if (at)
		return remote_get("bulla status", at, "/v1/status", isatty(1) ? REMOTE_PLAIN : 0) <
				       0
			       ? EXIT_USAGE
			       : 0;
	return status_here(state);
}
