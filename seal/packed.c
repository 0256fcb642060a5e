/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A number v is written as Elias and Golomb did it, with an order k of its column: z zero bits, a one, and z + k bits of
 * what v is above (2^z - 1) * 2^k.  The order is what costs least for the record at hand; columns of nothing but zeroes have
 * the order ALL_ZERO and no bits at all.
 */

#include "seal/packed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/kes.h"
#include "seal/statement.h"

enum column { GAP, FLAGS, ENTRIES, BYTES, TIME, SPAN, MONO };

enum { ALL_ZERO = 64, ORDER_MAX = 48 };

/* Bits, the lowest of a byte first. */

struct bits {
	const uint8_t *p;
	size_t n, at; /* bits */
	bool bad;
};

/* The next bits, 57 at least, zeroes behind the end. */
static uint64_t peek(const struct bits *b)
{
	size_t byte = b->at / 8;
	uint64_t v = 0;

	if (_likely_(byte + sizeof v <= b->n / 8))
		memcpy(&v, b->p + byte, sizeof v);
	else if (byte < b->n / 8)
		memcpy(&v, b->p + byte, b->n / 8 - byte);
	return v >> (b->at % 8);
}

static uint64_t take(struct bits *b, unsigned n)
{
	uint64_t v;

	if (n > 32) {
		v = take(b, 32);
		return v | take(b, n - 32) << 32;
	}
	if (b->bad || n > b->n - b->at) {
		b->bad = true;
		return 0;
	}
	v = peek(b) & ((UINT64_C(1) << n) - 1);
	b->at += n;
	return v;
}

static uint64_t take_number(struct bits *b, unsigned order)
{
	unsigned zeroes = 0;
	uint64_t base, rest;

	if (order == ALL_ZERO)
		return 0;
	while (zeroes + order <= 64) {
		uint64_t next = peek(b);
		unsigned n = next == 0 ? 57 : (unsigned) __builtin_ctzll(next);

		n = MIN_OF(n, 57u);
		zeroes += n;
		take(b, n);
		if (b->bad)
			return 0;
		if (n < 57)
			break;
	}
	if (zeroes + order > 64) {
		b->bad = true;
		return 0;
	}
	take(b, 1);
	base = zeroes == 64 ? UINT64_MAX : ((UINT64_C(1) << zeroes) - 1) << order;
	rest = take(b, zeroes + order);
	b->bad |= rest > UINT64_MAX - base;
	return base + rest;
}

struct bit_writer {
	struct buf *to;
	unsigned __int128 acc;
	unsigned have;
};

static void put(struct bit_writer *w, uint64_t v, unsigned n)
{
	w->acc |= (unsigned __int128) v << w->have;
	for (w->have += n; w->have >= 8; w->have -= 8, w->acc >>= 8)
		buf_char(w->to, (char) (uint8_t) w->acc);
}

/* How many zeroes go before a number. */
static unsigned zeroes_of(uint64_t v, unsigned order)
{
	unsigned __int128 x = ((unsigned __int128) v >> order) + 1;
	uint64_t high = (uint64_t) (x >> 64);

	return high ? 64 : 63 - (unsigned) __builtin_clzll((uint64_t) x);
}

static void put_number(struct bit_writer *w, uint64_t v, unsigned order)
{
	unsigned zeroes;
	uint64_t base;

	if (order == ALL_ZERO)
		return;
	zeroes = zeroes_of(v, order);
	base = zeroes == 64 ? UINT64_MAX : ((UINT64_C(1) << zeroes) - 1) << order;
	put(w, 0, zeroes);
	put(w, 1, 1);
	put(w, v - base, zeroes + order);
}

static void put_end(struct bit_writer *w)
{
	if (w->have > 0)
		buf_char(w->to, (char) (uint8_t) w->acc);
	w->have = 0;
	w->acc = 0;
}

/* Reading. */

static int read_handles(struct packed_reader *r, uint64_t n)
{
	if (r->rd.bad || n > r->rd.left)
		return BULLA_ECORRUPT;
	if (n > r->handles_cap) {
		uint64_t *more = reallocarray(r->handles, n, sizeof *more);

		if (!more)
			return -ENOMEM;
		r->handles = more;
		r->handles_cap = n;
	}
	for (size_t i = 0; i < n; i++)
		r->handles[i] = rd_varint(&r->rd);
	r->n_handles = n;
	return 0;
}

int packed_begin(struct packed_reader *r, const uint8_t *p, size_t n)
{
	int k;

	r->rd = rd_of(p, n);
	r->number = rd_varint(&r->rd);
	r->left = rd_varint(&r->rd);
	r->unit = rd_varint(&r->rd);
	r->base = unzigzag(rd_varint(&r->rd));
	k = read_handles(r, rd_varint(&r->rd));
	if (k < 0)
		return k;
	for (unsigned i = 0; i < PACKED_COLUMNS; i++) {
		r->order[i] = rd_u8(&r->rd);
		if (r->order[i] > ORDER_MAX && r->order[i] != ALL_ZERO)
			return BULLA_ECORRUPT;
	}
	if (r->rd.bad || r->left == 0 || r->left > PACKED_COMMITS_MAX || r->unit == 0 ||
	    r->number > UINT64_MAX - r->left)
		return BULLA_ECORRUPT;
	return 0;
}

/* `*place` is where the journals of the record go on.  @return false for what nothing was packed to. */
static bool read_item(const struct packed_reader *r, struct bits *b, size_t *place,
		      struct ledger_item *i, bool *ret_has_root)
{
	uint64_t gap = take_number(b, r->order[GAP]), flags, time;
	bool over;

	if (b->bad || gap >= r->n_handles - *place)
		return false;
	i->handle = r->handles[*place + gap];
	*place += gap + 1;
	flags = take_number(b, r->order[FLAGS]);
	*ret_has_root = flags & 1;
	i->flags = (uint8_t) (flags >> 1);
	i->entries = take_number(b, r->order[ENTRIES]);
	over = i->entries++ == UINT64_MAX || flags >> 1 > UINT8_MAX;
	i->bytes = take_number(b, r->order[BYTES]);
	over |= __builtin_mul_overflow(take_number(b, r->order[TIME]), r->unit, &time);
	i->time_min = 0 - (r->base + time);
	i->span = 0;
	if (i->entries > 1)
		over |= __builtin_mul_overflow(take_number(b, r->order[SPAN]), r->unit, &i->span);
	i->mono = unzigzag(take_number(b, r->order[MONO]));
	return !b->bad && !over;
}

static int read_items(struct packed_reader *r, size_t n)
{
	struct bits b = { .p = r->rd.p, .n = r->rd.left * 8 };
	size_t place = 0;

	/* Each takes a journal of the record. */
	if (n > r->n_handles)
		return BULLA_ECORRUPT;
	if (!ledger_items_reserve(&r->items, n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bool has_root;

		if (!read_item(r, &b, &place, &r->items.at[i], &has_root))
			return BULLA_ECORRUPT;
		/* A mark, until the roots are reached. */
		r->items.at[i].root = (struct hash){ .b = { has_root } };
	}
	if (take(&b, (8 - b.at % 8) % 8) != 0)
		return BULLA_ECORRUPT;
	rd_bytes(&r->rd, b.at / 8);
	for (size_t i = 0; i < n; i++) {
		struct hash *root = &r->items.at[i].root;

		if (root->b[0] == 0)
			continue;
		rd_copy(&r->rd, root->b, HASH_SIZE);
		if (root_is_absent(root))
			return BULLA_ECORRUPT;
	}
	return r->rd.bad ? BULLA_ECORRUPT : 0;
}

int packed_next(struct packed_reader *r, struct commit_record *ret)
{
	int k;

	if (r->left == 0)
		return r->rd.left > 0 ? BULLA_ECORRUPT : 0;
	*ret = (struct commit_record){ .number = r->number, .time_ns = rd_u64(&r->rd) };
	ret->n_items = rd_varint(&r->rd);
	ret->n_events = rd_varint(&r->rd);
	ret->events = r->rd.p;
	if (r->rd.bad || ret->n_items > BATCHES_MAX)
		return BULLA_ECORRUPT;
	k = commit_record_skip_events(&r->rd, ret->n_events);
	if (k < 0)
		return k;
	ret->events_size = (size_t) (r->rd.p - ret->events);
	ret->sigma = rd_bytes(&r->rd, KES_SIGMA_SIZE);
	ret->batches_root = ret->n_items > 0 ? rd_bytes(&r->rd, HASH_SIZE) : NULL;
	k = r->rd.bad ? BULLA_ECORRUPT : read_items(r, ret->n_items);
	if (k < 0)
		return k;
	ret->items = r->items.at;
	r->number++;
	r->left--;
	return 1;
}

void packed_done(struct packed_reader *r)
{
	free(r->handles);
	ledger_items_done(&r->items);
	*r = (struct packed_reader){ 0 };
}

/* Writing. */

/* What is to be packed, seen as numbers. */
struct packing {
	const struct commit_record *commits;
	size_t n;
	uint64_t unit, base;
	struct place {
		uint64_t handle;
		size_t place;
	} * places; /* owned: of each handle, by handle */
	size_t n_places;
	uint8_t order[PACKED_COLUMNS];
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->handle > y->handle) - (x->handle < y->handle);
}

static int note_places(struct packing *p, const uint64_t *handles, size_t n)
{
	p->places = reallocarray(NULL, n + 1, sizeof *p->places);
	if (!p->places)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		p->places[i] = (struct place){ handles[i], i };
	qsort(p->places, n, sizeof *p->places, compare_places);
	p->n_places = n;
	return 0;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* The least distance of a commit's time from its entries', and what all distances are multiples of. */
static void find_unit(struct packing *p)
{
	int64_t least = INT64_MAX;

	for (size_t c = 0; c < p->n; c++)
		for (size_t i = 0; i < p->commits[c].n_items; i++)
			least = MIN_OF(least, (int64_t) (0 - p->commits[c].items[i].time_min));
	p->base = least == INT64_MAX ? 0 : (uint64_t) least;
	for (size_t c = 0; c < p->n; c++)
		for (size_t i = 0; i < p->commits[c].n_items; i++) {
			const struct ledger_item *item = &p->commits[c].items[i];

			p->unit = gcd(0 - item->time_min - p->base, p->unit);
			p->unit = gcd(item->span, p->unit);
		}
	p->unit = MAX_OF(p->unit, UINT64_C(1));
}

/* An item's numbers, by column.  @return false where it has none. */
static bool numbers_of(const struct packing *p, const struct ledger_item *i, size_t *place,
		       uint64_t ret[PACKED_COLUMNS])
{
	const struct place *at = bsearch(&(struct place){ i->handle, 0 }, p->places, p->n_places,
					 sizeof *p->places, compare_places);

	if (!at || at->place < *place || i->entries == 0 || (i->entries == 1 && i->span != 0))
		return false;
	ret[GAP] = at->place - *place;
	ret[FLAGS] = (uint64_t) i->flags << 1 | !root_is_absent(&i->root);
	ret[ENTRIES] = i->entries - 1;
	ret[BYTES] = i->bytes;
	ret[TIME] = (0 - i->time_min - p->base) / p->unit;
	ret[SPAN] = i->span / p->unit;
	ret[MONO] = zigzag(i->mono);
	*place = at->place + 1;
	return true;
}

/* Which order makes a column smallest, of all items together. */
static int find_orders(struct packing *p)
{
	uint64_t cost[PACKED_COLUMNS][ORDER_MAX + 1] = { 0 }, any[PACKED_COLUMNS] = { 0 };
	uint64_t numbers[PACKED_COLUMNS] = { 0 };

	for (size_t c = 0; c < p->n; c++) {
		size_t place = 0;

		for (size_t i = 0; i < p->commits[c].n_items; i++) {
			uint64_t v[PACKED_COLUMNS];

			if (!numbers_of(p, &p->commits[c].items[i], &place, v))
				return BULLA_ENOTCANON;
			for (unsigned k = 0; k < PACKED_COLUMNS; k++) {
				any[k] |= v[k];
				numbers[k] += k != SPAN || v[ENTRIES] > 0;
				/* From its highest bit on a number costs no zeroes; most have few bits. */
				for (unsigned o = 0; o <= ORDER_MAX && v[k] >> o > 0; o++)
					cost[k][o] += 2 * zeroes_of(v[k], o);
			}
		}
	}
	for (unsigned k = 0; k < PACKED_COLUMNS; k++) {
		for (unsigned o = 0; o <= ORDER_MAX; o++)
			cost[k][o] += numbers[k] * (1 + o);
		for (unsigned o = 1; o <= ORDER_MAX; o++)
			if (cost[k][o] < cost[k][p->order[k]])
				p->order[k] = (uint8_t) o;
		if (any[k] == 0)
			p->order[k] = ALL_ZERO;
	}
	return 0;
}

static void write_head(const struct packing *p, const uint64_t *handles, size_t n, struct buf *to)
{
	buf_varint(to, p->commits[0].number);
	buf_varint(to, p->n);
	buf_varint(to, p->unit);
	buf_varint(to, zigzag(p->base));
	buf_varint(to, n);
	for (size_t i = 0; i < n; i++)
		buf_varint(to, handles[i]);
	buf_append(to, p->order, sizeof p->order);
}

static void write_items(const struct packing *p, const struct commit_record *c, struct buf *to)
{
	struct bit_writer w = { .to = to };
	size_t place = 0;

	for (size_t i = 0; i < c->n_items; i++) {
		uint64_t v[PACKED_COLUMNS];

		numbers_of(p, &c->items[i], &place, v);
		for (unsigned k = 0; k < PACKED_COLUMNS; k++)
			if (k != SPAN || v[ENTRIES] > 0)
				put_number(&w, v[k], p->order[k]);
	}
	put_end(&w);
	for (size_t i = 0; i < c->n_items; i++)
		if (!root_is_absent(&c->items[i].root))
			buf_append(to, c->items[i].root.b, HASH_SIZE);
}

static void write_commit(const struct packing *p, const struct commit_record *c, struct buf *to)
{
	buf_append(to, &c->time_ns, sizeof c->time_ns);
	buf_varint(to, c->n_items);
	buf_varint(to, c->n_events);
	buf_append(to, c->events, c->events_size);
	buf_append(to, c->sigma, KES_SIGMA_SIZE);
	if (c->n_items == 0)
		return;
	buf_append(to, c->batches_root, HASH_SIZE);
	write_items(p, c, to);
}

int packed_write(const struct commit_record *c, size_t n, const uint64_t *handles, size_t n_handles,
		 struct buf *to)
{
	struct packing p = { .commits = c, .n = n };
	int r = note_places(&p, handles, n_handles);

	if (r >= 0) {
		find_unit(&p);
		r = find_orders(&p);
	}
	if (r >= 0) {
		write_head(&p, handles, n_handles, to);
		for (size_t i = 0; i < n; i++)
			write_commit(&p, &c[i], to);
		r = to->bad ? -ENOMEM : 0;
	}
	free(p.places);
	return r;
}
