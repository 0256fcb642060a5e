/* SPDX-License-Identifier: Apache-2.0 */

/** What is read is written again, and must be the same: so there is one spelling of each. */

#include "seal/growth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

#define SUCCESSION "succession "
#define OLD	   "old "

void growth_write(const struct growth *g, struct buf *to)
{
	_cleanup_buf_ struct buf link = { 0 };

	for (unsigned i = 0; i < g->successions.n; i++) {
		buf_clear(&link);
		reign_put_link(&g->successions.at[i], &link);
		buf_str(to, SUCCESSION);
		head_put_base64(link.data, link.len, to);
	}
	if (g->old > 0) {
		buf_printf(to, OLD "%" PRIu64 "\n", g->old);
		head_put_path(&g->proof, to);
	}
	head_write(&g->head, to);
	to->bad |= link.bad;
}

static bool begins(const struct rd *r, const char *with)
{
	size_t n = strlen(with);

	return !r->bad && r->left >= n && memcmp(r->p, with, n) == 0;
}

/* @return bytes of memory that it takes; an error. */
static ssize_t read_succession(struct rd *r, uint8_t *memory, struct successions *s)
{
	struct span line = head_line_after(r, SUCCESSION);
	struct rd in;
	size_t n;

	if (r->bad || s->n == SUCCESSIONS_MAX || head_base64(&line, memory, line.n, &n) < 0)
		return BULLA_EPARSE;
	in = rd_of(memory, n);
	reign_link(&in, &s->at[s->n++]);
	return in.bad || in.left > 0 ? BULLA_EPARSE : (ssize_t) n;
}

int growth_read(struct rd r, uint8_t *memory, struct growth *ret)
{
	_cleanup_buf_ struct buf again = { 0 };
	struct rd whole = r;
	int k;

	ret->successions.n = 0;
	while (begins(&r, SUCCESSION)) {
		ssize_t n = read_succession(&r, memory, &ret->successions);

		if (n < 0)
			return (int) n;
		memory += n;
	}
	ret->old = 0;
	ret->proof.n = 0;
	if (begins(&r, OLD)) {
		struct span old = head_line_after(&r, OLD);

		ret->old = head_number(&old);
		head_path(&r, &ret->proof);
	}
	k = r.bad ? BULLA_EPARSE : head_read(r, memory, &ret->head);
	if (k < 0)
		return k;
	growth_write(ret, &again);
	return head_same(&whole, &again);
}

int growth_check(const struct growth *g, const struct vkey *pin, const struct kes_params *shape,
		 const char **ret_why)
{
	_cleanup_free_ struct event *events = reallocarray(NULL, EVENTS_MAX, sizeof *events);
	uint8_t id[VKEY_ID_SIZE];
	struct vkey last = *pin;
	struct reign k;
	int r;

	if (!events)
		return -ENOMEM;
	r = reign_follow(&g->successions, pin, shape, events, &k, ret_why);
	if (r < 0)
		return r;
	memcpy(last.public_key, k.public_key, KES_PUBLIC_SIZE);
	vkey_id(&last, id);
	r = BULLA_ETAMPERED;
	if (!id_equal(&g->head.origin, &pin->origin))
		*ret_why = "the head is another host's than the key";
	else if (memcmp(id, g->head.key_id, VKEY_ID_SIZE) != 0)
		*ret_why = "the head says that it is sealed by another key";
	else if (head_check(&g->head, &last, &k.shape, k.first) < 0)
		*ret_why = "the head is not sealed by this key";
	else
		r = 0;
	return r;
}
