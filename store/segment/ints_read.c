/* SPDX-License-Identifier: Apache-2.0 */

/** Reading columns of numbers, whoever wrote them. */

#include "store/segment/ints-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

static int decode(struct rd *r, size_t n, unsigned depth, uint64_t *to);

/* The lower four planes at once; those that there are not are read as the first, and masked. */
static void join_planes(const uint8_t *p, size_t n, unsigned bytes, uint64_t base, uint64_t *to)
{
	const uint8_t *b = bytes > 1 ? p + n : p;
	const uint8_t *c = bytes > 2 ? p + 2 * n : p;
	const uint8_t *d = bytes > 3 ? p + 3 * n : p;
	uint32_t mask = bytes < 4 ? (UINT32_C(1) << (8 * bytes)) - 1 : UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		uint32_t v =
			p[i] | (uint32_t) b[i] << 8 | (uint32_t) c[i] << 16 | (uint32_t) d[i] << 24;

		to[i] = base + (v & mask);
	}
}

static int get_planes(struct rd *r, size_t n, uint64_t *to)
{
	unsigned bytes = rd_u8(r);
	uint64_t base = rd_varint(r);
	const uint8_t *p;

	if (r->bad || bytes < 1 || bytes > 8)
		return BULLA_ECORRUPT;
	p = rd_bytes(r, n * bytes);
	if (!p)
		return BULLA_ECORRUPT;
	join_planes(p, n, bytes, base, to);
	for (unsigned k = 4; k < bytes; k++)
		for (size_t i = 0; i < n; i++)
			to[i] += (uint64_t) p[k * n + i] << (8 * k);
	return 0;
}

static int get_bits(struct rd *r, size_t n, uint64_t *to)
{
	unsigned bits = rd_u8(r), have = 0;
	uint64_t base = rd_varint(r);
	unsigned __int128 acc = 0;
	const uint8_t *p;

	if (r->bad || bits < 1 || bits > 64)
		return BULLA_ECORRUPT;
	p = rd_bytes(r, bits_size(n, bits));
	if (!p)
		return BULLA_ECORRUPT;
	for (size_t i = 0; i < n; i++) {
		for (; have < bits; have += 8)
			acc |= (unsigned __int128) *p++ << have;
		to[i] = base + (uint64_t) (acc & (((unsigned __int128) 1 << bits) - 1));
		acc >>= bits;
		have -= bits;
	}
	return 0;
}

static int get_delta(struct rd *r, size_t n, unsigned depth, uint64_t *to)
{
	int error;

	to[0] = rd_varint(r);
	if (r->bad)
		return BULLA_ECORRUPT;
	error = decode(r, n - 1, depth + 1, to + 1);
	for (size_t i = 1; error >= 0 && i < n; i++)
		to[i] = to[i - 1] + unzigzag(to[i]);
	return error;
}

static int get_dict(struct rd *r, size_t n, unsigned depth, uint64_t *to)
{
	uint64_t value[DICT_MAX], k = rd_varint(r);
	int error;

	if (r->bad || k < 1 || k > DICT_MAX)
		return BULLA_ECORRUPT;
	error = decode(r, k, depth + 1, value);
	if (error >= 0)
		error = decode(r, n, depth + 1, to);
	for (size_t i = 0; error >= 0 && i < n; i++) {
		if (to[i] >= k)
			return BULLA_ECORRUPT;
		to[i] = value[to[i]];
	}
	return error;
}

static int get_runs(struct rd *r, size_t n, unsigned depth, uint64_t *to)
{
	_cleanup_free_ uint64_t *value = NULL;
	uint64_t k = rd_varint(r), *length;
	size_t at = 0;
	int error;

	if (r->bad || k < 1 || k > n)
		return BULLA_ECORRUPT;
	value = reallocarray(NULL, k, 2 * sizeof *value);
	if (!value)
		return -ENOMEM;
	length = value + k;
	error = decode(r, k, depth + 1, value);
	if (error >= 0)
		error = decode(r, k, depth + 1, length);
	if (error < 0)
		return error;
	for (size_t i = 0; i < k; i++) {
		if (length[i] < 1 || length[i] > n - at)
			return BULLA_ECORRUPT;
		for (uint64_t j = 0; j < length[i]; j++)
			to[at++] = value[i];
	}
	return at == n ? 0 : BULLA_ECORRUPT;
}

static int get_scaled(struct rd *r, size_t n, unsigned depth, uint64_t *to)
{
	uint64_t factor = rd_varint(r), rest = rd_varint(r);
	int error;

	if (r->bad || factor < 2 || rest >= factor)
		return BULLA_ECORRUPT;
	error = decode(r, n, depth + 1, to);
	for (size_t i = 0; error >= 0 && i < n; i++)
		to[i] = rest + factor * to[i];
	return error;
}

static int get_const(struct rd *r, size_t n, uint64_t *to)
{
	uint64_t same = rd_varint(r);

	for (size_t i = 0; i < n; i++)
		to[i] = same;
	return r->bad ? BULLA_ECORRUPT : 0;
}

static int read_varints(struct rd *r, size_t n, uint64_t *to)
{
	struct rd from = *r;

	for (size_t i = 0; i < n; i++) {
		/* Most have one or two bytes. */
		if (from.left >= 2 && from.p[0] >= 0x80 && from.p[1] > 0 && from.p[1] < 0x80) {
			to[i] = (from.p[0] & 0x7fu) | (uint64_t) from.p[1] << 7;
			from.p += 2;
			from.left -= 2;
		} else {
			to[i] = rd_varint(&from);
		}
	}
	*r = from;
	return r->bad ? BULLA_ECORRUPT : 0;
}

static int decode(struct rd *r, size_t n, unsigned depth, uint64_t *to)
{
	enum form form;

	if (n == 0)
		return 0;
	if (n > INTS_MAX || depth >= INTS_DEPTH_MAX)
		return BULLA_ECORRUPT;
	form = (enum form) rd_u8(r);
	if (r->bad)
		return BULLA_ECORRUPT;
	switch (form) {
	case FORM_CONST:
		return get_const(r, n, to);
	case FORM_VARINTS:
		return read_varints(r, n, to);
	case FORM_PLANES:
		return get_planes(r, n, to);
	case FORM_BITS:
		return get_bits(r, n, to);
	case FORM_DELTA:
		return get_delta(r, n, depth, to);
	case FORM_DICT:
		return get_dict(r, n, depth, to);
	case FORM_RUNS:
		return get_runs(r, n, depth, to);
	case FORM_SCALED:
		return get_scaled(r, n, depth, to);
	}
	return BULLA_EVERSION;
}

int ints_decode(struct rd *r, size_t n, uint64_t *to)
{
	return decode(r, n, 0, to);
}
