/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_split.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"

/* Before a name that is taken. */
#define PREFIX "_IMPORT"

enum {
	SLOW_VALUE_MAX = 1024,
	LEARNT = 16,	 /* of so many it is known what a name is like */
	SEEN_MAX = 4096, /* what is older counts for half */
	FEW = 32,
	DIGITS_MAX = 20,
	PRIORITY_INFO = 6,
};

void import_split_init(struct import_split *s)
{
	import_words_init(&s->words);
}

/* What is known of a field beforehand, or NULL. */
static struct import_known *known_of(const struct import_entry *e, uint32_t i)
{
	return e->known ? &e->known[e->number[i]] : NULL;
}

static int word_of(struct import_split *s, const struct import_entry *e, uint32_t i)
{
	struct import_known *k = known_of(e, i);
	int word;

	if (k && k->named)
		return k->word;
	word = import_word_of(&s->words, i, &e->fields[i]);
	if (k) {
		k->word = (int16_t) word;
		k->named = true;
	}
	return word;
}

static uint64_t hash_of(const struct import_split *s, const struct import_entry *e, uint32_t i)
{
	struct import_known *k = known_of(e, i);
	const struct field *f = &e->fields[i];
	uint64_t hash;

	if (k && k->hashed)
		return k->hash;
	hash = import_hash(f->value, f->value_len, s->words.at[s->word[i]].hash);
	if (k) {
		k->hash = hash;
		k->hashed = true;
	}
	return hash;
}

static bool is_again(const struct import_entry *e, uint32_t i)
{
	const struct import_known *k = known_of(e, i);

	return k && k->again;
}

/* Sources. */

void import_source_of(struct import_split *s, const struct import_entry *e,
		      struct import_source *ret)
{
	uint32_t place[MEANS_SOURCES] = { 0 }; /* + 1 */
	enum import_meaning best = MEANS_NOTHING;

	for (uint32_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];
		int word = word_of(s, e, i);
		enum import_meaning m = import_meaning_of(&s->words, word, f);

		s->word[i] = (int16_t) word;
		/* Of several values it is the first. */
		if (m != MEANS_NOTHING && m < MEANS_SOURCES && place[m] == 0 && f->value_len > 0 &&
		    f->value_len <= IMPORT_SOURCE_VALUE_MAX)
			place[m] = i + 1;
	}
	for (enum import_meaning m = MEANS_CONTAINER; m < MEANS_SOURCES && best == MEANS_NOTHING;
	     m++)
		best = place[m] > 0 ? m : MEANS_NOTHING;
	ret->n = 0;
	ret->again = true;
	for (enum import_meaning m = MEANS_MACHINE; m < MEANS_SOURCES; m++) {
		bool both = m == MEANS_UNIT && best == MEANS_USER_UNIT;

		if (place[m] == 0 || (m >= MEANS_CONTAINER && m != best && !both))
			continue;
		ret->place[ret->n] = place[m] - 1;
		ret->word[ret->n] = s->word[place[m] - 1];
		ret->again &= is_again(e, place[m] - 1);
		ret->fields[ret->n++] = e->fields[place[m] - 1];
	}
}

/* Names. */

/* Whether a value is likely to be the same in the next entry. */
static bool is_slow(struct import_name *n, uint64_t value)
{
	if (n->seen == 0)
		n->value = (uint32_t) value;
	n->changed = (uint16_t) (n->changed + (n->value != (uint32_t) value));
	n->value = (uint32_t) value;
	if (++n->seen >= SEEN_MAX) {
		n->seen /= 2;
		n->changed /= 2;
	}
	return n->seen < LEARNT || n->changed * 4u <= n->seen;
}

/* Splitting. */

static struct field field_of(const char *name, const void *value, size_t n)
{
	return (struct field){
		.name = (const uint8_t *) name,
		.name_len = (uint8_t) strlen(name),
		.value = value,
		.value_len = (uint32_t) n,
	};
}

static bool is_value(const struct field *f, const char *text)
{
	return f->value_len == strlen(text) && memcmp(f->value, text, f->value_len) == 0;
}

/* Whether a field becomes a fixed part of the entry. */
static bool take_fixed(struct import_split *s, const struct field *f, enum import_meaning m)
{
	struct entry *e = &s->entry;

	switch (m) {
	case MEANS_MESSAGE:
		if (!s->no_message)
			return false;
		s->no_message = false;
		e->message = f->value;
		e->message_len = f->value_len;
		return true;
	case MEANS_PRIORITY:
		if (!s->no_priority || f->value_len != 1 || *f->value < '0' || *f->value > '7')
			return false;
		s->no_priority = false;
		e->priority = (uint8_t) (*f->value - '0');
		return true;
	case MEANS_LINE_BREAK:
		if (e->flags != 0 || (!is_value(f, "eof") && !is_value(f, "line-max")))
			return false;
		e->flags = f->value_len == 3 ? ENTRY_NO_NEWLINE : ENTRY_CONTINUED;
		return true;
	default:
		return false;
	}
}

/* What another says under such a name is told apart from what Bulla says. */
static struct field rename_claim(struct import_split *s, struct field f)
{
	uint8_t *name = s->renamed[s->n_renamed++];
	size_t n = MIN_OF((size_t) f.name_len, FIELD_NAME_MAX - STRLEN(PREFIX));

	memcpy(name, PREFIX, STRLEN(PREFIX));
	memcpy(name + STRLEN(PREFIX), f.name, n);
	f.name = name;
	f.name_len = (uint8_t) (STRLEN(PREFIX) + n);
	return f;
}

static void add_own(struct import_split *s, struct field f)
{
	assert(s->n_own < IMPORT_OWN_MAX);
	s->own[s->n_own++] = f;
}

static int compare(const void *a, const void *b)
{
	return field_compare(a, b);
}

static void sort(struct field *fields, uint16_t n)
{
	if (n > FEW) {
		qsort(fields, n, sizeof *fields, compare);
		return;
	}
	for (uint16_t i = 1; i < n; i++) {
		struct field f = fields[i];
		uint16_t k = i;

		for (; k > 0 && field_compare(&fields[k - 1], &f) > 0; k--)
			fields[k] = fields[k - 1];
		fields[k] = f;
	}
}

static bool names_source(const struct import_source *source, uint32_t i)
{
	for (uint32_t k = 0; k < source->n; k++)
		if (source->place[k] == i)
			return true;
	return false;
}

/* What is not the source's, but told of the import. */
static size_t decimal(char to[DIGITS_MAX], uint64_t v)
{
	unsigned n = digits_of(v);

	digits_put((uint8_t *) to, v, n);
	return n;
}

static void add_told(const struct import_entry *e, struct import_split *s)
{
	if (e->has_monotonic)
		add_own(s, field_of("__MONOTONIC_TIMESTAMP", s->number[0],
				    decimal(s->number[0], e->monotonic_us)));
	if (e->n_omitted > 0)
		add_own(s, field_of("_IMPORT_OMITTED_FIELDS", s->number[1],
				    decimal(s->number[1], e->n_omitted)));
	for (uint32_t i = 0; i < MIN_OF(e->n_omitted, (uint32_t) IMPORT_OMITTED_MAX); i++)
		add_own(s, field_of("_IMPORT_OMITTED", e->omitted[i].name, e->omitted[i].name_len));
}

static void begin(struct import_split *s, uint64_t time_ns)
{
	s->n_slow = s->n_own = s->n_renamed = 0;
	s->slow_hash = 0;
	s->slow_again = true;
	s->no_message = s->no_priority = true;
	s->entry = (struct entry){
		.time_ns = time_ns,
		.received_ns = time_ns,
		.priority = PRIORITY_INFO,
	};
}

/* Sort in field `i` of an entry, which is `f` now.  `size` is what the slow ones have so far. */
static void sort_in(struct import_split *s, const struct import_entry *e, uint32_t i,
		    const struct field *f, struct import_names *names, size_t *size)
{
	int word = s->word[i];
	uint64_t value;

	if (word < 0 || f->value_len > SLOW_VALUE_MAX ||
	    *size + f->name_len + f->value_len > IMPORT_SLOW_SIZE_MAX) {
		add_own(s, *f);
		return;
	}
	value = hash_of(s, e, i);
	if (!is_slow(&names->at[word], value)) {
		add_own(s, *f);
		return;
	}
	*size += f->name_len + f->value_len;
	s->slow_hash = (s->slow_hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	s->slow_hash ^= s->slow_hash >> 32;
	s->slow_again &= is_again(e, i);
	s->slow_word[s->n_slow] = (uint16_t) word;
	s->slow[s->n_slow++] = *f;
}

void import_split(struct import_split *s, const struct import_entry *e,
		  const struct import_source *source, struct import_names *names)
{
	size_t size = 0;

	begin(s, e->realtime_us * 1000);
	for (uint32_t i = 0; i < e->n_fields; i++) {
		struct field f = e->fields[i];
		enum import_meaning m = import_meaning_of(&s->words, s->word[i], &f);

		if (m != MEANS_NOTHING) {
			if (names_source(source, i) || take_fixed(s, &f, m))
				continue;
			if (m == MEANS_OURS)
				f = rename_claim(s, f);
		}
		sort_in(s, e, i, &f, names, &size);
	}
	add_told(e, s);
	sort(s->own, s->n_own);
	s->entry.fields = s->own;
	s->entry.n_fields = s->n_own;
}

void import_sort_slow(struct import_split *s)
{
	sort(s->slow, s->n_slow);
}

void import_make_own(struct import_split *s)
{
	for (uint16_t i = 0; i < s->n_slow; i++)
		add_own(s, s->slow[i]);
	s->n_slow = 0;
	sort(s->own, s->n_own);
	s->entry.n_fields = s->n_own;
}
