/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/field_table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bulla/error.h"

/* Writing. */

struct numbered {
	const struct field *field;
	size_t at; /* among those that were given */
};

static int compare(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;

	return field_compare(x->field, y->field);
}

static void put_field(const struct field *f, struct buf *to)
{
	buf_varint(to, f->name_len);
	buf_append(to, f->name, f->name_len);
	buf_varint(to, f->value_len);
	buf_append(to, f->value, f->value_len);
}

int field_table_put(const struct field *const *fields, size_t n, uint32_t *number, struct buf *to)
{
	_cleanup_free_ struct numbered *sorted = NULL;
	uint32_t distinct = 0;

	if (n > SEGMENT_FIELDS_MAX)
		return BULLA_ELIMIT;
	sorted = reallocarray(NULL, n + 1, sizeof *sorted);
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct numbered){ fields[i], i };
	qsort(sorted, n, sizeof *sorted, compare);
	for (size_t i = 0; i < n; i++) {
		distinct += i == 0 || compare(&sorted[i - 1], &sorted[i]) != 0;
		number[sorted[i].at] = distinct - 1;
	}
	buf_varint(to, distinct);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || number[sorted[i].at] != number[sorted[i - 1].at])
			put_field(sorted[i].field, to);
	return to->bad ? -ENOMEM : 0;
}

void field_table_put_numbers(const uint32_t *number, size_t n, struct buf *to)
{
	buf_varint(to, n);
	for (size_t i = 0; i < n; i++)
		buf_varint(to, i > 0 ? number[i] - number[i - 1] : number[i]);
}

/* Reading. */

enum { FIELD_BYTES_MIN = 3 };

static int read_field(struct rd *r, struct field *f)
{
	uint64_t name_len = rd_varint(r), value_len;

	f->name = rd_bytes(r, name_len);
	value_len = rd_varint(r);
	f->value = rd_bytes(r, value_len);
	if (r->bad || value_len > UINT32_MAX || !field_name_is_lawful(f->name, name_len))
		return BULLA_ECORRUPT;
	f->name_len = (uint8_t) name_len;
	f->value_len = (uint32_t) value_len;
	return 0;
}

int field_table_read(struct rd *r, struct field_table *ret)
{
	struct field_table t = { 0 };
	uint64_t n = rd_varint(r);
	int error = 0;

	if (r->bad || n > SEGMENT_FIELDS_MAX || n > r->left / FIELD_BYTES_MIN)
		return BULLA_ECORRUPT;
	t.at = reallocarray(NULL, n + 1, sizeof *t.at);
	if (!t.at)
		return -ENOMEM;
	for (; error >= 0 && t.n < n; t.n++) {
		error = read_field(r, &t.at[t.n]);
		if (error >= 0 && t.n > 0 && field_compare(&t.at[t.n - 1], &t.at[t.n]) >= 0)
			error = BULLA_ECORRUPT;
	}
	if (error < 0)
		field_table_done(&t);
	else
		*ret = t;
	return error;
}

void field_table_done(struct field_table *t)
{
	free(t->at);
	*t = (struct field_table){ 0 };
}

int field_table_take(const struct field_table *t, struct rd *r, size_t n, struct field *to)
{
	struct rd numbers = *r; /* a copy, for it to stay in registers */
	uint64_t number = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t more = rd_varint(&numbers);

		if (numbers.bad || more >= t->n - number)
			return BULLA_ECORRUPT;
		number += more;
		to[i] = t->at[number];
	}
	*r = numbers;
	return 0;
}
