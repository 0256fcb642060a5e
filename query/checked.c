/* SPDX-License-Identifier: Apache-2.0 */

#include "query/checked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/room.h"
#include "bulla/error.h"
#include "query/sorter.h"

/* A journal of which an entry is to be shown, with the contexts that such entries have. */
struct known {
	struct id id, boot;
	struct contexts contexts;
};

struct checked {
	const struct checking *checking;
	struct answer *answer;
	struct sorter *sorter; /* NULL: order does not matter */
	struct known **known;  /* owned; by handle, NULL where nothing is to be shown */
	size_t n_known, cap;
	struct buf thing; /* scratch */
	struct field *fields;
	/* What its context alone says of the last entry, and of those that share it. */
	struct hash context; /* whole chains differ by it */
	bool judged, own_fields;
	enum tri tri;
};

static void checked_done(struct checked *c)
{
	for (size_t i = 0; i < c->n_known; i++)
		if (c->known[i]) {
			contexts_done(&c->known[i]->contexts);
			free(c->known[i]);
		}
	free(c->known);
	free(c->fields);
	buf_done(&c->thing);
	sorter_free(c->sorter);
}

/* Which. */

static int matches(struct checked *c, const struct shown *s)
{
	const struct query *q = &c->answer->request->query;
	bool own = s->entry->n_fields > 0;

	if (s->entry->time_ns < q->since_ns || s->entry->time_ns > q->until_ns)
		return 0;
	if (!c->judged || !hash_same(&c->context, &s->entry->context) || c->own_fields != own) {
		c->tri = match_context(q->match, s->contexts, s->context, own, false);
		c->context = s->entry->context;
		c->own_fields = own;
		c->judged = true;
	}
	return c->tri == TRI_MAYBE ? match_entry(q->match, s) : c->tri == TRI_YES;
}

/* Keeping. */

/* An entry waits behind this head, as its statement, until the order is known. */
static void put_head(struct buf *to, uint32_t journal, uint32_t context, const struct shown *s)
{
	buf_varint(to, journal);
	buf_varint(to, context);
	buf_varint(to, s->seq);
	buf_varint(to, zigzag((uint64_t) s->mono_offset));
	buf_char(to, s->has_mono ? 1 : 0);
}

static int take_journal(struct checked *c, uint32_t number, const struct batch *b,
			struct known **ret)
{
	while (c->n_known <= number) {
		if (!room_for(&c->known, c->n_known, &c->cap, sizeof *c->known))
			return -ENOMEM;
		c->known[c->n_known++] = NULL;
	}
	if (!c->known[number]) {
		c->known[number] = calloc(1, sizeof **c->known);
		if (!c->known[number])
			return -ENOMEM;
		c->known[number]->id = b->journal;
		c->known[number]->boot = b->boot;
	}
	*ret = c->known[number];
	return 0;
}

/* Its parents come first.  @return its number here, or an error. */
static int64_t take_context(struct contexts *to, const struct contexts *from, uint32_t number)
{
	const struct context_entry *e = &from->at[number];
	int64_t r = contexts_find(to, &e->hash);

	if (r >= 0)
		return r;
	r = e->parent >= 0 ? take_context(to, from, (uint32_t) e->parent) : 0;
	if (r >= 0)
		r = contexts_add(to, e->leaf, e->leaf_size);
	/* A limit here is not that of a pattern. */
	return r == BULLA_ELIMIT ? BULLA_ECORRUPT : r;
}

static int keep(struct checked *c, const struct sealed_entry *e, const struct shown *s)
{
	static const uint8_t no_salt[SALT_SIZE];
	struct place place = { s->entry->time_ns, s->seq, s->journal };
	size_t size = entry_leaf_size(s->entry);
	struct known *known;
	int64_t context;
	struct wr w;
	uint8_t *at;
	int r = take_journal(c, e->journal, e->batch, &known);

	if (r < 0)
		return r;
	context = take_context(&known->contexts, s->contexts, s->context);
	if (context < 0)
		return (int) context;
	buf_clear(&c->thing);
	put_head(&c->thing, e->journal, (uint32_t) context, s);
	at = buf_room(&c->thing, size);
	if (!at)
		return -ENOMEM;
	w = wr_of(at, size);
	entry_encode(s->entry, no_salt, &w);
	if (w.bad)
		return BULLA_ECORRUPT;
	buf_add(&c->thing, w.len);
	return sorter_add(c->sorter, &place, c->thing.data, (uint32_t) c->thing.len);
}

static int on_entry(void *arg, const struct sealed_entry *e)
{
	struct checked *c = arg;
	struct shown s = {
		.entry = e->entry,
		.contexts = e->contexts,
		.context = e->context,
		.journal = e->batch->journal,
		.seq = e->seq,
		.boot = e->batch->boot,
		.mono_offset = e->batch->mono_offset,
		/* Nobody read the clock when a crash ended it. */
		.has_mono = !e->batch->recovered,
		.sealed = true,
	};
	int r = matches(c, &s);

	c->answer->stats.rows_seen++;
	if (r <= 0)
		return r;
	c->answer->stats.rows_matched++;
	return c->sorter ? keep(c, e, &s) : answer_entry(c->answer, &s);
}

static void on_finding(void *arg, const struct finding *f)
{
	const struct checked *c = arg;
	const struct verify_options *o = c->checking->options;

	if (o->found)
		o->found(o->arg, f);
}

/* Showing. */

static int show(void *arg, const uint8_t *data, uint32_t n)
{
	struct checked *c = arg;
	struct rd r = rd_of(data, n);
	uint64_t journal = rd_varint(&r), context = rd_varint(&r);
	uint8_t salt[SALT_SIZE];
	struct entry entry;
	struct shown s = { .entry = &entry, .sealed = true };
	int error;

	s.seq = rd_varint(&r);
	s.mono_offset = rd_zigzag(&r);
	s.has_mono = rd_u8(&r) != 0;
	if (r.bad || journal >= c->n_known || !c->known[journal] ||
	    context >= c->known[journal]->contexts.n)
		return BULLA_ECORRUPT;
	s.journal = c->known[journal]->id;
	s.boot = c->known[journal]->boot;
	s.contexts = &c->known[journal]->contexts;
	s.context = (uint32_t) context;
	error = entry_decode(r, c->fields, &entry, salt);
	return error < 0 ? error : answer_entry(c->answer, &s);
}

static int begin(struct checked *c)
{
	const struct query *q = &c->answer->request->query;
	struct sorter_options o = {
		.backward = q->reverse,
		.keep_last = q->newest && !q->reverse,
		.limit = q->limit,
		.size_max =
			c->checking->size_max ? c->checking->size_max : (size_t) CHECKED_SIZE_MAX,
	};
	int r = answer_begin(c->answer);

	c->fields = reallocarray(NULL, FIELDS_MAX, sizeof *c->fields);
	if (r >= 0 && !c->fields)
		r = -ENOMEM;
	/* A list of names or values without a limit has an order of its own. */
	if (r >= 0 && (!c->answer->names || q->limit != UINT64_MAX))
		r = sorter_new(&c->sorter, &o);
	return r;
}

int checked_query(const struct checking *checking, struct answer *a, struct verify_report *ret)
{
	_cleanup_(checked_done) struct checked c = { .checking = checking, .answer = a };
	struct verify_options options = *checking->options;
	int r = begin(&c);

	options.entry = on_entry;
	options.found = on_finding;
	options.progress = NULL;
	options.arg = &c;
	if (r >= 0)
		r = verify_state(checking->state, &options, ret);
	if (r >= 0 && c.sorter)
		r = sorter_each(c.sorter, show, &c);
	if (r >= 0)
		r = answer_end(a);
	output_forget_contexts(&a->request->output);
	return r;
}
