/* SPDX-License-Identifier: Apache-2.0 */

#include "store/life.h"

#include <string.h>

#include "base/clock.h"

/* Room for one more at the end: the oldest goes. */
static void *push(void *at, size_t size, uint32_t *n)
{
	uint8_t *bytes = at;

	if (*n == LIFE_TOLD) {
		memmove(bytes, bytes + size, (LIFE_TOLD - 1) * size);
		--*n;
	}
	return bytes + size * (*n)++;
}

static void add_span(struct life_spans *s, uint64_t from_ns, const struct commit *c)
{
	struct life_span *span = push(s->at, sizeof *s->at, &s->n);

	*span = (struct life_span){ from_ns, c->time_ns, c->number };
	s->counted++;
	/* The clock may have been put back meanwhile. */
	s->total_ns += c->time_ns > from_ns ? c->time_ns - from_ns : 0;
}

static void add_key(struct life *l, const struct commit *c, const struct event_rekey *e)
{
	struct life_key *k = push(l->keys, sizeof *l->keys, &l->n_keys);

	*k = (struct life_key){ .commit = c->number + 1, .time_ns = c->time_ns };
	memcpy(k->public_key, e->public_key, sizeof k->public_key);
	l->keys_counted++;
}

void life_take(struct life *l, const struct commit *c)
{
	bool was_up = l->up, began = false;

	for (uint16_t i = 0; i < c->n_events; i++) {
		const struct event *e = &c->events[i];
		struct event_rekey rekey;
		struct event_up up;

		if (e->kind == EVENT_DOWN)
			l->up = false;
		else if (e->kind == EVENT_REKEY && event_rekey_decode(e, &rekey) == 0)
			add_key(l, c, &rekey);
		else if (e->kind == EVENT_UP && event_up_decode(e, &up) == 0) {
			if (up.unclean && l->begun)
				add_span(&l->restarts, l->last_ns, c);
			l->up = began = true;
		}
	}
	if (l->begun && was_up && !began && c->time_ns > l->last_ns &&
	    c->time_ns - l->last_ns > LIFE_SILENCE_S * NS_PER_S)
		add_span(&l->silences, l->last_ns, c);
	l->begun = true;
	l->last_ns = c->time_ns;
}
