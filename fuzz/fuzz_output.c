/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: output_entry(), in every format.
 *
 * The input makes an entry and a chain of contexts, of any bytes.  It is shown twice, first without and then with what is
 * kept of the contexts, to the same text.  JSON parses and export reads back to the fields that went in; the formats for
 * people hold no control character, and no line that looks like an entry of its own.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "query/output.h"

enum { CONTEXTS = 4, LIST_MAX = 64 };

/* What the input makes. */
struct made {
	uint8_t options;
	struct entry entry;
	struct shown shown;
	struct contexts contexts;
	struct context_entry chain[CONTEXTS];
	struct field fields[1 + CONTEXTS][LIST_MAX];
	uint8_t names[1 + CONTEXTS][LIST_MAX][FIELD_NAME_MAX];
};

static int by_field(const void *a, const void *b)
{
	return field_compare(a, b);
}

/* Borrow as many bytes as it says, or are left. */
static const uint8_t *take(struct rd *r, size_t *n)
{
	*n = MIN_OF(*n, r->left);
	return rd_bytes(r, *n);
}

static uint16_t make_fields(struct rd *r, struct field *fields, uint8_t (*names)[FIELD_NAME_MAX])
{
	size_t n = rd_u8(r) % (LIST_MAX + 1), len;
	uint16_t made = 0;

	while (made < n && r->left > 0 && !r->bad) {
		struct field *f = &fields[made];
		const uint8_t *name;

		len = rd_u8(r);
		name = take(r, &len);
		if (len == 0)
			continue;
		/* Names hold neither NUL nor '='. */
		for (size_t i = 0; i < len; i++)
			names[made][i] = name[i] == 0 || name[i] == '=' ? 'x' : name[i];
		f->name = names[made];
		f->name_len = (uint8_t) len;
		len = rd_u16(r);
		f->value = take(r, &len);
		f->value_len = (uint32_t) len;
		if (r->bad)
			break;
		made++;
	}
	qsort(fields, made, sizeof *fields, by_field);
	return made;
}

static struct made *make(const uint8_t *data, size_t size)
{
	struct made *m = calloc(1, sizeof *m);
	struct rd r = rd_of(data, size);
	size_t len;

	assert(m);
	m->options = rd_u8(&r);
	m->entry.flags = rd_u8(&r) & ENTRY_FLAGS_ALL;
	m->entry.priority = rd_u8(&r) & 7;
	m->entry.time_ns = rd_u64(&r);
	m->entry.received_ns = rd_u64(&r);
	m->shown.mono_offset = rd_i64(&r);
	m->shown.seq = rd_u64(&r);
	rd_copy(&r, m->shown.journal.b, ID_SIZE);
	m->contexts.n = 1 + rd_u8(&r) % CONTEXTS;
	len = rd_u16(&r);
	m->entry.message = r.bad ? data : take(&r, &len);
	m->entry.message_len = r.bad ? 0 : (uint32_t) len;
	m->entry.fields = m->fields[CONTEXTS];
	m->entry.n_fields = make_fields(&r, m->fields[CONTEXTS], m->names[CONTEXTS]);
	for (uint32_t i = 0; i < m->contexts.n; i++) {
		m->chain[i].parent = (int32_t) i - 1;
		m->chain[i].fields = m->fields[i];
		m->chain[i].n_fields = make_fields(&r, m->fields[i], m->names[i]);
	}
	m->contexts.at = m->chain;
	m->shown.entry = &m->entry;
	m->shown.contexts = &m->contexts;
	m->shown.context = m->contexts.n - 1;
	m->shown.has_mono = m->options & 1;
	return m;
}

static bool is_named(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && memcmp(f->name, name, f->name_len) == 0;
}

/* What output_entry() promises to leave out. */
static bool is_reserved(const struct made *m, const struct field *f)
{
	bool source_time = m->entry.flags & (ENTRY_TIME_BY_RUNTIME | ENTRY_TIME_BY_SENDER);

	return (f->name_len >= 2 && memcmp(f->name, "__", 2) == 0) || is_named(f, "_BOOT_ID") ||
	       (source_time && is_named(f, "_SOURCE_REALTIME_TIMESTAMP"));
}

/* JSON. */

static bool is_value(const json_t *v, const struct field *f)
{
	if (json_is_string(v))
		return json_string_length(v) == f->value_len &&
		       memcmp(json_string_value(v), f->value, f->value_len) == 0;
	if (json_array_size(v) != f->value_len)
		return false;
	for (size_t i = 0; i < f->value_len; i++) {
		const json_t *number = json_array_get(v, i);

		if (!json_is_integer(number) || json_integer_value(number) != f->value[i])
			return false;
	}
	return true;
}

struct json_check {
	const struct made *made;
	const json_t *object;
	size_t n_fields;
	bool odd_names; /* some stand for others */
};

static bool find_in_json(void *arg, const struct field *f)
{
	struct json_check *c = arg;
	const json_t *v;
	bool found;

	if (is_reserved(c->made, f))
		return false;
	c->n_fields++;
	if (!text_is_utf8(f->name, f->name_len)) {
		c->odd_names = true;
		return false;
	}
	v = json_object_getn(c->object, (const char *) f->name, f->name_len);
	/* A name with U+FFFD in it may have been another. */
	if (memmem(f->name, f->name_len, "\xef\xbf\xbd", 3))
		return false;
	assert(v);
	found = is_value(v, f);
	for (size_t i = 0; !found && i < json_array_size(v); i++)
		found = is_value(json_array_get(v, i), f);
	assert(found);
	return false;
}

/* The number of values that a key has. */
static size_t count_values(const json_t *v)
{
	return json_is_array(v) && json_array_size(v) > 0 && !json_is_integer(json_array_get(v, 0))
		       ? json_array_size(v)
		       : 1;
}

static void check_json(const struct made *m, const struct buf *text)
{
	struct json_check c = { .made = m };
	size_t n_values = 0, n_fixed = 6;
	json_error_t error;
	const char *key;
	json_t *object, *v;

	assert(text_is_utf8(text->data, text->len));
	assert(memchr(text->data, '\n', text->len) == text->data + text->len - 1);
	for (size_t i = 0; i + 1 < text->len; i++)
		assert(text->data[i] >= ' ' && text->data[i] != 0x7f);
	object = json_loadb((const char *) text->data, text->len, 0, &error);
	assert(json_is_object(object));
	c.object = object;
	shown_each_field(&m->shown, find_in_json, &c);
	if (!c.odd_names) {
		json_decref(object);
		object = json_loadb((const char *) text->data, text->len, JSON_REJECT_DUPLICATES,
				    &error);
		assert(object);
		json_object_foreach(object, key, v) n_values += count_values(v);
		n_fixed += json_object_get(object, "__MONOTONIC_TIMESTAMP") != NULL;
		n_fixed += (m->entry.flags & (ENTRY_TIME_BY_RUNTIME | ENTRY_TIME_BY_SENDER)) != 0;
		assert(n_values == n_fixed + c.n_fields);
	}
	json_decref(object);
}

/* export. */

static const uint8_t *take_line(struct rd *r, size_t *ret)
{
	const uint8_t *end = memchr(r->p, '\n', r->left), *line;

	assert(end);
	*ret = (size_t) (end - r->p);
	line = rd_bytes(r, *ret);
	rd_u8(r);
	return line;
}

static bool read_field(struct rd *r, struct field *ret)
{
	const uint8_t *line, *equals;
	size_t len;

	line = take_line(r, &len);
	if (len == 0)
		return false;
	equals = memchr(line, '=', len);
	ret->name = line;
	ret->name_len = (uint8_t) (equals ? equals - line : (ptrdiff_t) len);
	assert(ret->name_len >= 1 && ret->name_len <= 64);
	if (equals) {
		ret->value = equals + 1;
		ret->value_len = (uint32_t) (len - ret->name_len - 1);
	} else {
		ret->value_len = (uint32_t) rd_u64(r);
		ret->value = rd_bytes(r, ret->value_len);
		assert(ret->value);
		assert(rd_u8(r) == '\n' && !r->bad);
	}
	return true;
}

static void check_exported_name(const struct field *original, const struct field *f)
{
	assert(f->name[0] < '0' || f->name[0] > '9');
	for (size_t i = 0; i < f->name_len; i++)
		assert((f->name[i] >= 'A' && f->name[i] <= 'Z') || f->name[i] == '_' ||
		       (f->name[i] >= '0' && f->name[i] <= '9'));
	assert((f->name[0] == '_') == (original->name[0] == '_'));
}

struct export_check {
	const struct made *made;
	struct rd r;
};

static bool expect_in_export(void *arg, const struct field *original)
{
	struct export_check *c = arg;
	struct field f;

	if (is_reserved(c->made, original))
		return false;
	assert(read_field(&c->r, &f));
	check_exported_name(original, &f);
	assert(f.value_len == original->value_len);
	assert(memcmp(f.value, original->value, f.value_len) == 0);
	return false;
}

static void check_export(const struct made *m, const struct buf *text)
{
	struct export_check c = { m, rd_of(text->data, text->len) };
	struct field f;

	/* What comes first is not the entry's. */
	while (c.r.left >= 8 && (memcmp(c.r.p, "__", 2) == 0 || memcmp(c.r.p, "_BOOT_ID", 8) == 0))
		assert(read_field(&c.r, &f));
	if (m->entry.flags & (ENTRY_TIME_BY_RUNTIME | ENTRY_TIME_BY_SENDER)) {
		assert(read_field(&c.r, &f));
		assert(is_named(&f, "_SOURCE_REALTIME_TIMESTAMP"));
	}
	shown_each_field(&m->shown, expect_in_export, &c);
	assert(!read_field(&c.r, &f));
	assert(c.r.left == 0 && !c.r.bad);
}

/* For people. */

static void check_lines(const struct buf *text, const char *indent)
{
	const uint8_t *end, *p = text->data;
	size_t left = text->len, line;

	assert(text_is_utf8(p, left));
	for (bool first = true; left > 0; first = false) {
		end = memchr(p, '\n', left);
		assert(end);
		line = (size_t) (end - p);
		for (size_t i = 0; i < line; i++) {
			assert(p[i] == '\t' || (p[i] >= ' ' && p[i] != 0x7f));
			assert(p[i] != 0xc2 || p[i + 1] >= 0xa0);
		}
		assert(first || (line >= strlen(indent) && memcmp(p, indent, strlen(indent)) == 0));
		left -= line + 1;
		p = end + 1;
	}
}

static void check(const struct made *m, const struct output *o, const struct buf *text)
{
	switch (o->format) {
	case OUTPUT_JSON:
		check_json(m, text);
		break;
	case OUTPUT_EXPORT:
		check_export(m, text);
		break;
	case OUTPUT_CAT:
		if (o->colour)
			break;
		assert(text->len == m->entry.message_len + 1);
		assert(memcmp(text->data, m->entry.message, m->entry.message_len) == 0);
		assert(text->data[text->len - 1] == '\n');
		break;
	default:
		if (!o->all && !o->colour)
			check_lines(text,
				    o->format == OUTPUT_VERBOSE ? "    " : "                ");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct made *m = make(data, size);
	struct buf first = { 0 }, second = { 0 };

	for (unsigned format = OUTPUT_SHORT; format <= OUTPUT_VERBOSE; format++) {
		struct output o = {
			.format = format,
			.utc = true,
			.all = m->options & 2,
			.colour = m->options & 4,
		};

		buf_clear(&first);
		buf_clear(&second);
		output_entry(&o, &m->shown, &first);
		output_end(&o, &first);
		output_entry(&o, &m->shown, &second);
		output_end(&o, &second);
		assert(!first.bad && !second.bad);
		assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
		check(m, &o, &first);
		output_done(&o);
	}
	buf_done(&first);
	buf_done(&second);
	free(m);
	return 0;
}
