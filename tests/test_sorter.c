/* SPDX-License-Identifier: Apache-2.0 */

/** Whatever comes, in whatever memory: the order and the limit are those of sorting it all at once. */

#include "query/sorter.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

Suite(sorter);

enum { THINGS = 3000 };

struct thing {
	struct place place;
	uint32_t size;
	uint8_t seed;
};

static struct thing things[THINGS];

static int compare(const void *a, const void *b)
{
	const struct place *x = &((const struct thing *) a)->place,
			   *y = &((const struct thing *) b)->place;
	int c = (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);

	if (c == 0)
		c = id_compare(&x->journal, &y->journal);
	return c ? c : (x->seq > y->seq) - (x->seq < y->seq);
}

/* Things that mostly come in order, with many of one time; some are large, some empty. */
static void make_things(uint64_t dice)
{
	for (uint32_t i = 0; i < THINGS; i++)
		things[i] = (struct thing){
			.place = { .time_ns = random_u64(&dice) % 5 ? i / 7
								    : random_u64(&dice) % THINGS,
				   .seq = i,
				   .journal = { { (uint8_t) (random_u64(&dice) % 3) } } },
			.size = random_u64(&dice) % 50 ? (uint32_t) (random_u64(&dice) % 40) : 3000,
			.seed = (uint8_t) i,
		};
}

struct check {
	size_t at, n;
	bool backward;
	struct thing *want;
};

static int see(void *arg, const uint8_t *data, uint32_t n)
{
	struct check *c = arg;
	const struct thing *want = c->backward ? &c->want[THINGS - 1 - c->at] : &c->want[c->at];

	cr_assert(eq(u32, n, want->size), "%zu", c->at);
	for (uint32_t i = 0; i < n; i++)
		cr_assert(eq(u8, data[i], (uint8_t) (want->seed + i)), "%zu", c->at);
	c->at++;
	return c->n-- == 1 ? -ECANCELED : 0;
}

static size_t sort(const struct sorter_options *o, struct thing *want)
{
	uint64_t kept = o->limit < THINGS ? o->limit : THINGS;
	struct check c = { .backward = o->backward, .want = want, .n = SIZE_MAX };
	struct sorter *s;
	uint8_t bytes[3000];
	size_t runs;

	cr_assert(eq(int, sorter_new(&s, o), 0));
	for (size_t i = 0; i < THINGS; i++) {
		for (uint32_t k = 0; k < things[i].size; k++)
			bytes[k] = (uint8_t) (things[i].seed + k);
		cr_assert(eq(int, sorter_add(s, &things[i].place, bytes, things[i].size), 0));
	}
	c.at = o->keep_last ? THINGS - kept : 0;
	cr_assert(eq(int, sorter_each(s, see, &c), 0));
	cr_expect(eq(sz, c.at, o->keep_last ? THINGS : kept));
	runs = sorter_runs(s);
	sorter_free(s);
	return runs;
}

Test(sorter, order_and_limit_hold_in_any_memory)
{
	static const uint64_t limits[] = { 0, 1, 10, THINGS - 1, THINGS, UINT64_MAX };
	static const size_t sizes[] = { 1, 5000, 100000, 100 << 20 };
	static struct thing want[THINGS];

	setenv("TMPDIR", tempdir(), 1);
	make_things(77);
	memcpy(want, things, sizeof want);
	qsort(want, THINGS, sizeof *want, compare);
	for (size_t i = 0; i < ELEMENTS(limits); i++)
		for (size_t k = 0; k < ELEMENTS(sizes); k++)
			for (unsigned way = 0; way < 4; way++) {
				struct sorter_options o = { .backward = way & 1,
							    .keep_last = way & 2,
							    .limit = limits[i],
							    .size_max = sizes[k] };
				size_t runs = sort(&o, want);

				if (sizes[k] == 100 << 20)
					cr_expect(zero(sz, runs), "%zu", i);
				else if (limits[i] >= THINGS - 1)
					cr_expect(gt(sz, runs, 1), "%zu %zu", i, k);
			}
}

Test(sorter, who_has_seen_enough_stops_it)
{
	static struct thing want[THINGS];
	struct check c = { .n = 5, .want = want };
	struct sorter_options o = { .limit = UINT64_MAX, .size_max = 1000 };
	struct sorter *s;

	setenv("TMPDIR", tempdir(), 1);
	cr_assert(eq(int, sorter_new(&s, &o), 0));
	for (size_t i = 0; i < THINGS; i++) {
		want[i].place.time_ns = i;
		cr_assert(eq(int, sorter_add(s, &want[i].place, "", 0), 0));
	}
	cr_expect(eq(int, sorter_each(s, see, &c), -ECANCELED));
	cr_expect(eq(sz, c.at, 5));
	sorter_free(s);
}

Test(sorter, without_a_place_for_the_file_it_fails)
{
	struct sorter_options o = { .limit = UINT64_MAX, .size_max = 1000 };
	struct sorter *s;
	int r = 0;

	setenv("TMPDIR", "/nonexistent", 1);
	cr_assert(eq(int, sorter_new(&s, &o), 0));
	for (size_t i = 0; i < THINGS && r == 0; i++)
		r = sorter_add(s, &(struct place){ .seq = i }, "", 0);
	cr_expect(eq(int, r, -ENOENT));
	sorter_free(s);
}
