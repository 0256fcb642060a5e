/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Who asks somebody else for proofs takes those that are good and that he asked for, and no others; and of a journal nothing can be
 * left out in front or in between.
 */

#include "query/proven.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "query/request.h"
#include "store/prove.h"
#include "tests/builder.h"
#include "tests/harness.h"

Suite(proven);

enum { FILES_MAX = 64 };

/* The proofs of one kind of a host: of each batch its first entry, all, or none. */
struct files {
	enum proof_extent extent;
	struct buf at[FILES_MAX];
	struct batch batch[FILES_MAX];
	uint64_t time_ns[FILES_MAX];
	size_t n;
};

static int wish(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	struct files *f = arg;

	(void) b;
	cr_assert(lt(sz, f->n, FILES_MAX));
	f->time_ns[f->n] = commit_ns;
	ret->extent = f->extent;
	return 1;
}

static int keep(void *arg, const struct batch *b, const struct prove_wish *w,
		const struct buf *file)
{
	struct files *f = arg;

	(void) w;
	f->batch[f->n] = *b;
	buf_append(&f->at[f->n++], file->data, file->len);
	return 0;
}

static void make(const struct builder *b, enum proof_extent extent, struct files *f)
{
	const struct prove_options o = { wish, keep, f };
	const char *why;

	*f = (struct files){ .extent = extent };
	cr_assert(eq(int, prove(&b->state, &o, &why), 0));
	cr_assert(gt(sz, f->n, 0));
}

static void files_done(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		buf_done(&f->at[i]);
}

/* A host whose keys are as a product's. */
static void make_host(struct builder *b)
{
	builder_init(b, tempdir(), proof_key_shape);
	builder_open(b, "web");
	builder_open(b, "db");
	for (unsigned i = 0; i < 5; i++) {
		builder_log_many(b, 0, 2);
		builder_log(b, 1, "slow query");
		builder_commit(b);
	}
}

static int judge(struct proof_judge *j, const struct buf *file)
{
	return proof_judge(j, file->data, file->len);
}

/* One entry. */

static struct proof_judge judge_of(const struct vkey *key, const struct files *f, size_t i)
{
	return (struct proof_judge){ .key = key,
				     .one = true,
				     .journal = f->batch[i].journal,
				     .seq = f->batch[i].first_seq };
}

Test(proven, an_entry_is_the_one_asked_for_or_none)
{
	struct files ones, all, none;
	struct builder b;
	struct vkey key;

	make_host(&b);
	key = builder_pin(&b);
	make(&b, PROOF_ENTRY, &ones);
	make(&b, PROOF_WHOLE, &all);
	make(&b, PROOF_BATCH, &none);
	for (size_t i = 0; i < ones.n; i++) {
		struct proof_judge j = judge_of(&key, &ones, i);

		for (size_t k = 0; k < ones.n; k++)
			cr_expect(eq(int, judge(&j, &ones.at[k]), k == i ? 1 : BULLA_ETAMPERED),
				  "%zu for %zu", k, i);
		cr_expect(eq(int, judge(&j, &all.at[i]), BULLA_ETAMPERED));
		cr_expect(eq(int, judge(&j, &none.at[i]), BULLA_ETAMPERED));
		cr_expect(eq(u64, j.proofs, 1));
		j.seq++;
		cr_expect(eq(int, judge(&j, &ones.at[i]), BULLA_ETAMPERED));
		proof_judge_done(&j);
	}
	files_done(&ones);
	files_done(&all);
	files_done(&none);
	builder_done(&b);
}

Test(proven, no_byte_of_it_can_be_another)
{
	struct builder b;
	struct files ones;
	struct proof_judge j;
	struct vkey key;

	make_host(&b);
	key = builder_pin(&b);
	make(&b, PROOF_ENTRY, &ones);
	j = judge_of(&key, &ones, 3);
	for (size_t i = 0; i < ones.at[3].len; i++) {
		ones.at[3].data[i] ^= 1;
		cr_expect(eq(int, judge(&j, &ones.at[3]), BULLA_ETAMPERED), "byte %zu", i);
		cr_expect(j.why != NULL);
		ones.at[3].data[i] ^= 1;
	}
	for (size_t n = 0; n < ones.at[3].len; n += 13)
		cr_expect(eq(int, proof_judge(&j, ones.at[3].data, n), BULLA_ETAMPERED), "%zu", n);
	cr_expect(eq(u64, j.proofs, 0));
	cr_expect(eq(int, judge(&j, &ones.at[3]), 1));
	proof_judge_done(&j);
	files_done(&ones);
	builder_done(&b);
}

Test(proven, only_keys_that_are_known_count)
{
	struct builder b, other;
	struct files ones, foreign;
	struct vkey key, theirs;
	struct proof_judge j;

	setenv("BULLA_KEYS", "/nonexistent/keys", 1);
	make_host(&b);
	make_host(&other);
	key = builder_pin(&b);
	make(&b, PROOF_ENTRY, &ones);
	make(&other, PROOF_ENTRY, &foreign);
	/* Of another host, where this one was named; the same where it says that it is of this one; and of nobody known. */
	j = judge_of(&key, &foreign, 0);
	cr_expect(eq(int, judge(&j, &foreign.at[0]), BULLA_ETAMPERED));
	proof_judge_done(&j);
	theirs = builder_pin(&other);
	theirs.origin = key.origin;
	j = judge_of(&theirs, &ones, 0);
	cr_expect(eq(int, judge(&j, &ones.at[0]), BULLA_ETAMPERED));
	proof_judge_done(&j);
	j = judge_of(NULL, &ones, 0);
	cr_expect(eq(int, judge(&j, &ones.at[0]), 0));
	cr_expect(j.has_unknown && id_equal(&j.unknown, &key.origin));
	cr_expect(eq(u64, j.proofs, 0));
	proof_judge_done(&j);
	files_done(&ones);
	files_done(&foreign);
	builder_done(&b);
	builder_done(&other);
}

/* All of a journal. */

struct asking {
	struct builder b;
	struct vkey key;
	struct files all, none; /* of web, then of db, and so on */
	struct request request;
	struct proof_judge judge;
};

static void begin(struct asking *a, uint64_t since_ns, uint64_t until_ns)
{
	a->judge = (struct proof_judge){ .key = &a->key,
					 .query = &a->request.query,
					 .since_ns = since_ns,
					 .until_ns = until_ns };
}

static void set_up(struct asking *a)
{
	char why[256];

	make_host(&a->b);
	a->key = builder_pin(&a->b);
	make(&a->b, PROOF_WHOLE, &a->all);
	make(&a->b, PROOF_BATCH, &a->none);
	cr_assert(eq(int, request_init(&a->request), 0));
	cr_assert(eq(int, request_set(&a->request, "match", "container=web", why), 0));
	a->request.query.match = a->request.match;
}

static void tear_down(struct asking *a)
{
	proof_judge_done(&a->judge);
	request_done(&a->request);
	files_done(&a->all);
	files_done(&a->none);
	builder_done(&a->b);
}

/* The place of a journal's batch among all. */
static size_t place(const struct asking *a, size_t journal, uint64_t batch_no)
{
	for (size_t i = 0; i < a->all.n; i++)
		if (id_equal(&a->all.batch[i].journal, &a->b.journal[journal].id) &&
		    a->all.batch[i].batch_no == batch_no)
			return i;
	cr_assert(false);
	return 0;
}

/* Batches of web as a word, "012": W whole, and as "(1)" one without its entries.  @return of the last. */
static int give(struct asking *a, size_t journal, const char *batches)
{
	int r = 1;

	for (const char *c = batches; *c && r > 0; c++) {
		const struct files *f = *c == '(' ? &a->none : &a->all;
		size_t i;

		c += *c == '(';
		i = place(a, journal, (uint64_t) (*c - '0'));
		c += f == &a->none;
		r = judge(&a->judge, &f->at[i]);
	}
	return r;
}

Test(proven, nothing_is_left_out_in_front_or_in_between)
{
	static const struct {
		const char *batches;
		int want;
	} cases[] = {
		{ "01234", 1 },
		{ "0", 1 },
		{ "1", BULLA_ETAMPERED },
		{ "(0)", BULLA_ETAMPERED },
		{ "(1)2", BULLA_ETAMPERED },
		{ "02", BULLA_ETAMPERED },
		{ "00", BULLA_ETAMPERED },
		{ "0132", BULLA_ETAMPERED },
		{ "0(1)2", BULLA_ETAMPERED },
		{ "01(2)", BULLA_ETAMPERED },
	};
	/* Of the time of 2 and 3. */
	static const struct {
		const char *batches;
		int want;
	} some[] = {
		{ "(1)23(4)", 1 },
		{ "(1)2", 1 },
		{ "(1)(2)", BULLA_ETAMPERED },
		{ "23(4)", BULLA_ETAMPERED },
		{ "123", BULLA_ETAMPERED },
		{ "(0)23", BULLA_ETAMPERED },
	};
	struct asking a;

	set_up(&a);
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		begin(&a, 0, UINT64_MAX);
		cr_expect(eq(int, give(&a, 0, cases[i].batches), cases[i].want), "%s",
			  cases[i].batches);
		proof_judge_done(&a.judge);
	}
	/* Of some time: the neighbours are wanted in front, and nothing comes behind them. */
	for (size_t i = 0; i < ELEMENTS(some); i++) {
		uint64_t since = a.all.time_ns[place(&a, 0, 2)],
			 until = a.all.time_ns[place(&a, 0, 3)];

		begin(&a, since, until);
		cr_expect(eq(int, give(&a, 0, some[i].batches), some[i].want), "%s",
			  some[i].batches);
		proof_judge_done(&a.judge);
	}
	begin(&a, 0, UINT64_MAX);
	cr_expect(eq(int, give(&a, 1, "0"), BULLA_ETAMPERED), "another journal");
	cr_expect(eq(int, give(&a, 0, "01234"), 1));
	cr_expect(eq(u64, a.judge.entries, 10));
	tear_down(&a);
}

Test(proven, after_a_neighbour_nothing_comes)
{
	struct asking a;
	uint64_t until;

	set_up(&a);
	until = a.all.time_ns[place(&a, 0, 1)];
	begin(&a, 0, until);
	cr_expect(eq(int, give(&a, 0, "01(2)"), 1));
	cr_expect(eq(int, give(&a, 0, "(3)"), BULLA_ETAMPERED));
	tear_down(&a);
}
