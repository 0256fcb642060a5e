/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Every query equals reading everything, sorting it, and throwing away what is not meant.
 *
 * Journals overlap in time, their clocks step back, times tie; there are more contexts than are remembered on a stack.
 */

#include "query/exec.h"

#include "tests/harness.h"
#include "tests/tails.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "bulla/error.h"
#include "query/newest.h"

Suite(exec);

/* What was written. */

enum { MADE_MAX = 4000, TRAITS = 6, JOURNALS = 5, CONTEXTS = 90 };

struct made {
	struct id journal;
	uint64_t time_ns, seq;
	char text[2][48]; /* MESSAGE=, PRIORITY= */
	const char *message;
	const char *fields[2 + TRAITS]; /* all of them */
	size_t n_fields;
};

static struct made made[MADE_MAX];
static size_t n_made;

static const char *const levels[] = { "_STREAM=out", "_STREAM=err", "_PID=1", "_PID=2" };
static const char *const own_traits[] = { "A=1", "A=2", "B=1", "B=2" };
static const char *const names[] = { "web", "db", "web2", "cache", "x" };

/* One journal's contexts: number 0 is the identity, others have one field and perhaps a parent with another. */
struct nest {
	uint32_t number[CONTEXTS];
	const char *fields[CONTEXTS][2];
	size_t n;
};

static void nest_context(struct tails *t, size_t journal, struct nest *nest, uint64_t *dice)
{
	static char pids[CONTEXTS][24];
	size_t k = nest->n;

	if (k == CONTEXTS)
		return;
	if (k < ELEMENTS(levels)) {
		nest->fields[k][0] = levels[k];
		nest->number[k] = tails_context(t, journal, 0, levels[k]);
	} else {
		size_t parent = random_u64(dice) % ELEMENTS(levels);

		snprintf(pids[k], sizeof pids[k], "T=%zu", k);
		nest->fields[k][0] = pids[k];
		nest->fields[k][1] = levels[parent];
		nest->number[k] = tails_context(t, journal, nest->number[parent], pids[k]);
	}
	nest->n++;
}

static void log_one(struct tails *t, size_t journal, struct nest *nest, uint64_t *dice,
		    uint64_t *now)
{
	struct made *m = &made[n_made];
	struct field own[2];
	struct entry e = { .fields = own };
	char name[32];
	uint64_t step = random_u64(dice) % 64;
	size_t c;

	/* Ties, steps of a clock, and ordinary progress. */
	*now += step < 20 ? 0 : step < 24 ? -(random_u64(dice) % 50) : step % 8;
	while (nest->n < ELEMENTS(levels) || random_u64(dice) % 8 == 0)
		nest_context(t, journal, nest, dice);
	c = random_u64(dice) % nest->n;
	*m = (struct made){ .journal = t->at[journal].header.journal,
			    .time_ns = *now,
			    .seq = t->at[journal].next_seq };
	snprintf(m->text[0], sizeof m->text[0], "MESSAGE=%s %zu",
		 random_u64(dice) % 3 ? "GET" : "put", n_made);
	m->message = m->text[0] + strlen("MESSAGE=");
	e.priority = (uint8_t) (random_u64(dice) % 8);
	snprintf(m->text[1], sizeof m->text[1], "PRIORITY=%d", e.priority);
	m->fields[m->n_fields++] = m->text[0];
	m->fields[m->n_fields++] = m->text[1];
	for (size_t i = 0; i < 2; i++)
		if (nest->fields[c][i])
			m->fields[m->n_fields++] = nest->fields[c][i];
	for (size_t i = 0; i < 2; i++)
		if (random_u64(dice) % 6 == 0) {
			const char *f = own_traits[2 * i + random_u64(dice) % 2];

			own[e.n_fields++] = tails_field(f);
			m->fields[m->n_fields++] = f;
		}
	snprintf(name, sizeof name, "_CONTAINER_NAME=%s", names[journal]);
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		static const char *const identities[] = {
			"_CONTAINER_NAME=web", "_CONTAINER_NAME=db", "_CONTAINER_NAME=web2",
			"_CONTAINER_NAME=cache", "_CONTAINER_NAME=x"
		};

		if (strcmp(identities[i], name) == 0)
			m->fields[m->n_fields++] = identities[i];
	}
	e.time_ns = e.received_ns = m->time_ns;
	e.message = (const uint8_t *) m->message;
	e.message_len = (uint32_t) strlen(m->message);
	tails_add(t, journal, &e, nest->number[c]);
	n_made++;
}

static void make(struct tails *t, uint64_t *dice)
{
	static struct nest nests[JOURNALS];
	uint64_t now[JOURNALS];
	size_t n = 1 + random_u64(dice) % JOURNALS, entries = random_u64(dice) % 800;

	memset(nests, 0, sizeof nests);
	n_made = 0;
	for (size_t i = 0; i < n; i++) {
		tails_open(t, names[i]);
		now[i] = 1000 + random_u64(dice) % 200;
	}
	while (n_made < entries) {
		size_t j = random_u64(dice) % n, burst = random_u64(dice) % 12;

		while (burst-- > 0)
			log_one(t, j, &nests[j], dice, &now[j]);
		if (random_u64(dice) % 4 == 0)
			tails_flush(t, j);
		if (random_u64(dice) % 16 == 0)
			tails_cut(t, j);
	}
	for (size_t i = 0; i < n; i++)
		tails_flush(t, i);
}

/* Asking. */

struct asked {
	struct query query;
	const char *words[4];
	size_t n_words;
	int from, to;
	const char *grep;
	uint64_t stop_after;
};

struct got {
	struct place at[MADE_MAX];
	size_t n;
	uint64_t stop_after;
};

static int take(void *arg, const struct shown *s)
{
	struct got *g = arg;

	cr_assert(g->n < MADE_MAX);
	g->at[g->n++] = (struct place){ s->entry->time_ns, s->seq, s->journal };
	return g->n == g->stop_after;
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (id_compare(&x->journal, &y->journal) != 0)
		return id_compare(&x->journal, &y->journal);
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void ask_slowly(const struct asked *a, struct got *g)
{
	static struct place all[MADE_MAX];
	const struct query *q = &a->query;
	bool from_end = q->reverse || q->newest;
	size_t n = 0, limit;

	for (size_t i = 0; i < n_made; i++) {
		const struct made *m = &made[i];
		int priority = m->text[1][9] - '0';

		if (m->time_ns >= q->since_ns && m->time_ns <= q->until_ns && priority >= a->from &&
		    priority <= a->to && (!a->grep || strstr(m->message, a->grep)) &&
		    naive_match(a->words, a->n_words, NULL, 0, m->fields, m->n_fields))
			all[n++] = (struct place){ m->time_ns, m->seq, m->journal };
	}
	qsort(all, n, sizeof *all, compare_places);
	limit = q->limit < n ? (size_t) q->limit : n;
	g->n = 0;
	for (size_t i = 0; i < limit; i++)
		g->at[g->n++] = all[q->reverse ? n - 1 - i : from_end ? n - limit + i : i];
	if (a->stop_after > 0 && g->n > a->stop_after)
		g->n = (size_t) a->stop_after;
}

static void ask(const struct catalog *c, struct asked *a, struct got *g, struct query_stats *stats)
{
	struct match *m;
	char message[256];
	int r;

	cr_assert(eq(int, match_new(&m), 0));
	for (size_t i = 0; i < a->n_words; i++)
		cr_assert(eq(int, match_add(m, a->words[i], strlen(a->words[i])), 0));
	match_set_priority(m, a->from, a->to);
	if (a->grep)
		cr_assert(eq(int, match_set_grep(m, a->grep, message), 0));
	a->query.match = m;
	g->n = 0;
	g->stop_after = a->stop_after;
	r = query_run(c, &a->query, take, g, stats);
	cr_assert(eq(int, r, 0));
	match_free(m);
}

static void draw(uint64_t *dice, struct asked *a)
{
	static const char *const words[] = { "web",	   "web*=1",	"A=1",	  "A!=1", "B=2",
					     "stream=out", "_PID=1",	"pid!=2", "+",	  "T=40",
					     "PRIORITY=3", "MESSAGE=x", "+",	  "db",	  "T!=7" };

	*a = (struct asked){ .to = 7 };
	a->query.until_ns = a->query.limit = UINT64_MAX;
	a->n_words = random_u64(dice) % 5;
	for (size_t i = 0; i < a->n_words; i++)
		a->words[i] = words[random_u64(dice) % ELEMENTS(words)];
	if (random_u64(dice) % 4 == 0) {
		a->from = (int) (random_u64(dice) % 8);
		a->to = a->from + (int) (random_u64(dice) % (uint64_t) (8 - a->from));
	}
	if (random_u64(dice) % 4 == 0)
		a->grep = random_u64(dice) % 2 ? "GET" : "put 1";
	if (random_u64(dice) % 2 == 0)
		a->query.limit = random_u64(dice) % 40;
	if (random_u64(dice) % 3 == 0)
		a->query.since_ns = 1000 + random_u64(dice) % 800;
	if (random_u64(dice) % 3 == 0)
		a->query.until_ns = 1000 + random_u64(dice) % 2000;
	a->query.reverse = random_u64(dice) % 3 == 0;
	a->query.newest = random_u64(dice) % 2 == 0;
	if (random_u64(dice) % 8 == 0)
		a->stop_after = 1 + random_u64(dice) % 8;
}

static void expect_same(const struct got *got, const struct got *want, uint64_t seed, int q)
{
	cr_assert(eq(sz, got->n, want->n), "seed %llu, query %d", (unsigned long long) seed, q);
	for (size_t i = 0; i < got->n; i++)
		cr_assert(zero(int, compare_places(&got->at[i], &want->at[i])),
			  "seed %llu, query %d, entry %zu", (unsigned long long) seed, q, i);
}

Test(exec, equals_the_slow_way)
{
	static struct got got, want;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		uint64_t dice = seed * 1000003;
		struct local_catalog catalog;
		static struct tails t;

		tails_init(&t, tempdir());
		make(&t, &dice);
		cr_assert(eq(int, local_catalog_build(&catalog, &t.state), 0));
		for (int q = 0; q < 60; q++) {
			struct query_stats stats;
			struct asked a;

			draw(&dice, &a);
			ask(&catalog.catalog, &a, &got, &stats);
			ask_slowly(&a, &want);
			expect_same(&got, &want, seed, q);
			cr_expect(eq(u64, stats.rows_matched, want.n));
			cr_expect(zero(u64, stats.frames_damaged));
		}
		local_catalog_done(&catalog);
		tails_done(&t);
		harness_teardown();
	}
}

/* A plain directory: `frames` frames of ten entries each, a microsecond apart. */
static void make_plain(struct tails *t, size_t frames)
{
	tails_init(t, tempdir());
	tails_open(t, "web");
	for (size_t i = 0; i < 10 * frames; i++) {
		char text[32];

		snprintf(text, sizeof text, "entry %zu", i);
		tails_say(t, 0, 1000 + i, text);
		if (i % 10 == 9)
			tails_flush(t, 0);
	}
}

static const struct asked everything = { .query = { .until_ns = UINT64_MAX, .limit = UINT64_MAX },
					 .to = 7 };

Test(exec, reads_no_more_than_the_newest_need)
{
	struct asked a = everything;
	struct local_catalog catalog;
	struct query_stats stats;
	static struct got got;
	static struct tails t;

	make_plain(&t, 100);
	cr_assert(eq(int, local_catalog_build(&catalog, &t.state), 0));
	a.query.newest = true;
	a.query.limit = 15;
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(eq(sz, got.n, 15));
	cr_expect(eq(u64, got.at[0].seq, 985));
	cr_expect(le(u64, stats.frames_read, 2));
	a.query.newest = false;
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(eq(u64, got.at[0].seq, 0));
	cr_expect(le(u64, stats.frames_read, 2));
	a.query.limit = 0;
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(zero(u64, stats.frames_read));
	a = everything;
	a.query.since_ns = 1500;
	a.query.until_ns = 1509;
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(eq(sz, got.n, 10), "both ends count");
	cr_expect(eq(u64, stats.frames_read, 1));
	a = everything;
	a.words[0] = "db";
	a.n_words = 1;
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(zero(u64, stats.frames_read), "no context of it can match");
	local_catalog_done(&catalog);
	tails_done(&t);
}

Test(exec, damage_costs_its_frame_alone)
{
	struct local_catalog catalog;
	struct asked a = everything;
	struct query_stats stats;
	static struct got got;
	static struct tails t;

	make_plain(&t, 30);
	cr_assert(eq(int, local_catalog_build(&catalog, &t.state), 0));
	/* Behind the head: the index cannot see it. */
	tails_flip(&t, 0, catalog.journals[0]->rows.at[7].offset + 80);
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(eq(sz, got.n, 290));
	cr_expect(eq(u64, stats.frames_damaged, 1));
	cr_expect(eq(u64, got.at[70].seq, 80));
	local_catalog_done(&catalog);
	tails_done(&t);
}

Test(exec, more_newest_than_memory_are_read_twice)
{
	enum { SIZE = 1 << 20, N = 80 };
	char *large = malloc(SIZE + 1);
	struct local_catalog catalog;
	struct asked a = everything;
	struct query_stats stats;
	static struct got got;
	static struct tails t;

	cr_assert(large != NULL);
	memset(large, 'a', SIZE);
	large[SIZE] = '\0';
	tails_init(&t, tempdir());
	tails_open(&t, "web");
	tails_open(&t, "db");
	for (uint64_t i = 0; i < N; i++) {
		tails_say(&t, i % 2, 1000 + i / 8, large);
		if (i % 4 == 3)
			tails_cut(&t, i % 2);
	}
	tails_flush(&t, 0);
	tails_flush(&t, 1);
	cr_assert(eq(int, local_catalog_build(&catalog, &t.state), 0));
	a.query.newest = true;
	a.query.limit = N - 5;
	ask(&catalog.catalog, &a, &got, &stats);
	cr_expect(eq(sz, got.n, N - 5));
	for (size_t i = 1; i < got.n; i++)
		cr_expect(lt(int, compare_places(&got.at[i - 1], &got.at[i]), 0));
	cr_expect(eq(u64, got.at[got.n - 1].time_ns, 1000 + (N - 1) / 8));
	local_catalog_done(&catalog);
	tails_done(&t);
	free(large);
}

static int fail(void *arg, const struct shown *s)
{
	(void) s;
	return -*(int *) arg;
}

Test(exec, errors_of_the_reader_come_back)
{
	struct query q = { .until_ns = UINT64_MAX, .limit = UINT64_MAX };
	struct local_catalog catalog;
	struct query_stats stats;
	int e = EPIPE;
	static struct tails t;

	make_plain(&t, 3);
	cr_assert(eq(int, match_new(&q.match), 0));
	cr_assert(eq(int, local_catalog_build(&catalog, &t.state), 0));
	cr_expect(eq(int, query_run(&catalog.catalog, &q, fail, &e, &stats), -EPIPE));
	q.newest = true;
	q.limit = 5;
	cr_expect(eq(int, query_run(&catalog.catalog, &q, fail, &e, &stats), -EPIPE));
	cr_expect(eq(u64, stats.rows_matched, 1));
	match_free(q.match);
	local_catalog_done(&catalog);
	tails_done(&t);
}
