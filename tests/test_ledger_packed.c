/* SPDX-License-Identifier: Apache-2.0 */

/** Packed commits come out as they went in, whatever numbers are in them, and nothing else is taken for them. */

#include "tests/harness.h"

#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/kes.h"
#include "seal/packed.h"
#include "seal/statement.h"

TestSuite(ledger_packed, .fini = harness_teardown);

enum { COMMITS = 40, JOURNALS = 30 };

static uint64_t dice = 1;

static uint64_t roll(void)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return dice >> 11;
}

/* Any number, of any length. */
static uint64_t any(unsigned bits)
{
	uint64_t n = 1 + roll() % bits;

	return (roll() << 32 ^ roll()) >> (64 - n);
}

/* Commits in memory that is not moved. */
struct made {
	struct commit_record c[COMMITS];
	struct ledger_item items[COMMITS][JOURNALS];
	struct hash root[COMMITS];
	uint8_t sigma[COMMITS][KES_SIGMA_SIZE];
	uint64_t handles[JOURNALS];
};

static const uint8_t heartbeat[] = { EVENT_HEARTBEAT, 0 };

static struct ledger_item an_item(uint64_t handle, unsigned bits, uint64_t unit)
{
	struct ledger_item i = {
		.handle = handle,
		.flags = (uint8_t) (roll() % 16 == 0),
		.entries = 1 + any(MIN_OF(bits, 40u)),
		.bytes = any(bits),
		.time_min = 0 - any(MIN_OF(bits, 40u)) * unit,
		.mono = roll() % 4 ? 0 : any(bits) - any(bits),
	};

	i.span = i.entries == 1 ? 0 : any(MIN_OF(bits, 40u)) * unit;
	if (roll() % 3 == 0)
		i.root = (struct hash){ .b = { 1, (uint8_t) roll() } };
	return i;
}

/* Handles are in any order: ids give theirs. */
static void make(struct made *m, unsigned bits, uint64_t unit)
{
	memset(m, 0, sizeof *m);
	for (size_t i = 0; i < JOURNALS; i++)
		m->handles[i] = i * 17 % JOURNALS + (i % 5 == 0 ? 1 << 20 : 0);
	for (size_t c = 0; c < COMMITS; c++) {
		struct commit_record *r = &m->c[c];

		*r = (struct commit_record){
			.number = 1000 + c,
			.time_ns = roll(),
			.items = m->items[c],
			.sigma = m->sigma[c],
			.events = heartbeat,
			.n_events = c % 3 == 0,
			.events_size = c % 3 == 0 ? sizeof heartbeat : 0,
		};
		for (size_t i = 0; i < JOURNALS; i++)
			if (c % 7 != 0 && roll() % 3 == 0)
				m->items[c][r->n_items++] = an_item(m->handles[i], bits, unit);
		m->root[c].b[0] = (uint8_t) c;
		r->batches_root = r->n_items > 0 ? m->root[c].b : NULL;
		memset(m->sigma[c], (int) c, KES_SIGMA_SIZE);
	}
}

static bool same(const struct commit_record *a, const struct commit_record *b)
{
	if (a->number != b->number || a->time_ns != b->time_ns || a->n_items != b->n_items ||
	    a->events_size != b->events_size || !a->batches_root != !b->batches_root)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (a->items[i].handle != b->items[i].handle ||
		    a->items[i].flags != b->items[i].flags ||
		    a->items[i].entries != b->items[i].entries ||
		    a->items[i].bytes != b->items[i].bytes ||
		    a->items[i].time_min != b->items[i].time_min ||
		    a->items[i].span != b->items[i].span || a->items[i].mono != b->items[i].mono ||
		    !hash_same(&a->items[i].root, &b->items[i].root))
			return false;
	return memcmp(a->sigma, b->sigma, KES_SIGMA_SIZE) == 0 &&
	       memcmp(a->events, b->events, a->events_size) == 0 &&
	       (!a->batches_root || memcmp(a->batches_root, b->batches_root, HASH_SIZE) == 0);
}

/* @return how many commits come out that went in, or the error. */
static int read_back(const struct made *m, const uint8_t *p, size_t n)
{
	_cleanup_(packed_done) struct packed_reader r = { 0 };
	struct commit_record c;
	int k = packed_begin(&r, p, n), count = 0;

	while (k >= 0 && (k = packed_next(&r, &c)) > 0) {
		if (count == COMMITS || !same(&c, &m->c[count]))
			return BULLA_EORDER;
		count++;
	}
	return k < 0 ? k : count;
}

static struct made made;

Test(ledger_packed, all_numbers_come_back)
{
	for (unsigned bits = 1; bits <= 64; bits++)
		for (uint64_t unit = 1; unit <= 1000; unit += 999) {
			_cleanup_buf_ struct buf record = { 0 };

			make(&made, bits, unit);
			cr_assert(eq(int,
				     packed_write(made.c, COMMITS, made.handles, JOURNALS, &record),
				     0));
			cr_expect(eq(int, read_back(&made, record.data, record.len), COMMITS),
				  "%u bits, unit %llu", bits, (unsigned long long) unit);
		}
}

Test(ledger_packed, the_greatest_numbers_come_back)
{
	_cleanup_buf_ struct buf record = { 0 };
	struct ledger_item *i = &made.items[1][0];

	make(&made, 3, 1);
	cr_assert(gt(sz, made.c[1].n_items, 2));
	i[0].bytes = i[0].span = i[0].mono = UINT64_MAX;
	i[0].entries = UINT64_MAX;
	i[0].time_min = UINT64_C(1) << 63;
	i[1].time_min = (UINT64_C(1) << 63) - 1;
	i[2].time_min = UINT64_MAX;
	cr_assert(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record), 0));
	cr_expect(eq(int, read_back(&made, record.data, record.len), COMMITS));
}

Test(ledger_packed, it_is_small)
{
	_cleanup_buf_ struct buf record = { 0 };
	size_t fixed = KES_SIGMA_SIZE + HASH_SIZE + 16, items = 0;

	make(&made, 10, 1000);
	for (size_t c = 0; c < COMMITS; c++) {
		items += made.c[c].n_items;
		for (size_t i = 0; i < made.c[c].n_items; i++)
			made.items[c][i].root = (struct hash){ 0 };
	}
	cr_assert(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record), 0));
	cr_expect(lt(sz, record.len, COMMITS * fixed + items * 8));
}

Test(ledger_packed, every_truncation_is_refused)
{
	_cleanup_buf_ struct buf record = { 0 };

	make(&made, 12, 1);
	cr_assert(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record), 0));
	for (size_t n = 0; n < record.len; n++) {
		/* Exactly as long as it is, for AddressSanitizer to guard its end. */
		_cleanup_free_ uint8_t *p = malloc(MAX_OF(n, (size_t) 1));

		memcpy(p, record.data, n);
		cr_expect(lt(int, read_back(&made, p, n), 0), "%zu bytes", n);
	}
	buf_char(&record, 0);
	cr_expect(eq(int, read_back(&made, record.data, record.len), BULLA_ECORRUPT),
		  "a byte more");
}

Test(ledger_packed, flipped_bits_never_read_beyond)
{
	_cleanup_buf_ struct buf record = { 0 };

	make(&made, 20, 1000);
	cr_assert(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record), 0));
	for (size_t bit = 0; bit < record.len * 8; bit++) {
		record.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
		cr_expect(lt(int, read_back(&made, record.data, record.len), 0), "bit %zu", bit);
		record.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
}

Test(ledger_packed, what_no_honest_sealer_writes_is_not_packed)
{
	_cleanup_buf_ struct buf record = { 0 };
	struct ledger_item *i = &made.items[1][0], before;

	make(&made, 5, 1);
	before = *i;
	i->entries = 1;
	i->span = 1;
	cr_expect(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record),
		     BULLA_ENOTCANON));
	*i = before;
	i->entries = 0;
	cr_expect(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record),
		     BULLA_ENOTCANON));
	*i = before;
	i->handle = 1 << 25;
	cr_expect(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record),
		     BULLA_ENOTCANON),
		  "a journal that is not among those of the record");
	*i = i[1];
	cr_expect(eq(int, packed_write(made.c, COMMITS, made.handles, JOURNALS, &record),
		     BULLA_ENOTCANON),
		  "twice the same");
}
