/* SPDX-License-Identifier: Apache-2.0 */

#include "query/output.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/text.h"
#include "query/output-internal.h"

static const char text_plain[] = "text/plain; charset=utf-8";

static const struct {
	const char *name;
	const char *content_type;
	void (*entry)(struct output *o, const struct shown *s, struct buf *to);
} formats[] = {
	[OUTPUT_SHORT] = { "short", text_plain, output_short },
	[OUTPUT_SHORT_ISO] = { "short-iso", text_plain, output_short },
	[OUTPUT_JSON] = { "json", "application/json", output_json },
	[OUTPUT_EXPORT] = { "export", "application/vnd.fdo.journal", output_export },
	[OUTPUT_CAT] = { "cat", text_plain, output_cat },
	[OUTPUT_VERBOSE] = { "verbose", text_plain, output_verbose },
};

int output_format_parse(const char *name)
{
	for (size_t i = 0; i < ELEMENTS(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return (int) i;
	return -EINVAL;
}

bool output_tells_seals(enum output_format format)
{
	return format == OUTPUT_JSON || format == OUTPUT_EXPORT || format == OUTPUT_VERBOSE;
}

const char *output_content_type(enum output_format format)
{
	assert(format < ELEMENTS(formats));
	return formats[format].content_type;
}

void output_entry(struct output *o, const struct shown *s, struct buf *to)
{
	assert(o->format < ELEMENTS(formats));
	assert(s->context < s->contexts->n);
	formats[o->format].entry(o, s, to);
}

void output_end(struct output *o, struct buf *to)
{
	if (o->piece_open)
		buf_char(to, '\n');
	o->piece_open = false;
}

/* Context chains. */

struct output_cache *output_cache(struct output *o, struct buf *to)
{
	if (!o->cache)
		o->cache = calloc(1, sizeof *o->cache);
	if (!o->cache)
		to->bad = true;
	return o->cache;
}

void output_forget_contexts(struct output *o)
{
	/* Numbers mean something else in the next table, so no line goes on there. */
	o->piece_context = UINT32_MAX;
	if (!o->cache)
		return;
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		o->cache->slots[i].contexts = NULL;
}

void output_done(struct output *o)
{
	if (o->cache) {
		for (size_t i = 0; i < CACHE_SLOTS; i++)
			buf_done(&o->cache->slots[i].text);
		buf_done(&o->cache->scratch);
		free(o->cache->fields);
	}
	free(o->cache);
	*o = (struct output){ 0 };
}

bool output_slot_holds(const struct context_slot *slot, const struct shown *s)
{
	return slot->contexts == s->contexts && slot->number == s->context &&
	       slot->source_time == output_has_source_time(s);
}

struct context_slot *output_slot(struct output_cache *c, const struct shown *s)
{
	uint64_t h = ((uintptr_t) s->contexts >> 4) + s->context;
	struct context_slot *one, *other;

	/* Fibonacci hashing: neighbouring numbers and tables go to different slots. */
	h *= 0x9e3779b97f4a7c15ull;
	one = &c->slots[h >> 32 & (CACHE_SLOTS - 2)];
	other = one + 1;
	if (output_slot_holds(one, s) || !one->contexts)
		return one;
	if (output_slot_holds(other, s) || !other->contexts)
		return other;
	return h >> 31 & 1 ? one : other;
}

void output_slot_begin(struct context_slot *slot, const struct shown *s)
{
	slot->contexts = s->contexts;
	slot->number = s->context;
	slot->source_time = output_has_source_time(s);
	slot->oversized = false;
	slot->names = 0;
	memset(slot->who, 0, sizeof slot->who);
	buf_clear(&slot->text);
}

void output_slot_end(struct context_slot *slot)
{
	if (slot->text.bad || slot->text.len > SLOT_TEXT_MAX) {
		buf_done(&slot->text);
		slot->oversized = true;
	}
}

/* Lists of fields. */

bool output_each_own(const struct shown *s, shown_field_fn each, void *arg)
{
	/* An identity without fields makes shown_each_field() tell the entry's alone. */
	struct context_entry nothing = {
		.parent = -1,
		.import = s->contexts->at[s->context].import,
	};
	struct contexts none = { .at = &nothing, .n = 1 };
	struct shown bare = *s;

	bare.contexts = &none;
	bare.context = 0;
	return shown_each_field(&bare, each, arg);
}

bool output_each_context(const struct shown *s, shown_field_fn each, void *arg)
{
	for (int64_t c = s->context; c >= 0; c = s->contexts->at[c].parent)
		for (size_t i = 0; i < s->contexts->at[c].n_fields; i++)
			if (each(arg, &s->contexts->at[c].fields[i]))
				return true;
	return false;
}

void output_gather_begin(struct output_cache *c)
{
	c->n_fields = 0;
}

bool output_gather(struct output_cache *c, const struct field *f, struct buf *to)
{
	static const char digits[] = "0123456789";
	struct gathered_field *g;

	if (c->n_fields == c->cap_fields) {
		size_t cap = c->cap_fields ? c->cap_fields * 2 : 64;

		g = reallocarray(c->fields, cap, sizeof *g);
		if (!g) {
			to->bad = true;
			return true;
		}
		c->fields = g;
		c->cap_fields = cap;
	}
	g = &c->fields[c->n_fields];
	*g = (struct gathered_field){ .f = *f, .order = (uint32_t) c->n_fields };
	/* The text of the priority lives no longer than shown_each_field() runs. */
	if (f->value_len == 1 && f->value[0] >= '0' && f->value[0] <= '9')
		g->f.value = (const uint8_t *) &digits[f->value[0] - '0'];
	c->n_fields++;
	return false;
}

struct gathering {
	struct output_cache *cache;
	const struct shown *shown;
	struct buf *to;
};

static bool gather_unreserved(void *arg, const struct field *f)
{
	struct gathering *g = arg;

	return !output_reserved(g->shown, f) && output_gather(g->cache, f, g->to);
}

void output_gather_own(struct output_cache *c, const struct shown *s, struct buf *to)
{
	output_each_own(s, gather_unreserved, &(struct gathering){ c, s, to });
}

void output_gather_contexts(struct output_cache *c, const struct shown *s, struct buf *to)
{
	output_each_context(s, gather_unreserved, &(struct gathering){ c, s, to });
}

static int by_name(const void *left, const void *right)
{
	const struct gathered_field *a = left, *b = right;
	int r = memcmp(a->f.name, b->f.name, MIN_OF(a->f.name_len, b->f.name_len));

	if (r != 0)
		return r;
	if (a->f.name_len != b->f.name_len)
		return a->f.name_len < b->f.name_len ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

void output_gather_sort(struct output_cache *c)
{
	enum { FEW = 64 };
	struct gathered_field f;
	size_t k;

	if (c->n_fields > FEW) {
		qsort(c->fields, c->n_fields, sizeof *c->fields, by_name);
		return;
	}
	/* qsort() allocates; the usual number of fields, in runs that are sorted already, does without. */
	for (size_t i = 1; i < c->n_fields; i++) {
		f = c->fields[i];
		for (k = i; k > 0 && by_name(&c->fields[k - 1], &f) > 0; k--)
			c->fields[k] = c->fields[k - 1];
		c->fields[k] = f;
	}
}

/* Names. */

bool output_same_name(const struct field *a, const struct field *b)
{
	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

bool output_reserved(const struct shown *s, const struct field *f)
{
	if (f->name[0] != '_')
		return false;
	if (f->name_len > 1 && f->name[1] == '_')
		return !output_imported(s) || !field_is(f, "__MONOTONIC_TIMESTAMP");
	return (!output_imported(s) && field_is(f, "_BOOT_ID")) ||
	       (output_has_source_time(s) && field_is(f, "_SOURCE_REALTIME_TIMESTAMP"));
}

uint64_t output_name_bit(const struct field *f)
{
	uint32_t h = f->name_len * 131u + f->name[0];

	h = h * 31 + f->name[f->name_len / 2];
	h = h * 31 + f->name[f->name_len - 1];
	return UINT64_C(1) << (h * 0x9e3779b1u >> 26);
}

/* Facts of an entry. */

bool output_imported(const struct shown *s)
{
	return s->contexts->at[s->context].import & CONTEXT_IMPORTED;
}

bool output_has_source_time(const struct shown *s)
{
	return s->entry->flags & (ENTRY_TIME_BY_RUNTIME | ENTRY_TIME_BY_SENDER);
}

uint64_t output_realtime_us(const struct shown *s)
{
	return (output_has_source_time(s) ? s->entry->received_ns : s->entry->time_ns) / NS_PER_US;
}

bool output_monotonic_us(const struct shown *s, uint64_t *ret)
{
	int64_t ns;

	/* A journal may say anything; what is no time since boot is left out. */
	if (!s->has_mono || output_imported(s) ||
	    __builtin_add_overflow(s->entry->received_ns, s->mono_offset, &ns) || ns < 0)
		return false;
	*ret = (uint64_t) ns / NS_PER_US;
	return true;
}

/* Text. */

char *output_id(char *p, const struct id *id)
{
	text_hex(p, id->b, ID_SIZE);
	return p + 2 * ID_SIZE;
}

char *output_decimal(char *p, uint64_t v)
{
	unsigned n = digits_of(v);

	digits_put((uint8_t *) p, v, n);
	return p + n;
}

void output_append_decimal(struct buf *to, uint64_t v)
{
	char digits[DECIMAL_MAX];

	buf_append(to, digits, (size_t) (output_decimal(digits, v) - digits));
}

static size_t format_time(struct output *o, const struct tm *tm)
{
	switch (o->format) {
	case OUTPUT_SHORT_ISO:
		return strftime(o->cached_time, sizeof o->cached_time, "%Y-%m-%dT%H:%M:%S%z", tm);
	case OUTPUT_VERBOSE:
		return strftime(o->cached_time, sizeof o->cached_time, "%a %Y-%m-%d %H:%M:%S %Z",
				tm);
	default:
		return strftime(o->cached_time, sizeof o->cached_time, "%b %d %H:%M:%S", tm);
	}
}

static void to_utc(time_t t, struct tm *ret)
{
	gmtime_r(&t, ret);
	/* The C library calls it GMT, journalctl and everybody else UTC. */
	ret->tm_zone = "UTC";
}

const char *output_time(struct output *o, uint64_t time_ns)
{
	int64_t second = (int64_t) (time_ns / NS_PER_S);
	time_t t = (time_t) second;
	struct tm tm;

	if (second == o->cached_second && o->cached_time[0] != '\0')
		return o->cached_time;
	if (o->utc || !localtime_r(&t, &tm))
		to_utc(t, &tm);
	if (format_time(o, &tm) == 0) {
		/* The zone's name is absurdly long. */
		to_utc(t, &tm);
		format_time(o, &tm);
	}
	o->cached_second = second;
	return o->cached_time;
}

size_t output_plain_run(const uint8_t *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101ull, highs = ones << 7;
	size_t at = 0;
	uint64_t v;

	for (; n - at >= 8; at += 8) {
		memcpy(&v, p + at, 8);
		/* The top bit of a byte says: below space; DEL or above ASCII. */
		if ((((v - ones * ' ') & ~v) | v | ((v & ~highs) + ones)) & highs)
			break;
	}
	return at;
}

/* The length of the character at `p`, or 0 if it is none or a control character. */
static size_t printable_step(const uint8_t *p, size_t n)
{
	size_t step;

	if (p[0] < 0x80)
		return p[0] >= ' ' && p[0] != 0x7f;
	step = text_utf8_step(p, n);
	/* U+0080 to U+009F: terminals know them as the one-byte forms of ESC sequences. */
	return p[0] == 0xc2 && step > 0 && p[1] < 0xa0 ? 0 : step;
}

bool output_printable(const uint8_t *p, size_t n, bool newline)
{
	size_t step, at = 0;

	while (at < n) {
		at += output_plain_run(p + at, n - at);
		/* Up to the next word that may be plain. */
		for (size_t end = MIN_OF(n, at + 8); at < end; at += step) {
			step = p[at] == '\t' || (newline && p[at] == '\n')
				       ? 1
				       : printable_step(p + at, n - at);
			if (step == 0)
				return false;
		}
	}
	return true;
}

void output_append_name(struct buf *to, const struct field *f)
{
	if (output_printable(f->name, f->name_len, false)) {
		buf_append(to, f->name, f->name_len);
		return;
	}
	for (size_t at = 0, step; at < f->name_len; at += MAX_OF(step, 1u)) {
		step = printable_step(f->name + at, f->name_len - at);
		if (step > 0)
			buf_append(to, f->name + at, step);
		else
			buf_str(to, "\xef\xbf\xbd");
	}
}
