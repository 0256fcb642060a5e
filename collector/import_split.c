/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_split.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before a name that is taken. */
#define PREFIX "_IMPORT"

enum {
	SLOW_VALUE_MAX = 1024,
	PLACES = 8,	 /* that a name may have */
	LEARNT = 16,	 /* of so many it is known what a name is like */
	SEEN_MAX = 4096, /* what is older counts for half */
	FEW = 32,
	PRIORITY_INFO = 6,
};

/* The names that mean something here. */
enum meaning {
	NOTHING,
	MACHINE,
	HOSTNAME,
	CONTAINER, /* _FIRST: the best that is there */
	CONTAINER_LAST = CONTAINER + 4,
	USER_UNIT,
	UNIT,
	ABOUT_UNIT,
	IDENTIFIER,
	COMM,
	N_SOURCES,
	MESSAGE,
	PRIORITY,
	LINE_BREAK,
	ATTRIBUTION,
	TENANT,
};

static const struct {
	const char *name;
	uint8_t len, meaning;
} known[] = {
	/* the shortest first */
	{ "UNIT", 4, ABOUT_UNIT },
	{ "_COMM", 5, COMM },
	{ "MESSAGE", 7, MESSAGE },
	{ "_TENANT", 7, TENANT },
	{ "PRIORITY", 8, PRIORITY },
	{ "_HOSTNAME", 9, HOSTNAME },
	{ "_MACHINE_ID", 11, MACHINE },
	{ "_LINE_BREAK", 11, LINE_BREAK },
	{ "CONTAINER_ID", 12, CONTAINER + 2 },
	{ "_ATTRIBUTION", 12, ATTRIBUTION },
	{ "_CONTAINER_ID", 13, CONTAINER + 1 },
	{ "_SYSTEMD_UNIT", 13, UNIT },
	{ "CONTAINER_NAME", 14, CONTAINER + 4 },
	{ "_CONTAINER_NAME", 15, CONTAINER + 3 },
	{ "CONTAINER_ID_FULL", 17, CONTAINER },
	{ "SYSLOG_IDENTIFIER", 17, IDENTIFIER },
	{ "_SYSTEMD_USER_UNIT", 18, USER_UNIT },
};

static enum meaning meaning_of(const struct field *f)
{
	for (size_t i = 0; i < ELEMENTS(known) && known[i].len <= f->name_len; i++)
		if (known[i].len == f->name_len && memcmp(known[i].name, f->name, f->name_len) == 0)
			return known[i].meaning;
	return NOTHING;
}

/* Eight bytes at a time; whoever finds something by it compares the bytes. */
uint64_t import_hash(const void *data, size_t n, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ n * UINT64_C(0x9e3779b97f4a7c15), v;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	v = 0;
	memcpy(&v, p, n);
	h = (h ^ v) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

/* Sources. */

void import_source_of(const struct import_entry *e, struct import_source *ret)
{
	uint32_t place[N_SOURCES] = { 0 }; /* + 1 */
	enum meaning best = NOTHING;

	for (uint32_t i = 0; i < e->n_fields; i++) {
		enum meaning m = meaning_of(&e->fields[i]);

		/* Of several values it is the first. */
		if (m != NOTHING && m < N_SOURCES && place[m] == 0 && e->fields[i].value_len > 0 &&
		    e->fields[i].value_len <= IMPORT_SOURCE_VALUE_MAX)
			place[m] = i + 1;
	}
	for (enum meaning m = CONTAINER; m < N_SOURCES && best == NOTHING; m++)
		best = place[m] > 0 ? m : NOTHING;
	ret->n = 0;
	for (enum meaning m = MACHINE; m < N_SOURCES; m++) {
		bool both = m == UNIT && best == USER_UNIT;

		if (place[m] == 0 || (m >= CONTAINER && m != best && !both))
			continue;
		ret->place[ret->n] = place[m] - 1;
		ret->fields[ret->n++] = e->fields[place[m] - 1];
	}
}

/* Names. */

/* What is known of a name, or NULL where others have all the places that it might have. */
static struct import_name *find_name(struct import_names *names, uint64_t hash)
{
	uint32_t short_hash = (uint32_t) (hash >> 32) | 1;

	for (uint32_t i = 0; i < PLACES; i++) {
		struct import_name *n = &names->at[(hash + i) & (IMPORT_NAMES - 1)];

		if (n->name == 0)
			n->name = short_hash;
		if (n->name == short_hash)
			return n;
	}
	return NULL;
}

/* Whether a value is likely to be the same in the next entry. */
static bool is_slow(struct import_names *names, uint64_t name, uint64_t value)
{
	struct import_name *n = find_name(names, name);

	if (!n)
		return false;
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
static bool take_fixed(struct import_split *s, const struct field *f, enum meaning m)
{
	struct entry *e = &s->entry;

	switch (m) {
	case MESSAGE:
		if (!s->no_message)
			return false;
		s->no_message = false;
		e->message = f->value;
		e->message_len = f->value_len;
		return true;
	case PRIORITY:
		if (!s->no_priority || f->value_len != 1 || *f->value < '0' || *f->value > '7')
			return false;
		s->no_priority = false;
		e->priority = (uint8_t) (*f->value - '0');
		return true;
	case LINE_BREAK:
		if (e->flags != 0 || (!is_value(f, "eof") && !is_value(f, "line-max")))
			return false;
		e->flags = f->value_len == 3 ? ENTRY_NO_NEWLINE : ENTRY_CONTINUED;
		return true;
	default:
		return false;
	}
}

/* Whether a name is one under which Bulla itself says where an entry is from. */
static bool is_ours(const struct field *f, enum meaning m)
{
	return m == ATTRIBUTION || m == TENANT ||
	       (f->name_len > STRLEN(PREFIX) &&
		memcmp(f->name, PREFIX "_", STRLEN(PREFIX "_")) == 0);
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
static void add_told(const struct import_entry *e, struct import_split *s)
{
	if (e->has_monotonic) {
		int n = snprintf(s->number[0], sizeof s->number[0], "%llu",
				 (unsigned long long) e->monotonic_us);

		add_own(s, field_of("__MONOTONIC_TIMESTAMP", s->number[0], (size_t) n));
	}
	if (e->n_omitted > 0) {
		int n = snprintf(s->number[1], sizeof s->number[1], "%u", e->n_omitted);

		add_own(s, field_of("_IMPORT_OMITTED_FIELDS", s->number[1], (size_t) n));
	}
	for (uint32_t i = 0; i < MIN_OF(e->n_omitted, (uint32_t) IMPORT_OMITTED_MAX); i++)
		add_own(s, field_of("_IMPORT_OMITTED", e->omitted[i].name, e->omitted[i].name_len));
}

void import_split(const struct import_entry *e, const struct import_source *source,
		  struct import_names *names, struct import_split *ret)
{
	uint64_t time_ns = e->realtime_us * 1000, hash = 0;
	size_t size = 0;

	ret->n_slow = ret->n_own = ret->n_renamed = 0;
	ret->no_message = ret->no_priority = true;
	ret->entry = (struct entry){
		.time_ns = time_ns,
		.received_ns = time_ns,
		.priority = PRIORITY_INFO,
	};
	for (uint32_t i = 0; i < e->n_fields; i++) {
		struct field f = e->fields[i];
		enum meaning m = meaning_of(&f);
		uint64_t name, value;

		if (names_source(source, i) || take_fixed(ret, &f, m))
			continue;
		if (is_ours(&f, m))
			f = rename_claim(ret, f);
		name = import_hash(f.name, f.name_len, 0);
		value = f.value_len <= SLOW_VALUE_MAX ? import_hash(f.value, f.value_len, name) : 0;
		if (f.value_len > SLOW_VALUE_MAX ||
		    size + f.name_len + f.value_len > IMPORT_SLOW_SIZE_MAX ||
		    !is_slow(names, name, value)) {
			add_own(ret, f);
			continue;
		}
		size += f.name_len + f.value_len;
		hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
		ret->slow[ret->n_slow++] = f;
	}
	ret->slow_hash = hash;
	add_told(e, ret);
	sort(ret->own, ret->n_own);
	ret->entry.fields = ret->own;
	ret->entry.n_fields = ret->n_own;
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
