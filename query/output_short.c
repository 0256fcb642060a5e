/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The formats for people: short, short-iso, cat and verbose.
 *
 * What containers write ends on a terminal here.  Unless all is asked for, no control character gets through but newline,
 * and a newline never begins a line that looks like another entry.  Cat is the exception: it is the message, byte by byte.
 */

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/text.h"
#include "query/output-internal.h"

enum {
	WHO_LEN_MAX = 300,     /* journalctl leaves out longer identifiers, too */
	VERBOSE_DATE_LEN = 23, /* "Mon 2026-11-23 19:34:01" */
};

/* Colours. */

static const char colour_off[] = "\x1b[0m";
static const char colour_bold[] = "\x1b[0;1;39m";

static const char *colour_on(uint8_t priority)
{
	static const char *const by_priority[8] = {
		"\x1b[0;1;31m",
		"\x1b[0;1;31m",
		"\x1b[0;1;31m",
		"\x1b[0;1;31m",
		"\x1b[0;1;38;5;185m",
		colour_bold,
		"",
		"\x1b[0;38;5;245m",
	};

	return by_priority[priority & 7];
}

/* Escape sequences. */

/* The length of the whole sequence at `p`: CSI (colours, cursor) or OSC (titles, links); 0 if it is none. */
static size_t escape_len(const uint8_t *p, size_t n)
{
	if (n < 3 || p[0] != 0x1b)
		return 0;
	if (p[1] == '[') {
		for (size_t i = 2; i < n; i++) {
			if (p[i] >= 0x40 && p[i] <= 0x7e)
				return i + 1;
			if (p[i] < 0x20 || p[i] > 0x7e)
				return 0;
		}
	} else if (p[1] == ']') {
		for (size_t i = 2; i < n; i++) {
			if (p[i] == 0x07)
				return i + 1;
			if (p[i] == 0x1b)
				return i + 1 < n && p[i + 1] == '\\' ? i + 2 : 0;
			if (p[i] < 0x20)
				return 0;
		}
	}
	return 0;
}

/* Append a message without escape sequences and carriage returns at line ends, and with spaces for TABs. */
static void append_stripped(struct buf *to, const uint8_t *p, size_t n)
{
	size_t run, skip;

	for (size_t at = 0; at < n; at += run + skip) {
		for (run = 0; at + run < n; run++) {
			run += output_plain_run(p + at + run, n - at - run);
			if (at + run == n || p[at + run] == '\t' || p[at + run] == '\r' ||
			    p[at + run] == 0x1b)
				break;
		}
		buf_append(to, p + at, run);
		skip = 0;
		if (at + run == n)
			break;
		if (p[at + run] == '\t') {
			buf_str(to, "        ");
			skip = 1;
		} else if (p[at + run] == '\r') {
			while (at + run + skip < n && p[at + run + skip] == '\r')
				skip++;
			if (at + run + skip < n && p[at + run + skip] != '\n')
				buf_append(to, p + at + run, skip);
		} else {
			skip = escape_len(p + at + run, n - at - run);
			if (skip == 0)
				buf_char(to, (char) p[at + run]);
			skip = MAX_OF(skip, 1u);
		}
	}
}

/* Append lines, each after the first indented, each in colour if there is one. */
static void append_lines(struct buf *to, const uint8_t *p, size_t n, size_t indent, const char *on)
{
	const char *off = on[0] ? colour_off : "";
	const uint8_t *end;
	size_t line;
	uint8_t *w;

	for (bool first = true; first || n > 0; first = false) {
		end = n > 0 ? memchr(p, '\n', n) : NULL;
		line = end ? (size_t) (end - p) : n;
		if (!first && (w = buf_room(to, indent))) {
			memset(w, ' ', indent);
			buf_add(to, indent);
		}
		buf_str(to, on);
		buf_append(to, p, line);
		buf_str(to, off);
		buf_char(to, '\n');
		if (!end)
			break;
		p = end + 1;
		n -= line + 1;
	}
}

static void append_blob(struct buf *to, size_t n)
{
	char size[16];

	text_size(size, n);
	buf_char(to, '[');
	buf_str(to, size);
	buf_str(to, " blob data]\n");
}

/* The line's head. */

static bool keep_who(void *arg, const struct field *f)
{
	static const struct {
		const char *name;
		size_t len;
	} names[_WHO_MAX] = {
		[WHO_HOST] = { "_HOSTNAME", 9 },
		[WHO_IDENTIFIER] = { "SYSLOG_IDENTIFIER", 17 },
		[WHO_COMM] = { "_COMM", 5 },
		[WHO_PID] = { "_PID", 4 },
		[WHO_SYSLOG_PID] = { "SYSLOG_PID", 10 },
	};
	struct field *who = arg;

	for (size_t i = 0; i < _WHO_MAX; i++)
		if (f->name_len == names[i].len && !who[i].name &&
		    memcmp(f->name, names[i].name, names[i].len) == 0)
			who[i] = *f;
	return false;
}

/* Find the nearest of the fields that make the head. */
static void find_who(struct output_cache *c, const struct shown *s, struct field who[_WHO_MAX])
{
	struct context_slot *slot = output_slot(c, s);

	if (!output_slot_holds(slot, s)) {
		output_slot_begin(slot, s);
		output_each_context(s, keep_who, slot->who);
	}
	memset(who, 0, _WHO_MAX * sizeof *who);
	output_each_own(s, keep_who, who);
	for (size_t i = 0; i < _WHO_MAX; i++)
		if (!who[i].name)
			who[i] = slot->who[i];
}

/* Append a field between two texts.  @return false, and nothing is appended, if it is not there or cannot be shown. */
static bool append_who(const struct output *o, struct buf *to, const char *before,
		       const struct field *f, const char *after)
{
	if (!f->name || f->value_len == 0)
		return false;
	if (!o->all &&
	    (f->value_len >= WHO_LEN_MAX || !output_printable(f->value, f->value_len, false)))
		return false;
	buf_str(to, before);
	buf_append(to, f->value, f->value_len);
	buf_str(to, after);
	return true;
}

static void append_head(struct output *o, const struct shown *s, const struct field who[_WHO_MAX],
			struct buf *to)
{
	buf_str(to, output_time(o, s->entry->time_ns));
	append_who(o, to, " ", &who[WHO_HOST], "");
	if (!append_who(o, to, " ", &who[WHO_IDENTIFIER], "") &&
	    !append_who(o, to, " ", &who[WHO_COMM], ""))
		buf_str(to, " unknown");
	if (!append_who(o, to, "[", &who[WHO_PID], "]"))
		append_who(o, to, "[", &who[WHO_SYSLOG_PID], "]");
	buf_str(to, ": ");
}

void output_short(struct output *o, const struct shown *s, struct buf *to)
{
	const char *on = o->colour ? colour_on(s->entry->priority) : "";
	struct output_cache *c = output_cache(o, to);
	const uint8_t *message = s->entry->message;
	size_t n = s->entry->message_len, start = to->len;
	struct field who[_WHO_MAX];

	if (!c)
		return;
	find_who(c, s, who);
	append_head(o, s, who, to);
	if (!o->all) {
		buf_clear(&c->scratch);
		append_stripped(&c->scratch, message, n);
		if (c->scratch.bad) {
			to->bad = true;
			return;
		}
		message = c->scratch.data;
		n = c->scratch.len;
		if (!output_printable(message, n, true)) {
			append_blob(to, s->entry->message_len);
			return;
		}
	}
	append_lines(to, message, n, to->len - start, on);
}

/* cat. */

/* Whether an entry goes on with the line that the last one left open. */
static bool goes_on(const struct output *o, const struct shown *s)
{
	return o->piece_open && s->seq == o->piece_next_seq && s->context == o->piece_context &&
	       id_equal(&s->journal, &o->piece_journal);
}

void output_cat(struct output *o, const struct shown *s, struct buf *to)
{
	const char *on = o->colour ? colour_on(s->entry->priority) : "";

	if (o->piece_open && !goes_on(o, s))
		buf_char(to, '\n');
	buf_str(to, on);
	buf_append(to, s->entry->message, s->entry->message_len);
	if (on[0])
		buf_str(to, colour_off);
	o->piece_open = s->entry->flags & ENTRY_CONTINUED;
	if (o->piece_open) {
		o->piece_journal = s->journal;
		o->piece_next_seq = s->seq + 1;
		/* A stream writes in one context. */
		o->piece_context = s->context;
	} else {
		buf_char(to, '\n');
	}
}

/* verbose. */

static void append_title(struct output *o, const struct shown *s, struct buf *to)
{
	const char *time = output_time(o, s->entry->time_ns);
	char cursor[CURSOR_SIZE], fraction[8] = ".000000";
	uint64_t us = s->entry->time_ns % NS_PER_S / NS_PER_US;

	digits_put((uint8_t *) fraction + 1, us, 6);
	assert(strlen(time) > VERBOSE_DATE_LEN);
	buf_append(to, time, VERBOSE_DATE_LEN);
	buf_str(to, fraction);
	buf_str(to, time + VERBOSE_DATE_LEN);
	shown_cursor(s, cursor);
	buf_str(to, " [");
	buf_str(to, cursor);
	buf_str(to, "]\n");
}

static void append_field(const struct output *o, const struct field *f, struct buf *to)
{
	bool bold = o->colour && f->name_len == 7 && memcmp(f->name, "MESSAGE", 7) == 0;
	size_t start = to->len;

	buf_str(to, "    ");
	if (bold)
		buf_str(to, colour_bold);
	output_append_name(to, f);
	buf_char(to, '=');
	if (o->all || output_printable(f->value, f->value_len, true))
		append_lines(to, f->value, f->value_len,
			     to->len - start - (bold ? STRLEN(colour_bold) : 0), "");
	else
		append_blob(to, f->value_len);
	if (bold)
		buf_str(to, colour_off);
}

void output_verbose(struct output *o, const struct shown *s, struct buf *to)
{
	struct output_cache *c = output_cache(o, to);
	char boot[ID_TEXT_SIZE], us[DECIMAL_MAX];

	if (!c)
		return;
	output_gather_begin(c);
	output_gather_own(c, s, to);
	output_gather_contexts(c, s, to);
	text_hex(boot, s->boot.b, ID_SIZE);
	if (!output_imported(s))
		output_gather(c,
			      &(struct field){ (const uint8_t *) "_BOOT_ID", (const uint8_t *) boot,
					       2 * ID_SIZE, 8 },
			      to);
	output_gather(c,
		      &(struct field){ (const uint8_t *) "__SEALED",
				       (const uint8_t *) (s->sealed ? "yes" : "no"),
				       s->sealed ? 3 : 2, 8 },
		      to);
	if (s->corrected)
		output_gather(c,
			      &(struct field){ (const uint8_t *) "__CORRECTED",
					       (const uint8_t *) "yes", 3, 11 },
			      to);
	if (output_has_source_time(s)) {
		size_t n = (size_t) (output_decimal(us, s->entry->time_ns / NS_PER_US) - us);

		output_gather(c,
			      &(struct field){ (const uint8_t *) "_SOURCE_REALTIME_TIMESTAMP",
					       (const uint8_t *) us, (uint32_t) n, 26 },
			      to);
	}
	output_gather_sort(c);
	append_title(o, s, to);
	for (size_t i = 0; i < c->n_fields; i++)
		append_field(o, &c->fields[i].f, to);
}
