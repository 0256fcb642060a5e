/* SPDX-License-Identifier: Apache-2.0 */

#include "base/pieces.h"

#include <string.h>

#include "base/bytes.h"
#include "bulla/error.h"

void answer_piece_encode(enum answer_piece kind, uint32_t size, uint8_t ret[ANSWER_PIECE_HEAD])
{
	struct wr w = wr_of(ret, ANSWER_PIECE_HEAD);

	wr_u8(&w, (uint8_t) kind);
	wr_u32(&w, size);
}

/* How long a piece may be; 0: there is no such kind. */
static uint32_t size_max(const struct pieces *p, uint8_t kind)
{
	switch (kind) {
	case ANSWER_TEXT:
		return p->text ? UINT32_MAX : 0;
	case ANSWER_DAMAGE:
		return p->damage ? ANSWER_LINE_MAX : 0;
	case ANSWER_FINDING:
		return p->finding ? ANSWER_LINE_MAX : 0;
	case ANSWER_PROOF:
		return p->proof ? ANSWER_PROOF_MAX : 0;
	default:
		return 0;
	}
}

static int take_head(struct pieces *p)
{
	struct rd r = rd_of(p->head, sizeof p->head);
	uint8_t kind = rd_u8(&r);

	p->left = rd_u32(&r);
	p->n_line = 0;
	return p->left == 0 || p->left > size_max(p, kind) ? BULLA_EPARSE : 0;
}

/* Of a line all is awaited. */
static int take_line(struct pieces *p, const void *data, size_t n)
{
	size_t size;

	memcpy(p->line + p->n_line, data, n);
	p->n_line += n;
	if (p->left > n)
		return 0;
	size = p->n_line - (p->line[p->n_line - 1] == '\n');
	return p->head[0] == ANSWER_FINDING ? p->finding(p->arg, p->line, size)
					    : p->damage(p->arg, p->line, size);
}

static int take_part(struct pieces *p, const void *data, size_t n)
{
	switch (p->head[0]) {
	case ANSWER_TEXT:
		return p->text(p->arg, data, n);
	case ANSWER_PROOF:
		return p->proof(p->arg, data, n, p->left - n);
	default:
		return take_line(p, data, n);
	}
}

int pieces_take(struct pieces *p, const void *data, size_t n)
{
	const uint8_t *at = data;
	int r = 0;

	while (n > 0 && r >= 0) {
		size_t k;

		if (p->n_head < sizeof p->head) {
			p->head[p->n_head++] = *at++;
			n--;
			if (p->n_head == sizeof p->head)
				r = take_head(p);
			continue;
		}
		k = MIN_OF(n, (size_t) p->left);
		r = take_part(p, at, k);
		at += k;
		n -= k;
		p->left -= (uint32_t) k;
		if (p->left == 0)
			p->n_head = 0;
	}
	return r;
}

bool pieces_whole(const struct pieces *p)
{
	return p->n_head == 0;
}
