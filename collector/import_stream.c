/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "bulla/error.h"
#include "collector/import_words.h"

enum { NEW_NAME = 255, FRAME_HEAD = 4, AGAIN = 2 };

#define IS_BRIEF (UINT32_C(1) << 31)

_Static_assert(2 * STREAM_NAMES_MAX < NEW_NAME, "a byte tells which name");
_Static_assert((STREAM_NAME_SIZE_MAX + STREAM_VALUE_KEPT) * STREAM_NAMES_MAX + STREAM_BRIEF_MAX <
		       IMPORT_SIZE_MAX,
	       "a brief entry is within the limits, whatever it says");
_Static_assert((int) STREAM_NAMES_MAX <= (int) IMPORT_FIELDS_MAX, "and so are its fields");

bool stream_is_name(const uint8_t *p, size_t n)
{
	return n > 0 && n <= STREAM_NAME_SIZE_MAX && !(n >= 2 && p[0] == '_' && p[1] == '_') &&
	       !memchr(p, '\0', n) && !memchr(p, '=', n) && !memchr(p, '\n', n);
}

static void add_name(struct stream_names *names, const uint8_t *p, size_t n)
{
	struct stream_name *name = &names->at[names->n++];

	name->has_value = false;
	name->len = (uint8_t) n;
	memcpy(name->name, p, n);
}

/* Long ones are not told again. */
static void keep_value(struct stream_name *name, const uint8_t *p, size_t n)
{
	name->has_value = n <= STREAM_VALUE_KEPT;
	if (!name->has_value)
		return;
	name->value_len = (uint8_t) n;
	if (n > 0)
		memcpy(name->value, p, n);
}

/* Writing. */

void stream_begin(struct stream_writer *w, uint8_t *to, struct stream_names *names,
		  uint64_t realtime_us, bool has_monotonic, uint64_t monotonic_us)
{
	w->names = names;
	w->begin = to;
	memcpy(to + FRAME_HEAD, &realtime_us, sizeof realtime_us);
	w->to = varint_put(to + FRAME_HEAD + sizeof realtime_us,
			   has_monotonic ? monotonic_us + 1 : 0);
}

void stream_put_name(struct stream_writer *w, const uint8_t *p, size_t n)
{
	assert(w->names->n < STREAM_NAMES_MAX && n <= STREAM_NAME_SIZE_MAX);
	*w->to++ = NEW_NAME;
	*w->to++ = (uint8_t) n;
	memcpy(w->to, p, n);
	w->to += n;
	add_name(w->names, p, n);
}

void stream_put_field(struct stream_writer *w, uint32_t number, const uint8_t *p, size_t n)
{
	struct stream_name *name = &w->names->at[number];

	if (name->has_value && name->value_len == n && import_same(name->value, p, n)) {
		*w->to++ = (uint8_t) (2 * number + 1);
		return;
	}
	*w->to++ = (uint8_t) (2 * number);
	w->to = varint_put(w->to, n);
	if (n > 0)
		memcpy(w->to, p, n);
	w->to += n;
	keep_value(name, p, n);
}

size_t stream_end(struct stream_writer *w)
{
	size_t n = (size_t) (w->to - w->begin);
	uint32_t head = (uint32_t) (n - FRAME_HEAD) | IS_BRIEF;

	assert(n - FRAME_HEAD <= STREAM_BRIEF_MAX);
	memcpy(w->begin, &head, sizeof head);
	return n;
}

size_t stream_begin_text(struct buf *to)
{
	buf_append(to, &(uint32_t){ 0 }, FRAME_HEAD);
	return to->len;
}

void stream_end_text(struct buf *to, size_t from)
{
	uint32_t n = (uint32_t) (to->len - from);

	assert(!(n & IS_BRIEF));
	memcpy(to->data + from - FRAME_HEAD, &n, sizeof n);
}

/* Reading. */

void import_stream_done(struct import_stream *s)
{
	export_done(&s->text);
	buf_done(&s->in);
}

static int fail(struct import_stream *s, const char *error)
{
	if (!s->error) {
		s->error = error;
		s->error_at = s->text.offset;
	}
	return BULLA_EPARSE;
}

static int fail_as_text(struct import_stream *s, int r)
{
	if (r < 0) {
		s->error = s->text.error;
		s->error_at = s->text.error_at;
	}
	return r;
}

uint8_t *import_stream_room(struct import_stream *s, size_t *ret_n)
{
	uint8_t *room;

	if (!s->framed)
		return export_room(&s->text, ret_n);
	if (s->at > 0) {
		memmove(s->in.data, s->in.data + s->at, s->in.len - s->at);
		s->in.len -= s->at;
		s->at = 0;
	}
	room = buf_room(&s->in, EXPORT_ROOM);
	*ret_n = room ? EXPORT_ROOM : 0;
	return room;
}

void import_stream_fed(struct import_stream *s, size_t n)
{
	if (s->framed)
		buf_add(&s->in, n);
	else
		export_fed(&s->text, n);
}

static int read_name(struct import_stream *s, struct rd *r)
{
	size_t n = rd_u8(r);
	const uint8_t *p = rd_bytes(r, n);

	if (!p || s->names.n == STREAM_NAMES_MAX || !stream_is_name(p, n))
		return fail(s, "a name that is none");
	for (uint32_t i = 0; i < s->names.n; i++)
		if (s->names.at[i].len == n && memcmp(s->names.at[i].name, p, n) == 0)
			return fail(s, "a name that has a number already");
	add_name(&s->names, p, n);
	return 0;
}

/* A value that came is where it was read; one that came before is where it is kept, and stays while the entry is borrowed. */
static int read_field(struct import_stream *s, struct rd *r, uint8_t tag, uint32_t i)
{
	struct field *ret = &s->field[i];
	uint32_t number = tag / 2;
	struct stream_name *name;
	uint64_t n;

	if (number >= s->names.n || bit_get(s->here, number))
		return fail(s, "a field without a name, or one that comes twice");
	bit_set(s->here, number);
	s->number[i] = (uint8_t) number;
	s->known[number].again = tag & 1;
	name = &s->names.at[number];
	*ret = (struct field){ .name = name->name, .name_len = name->len };
	if (tag & 1) {
		ret->value = name->value;
		ret->value_len = name->value_len;
		return name->has_value ? 0 : fail(s, "a value that was never told");
	}
	n = rd_varint(r);
	ret->value = rd_bytes(r, n);
	if (r->bad)
		return fail(s, "a field that does not end");
	ret->value_len = (uint32_t) n;
	s->known[number].hashed = false;
	keep_value(name, ret->value, n);
	return 0;
}

static int read_brief(struct import_stream *s, struct rd r, struct import_entry *ret)
{
	uint64_t realtime_us = rd_u64(&r), monotonic = rd_varint(&r);
	uint32_t n = 0;
	int e = 0;

	memset(s->here, 0, sizeof s->here);
	while (e >= 0 && r.left > 0 && !r.bad) {
		uint8_t tag = rd_u8(&r);

		if (tag == NEW_NAME)
			e = read_name(s, &r);
		else
			e = read_field(s, &r, tag, n++);
	}
	if (e < 0)
		return e;
	if (r.bad || realtime_us > UINT64_MAX / 1000)
		return fail(s, "a time that is none");
	*ret = (struct import_entry){
		.fields = s->field,
		.n_fields = n,
		.number = s->number,
		.known = s->known,
		.realtime_us = realtime_us,
		.monotonic_us = monotonic - (monotonic > 0),
		.has_monotonic = monotonic > 0,
	};
	return 1;
}

/* Hand what there is of an export stream to its parser. */
static int feed_text(struct import_stream *s)
{
	size_t n = MIN_OF(s->in.len - s->at, (size_t) s->text_left), room;
	uint8_t *to = export_room(&s->text, &room);

	if (!to)
		return -ENOMEM;
	n = MIN_OF(n, room);
	memcpy(to, s->in.data + s->at, n);
	export_fed(&s->text, n);
	s->at += n;
	s->text_left -= (uint32_t) n;
	return 0;
}

/* @return 1, an entry; 0, more is needed; AGAIN, for what comes next is to be looked at. */
static int next_frame(struct import_stream *s, struct import_entry *ret)
{
	uint32_t size;
	struct rd r;
	int e;

	if (s->in.len - s->at < FRAME_HEAD)
		return 0;
	r = rd_of(s->in.data + s->at, s->in.len - s->at);
	size = rd_u32(&r);
	if (!(size & IS_BRIEF)) {
		s->at += FRAME_HEAD;
		s->text_left = size;
		return AGAIN;
	}
	size &= ~IS_BRIEF;
	if (size > STREAM_BRIEF_MAX)
		return fail(s, "a brief entry that is long");
	e = export_end(&s->text);
	if (e < 0)
		return fail_as_text(s, e);
	if (r.left < size)
		return 0;
	e = read_brief(s, rd_of(r.p, size), ret);
	s->at += FRAME_HEAD + size;
	return e;
}

int import_stream_next(struct import_stream *s, struct import_entry *ret)
{
	int r;

	if (s->error)
		return BULLA_EPARSE;
	for (;;) {
		/* What was fed last may have several. */
		r = fail_as_text(s, export_next(&s->text, ret));
		if (r != 0 || !s->framed)
			return r;
		if (s->text_left > 0) {
			if (s->at == s->in.len)
				return 0;
			r = feed_text(s);
			if (r < 0)
				return r;
			continue;
		}
		r = next_frame(s, ret);
		if (r != AGAIN)
			return r;
	}
}

int import_stream_end(struct import_stream *s)
{
	int r;

	if (s->error)
		return BULLA_EPARSE;
	r = fail_as_text(s, export_end(&s->text));
	return r >= 0 && s->framed && (s->at < s->in.len || s->text_left > 0)
		       ? fail(s, "the end within an entry")
		       : r;
}
