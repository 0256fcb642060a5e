/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What is merged and what is let go: by day, by age, and by who takes more than its share.
 */

#include "store/segment/plan.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/maker.h"

Suite(segment_plan);

enum { JOURNALS = 12, FILES = 8, NAME = 16 };

static const uint64_t day = UINT64_C(24) * 60 * 60 * NS_PER_S;

/* A host: each file has one batch of each journal that has entries in it.  Journals of one name are one source. */
static struct world {
	struct maker m;
	struct segment_set set;
	struct segment_file files[FILES];
	struct segment_origin origins[FILES];
	struct segment_journal journals[FILES][JOURNALS];
	struct group_ref groups[FILES];
	struct segment_span spans[FILES * JOURNALS];
	struct contexts contexts[JOURNALS];
	uint32_t entries[FILES][JOURNALS];
} world;

static void add_identity(struct contexts *c, const char *name)
{
	struct field f = { (const uint8_t *) "_CONTAINER_NAME", (const uint8_t *) name,
			   (uint32_t) strlen(name), 15 };
	struct context context = { .fields = &f, .n_fields = 1 };
	uint8_t leaf[200];
	struct wr w = wr_of(leaf, sizeof leaf);

	context_encode(&context, &w);
	cr_assert(eq(i64, contexts_add(c, leaf, w.len), 0));
}

static void open_journals(const char *const *names)
{
	static uint8_t body[JOURNALS][128];
	struct event events[JOURNALS];

	maker_init(&world.m, "plan", (struct kes_params){ 1, 4 });
	for (uint32_t j = 0; j < JOURNALS; j++) {
		char text[8] = { 'j', (char) ('a' + j) };

		events[j] = maker_open(&world.m, text, body[j]);
		add_identity(&world.contexts[j], names[j]);
	}
	maker_commit(&world.m, NULL, 0, events, JOURNALS);
}

static void fill_file(uint32_t f)
{
	struct segment *s = &world.files[f].segment;
	struct batch_item items[JOURNALS];
	uint32_t rows = 0, n = 0;

	for (uint32_t j = 0; j < JOURNALS; j++) {
		const struct ledger_journal *lj = history_journal(world.m.h, j);

		if (world.entries[f][j] == 0)
			continue;
		items[n] = maker_item(&world.m, j, world.entries[f][j]);
		world.journals[f][n++] = (struct segment_journal){
			.id = lj->id,
			.first_batch = lj->batches,
			.batches = 1,
			.first_seq = lj->entries,
			.entries = world.entries[f][j],
			.contexts = world.contexts[j],
		};
		rows += world.entries[f][j];
	}
	maker_commit(&world.m, items, n, NULL, 0);
	world.origins[f] = (struct segment_origin){
		.first = f, .end = f + 1, .time_first = f * day, .time_last = f * day + day / 2
	};
	world.groups[f].rows = rows;
	*s = (struct segment){
		.size = rows * 20,
		.origins = &world.origins[f],
		.n_origins = 1,
		.n_groups = 1,
		.journals = world.journals[f],
		.n_journals = n,
		.groups = &world.groups[f],
	};
}

static int compare_spans(const void *a, const void *b)
{
	const struct segment_span *x = a, *y = b;
	int c = id_compare(&x->journal, &y->journal);

	return c != 0 ? c : (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

static void make_world(const char *const *names)
{
	uint32_t n = 0;

	open_journals(names);
	for (uint32_t f = 0; f < FILES; f++)
		fill_file(f);
	for (uint32_t f = 0; f < FILES; f++)
		for (uint32_t j = 0; j < world.files[f].segment.n_journals; j++) {
			const struct segment_journal *sj = &world.journals[f][j];

			world.spans[n++] = (struct segment_span){
				.journal = sj->id,
				.first_seq = sj->first_seq,
				.end_seq = sj->first_seq + sj->entries,
				.first_batch = sj->first_batch,
				.end_batch = sj->first_batch + 1,
				.file = f,
				.number = j,
			};
		}
	qsort(world.spans, n, sizeof *world.spans, compare_spans);
	world.set = (struct segment_set){
		.files = world.files, .n = FILES, .spans = world.spans, .n_spans = n
	};
}

static void world_done(void)
{
	for (uint32_t j = 0; j < JOURNALS; j++)
		contexts_done(&world.contexts[j]);
	maker_done(&world.m);
	memset(&world, 0, sizeof world);
}

static const char *const each_its_own[JOURNALS] = { "a", "b", "c", "d", "e", "f",
						    "g", "h", "i", "j", "k", "l" };

static void fill_evenly(uint32_t entries)
{
	for (uint32_t f = 0; f < FILES; f++)
		for (uint32_t j = 0; j < JOURNALS; j++)
			world.entries[f][j] = entries;
}

/* How many batches of each journal go. */
static void prune(const struct retention *limits, uint64_t now, uint64_t fixed, uint64_t *upto)
{
	struct event_prune *prunes;
	int64_t n = plan_prune(&world.set, world.m.h, limits, now, fixed, &prunes);

	memset(upto, 0, JOURNALS * sizeof *upto);
	cr_assert(ge(i64, n, 0));
	for (int64_t i = 0; i < n; i++) {
		int64_t handle = history_find_journal(world.m.h, &prunes[i].journal);

		cr_assert(ge(i64, handle, 0));
		cr_expect(eq(u64, upto[handle], 0), "named twice");
		cr_expect(gt(u64, prunes[i].batches, 0));
		upto[handle] = prunes[i].batches;
	}
	free(prunes);
}

Test(segment_plan, nothing_goes_without_limits)
{
	uint64_t upto[JOURNALS];

	fill_evenly(100);
	make_world(each_its_own);
	prune(&(struct retention){ 0 }, 1000 * day, 0, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		cr_expect(eq(u64, upto[j], 0));
	world_done();
}

Test(segment_plan, what_is_old_goes)
{
	uint64_t upto[JOURNALS];

	fill_evenly(100);
	make_world(each_its_own);
	/* Of file 2 the last commit is three days old, not more. */
	prune(&(struct retention){ .age_ns = 3 * day }, 5 * day + day / 2, 0, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		cr_expect(eq(u64, upto[j], 2));
	/* A clock that went back makes nothing old. */
	prune(&(struct retention){ .age_ns = 1 }, 0, 0, upto);
	cr_expect(eq(u64, upto[0], 0));
	world_done();
}

/* One journal has nearly all: it gives, and nobody else. */
Test(segment_plan, who_floods_gives)
{
	uint64_t upto[JOURNALS], total;

	fill_evenly(100);
	for (uint32_t f = 0; f < FILES; f++)
		world.entries[f][5] = 100000;
	make_world(each_its_own);
	total = (uint64_t) FILES * (100000 + 11 * 100) * 20;
	prune(&(struct retention){ .bytes = total / 2 }, day, 0, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		if (j != 5)
			cr_expect(eq(u64, upto[j], 0), "journal %u", j);
	cr_expect(ge(u64, upto[5], 4));
	cr_expect(le(u64, upto[5], 6));
	world_done();
}

/* Nor does it help to flood through many journals. */
Test(segment_plan, many_journals_of_one_name_are_one)
{
	static const char *const names[JOURNALS] = { "f", "f", "f", "f", "f", "f",
						     "f", "f", "f", "f", "f", "b" };
	uint64_t upto[JOURNALS], total = (uint64_t) FILES * (11 * 100 + 500) * 20;

	fill_evenly(100);
	for (uint32_t f = 0; f < FILES; f++)
		world.entries[f][11] = 500;
	make_world(names);
	prune(&(struct retention){ .bytes = total * 3 / 4 }, day, 0, upto);
	cr_expect(eq(u64, upto[11], 0));
	for (uint32_t j = 0; j < 11; j++) {
		cr_expect(ge(u64, upto[j], 2), "journal %u", j);
		cr_expect(le(u64, upto[j], 5), "journal %u", j);
	}
	world_done();
}

Test(segment_plan, a_source_has_a_limit_of_its_own)
{
	uint64_t upto[JOURNALS];

	fill_evenly(100);
	for (uint32_t f = 0; f < FILES; f++)
		world.entries[f][3] = 1000;
	make_world(each_its_own);
	prune(&(struct retention){ .source_bytes = 4 * 1000 * 20 }, day, 0, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		cr_expect(j == 3 ? upto[j] >= 4 && upto[j] <= 5 : upto[j] == 0, "journal %u: %llu",
			  j, (unsigned long long) upto[j]);
	world_done();
}

/* What is in use elsewhere counts; when that is all, everything goes. */
Test(segment_plan, what_is_not_in_segments_counts)
{
	uint64_t upto[JOURNALS], total = (uint64_t) FILES * JOURNALS * 100 * 20;

	fill_evenly(100);
	make_world(each_its_own);
	prune(&(struct retention){ .bytes = total }, day, 0, upto);
	cr_expect(eq(u64, upto[0], 0));
	prune(&(struct retention){ .bytes = total }, day, total / 2, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		cr_expect(ge(u64, upto[j], 4));
	prune(&(struct retention){ .bytes = total }, day, 2 * total, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		cr_expect(eq(u64, upto[j], FILES));
	world_done();
}

/* Whatever the sizes: who has no more than an even share loses nothing, and in the end it is few enough. */
Test(segment_plan, nobody_gives_below_an_even_share)
{
	uint64_t seed = 71;

	for (int round = 0; round < 200; round++) {
		uint64_t upto[JOURNALS], total = 0, left = 0, limit;
		uint64_t has[JOURNALS] = { 0 };

		for (uint32_t f = 0; f < FILES; f++)
			for (uint32_t j = 0; j < JOURNALS; j++) {
				world.entries[f][j] =
					1 + (uint32_t) (random_u64(&seed) % (1ull << (1 + j)));
				has[j] += world.entries[f][j] * 20ull;
				total += world.entries[f][j] * 20ull;
			}
		make_world(each_its_own);
		limit = 1 + random_u64(&seed) % total;
		prune(&(struct retention){ .bytes = limit }, day, 0, upto);
		for (uint32_t j = 0; j < JOURNALS; j++) {
			uint64_t kept = 0;

			for (uint64_t f = upto[j]; f < FILES; f++)
				kept += world.entries[f][j] * 20ull;
			left += kept;
			/* Sizes are shares of a file, so not exact. */
			if (has[j] * 100 < limit * 85 / JOURNALS)
				cr_expect(eq(u64, upto[j], 0), "round %d, journal %u", round, j);
		}
		cr_expect(le(u64, left, limit + limit / 50 + 200), "round %d", round);
		world_done();
	}
}

/* Tenants. */

enum { OF_A = JOURNALS / 2 };

/* Half of the journals and files are one tenant's, half another's. */
static void make_two(const char *const *names, const uint32_t *entries)
{
	for (uint32_t f = 0; f < FILES; f++)
		for (uint32_t j = 0; j < JOURNALS; j++)
			world.entries[f][j] = (f < FILES / 2) == (j < OF_A) ? entries[j] : 0;
	make_world(names);
	for (uint32_t f = 0; f < FILES; f++)
		world.files[f].tenant = (struct tenant){ { f < FILES / 2 ? 'a' : 'b' } };
}

/* Each of a tenant's sources is smaller than the other's one; but together they are the flood. */
Test(segment_plan, a_tenant_that_floods_gives)
{
	static const uint32_t entries[JOURNALS] = { 10000, 10000, 10000, 10000, 10000, 10000,
						    20000, 1,	  1,	 1,	1,     1 };
	uint64_t upto[JOURNALS], total = (uint64_t) FILES / 2 * 80005 * 20;

	make_two(each_its_own, entries);
	prune(&(struct retention){ .bytes = total * 3 / 4 }, day, 0, upto);
	for (uint32_t j = 0; j < JOURNALS; j++)
		cr_expect(j < OF_A ? upto[j] >= 1 && upto[j] <= 3 : upto[j] == 0,
			  "journal %u: %llu", j, (unsigned long long) upto[j]);
	world_done();
}

/* The same name in two tenants is two sources; and what a neighbour floods with another's limit does not touch. */
Test(segment_plan, a_tenant_has_a_limit_of_its_own)
{
	static const char *const names[JOURNALS] = { "x", "b", "c", "d", "e", "f",
						     "x", "b", "c", "d", "e", "f" };
	static const uint32_t entries[JOURNALS] = { 1000, 10, 10, 10, 10, 10,
						    1000, 10, 10, 10, 10, 10 };
	static const struct tenant_limit b_more[] = { { { "b" }, 1 << 30 }, { { "c" }, 1 } },
					 b_any = { { "b" }, 0 };
	const struct retention limits[] = {
		{ .tenant_bytes = 1050 * 20 * 2 },
		{ .tenant_bytes = 1050 * 20 * 2, .tenants = b_more, .n_tenants = 2 },
		{ .tenant_bytes = 1050 * 20 * 2, .tenants = &b_any, .n_tenants = 1 },
		{ .tenants = (struct tenant_limit[]){ { { "a" }, 1050 * 20 * 2 } },
		  .n_tenants = 1 },
		{ .tenant_bytes = 1050 * 20 * 5 },
	};
	uint64_t upto[JOURNALS];

	for (size_t i = 0; i < ELEMENTS(limits); i++) {
		make_two(names, entries);
		prune(&limits[i], day, 0, upto);
		for (uint32_t j = 0; j < JOURNALS; j++) {
			bool gives = (j == 0 && i < 4) || (j == OF_A && i == 0);

			cr_expect(gives ? upto[j] >= 2 && upto[j] <= 3 : upto[j] == 0,
				  "limits %zu, journal %u: %llu", i, j,
				  (unsigned long long) upto[j]);
		}
		world_done();
	}
}

/* Whatever the sizes: a tenant that has no more than an even share loses nothing. */
Test(segment_plan, no_tenant_gives_below_an_even_share)
{
	uint64_t seed = 17;

	for (int round = 0; round < 200; round++) {
		uint64_t upto[JOURNALS], has[2] = { 0 }, total, limit;
		uint32_t entries[JOURNALS];

		for (uint32_t j = 0; j < JOURNALS; j++) {
			entries[j] = 1 + (uint32_t) (random_u64(&seed) %
						     (1ull << (4 + random_u64(&seed) % 12)));
			has[j >= OF_A] += entries[j] * 20ull * (FILES / 2);
		}
		make_two(each_its_own, entries);
		total = has[0] + has[1];
		limit = 1 + random_u64(&seed) % total;
		prune(&(struct retention){ .bytes = limit }, day, 0, upto);
		for (uint32_t j = 0; j < JOURNALS; j++)
			if (has[j >= OF_A] < limit * 9 / 20 - limit / 50)
				cr_expect(eq(u64, upto[j], 0), "round %d, journal %u", round, j);
		world_done();
	}
}

/* Merging. */

static void expect_merge(uint64_t now, bool any, uint32_t first, uint32_t n)
{
	uint32_t got_first = 0, got_n = 0;

	cr_expect(eq(int, plan_merge(&world.set, now, MERGE_ENTRIES_MAX, &got_first, &got_n), any));
	if (any) {
		cr_expect(eq(u32, got_first, first));
		cr_expect(eq(u32, got_n, n));
	}
}

static void all_at(uint64_t time)
{
	for (uint32_t f = 0; f < FILES; f++)
		world.origins[f].time_first = world.origins[f].time_last = time + f;
}

Test(segment_plan, several_of_about_a_size_are_merged)
{
	fill_evenly(100);
	make_world(each_its_own);
	/* Each its day: nothing to merge, ever. */
	expect_merge(100 * day, false, 0, 0);
	all_at(50 * day);
	expect_merge(50 * day + day / 2, true, 0, FILES);
	/* A large one among them parts them: three are too few. */
	world.groups[3].rows = 500000;
	expect_merge(50 * day + day / 2, true, 4, 4);
	world.groups[6].rows = 400000;
	expect_merge(50 * day + day / 2, false, 0, 0);
	/* When the day is over sizes do not matter, but for what one may have. */
	expect_merge(51 * day + day / 2, true, 0, FILES);
	world.groups[4].rows = 600000;
	expect_merge(51 * day + day / 2, true, 0, 4);
	world.files[1].error = -5;
	expect_merge(51 * day + day / 2, true, 2, 2);
	world.files[1].error = 0;
	for (uint32_t f = 2; f < FILES; f++)
		world.files[f].tenant = (struct tenant){ "b" };
	expect_merge(51 * day + day / 2, true, 0, 2);
	world_done();
}

/* Write amplification. */

enum { HOURS = 24 };

/* What a day of segments, one every so often, has been written in entries when it is over. */
static double written(uint64_t entries, uint32_t n)
{
	static struct segment_file files[HOURS * 12];
	static struct segment_origin origins[HOURS * 12];
	static struct group_ref groups[HOURS * 12];
	struct segment_set set = { .files = files };
	uint32_t first, some;
	uint64_t all = 0;

	for (uint32_t i = 0; i <= n; i++) {
		uint64_t now = i < n ? 50 * day + i * (day / n) : 51 * day + day / 2;

		if (i < n) {
			origins[set.n].time_first = origins[set.n].time_last = now;
			groups[set.n].rows = (uint32_t) entries;
			files[set.n] = (struct segment_file){
				.tenant = { "a" },
				.segment = { .origins = &origins[set.n],
					     .n_origins = 1,
					     .groups = &groups[set.n],
					     .n_groups = 1 },
			};
			all += groups[set.n++].rows;
		}
		while (plan_merge(&set, now, MERGE_ENTRIES_MAX, &first, &some)) {
			for (uint32_t k = 1; k < some; k++)
				groups[first].rows += groups[first + k].rows;
			all += groups[first].rows;
			set.n -= some - 1;
			for (uint32_t k = first + 1; k < set.n; k++) {
				groups[k].rows = groups[k + some - 1].rows;
				origins[k] = origins[k + some - 1];
			}
		}
	}
	return (double) all / (double) (entries * n);
}

Test(segment_plan, what_comes_is_written_a_few_times_at_most)
{
	static const uint64_t entries[] = { 1, 100, 5000, 40000, 200000, 600000, 1000000 };

	for (size_t i = 0; i < ELEMENTS(entries); i++) {
		double hourly = written(entries[i], HOURS), often = written(entries[i], HOURS * 12);

		cr_log_info("%u entries each: %.2f times by the hour, %.2f every five minutes\n",
			    (unsigned) entries[i], hourly, often);
		cr_expect(hourly >= 1 && hourly < 5, "%zu: %g", i, hourly);
		cr_expect(often >= 1 && often < 7, "%zu: %g", i, often);
	}
}
