/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An entry's context: what it has in common with many, written to its journal once.
 *
 *	identity <- file, what entries of it lack <- slow fields
 *
 * Those that were used lately are found by what they hold.  A journal may have a few for nothing; more must be worth it.
 */

#include "collector/import_journals-internal.h"

#include <string.h>

enum {
	CONTEXTS_FREE = 64, /* of a journal, before they must be worth it */
	CONTEXTS_WORTH = 4, /* entries each, on average */
	CONTEXTS_SLOW_MAX = 60000,
	CONTEXTS_ALL_SIZE_MAX = 128 << 20,
	CACHED_SIZE_MAX = 8 << 10,
	NO_MESSAGE = 1, /* kinds of absence */
	NO_PRIORITY = 2,
};

static bool may_have_context(const struct import_journals *s, const struct import_journal *j)
{
	const struct contexts *c = &j->tail.contexts;

	return c->n < CONTEXTS_SLOW_MAX && s->contexts_size < CONTEXTS_ALL_SIZE_MAX &&
	       c->n < CONTEXTS_FREE + j->entries / CONTEXTS_WORTH;
}

static int64_t make_context(struct import_journals *s, struct import_journal *j, uint32_t parent,
			    const struct field *fields, uint16_t n)
{
	uint32_t before = j->tail.contexts.size;
	int64_t k;

	while ((k = tail_writer_context(&j->tail, parent, fields, n)) < 0) {
		int r = import_wait_for_space(s, (int) k);

		if (r < 0)
			return r;
	}
	s->contexts_size += j->tail.contexts.size - before;
	return k;
}

/* The context of entries of the file at hand, with what they lack. */
static int64_t base_context(struct import_journals *s, struct import_journal *j)
{
	const struct import_split *p = &s->split;
	unsigned kind = (p->no_message ? NO_MESSAGE : 0) | (p->no_priority ? NO_PRIORITY : 0);
	struct field fields[3];
	uint16_t n = 0;

	if (j->file != s->file)
		for (size_t i = 0; i < ABSENT_KINDS; i++)
			j->base[i] = -1;
	j->file = s->file;
	if (j->base[kind] >= 0)
		return j->base[kind];
	/* In order. */
	fields[n++] = (struct field){
		.name = (const uint8_t *) "_IMPORT_FILE",
		.name_len = STRLEN("_IMPORT_FILE"),
		.value = (const uint8_t *) s->file_name,
		.value_len = (uint32_t) strlen(s->file_name),
	};
	for (size_t i = 0; i < 2; i++)
		if (kind & (i == 0 ? NO_MESSAGE : NO_PRIORITY))
			fields[n++] = (struct field){
				.name = (const uint8_t *) CONTEXT_ABSENT,
				.name_len = STRLEN(CONTEXT_ABSENT),
				.value = (const uint8_t *) (i == 0 ? "MESSAGE" : "PRIORITY"),
				.value_len = i == 0 ? 7 : 8,
			};
	j->base[kind] = make_context(s, j, 0, fields, n);
	return j->base[kind];
}

/* Before the value of each field in a cached context. */
struct cached_field {
	uint16_t word;
	uint32_t value_len;
};

/* Whether a cached context has these fields, in this order. */
static bool is_cached(const struct cached_context *c, const struct import_split *p)
{
	const uint8_t *at = c->fields.data, *end = at + c->fields.len;

	for (uint16_t i = 0; i < p->n_slow; i++) {
		const struct field *f = &p->slow[i];
		struct cached_field head;

		if ((size_t) (end - at) < sizeof head + f->value_len)
			return false;
		memcpy(&head, at, sizeof head);
		at += sizeof head;
		if (head.word != p->slow_word[i] || head.value_len != f->value_len ||
		    (f->value_len > 0 && memcmp(at, f->value, f->value_len) != 0))
			return false;
		at += f->value_len;
	}
	return at == end;
}

static void cache(struct cached_context *c, const struct import_split *p)
{
	buf_clear(&c->fields);
	for (uint16_t i = 0; i < p->n_slow; i++) {
		const struct field *f = &p->slow[i];

		buf_append(&c->fields, &(struct cached_field){ p->slow_word[i], f->value_len },
			   sizeof(struct cached_field));
		buf_append(&c->fields, f->value, f->value_len);
	}
	if (c->fields.bad || c->fields.len > CACHED_SIZE_MAX)
		buf_done(&c->fields);
}

/* Whether the slow fields are those of the entry before: of each name the value is the last, and that was the one there. */
static bool is_as_before(const struct import_before *b, const struct import_split *p,
			 uint32_t journal, uint32_t parent)
{
	return p->slow_again && b->context >= 0 && b->context_journal == journal &&
	       b->context_parent == parent && b->n_slow == p->n_slow &&
	       memcmp(b->slow_word, p->slow_word, p->n_slow * sizeof *p->slow_word) == 0;
}

static int64_t note_before(struct import_journals *s, const struct cached_context *c)
{
	struct import_before *b = &s->before;

	b->context = c->number;
	b->context_journal = c->journal;
	b->context_parent = c->parent;
	b->n_slow = s->split.n_slow;
	memcpy(b->slow_word, s->split.slow_word, b->n_slow * sizeof *b->slow_word);
	return b->context;
}

/* The context of the slow fields, below that of the journal: found in the cache, or made. */
static int64_t context_below(struct import_journals *s, uint32_t number, uint32_t base)
{
	struct import_journal *j = s->journals[number];
	struct import_split *p = &s->split;
	uint64_t hash = import_hash(&(uint64_t[]){ number, base }, 16, p->slow_hash);
	struct cached_context *c = &s->cache[hash & (CACHE_SIZE - 1)];
	int64_t k;

	if (c->fields.len > 0 && c->hash == hash && c->journal == number && c->parent == base &&
	    is_cached(c, p))
		return note_before(s, c);
	if (!may_have_context(s, j)) {
		import_make_own(p);
		return base;
	}
	/* As they came, which is how they will be looked for. */
	cache(c, p);
	import_sort_slow(p);
	k = make_context(s, j, base, p->slow, p->n_slow);
	if (k < 0) {
		buf_clear(&c->fields);
		return k;
	}
	c->hash = hash;
	c->journal = number;
	c->parent = base;
	c->number = (uint32_t) k;
	return note_before(s, c);
}

int64_t import_context_of(struct import_journals *s, uint32_t number)
{
	const struct import_split *p = &s->split;
	int64_t base = base_context(s, s->journals[number]);

	if (base >= 0 && is_as_before(&s->before, p, number, (uint32_t) base))
		return s->before.context;
	s->before.context = -1;
	if (base < 0 || p->n_slow == 0)
		return base;
	return context_below(s, number, (uint32_t) base);
}
