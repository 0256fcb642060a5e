/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/reign.h"

#include <string.h>

#include "base/clock.h"
#include "bulla/error.h"
#include "seal/head.h"

static int no(const char **ret, const char *why)
{
	*ret = why;
	return BULLA_ETAMPERED;
}

struct hash reign_link_root(const struct sealed_link *l)
{
	struct hash h = tree_leaf(l->commit.p, l->commit.n);

	/* All siblings of a last leaf are on the left. */
	for (size_t i = 0; i < l->path.n; i++)
		h = tree_node(&l->path.h[i], &h);
	return h;
}

int reign_check_link(const struct reign *k, const struct id *origin, const struct sealed_link *l,
		     struct event *events, struct commit *ret, const char **ret_why)
{
	struct hash leaf = tree_leaf(l->commit.p, l->commit.n);
	struct head h = {
		.origin = *origin,
		.root = reign_link_root(l),
		.counter = l->counter,
		.signature = l->signature,
	};
	int r;

	if (commit_decode(rd_of(l->commit.p, l->commit.n), events, EVENTS_MAX, ret) < 0)
		return no(ret_why, "the commit does not decode");
	if (ret->number == UINT64_MAX ||
	    !tree_check_inclusion(&leaf, ret->number, ret->number + 1, &l->path, &h.root))
		return no(ret_why, "the commit is not the last of its tree");
	h.size = ret->number + 1;
	h.time_s = ret->time_ns / NS_PER_S;
	r = head_check_seal(&h, k->public_key, &k->shape, k->first);
	if (r == BULLA_EORDER)
		return no(ret_why, "the seal is not the one of this commit");
	return r < 0 ? no(ret_why, "the seal is not good under this key") : 0;
}

/* The commit names the key that comes next. */
static int succeed(const struct commit *c, struct reign *k, const char **why)
{
	for (uint16_t i = 0; i < c->n_events; i++) {
		struct event_rekey e;

		if (c->events[i].kind != EVENT_REKEY)
			continue;
		if (event_rekey_decode(&c->events[i], &e) < 0)
			break;
		k->shape = (struct kes_params){ e.levels, e.height };
		if (!kes_params_valid(&k->shape))
			break;
		memcpy(k->public_key, e.public_key, KES_PUBLIC_SIZE);
		k->first = c->number + 1;
		return 0;
	}
	return no(why, "a succession names no key");
}

int reign_follow(const struct successions *s, const struct vkey *pin,
		 const struct kes_params *shape, struct event *events, struct reign *ret,
		 const char **ret_why)
{
	struct reign k = { .shape = *shape };
	struct commit c;
	int r = 0;

	memcpy(k.public_key, pin->public_key, KES_PUBLIC_SIZE);
	for (unsigned i = 0; r >= 0 && i < s->n; i++) {
		r = reign_check_link(&k, &pin->origin, &s->at[i], events, &c, ret_why);
		if (r >= 0)
			r = succeed(&c, &k, ret_why);
	}
	if (r >= 0)
		*ret = k;
	return r;
}

/* Pieces. */

void reign_put_sized(const struct span *s, struct buf *to)
{
	buf_varint(to, s->n);
	buf_append(to, s->p, s->n);
}

struct span reign_sized(struct rd *r)
{
	uint64_t n = rd_varint(r);

	return (struct span){ rd_bytes(r, n), n };
}

void reign_put_path(const struct proof *p, struct buf *to)
{
	buf_char(to, (char) p->n);
	for (size_t i = 0; i < p->n; i++)
		buf_append(to, p->h[i].b, HASH_SIZE);
}

void reign_path(struct rd *r, struct proof *ret)
{
	*ret = (struct proof){ .n = rd_u8(r) };
	r->bad |= ret->n > PROOF_MAX;
	for (size_t i = 0; !r->bad && i < ret->n; i++)
		rd_copy(r, ret->h[i].b, HASH_SIZE);
}

void reign_put_link(const struct sealed_link *l, struct buf *to)
{
	reign_put_sized(&l->commit, to);
	reign_put_path(&l->path, to);
	buf_varint(to, l->counter);
	reign_put_sized(&l->signature, to);
}

void reign_link(struct rd *r, struct sealed_link *ret)
{
	ret->commit = reign_sized(r);
	reign_path(r, &ret->path);
	ret->counter = rd_varint(r);
	ret->signature = reign_sized(r);
}
