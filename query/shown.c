/* SPDX-License-Identifier: Apache-2.0 */

#include "query/shown.h"

#include <errno.h>
#include <string.h>

#include "base/digits.h"
#include "base/text.h"

#define FIELD(text_name, text_value, len)                                               \
	((struct field){ (const uint8_t *) (text_name), (const uint8_t *) (text_value), \
			 (uint32_t) (len), STRLEN(text_name) })

size_t shown_cursor(const struct shown *s, char ret[CURSOR_SIZE])
{
	size_t at = (size_t) 2 * ID_SIZE + 1;
	unsigned n = digits_of(s->seq);

	text_hex(ret, s->journal.b, ID_SIZE);
	ret[at - 1] = ':';
	digits_put((uint8_t *) ret + at, s->seq, n);
	ret[at + n] = '\0';
	return at + n;
}

int shown_cursor_parse(const char *text, struct id *ret_journal, uint64_t *ret_seq)
{
	size_t n = (size_t) 2 * ID_SIZE;

	if (strlen(text) < n + 2 || text[n] != ':' ||
	    text_unhex(text, n, ret_journal->b, ID_SIZE) < 0 ||
	    text_to_u64(text + n + 1, ret_seq) < 0)
		return -EINVAL;
	return 0;
}

/* The fixed parts of an entry, as fields.  @return how many. */
static size_t fixed_fields(const struct shown *s, struct field ret[3])
{
	static const char digits[] = "01234567";
	const struct entry *e = s->entry;
	uint8_t import = s->contexts->at[s->context].import;
	size_t n = 0;

	if (!(import & CONTEXT_NO_MESSAGE))
		ret[n++] = FIELD("MESSAGE", e->message, e->message_len);
	if (!(import & CONTEXT_NO_PRIORITY))
		ret[n++] = FIELD("PRIORITY", &digits[e->priority], 1);
	if (e->flags & ENTRY_CONTINUED)
		ret[n++] = FIELD("_LINE_BREAK", "line-max", 8);
	else if (e->flags & ENTRY_NO_NEWLINE)
		ret[n++] = FIELD("_LINE_BREAK", "eof", 3);
	return n;
}

bool shown_each_field(const struct shown *s, shown_field_fn each, void *arg)
{
	struct field fixed[3];
	size_t n = fixed_fields(s, fixed);

	for (size_t i = 0; i < n; i++)
		if (each(arg, &fixed[i]))
			return true;
	for (size_t i = 0; i < s->entry->n_fields; i++)
		if (each(arg, &s->entry->fields[i]))
			return true;
	for (int64_t c = s->context; c >= 0; c = s->contexts->at[c].parent)
		for (size_t i = 0; i < s->contexts->at[c].n_fields; i++)
			if (each(arg, &s->contexts->at[c].fields[i]))
				return true;
	return false;
}

struct wanted {
	const char *name;
	size_t len;
	struct field *ret;
};

static bool is_wanted(void *arg, const struct field *f)
{
	struct wanted *w = arg;

	if (f->name_len != w->len || memcmp(f->name, w->name, w->len) != 0)
		return false;
	*w->ret = *f;
	return true;
}

bool shown_lookup(const struct shown *s, const char *name, struct field *ret)
{
	struct wanted w = { name, strlen(name), ret };

	return shown_each_field(s, is_wanted, &w);
}
