/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_json-internal.h"

#include <errno.h>
#include <string.h>

#include "collector/import_export.h"
#include "seal/statement.h"

enum {
	FIELD_MORE = 32, /* bytes of a field beside name and value: length, or IMPORT_OMITTED */
};

_Static_assert((int) STREAM_HEAD_MAX <= (int) JSON_COPY &&
		       (int) STREAM_FIELD_MORE <= (int) FIELD_MORE &&
		       (int) STREAM_NAMES_MAX < (int) JSON_TOLD_NOT,
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
	const struct json_member *monotonic = import_json_known(j, JSON_NAME_MONOTONIC);
	uint8_t *room = buf_room(to, size_of(j));
	struct writer w = { j, line_end, room };

	if (!room)
		return -ENOMEM;
	put_member(&w, import_json_known(j, JSON_NAME_REALTIME));
	if (monotonic)
		put_member(&w, monotonic);
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

/* How a name is told, when it is met first. */
static uint8_t tell_as(const struct json_member *m)
{
	switch ((enum json_nature) m->nature) {
	case NAME_OF_A_FIELD:
		return stream_is_name(m->name.p, m->name.n) ? JSON_UNTOLD : JSON_NEVER_TOLD;
	case NAME_OF_NOTHING:
		return JSON_NEVER_TOLD;
	default:
		return JSON_TOLD_NOT;
	}
}

/* What names there are that were not told yet.  @return whether all can be. */
static bool may_tell(struct import_json *j)
{
	uint32_t more = 0;

	for (uint32_t i = 0; i < j->n; i++) {
		uint8_t *as = &j->told_as[j->members[i].number];

		if (*as == JSON_UNTOLD)
			*as = tell_as(&j->members[i]);
		if (*as == JSON_NEVER_TOLD)
			return false;
		more += *as == JSON_UNTOLD;
	}
	return j->told.n + more <= STREAM_NAMES_MAX;
}

static bool is_brief(struct import_json *j, size_t size)
{
	if (j->never_told || size > STREAM_BRIEF_MAX ||
	    (import_json_known(j, JSON_NAME_MONOTONIC) && j->monotonic_us == UINT64_MAX))
		return false;
	return !j->untold || may_tell(j);
}

static void put_brief(struct import_json *j, struct stream_writer *w, int number)
{
	const struct json_member *m = &j->members[j->known[number]];

	if (j->told_as[number] == JSON_TOLD_NOT)
		return;
	if (_unlikely_(j->told_as[number] == JSON_UNTOLD)) {
		stream_put_name(w, m->name.p, m->name.n);
		j->told_as[number] = (uint8_t) j->told.n;
	}
	stream_put_field(w, j->told_as[number] - 1u, m->value.p, m->value.n);
}

int import_json_write_frame(struct import_json *j, const uint8_t *line, const uint8_t *line_end,
			    struct buf *to)
{
	/* Names and values of what is no list are no more than what they were read from. */
	size_t size = (size_t) (line_end - line) + (size_t) j->n * FIELD_MORE + JSON_COPY, from;
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
	stream_begin(&w, room, &j->told, j->realtime_us, import_json_known(j, JSON_NAME_MONOTONIC),
		     j->monotonic_us);
	for (size_t i = 0; i < ELEMENTS(j->here); i++)
		for (uint64_t left = j->here[i]; left != 0; left &= left - 1)
			put_brief(j, &w, (int) (i * JSON_BITS) + __builtin_ctzll(left));
	buf_add(to, stream_end(&w));
	return 0;
}
