/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Why it holds: a needle's run is part of a run of the message.  If that one has a byte of a variable, all its grams are
 * among values; if not, it lies within one text or a message kept whole, and all are among those.  So a run that lacks a gram
 * everywhere is nowhere; and one that lacks a gram among values touches no variable, so that the needle cannot lie within one.
 *
 * Hexadecimal digits: any 32 in a row have 25 pieces of eight, and the least of these, by their hash, is taken wherever
 * these 32 stand in a longer row.  So one or two tokens stand for an identifier of 32 digits, not 25.
 *
 * Words as a whole were tried: there are 3,000 of them in 40,000 messages against 8,000 to 28,000 grams, but one can ask for
 * a word only where the needle has its both ends.  All words with digits in them are 40,000, and ask for 1.2 bytes an entry.
 */

#include "store/segment/tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/letters.h"
#include "bulla/error.h"

enum {
	LETTER_BITS = 5,
	GRAMS = 1 << (LETTER_BITS * TOKENS_GRAM),
	WINDOW = 64,
	IDS_MIN = 1024,
	PIECE = 8, /* hexadecimal digits */
	PIECES = TOKENS_ID_MIN - PIECE + 1,
	UUID_MIDDLE = 16, /* -hhhh-hhhh-hhhh- */
	BLOCK_WORDS = 4,
	BLOCK_BYTES = 8 * BLOCK_WORDS,
};

static uint64_t mix(uint64_t v)
{
	v *= 0x9e3779b97f4a7c15;
	v ^= v >> 32;
	v *= 0xff51afd7ed558ccd;
	return v ^ v >> 29;
}

/* Eight hexadecimal digits or dashes, whatever their case. */
static inline uint64_t piece_of(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return mix(v | 0x2020202020202020);
}

/* What is found in bytes, whoever they belong to. */

typedef void (*take_fn)(void *arg, uint64_t hash);

/* The least of 25 neighbouring pieces, and where it is: the last of equal ones. */
static uint64_t least_piece(const uint8_t *p, size_t *ret_at)
{
	uint64_t hash[PIECES], least = UINT64_MAX;
	size_t at = PIECES - 1;

	for (size_t i = 0; i < PIECES; i++) {
		hash[i] = piece_of(p + i);
		least = MIN_OF(least, hash[i]);
	}
	while (hash[at] != least)
		at--;
	*ret_at = at;
	return least;
}

/* The least of each 25 neighbouring pieces. */
static void take_digits(const uint8_t *p, size_t n, take_fn take, void *arg)
{
	size_t least;
	uint64_t hash = least_piece(p, &least);

	take(arg, hash);
	for (size_t i = PIECES; i < n - PIECE + 1; i++) {
		uint64_t h = piece_of(p + i);

		if (i - least == PIECES) {
			/* The least has fallen behind: the next is sought among those after it. */
			size_t from = least + 1;

			hash = least_piece(p + from, &least);
			least += from;
		} else if (h <= hash) {
			hash = h;
			least = i;
		} else {
			continue;
		}
		take(arg, hash);
	}
}

static void take_long_digits(const uint8_t *p, size_t n, take_fn take, void *arg)
{
	const uint64_t all = (UINT64_C(1) << TOKENS_ID_MIN) - 1;
	size_t at = 0, end;

	/* What stands before the last byte that is none in a stretch is passed over with it. */
	while (at + TOKENS_ID_MIN <= n) {
		uint64_t others = ~hexes_of(p + at, TOKENS_ID_MIN) & all;

		if (others != 0) {
			at += 64 - (size_t) __builtin_clzll(others);
			continue;
		}
		for (end = at + TOKENS_ID_MIN; end < n && is_hex(p[end]); end++)
			;
		take_digits(p + at, end - at, take, arg);
		at = end + 1;
	}
}

static void take_uuids(const uint8_t *p, size_t n, take_fn take, void *arg)
{
	const uint8_t *end = p + n, *at = p;

	while (end - at >= UUID_MIDDLE &&
	       (at = memchr(at, '-', (size_t) (end - at) - UUID_MIDDLE + 1)) != NULL) {
		bool is = at[5] == '-' && at[10] == '-' && at[15] == '-';

		for (unsigned i = 1; is && i < UUID_MIDDLE; i++)
			is = i % 5 == 0 || is_hex(at[i]);
		if (is)
			take(arg, mix(piece_of(at) ^ piece_of(at + 8) << 1));
		at++;
	}
}

/* Gathering. */

void tokens_done(struct tokens *t)
{
	for (int i = 0; i < TOKENS_PLACES; i++)
		free(t->grams[i]);
	free(t->ids);
	*t = (struct tokens){ 0 };
}

int tokens_begin(struct tokens *t)
{
	t->n_ids = t->n_pending = 0;
	t->bad = false;
	if (t->ids)
		memset(t->ids, 0, t->ids_cap * sizeof *t->ids);
	for (int i = 0; i < TOKENS_PLACES; i++) {
		if (!t->grams[i])
			t->grams[i] = malloc(GRAMS / 8);
		if (!t->grams[i])
			return -ENOMEM;
		memset(t->grams[i], 0, GRAMS / 8);
	}
	return 0;
}

/* Four letters, whatever their case. */
static inline uint32_t gram_of(const uint8_t *p)
{
	uint32_t v = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];

	/* Five bits of each byte: together in pairs, then the pairs. */
	v = (v & 0x1f001f00) >> 3 | (v & 0x001f001f);
	return v >> 16 << 2 * LETTER_BITS | (v & 0x3ff);
}

static void add_grams(uint64_t *grams, const uint8_t *p, size_t n)
{
	/* A window sees the grams that begin in it, but for those that go beyond it. */
	for (size_t at = 0; at + TOKENS_GRAM <= n; at += WINDOW - TOKENS_GRAM + 1) {
		uint64_t letters = letters_of(p + at, MIN_OF(n - at, (size_t) WINDOW));

		letters &= letters >> 1;
		letters &= letters >> 2;
		for (; letters != 0; letters &= letters - 1) {
			uint32_t gram = gram_of(p + at + __builtin_ctzll(letters));

			grams[gram / 64] |= UINT64_C(1) << gram % 64;
		}
	}
}

void tokens_add(struct tokens *t, enum tokens_place place, const uint8_t *p, size_t n)
{
	add_grams(t->grams[place], p, n);
}

void tokens_add_value(struct tokens *t, const uint8_t *p, size_t n, size_t from, size_t to)
{
	if (from < to && letter_of(p[from]))
		while (from > 0 && letter_of(p[from - 1]))
			from--;
	if (from < to && letter_of(p[to - 1]))
		while (to < n && letter_of(p[to]))
			to++;
	add_grams(t->grams[TOKENS_VALUES], p + from, to - from);
}

static void insert_id(struct tokens *t, uint64_t hash)
{
	size_t at = hash & (t->ids_cap - 1);

	while (t->ids[at] != 0 && t->ids[at] != hash)
		at = (at + 1) & (t->ids_cap - 1);
	t->n_ids += t->ids[at] == 0;
	t->ids[at] = hash;
}

static int grow_ids(struct tokens *t)
{
	struct tokens larger = { .ids_cap = t->ids_cap ? 2 * t->ids_cap : IDS_MIN };

	larger.ids = calloc(larger.ids_cap, sizeof *larger.ids);
	if (!larger.ids)
		return -ENOMEM;
	for (size_t i = 0; i < t->ids_cap; i++)
		if (t->ids[i] != 0)
			insert_id(&larger, t->ids[i]);
	free(t->ids);
	t->ids = larger.ids;
	t->ids_cap = larger.ids_cap;
	return 0;
}

/* The table is larger than what is near a processor: places are asked for together, and then looked at. */
static void insert_pending(struct tokens *t)
{
	if (2 * (t->n_ids + t->n_pending) > t->ids_cap && grow_ids(t) < 0) {
		t->bad = true;
	} else {
		for (unsigned i = 0; i < t->n_pending; i++)
			__builtin_prefetch(&t->ids[t->pending[i] & (t->ids_cap - 1)], 1);
		for (unsigned i = 0; i < t->n_pending; i++)
			insert_id(t, t->pending[i]);
	}
	t->n_pending = 0;
}

/* A hash of 0 is left out, and not asked for. */
static void add_id(void *arg, uint64_t hash)
{
	struct tokens *t = arg;

	t->pending[t->n_pending] = hash;
	t->n_pending += hash != 0;
	if (t->n_pending == TOKENS_PENDING)
		insert_pending(t);
}

void tokens_add_digits(struct tokens *t, const uint8_t *p, size_t n)
{
	take_long_digits(p, n, add_id, t);
}

void tokens_add_uuids(struct tokens *t, const uint8_t *p, size_t n)
{
	take_uuids(p, n, add_id, t);
}

void tokens_add_text(struct tokens *t, enum tokens_place place, const uint8_t *p, size_t n)
{
	tokens_add(t, place, p, n);
	tokens_add_digits(t, p, n);
	tokens_add_uuids(t, p, n);
}

/* Filters. */

static size_t block_of(uint64_t hash, size_t n_blocks)
{
	return (size_t) ((hash >> 32) * n_blocks >> 32);
}

static void filter_add(uint8_t *filter, size_t n_blocks, uint64_t hash)
{
	uint8_t *block = filter + BLOCK_BYTES * block_of(hash, n_blocks);

	for (unsigned i = 0; i < BLOCK_WORDS; i++, hash >>= 6)
		block[8 * i + hash % 64 / 8] |= (uint8_t) (1 << hash % 8);
}

static bool filter_has(const uint8_t *filter, size_t n_blocks, uint64_t hash)
{
	const uint8_t *block;

	if (n_blocks == 0)
		return false;
	block = filter + BLOCK_BYTES * block_of(hash, n_blocks);
	for (unsigned i = 0; i < BLOCK_WORDS; i++, hash >>= 6)
		if (!(block[8 * i + hash % 64 / 8] >> hash % 8 & 1))
			return false;
	return true;
}

static size_t count_grams(const uint64_t *grams)
{
	size_t n = 0;

	for (size_t i = 0; i < GRAMS / 64; i++)
		n += (size_t) __builtin_popcountll(grams[i]);
	return n;
}

static size_t blocks_for(size_t tokens)
{
	size_t n = (tokens * TOKENS_BITS + 8 * BLOCK_BYTES - 1) / (8 * BLOCK_BYTES);

	return MIN_OF(n, (size_t) TOKENS_BLOCKS_MAX);
}

/* @return the filter, whose bits are all clear. */
static uint8_t *put_filter(size_t n_blocks, struct buf *to)
{
	uint8_t *p = buf_room(to, n_blocks * BLOCK_BYTES);

	if (p && n_blocks > 0)
		memset(p, 0, n_blocks * BLOCK_BYTES);
	buf_add(to, n_blocks * BLOCK_BYTES);
	return p;
}

static void put_grams(const uint64_t *grams, uint8_t *filter, size_t n_blocks)
{
	for (uint32_t i = 0; i < GRAMS / 64; i++)
		for (uint64_t bits = grams[i]; bits != 0; bits &= bits - 1)
			filter_add(filter, n_blocks,
				   mix(64 * i + (uint32_t) __builtin_ctzll(bits)));
}

void tokens_encode(struct tokens *t, struct buf *to)
{
	size_t blocks[TOKENS_PLACES];

	insert_pending(t);
	to->bad |= t->bad;
	for (int i = 0; i < TOKENS_PLACES; i++) {
		size_t n = count_grams(t->grams[i]) + (i == TOKENS_WHOLE ? t->n_ids : 0);

		blocks[i] = blocks_for(n);
		if (i != TOKENS_WHOLE)
			buf_varint(to, blocks[i]);
	}
	for (int i = 0; i < TOKENS_PLACES; i++) {
		uint8_t *filter = put_filter(blocks[i], to);

		if (to->bad)
			return;
		put_grams(t->grams[i], filter, blocks[i]);
		for (size_t k = 0; i == TOKENS_WHOLE && k < t->ids_cap; k++)
			if (t->ids[k] != 0)
				filter_add(filter, blocks[i], t->ids[k]);
	}
}

/* Asking. */

static void ask_id(void *arg, uint64_t hash)
{
	struct tokens_asked *a = arg;

	if (hash != 0 && a->n < TOKENS_ASKED_MAX)
		a->at[a->n++] = (struct token){ hash, 0 };
}

void tokens_ask(struct tokens_asked *a, const uint8_t *needle, size_t n)
{
	uint32_t gram = 0;
	unsigned run = 0;
	uint16_t number = 0;

	*a = (struct tokens_asked){ .letters = true };
	take_long_digits(needle, n, ask_id, a);
	take_uuids(needle, n, ask_id, a);
	for (size_t i = 0; i < n; i++) {
		unsigned letter = letter_of(needle[i]);

		a->letters &= letter != 0;
		run = letter != 0 ? run + 1 : 0;
		gram = (gram << LETTER_BITS | letter) % GRAMS;
		if (run < TOKENS_GRAM || a->n == TOKENS_ASKED_MAX)
			continue;
		number = (uint16_t) (number + (run == TOKENS_GRAM));
		a->at[a->n++] = (struct token){ mix(gram), number };
	}
}

struct filter {
	const uint8_t *p;
	size_t n; /* blocks */
};

/* Where a run may be, or an identifier: bits of places. */
static int answer_run(const struct filter *filters, const struct token *at, size_t n)
{
	int places = 0;

	for (int k = 0; k < TOKENS_PLACES; k++) {
		size_t i = 0;

		while (i < n && filter_has(filters[k].p, filters[k].n, at[i].hash))
			i++;
		places |= (i == n) << k;
	}
	return places;
}

static int read_filters(struct filter *filters, const uint8_t *block, size_t n)
{
	struct rd r = rd_of(block, n);

	filters[TOKENS_TEXTS].n = rd_varint(&r);
	filters[TOKENS_VALUES].n = rd_varint(&r);
	for (int k = 0; k < TOKENS_PLACES; k++) {
		if (k == TOKENS_WHOLE)
			filters[k].n = r.left / BLOCK_BYTES;
		if (r.bad || filters[k].n > TOKENS_BLOCKS_MAX)
			return BULLA_ECORRUPT;
		filters[k].p = rd_bytes(&r, filters[k].n * BLOCK_BYTES);
	}
	return r.bad || r.left > 0 ? BULLA_ECORRUPT : 0;
}

int tokens_answer(const struct tokens_asked *a, const uint8_t *block, size_t n)
{
	struct filter filters[TOKENS_PLACES];
	int answer = TOKENS_ANYWHERE;

	if (read_filters(filters, block, n) < 0)
		return BULLA_ECORRUPT;
	for (size_t i = 0, next; i < a->n; i = next) {
		int places;

		for (next = i + 1; next < a->n && a->at[next].run == a->at[i].run;)
			next++;
		places = answer_run(filters, &a->at[i], next - i);
		/* Identifiers of all places are in one filter. */
		if (a->at[i].run == 0 ? !(places >> TOKENS_WHOLE & 1) : places == 0)
			return 0;
		if (a->at[i].run != 0)
			answer &= places | TOKENS_ACROSS;
	}
	/* A run that has a byte of a variable is among values with all its grams. */
	return a->letters && !(answer >> TOKENS_VALUES & 1) ? answer & ~TOKENS_ACROSS : answer;
}

static bool has_grams(const struct filter *f, const uint64_t *grams)
{
	for (uint32_t i = 0; i < GRAMS / 64; i++)
		for (uint64_t bits = grams[i]; bits != 0; bits &= bits - 1)
			if (!filter_has(f->p, f->n, mix(64 * i + (uint32_t) __builtin_ctzll(bits))))
				return false;
	return true;
}

int tokens_check(struct tokens *t, const uint8_t *block, size_t n)
{
	struct filter filters[TOKENS_PLACES];

	insert_pending(t);
	if (t->bad)
		return -ENOMEM;
	if (read_filters(filters, block, n) < 0)
		return BULLA_ECORRUPT;
	for (int k = 0; k < TOKENS_PLACES; k++)
		if (!has_grams(&filters[k], t->grams[k]))
			return BULLA_ECORRUPT;
	for (size_t i = 0; i < t->ids_cap; i++)
		if (t->ids[i] != 0 &&
		    !filter_has(filters[TOKENS_WHOLE].p, filters[TOKENS_WHOLE].n, t->ids[i]))
			return BULLA_ECORRUPT;
	return 0;
}
