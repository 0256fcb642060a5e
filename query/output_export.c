/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The Journal Export Format: NAME=value lines, or for values that are no single line of text
 *
 *	NAME newline, u64 length (little endian), the bytes, newline
 *
 * and an empty line after the entry.  Names are bound to journald's rules (A-Z, 0-9, _; at most 64) only here.  A leading
 * underscore says that a field is trusted, so mapping never makes one.
 */

#include <string.h>

#include "base/text.h"
#include "query/output-internal.h"

enum { JOURNALD_NAME_MAX = 64 };

static void append_mapped_name(struct buf *to, const struct field *f)
{
	size_t n = MIN_OF(f->name_len, JOURNALD_NAME_MAX);
	uint8_t *w = buf_room(to, JOURNALD_NAME_MAX + 2), *p = w;
	uint8_t first = f->name[0];

	if (!w)
		return;
	if (first != '_' && !(first >= 'A' && first <= 'Z') && !(first >= 'a' && first <= 'z')) {
		*p++ = 'X';
		*p++ = '_';
		n = MIN_OF(n, JOURNALD_NAME_MAX - 2u);
	}
	for (size_t i = 0; i < n; i++) {
		uint8_t c = f->name[i];

		if (c >= 'a' && c <= 'z')
			c = (uint8_t) (c - 'a' + 'A');
		else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
			c = '_';
		*p++ = c;
	}
	buf_add(to, (size_t) (p - w));
}

static void append_field(struct buf *to, const struct field *f)
{
	uint64_t size = f->value_len;

	append_mapped_name(to, f);
	if (output_printable(f->value, f->value_len, false)) {
		buf_char(to, '=');
	} else {
		buf_char(to, '\n');
		buf_append(to, &size, sizeof size);
	}
	buf_append(to, f->value, f->value_len);
	buf_char(to, '\n');
}

struct exporting {
	const struct shown *shown;
	struct buf *to;
};

static bool append_unreserved(void *arg, const struct field *f)
{
	struct exporting *e = arg;

	if (!output_reserved(e->shown, f))
		append_field(e->to, f);
	return false;
}

static void append_line(struct buf *to, const char *name, uint64_t value)
{
	buf_str(to, name);
	output_append_decimal(to, value);
	buf_char(to, '\n');
}

static void append_fixed(const struct shown *s, struct buf *to)
{
	char cursor[CURSOR_SIZE], id[ID_TEXT_SIZE];
	uint64_t us;

	shown_cursor(s, cursor);
	buf_str(to, "__CURSOR=");
	buf_str(to, cursor);
	append_line(to, "\n__REALTIME_TIMESTAMP=", output_realtime_us(s));
	if (output_monotonic_us(s, &us))
		append_line(to, "__MONOTONIC_TIMESTAMP=", us);
	if (!output_imported(s)) {
		text_hex(id, s->boot.b, ID_SIZE);
		buf_str(to, "_BOOT_ID=");
		buf_str(to, id);
		buf_char(to, '\n');
	}
	append_line(to, "__SEQNUM=", s->seq);
	text_hex(id, s->journal.b, ID_SIZE);
	buf_str(to, "__SEQNUM_ID=");
	buf_str(to, id);
	buf_str(to, s->sealed ? "\n__SEALED=yes\n" : "\n__SEALED=no\n");
	if (s->corrected)
		buf_str(to, "__CORRECTED=yes\n");
	if (output_has_source_time(s))
		append_line(to, "_SOURCE_REALTIME_TIMESTAMP=", s->entry->time_ns / 1000);
}

void output_export(struct output *o, const struct shown *s, struct buf *to)
{
	struct output_cache *c = output_cache(o, to);
	struct context_slot *slot;

	if (!c)
		return;
	append_fixed(s, to);
	output_each_own(s, append_unreserved, &(struct exporting){ s, to });
	slot = output_slot(c, s);
	if (!output_slot_holds(slot, s)) {
		output_slot_begin(slot, s);
		output_each_context(s, append_unreserved, &(struct exporting){ s, &slot->text });
		output_slot_end(slot);
	}
	if (slot->oversized)
		output_each_context(s, append_unreserved, &(struct exporting){ s, to });
	else
		buf_append(to, slot->text.data, slot->text.len);
	buf_char(to, '\n');
}
