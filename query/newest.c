/* SPDX-License-Identifier: Apache-2.0 */

#include "query/newest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void clear(struct newest *v)
{
	while (v->n > 0)
		free(v->at[--v->n].memory);
	free(v->at);
	v->at = NULL;
	v->cap = 0;
}

static int grow(struct newest *v)
{
	size_t cap = v->cap ? 2 * v->cap : 64;
	struct saved *more;

	if (v->n < v->cap)
		return 0;
	more = reallocarray(v->at, cap, sizeof *more);
	if (!more)
		return -ENOMEM;
	v->at = more;
	v->cap = cap;
	return 0;
}

static const uint8_t *copy(uint8_t **to, const uint8_t *from, size_t n)
{
	uint8_t *p = *to;

	if (n > 0)
		memcpy(p, from, n);
	*to += n;
	return p;
}

static int save_copy(struct newest *v, const struct shown *s, size_t size)
{
	const struct entry *e = s->entry;
	struct saved *saved;
	struct field *fields;
	uint8_t *p;

	if (grow(v) < 0)
		return -ENOMEM;
	fields = malloc(size);
	if (!fields)
		return -ENOMEM;
	p = (uint8_t *) (fields + e->n_fields);
	saved = &v->at[v->n++];
	*saved = (struct saved){ .shown = *s, .entry = *e, .memory = fields };
	saved->entry.fields = fields;
	saved->entry.message = copy(&p, e->message, e->message_len);
	for (size_t i = 0; i < e->n_fields; i++) {
		fields[i] = e->fields[i];
		fields[i].name = copy(&p, e->fields[i].name, e->fields[i].name_len);
		fields[i].value = copy(&p, e->fields[i].value, e->fields[i].value_len);
	}
	return 0;
}

int newest_add(void *arg, const struct shown *s)
{
	struct newest *v = arg;
	const struct entry *e = s->entry;
	size_t size = e->n_fields * sizeof *e->fields + entry_bytes(e) + 1;

	v->first = (struct place){ e->time_ns, s->seq, s->journal };
	v->size += size + sizeof *v->at;
	if (v->size > NEWEST_SIZE_MAX && !v->too_large) {
		v->too_large = true;
		clear(v);
	}
	return v->too_large ? 0 : save_copy(v, s, size);
}

int newest_give(const struct newest *v, query_row_fn row, void *arg)
{
	int r = 0;

	for (size_t i = v->n; i > 0 && r == 0; i--) {
		struct shown s = v->at[i - 1].shown;

		s.entry = &v->at[i - 1].entry;
		r = row(arg, &s);
	}
	return MIN_OF(r, 0);
}

void newest_done(struct newest *v)
{
	clear(v);
}
