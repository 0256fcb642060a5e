/* SPDX-License-Identifier: Apache-2.0 */

#include "store/row.h"

#include <assert.h>
#include <string.h>

#include "bulla/error.h"

enum { ROW_FLAGS = ENTRY_FLAGS_ALL & ~ENTRY_RECOVERED };

static bool field_is_lawful(const struct field *f)
{
	return f->name_len > 0 && !memchr(f->name, '=', f->name_len) &&
	       !memchr(f->name, '\0', f->name_len);
}

bool row_is_lawful(const struct entry *e)
{
	if (e->priority > 7 || (e->flags & ~ROW_FLAGS) || e->n_fields > FIELDS_MAX)
		return false;
	for (size_t i = 0; i < e->n_fields; i++)
		if (!field_is_lawful(&e->fields[i]) ||
		    (i > 0 && field_compare(&e->fields[i - 1], &e->fields[i]) > 0))
			return false;
	return entry_bytes(e) <= ENTRY_SIZE_MAX;
}

size_t row_size_max(const struct entry *e)
{
	return 6 * VARINT_SIZE_MAX + entry_bytes(e) + (size_t) e->n_fields * (1 + VARINT_SIZE_MAX);
}

void row_encode(struct row_state *s, const struct entry *e, uint32_t context, struct wr *w)
{
	assert((e->flags & ~ROW_FLAGS) == 0 && e->priority <= 7 && e->n_fields <= FIELDS_MAX);
	wr_varint(w, context);
	wr_varint(w, (uint64_t) e->flags << 3 | e->priority);
	wr_zigzag(w, (int64_t) (e->time_ns - s->time_ns));
	wr_zigzag(w, (int64_t) (e->received_ns - e->time_ns));
	wr_varint(w, e->message_len);
	wr_bytes(w, e->message, e->message_len);
	wr_varint(w, e->n_fields);
	for (size_t i = 0; i < e->n_fields; i++) {
		const struct field *f = &e->fields[i];

		wr_u8(w, f->name_len);
		wr_bytes(w, f->name, f->name_len);
		wr_varint(w, f->value_len);
		wr_bytes(w, f->value, f->value_len);
	}
	s->time_ns = e->time_ns;
}

static int fields_decode(struct rd *r, struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct field *f = &fields[i];
		uint64_t value_len;

		f->name_len = rd_u8(r);
		f->name = rd_bytes(r, f->name_len);
		value_len = rd_varint(r);
		f->value = rd_bytes(r, value_len);
		if (r->bad || value_len > ENTRY_SIZE_MAX)
			return BULLA_ECORRUPT;
		f->value_len = (uint32_t) value_len;
	}
	return 0;
}

int row_decode(struct row_state *s, struct rd *r, struct field *fields, struct entry *ret,
	       uint32_t *ret_context)
{
	uint64_t context, mark, n, len;
	struct entry e = { .fields = fields };

	if (r->left == 0 && !r->bad)
		return 0;
	context = rd_varint(r);
	mark = rd_varint(r);
	e.time_ns = s->time_ns + (uint64_t) rd_zigzag(r);
	e.received_ns = e.time_ns + (uint64_t) rd_zigzag(r);
	len = rd_varint(r);
	e.message = rd_bytes(r, len);
	n = rd_varint(r);
	if (r->bad || context >= UINT32_MAX || mark >> 3 > UINT8_MAX || n > FIELDS_MAX ||
	    len > ENTRY_SIZE_MAX)
		return BULLA_ECORRUPT;
	e.message_len = (uint32_t) len;
	e.priority = mark & 7;
	e.flags = (uint8_t) (mark >> 3);
	e.n_fields = (uint16_t) n;
	if (fields_decode(r, fields, n) < 0 || !row_is_lawful(&e))
		return BULLA_ECORRUPT;
	s->time_ns = e.time_ns;
	*ret = e;
	*ret_context = (uint32_t) context;
	return 1;
}
