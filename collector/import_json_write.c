/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_json-internal.h"

#include <errno.h>
#include <string.h>

#include "collector/import_export.h"
#include "seal/statement.h"

enum {
	FIELD_MORE = 32, /* bytes of a field beside name and value: length, or IMPORT_OMITTED */
	NEVER = 255,	 /* told by number */
};

_Static_assert((int) STREAM_HEAD_MAX <= (int) JSON_COPY &&
		       (int) STREAM_FIELD_MORE <= (int) FIELD_MORE &&
		       (int) STREAM_NAMES_MAX < (int) NEVER,
	       "a brief entry goes into the same room");

/* Writing: into room for all of it, and for JSON_COPY bytes more. */

struct writer {
	const struct import_json *j;
	const uint8_t *line_end;
	uint8_t *to;
};

/* Most are short: so many bytes at once as are never read beyond what there is. */
static void put(struct writer *w, const uint8_t *p, uint32_t n, size_t readable)
{
	if (n <= JSON_COPY && readable >= JSON_COPY)
		memcpy(w->to, p, JSON_COPY);
	else
		memcpy(w->to, p, n);
	w->to += n;
}

/* The rest of a field: how its value begins is said by a byte that was written. */
static void put_value(struct writer *w, const struct json_slice *s, bool lengthy)
{
	bool decoded = is_decoded(w->j, s->p);
	uint64_t size = s->n;

	/* Only an escape can have made a newline. */
	if (lengthy || (decoded && memchr(s->p, '\n', s->n))) {
		w->to[-1] = '\n';
		memcpy(w->to, &size, sizeof size);
		w->to += sizeof size;
	}
	put(w, s->p, s->n, decoded ? JSON_COPY : (size_t) (w->line_end - s->p));
	*w->to++ = '\n';
}

static void put_omitted(struct writer *w, const struct json_slice *name)
{
	static const char omitted[] = IMPORT_OMITTED "=";

	memcpy(w->to, omitted, STRLEN(omitted));
	w->to += STRLEN(omitted);
	put_value(w, name, false);
}

static void put_member(struct writer *w, const struct json_member *m)
{
	if (m->nature == NAME_OF_NOTHING) {
		put_omitted(w, &m->name);
		return;
	}
	for (uint32_t i = m->kind == LIST; i <= m->items; i++) {
		if (m[i].kind == OMITTED) {
			put_omitted(w, &m->name);
			continue;
		}
		if (m->number >= 0) {
			put(w, w->j->names.at[m->number].text, m->name.n + 1, FIELD_NAME_MAX + 1);
		} else {
			put(w, m->name.p, m->name.n, 0);
			*w->to++ = '=';
		}
		put_value(w, &m[i].value, m[i].kind == BYTES);
	}
}

/* The times are first. */
static bool is_written_now(const struct json_member *m)
{
	return m->nature == NAME_OF_A_FIELD || m->nature == NAME_OF_NOTHING;
}

static size_t size_of(const struct import_json *j)
{
	size_t n = JSON_COPY;

	for (uint32_t i = 0; i < j->n; i++)
		n += j->members[i].name.n + j->members[i].value.n + FIELD_MORE;
	return n;
}

int import_json_write_entry(struct import_json *j, const uint8_t *line_end, struct buf *to)
{
	uint8_t *room = buf_room(to, size_of(j));
	struct writer w = { j, line_end, room };

	if (!room)
		return -ENOMEM;
	put_member(&w, &j->members[j->realtime - 1]);
	if (j->monotonic > 0)
		put_member(&w, &j->members[j->monotonic - 1]);
	for (size_t i = 0; i < ELEMENTS(j->here); i++)
		for (uint64_t left = j->here[i]; left != 0; left &= left - 1) {
			const struct json_member *m =
				&j->members[j->known[i * JSON_BITS +
						     (size_t) __builtin_ctzll(left)]];

			if (is_written_now(m))
				put_member(&w, m);
		}
	for (uint32_t i = 0; i < j->n && j->strangers > 0; i = next_member(j, i))
		if (j->members[i].number < 0 && is_written_now(&j->members[i]))
			put_member(&w, &j->members[i]);
	*w.to++ = '\n';
	buf_add(to, (size_t) (w.to - room));
	return 0;
}

/* Brief entries. */

/* Whether a member can be told by number; `*unknown` counts names that are yet to be told. */
static bool is_brief_member(struct import_json *j, const struct json_member *m, uint32_t *unknown)
{
	uint8_t *as;

	if (m->kind == LIST || m->kind == OMITTED || m->nature == NAME_OF_NOTHING)
		return false;
	if (m->nature != NAME_OF_A_FIELD)
		return true;
	as = &j->told_as[m->number];
	if (*as == 0 && !stream_is_name(m->name.p, m->name.n))
		*as = NEVER;
	*unknown += *as == 0;
	return *as != NEVER;
}

static bool is_brief(struct import_json *j, size_t size)
{
	uint32_t unknown = 0;

	if (j->strangers > 0 || size > STREAM_BRIEF_MAX ||
	    (j->monotonic > 0 && j->monotonic_us == UINT64_MAX))
		return false;
	for (uint32_t i = 0; i < j->n; i++)
		if (!is_brief_member(j, &j->members[i], &unknown))
			return false;
	return j->told.n + unknown <= STREAM_NAMES_MAX;
}

static void put_brief(struct import_json *j, struct stream_writer *w, int number)
{
	const struct json_member *m = &j->members[j->known[number]];

	if (m->nature != NAME_OF_A_FIELD)
		return;
	if (j->told_as[number] == 0) {
		stream_put_name(w, m->name.p, m->name.n);
		j->told_as[number] = (uint8_t) j->told.n;
	}
	stream_put_field(w, j->told_as[number] - 1u, m->value.p, m->value.n);
}

int import_json_write_frame(struct import_json *j, const uint8_t *line_end, struct buf *to)
{
	size_t size = size_of(j), from;
	struct stream_writer w;
	uint8_t *room;
	int r;

	if (!is_brief(j, size)) {
		from = stream_begin_text(to);
		r = to->bad ? -ENOMEM : import_json_write_entry(j, line_end, to);
		if (r >= 0)
			stream_end_text(to, from);
		return r;
	}
	room = buf_room(to, size);
	if (!room)
		return -ENOMEM;
	stream_begin(&w, room, &j->told, j->realtime_us, j->monotonic > 0, j->monotonic_us);
	for (size_t i = 0; i < ELEMENTS(j->here); i++)
		for (uint64_t left = j->here[i]; left != 0; left &= left - 1)
			put_brief(j, &w, (int) (i * JSON_BITS) + __builtin_ctzll(left));
	buf_add(to, stream_end(&w));
	return 0;
}
