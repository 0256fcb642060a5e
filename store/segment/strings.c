/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum form { FORM_RAW, FORM_DICT };

uint64_t text_hash(struct text t)
{
	uint64_t h = t.len * 0x9e3779b97f4a7c15ull, word;
	uint32_t i = 0;

	for (; i + 8 <= t.len; i += 8) {
		memcpy(&word, t.p + i, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	for (; i < t.len; i++)
		h = (h ^ t.p[i]) * 0x100000001b3ull;
	return h ^ (h >> 29);
}

bool text_equal(struct text a, struct text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static void put_raw(struct strings_scratch *s, const struct text *v, size_t n, struct buf *to)
{
	size_t total = 0;
	uint8_t *at;

	for (size_t i = 0; i < n; i++) {
		s->length[i] = v[i].len;
		total += v[i].len;
	}
	ints_encode(&s->ints, s->length, n, to);
	at = buf_room(to, total);
	if (!at)
		return;
	for (size_t i = 0; i < n; at += v[i++].len)
		if (v[i].len > 0)
			memcpy(at, v[i].p, v[i].len);
	buf_add(to, total);
}

void strings_scratch_done(struct strings_scratch *s)
{
	ints_scratch_done(&s->ints);
	free(s->distinct);
	free(s->place);
	free(s->length);
	free(s->slot);
	*s = (struct strings_scratch){ 0 };
}

static bool scratch_room(struct strings_scratch *s, size_t n)
{
	struct text *distinct;
	uint64_t *place, *length;
	uint32_t *slot;

	if (n <= s->cap)
		return true;
	/* A table has room for twice as many as there are, or more. */
	for (n = n > 32 ? n : 32; n & (n - 1); n += n & -n)
		;
	distinct = reallocarray(s->distinct, n, sizeof *distinct);
	s->distinct = distinct ? distinct : s->distinct;
	place = reallocarray(s->place, n, sizeof *place);
	s->place = place ? place : s->place;
	length = reallocarray(s->length, n, sizeof *length);
	s->length = length ? length : s->length;
	slot = reallocarray(s->slot, n, 2 * sizeof *slot);
	s->slot = slot ? slot : s->slot;
	if (distinct && place && length && slot)
		s->cap = n;
	return s->cap >= n;
}

/*
 * The distinct values in order of their coming, and each one's place.  @return how many, or 0 when they are too many to be
 * worth it.
 */
static size_t find_distinct(struct strings_scratch *s, const struct text *v, size_t n)
{
	size_t n_slots = 16, k = 0, limit = n - n / 4;

	while (n_slots < 2 * n)
		n_slots *= 2;
	memset(s->slot, 0, n_slots * sizeof *s->slot);
	for (size_t i = 0; i < n; i++) {
		size_t at = text_hash(v[i]) & (n_slots - 1);

		while (s->slot[at] != 0 && !text_equal(s->distinct[s->slot[at] - 1], v[i]))
			at = (at + 1) & (n_slots - 1);
		if (s->slot[at] == 0) {
			if (k == limit)
				return 0;
			s->distinct[k++] = v[i];
			s->slot[at] = (uint32_t) k;
		}
		s->place[i] = s->slot[at] - 1;
	}
	return k;
}

void strings_encode(struct strings_scratch *s, const struct text *v, size_t n, struct buf *to)
{
	s->n_distinct = 0;
	if (n == 0)
		return;
	if (!scratch_room(s, n)) {
		to->bad = true;
		return;
	}
	if (n > 1)
		s->n_distinct = find_distinct(s, v, n);
	buf_char(to, s->n_distinct > 0 ? FORM_DICT : FORM_RAW);
	if (s->n_distinct == 0) {
		put_raw(s, v, n, to);
		return;
	}
	ints_encode(&s->ints, &(uint64_t){ s->n_distinct }, 1, to);
	put_raw(s, s->distinct, s->n_distinct, to);
	ints_encode(&s->ints, s->place, n, to);
}

/* Lengths of `n` strings, and their bytes. */
static int read_strings(struct strings_view *v, struct rd *r, size_t n)
{
	_cleanup_free_ uint64_t *length = reallocarray(NULL, n, sizeof *length);
	uint64_t total = 0;
	int error;

	v->end = reallocarray(NULL, n, sizeof *v->end);
	if (!length || !v->end)
		return -ENOMEM;
	error = ints_decode(r, n, length);
	if (error < 0)
		return error;
	for (size_t i = 0; i < n; i++) {
		if (length[i] > r->left - total)
			return BULLA_ECORRUPT;
		total += length[i];
		v->end[i] = (uint32_t) total;
	}
	v->n = n;
	v->p = rd_bytes(r, total);
	return total > UINT32_MAX ? BULLA_ECORRUPT : 0;
}

static int read_view(struct strings_view *v, struct rd *r, size_t n)
{
	uint8_t form = rd_u8(r);
	uint64_t k = n;
	int error = 0;

	if (r->bad)
		return BULLA_ECORRUPT;
	if (form > FORM_DICT)
		return BULLA_EVERSION;
	v->shared = form == FORM_DICT;
	if (v->shared)
		error = ints_decode(r, 1, &k);
	if (error < 0)
		return error;
	return k < 1 || k > n ? BULLA_ECORRUPT : read_strings(v, r, k);
}

int strings_view_read(struct strings_view *v, struct rd *r, size_t n)
{
	int error;

	*v = (struct strings_view){ 0 };
	error = n > INTS_MAX ? BULLA_ECORRUPT : read_view(v, r, n);
	if (error < 0)
		strings_view_done(v);
	return error;
}

int strings_view_places(struct strings_view *v, struct rd *r, size_t n)
{
	int error;

	if (!v->shared || v->place)
		return 0;
	v->place = reallocarray(NULL, n, sizeof *v->place);
	if (!v->place)
		return -ENOMEM;
	error = ints_decode(r, n, v->place);
	for (size_t i = 0; error >= 0 && i < n; i++)
		if (v->place[i] >= v->n)
			error = BULLA_ECORRUPT;
	if (error < 0) {
		free(v->place);
		v->place = NULL;
	}
	return error;
}

void strings_view_done(struct strings_view *v)
{
	free(v->end);
	free(v->place);
	*v = (struct strings_view){ 0 };
}

int strings_decode(struct rd *r, size_t n, struct text *to)
{
	struct strings_view v;
	int error;

	if (n == 0)
		return 0;
	error = strings_view_read(&v, r, n);
	if (error < 0)
		return error;
	error = strings_view_places(&v, r, n);
	for (size_t i = 0; error >= 0 && i < n; i++) {
		size_t k = v.shared ? v.place[i] : i;
		uint32_t from = k > 0 ? v.end[k - 1] : 0;

		to[i] = (struct text){ v.p ? v.p + from : NULL, v.end[k] - from };
	}
	strings_view_done(&v);
	return error;
}
