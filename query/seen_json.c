/* SPDX-License-Identifier: Apache-2.0 */

/** What verify saw, as JSON: numbers are numbers, times are microseconds and RFC 3339 besides. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "query/seen-internal.h"

/* What is no text becomes U+FFFD. */
static void put_string(struct buf *to, const char *text)
{
	const uint8_t *p = (const uint8_t *) text;
	size_t n = strlen(text), step;

	buf_char(to, '"');
	for (; n > 0; p += step, n -= step) {
		step = text_utf8_step(p, n);
		if (step == 0) {
			buf_str(to, "\\ufffd");
			step = 1;
		} else if (*p < ' ' || *p == 127)
			buf_printf(to, "\\u%04x", *p);
		else {
			if (*p == '"' || *p == '\\')
				buf_char(to, '\\');
			buf_append(to, p, step);
		}
	}
	buf_char(to, '"');
}

static void put_number(struct buf *to, const char *name, uint64_t n)
{
	buf_printf(to, "\"%s\":%" PRIu64, name, n);
}

/* "name":microseconds,"name_time":"2026-11-23T19:34:01Z" */
static void put_time(struct buf *to, const char *name, uint64_t time_ns)
{
	time_t second = (time_t) (time_ns / NS_PER_S);
	char text[64] = "";
	struct tm tm;

	put_number(to, name, time_ns / NS_PER_US);
	if (gmtime_r(&second, &tm))
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(to, ",\"%s_time\":\"%s\"", name, text);
}

static void put_member(struct buf *to, const char *name, uint64_t n)
{
	if (n == NONE)
		return;
	buf_char(to, ',');
	put_number(to, name, n);
}

void seen_put_finding_json(const struct finding *f, struct buf *to)
{
	buf_printf(to, "{\"verdict\":\"%s\",\"file\":", verdict_name(f->verdict));
	put_string(to, f->file);
	if (f->journal) {
		char id[2 * ID_SIZE + 1];

		text_hex(id, f->journal->b, ID_SIZE);
		buf_printf(to, ",\"journal\":\"%s\"", id);
	}
	put_member(to, "batch", f->batch);
	put_member(to, "batches", f->batches > 1 ? f->batches : NONE);
	put_member(to, "commit", f->commit);
	put_member(to, "commit_last", f->commit_last > 0 ? f->commit_last : NONE);
	put_member(to, "offset", f->offset);
	put_member(to, "entries", f->entries > 0 ? f->entries : NONE);
	buf_str(to, ",\"what\":");
	put_string(to, f->what);
	buf_char(to, '}');
}

static void put_keys(const struct seen *s, struct buf *to)
{
	static const char *const pins[] = {
		[SEEN_NOWHERE] = "nowhere",
		[SEEN_HERE] = "here",
		[SEEN_GIVEN] = "given",
	};
	const struct life *l = &s->report.life;
	char key[VKEY_SIZE];

	if (s->report.has_key) {
		vkey_write(&s->report.key, key);
		buf_str(to, ",\"host\":");
		put_string(to, s->report.host);
		buf_str(to, ",\"key\":");
		put_string(to, key);
		buf_str(to, ",\"later_keys\":[");
		for (uint32_t i = 0; i < l->n_keys; i++) {
			struct vkey later = seen_later_key(s, &l->keys[i]);

			vkey_write(&later, key);
			buf_str(to, i > 0 ? ",{\"key\":" : "{\"key\":");
			put_string(to, key);
			buf_char(to, ',');
			put_number(to, "commit", l->keys[i].commit);
			buf_char(to, '}');
		}
		buf_char(to, ']');
	}
	buf_printf(to, ",\"pinned\":\"%s\"", pins[s->pin]);
	if (s->pin == SEEN_HERE) {
		buf_str(to, ",\"pinned_in\":");
		put_string(to, s->pins);
	}
}

static void put_covers(const struct verify_report *v, struct buf *to)
{
	buf_str(to, ",\"covers\":{");
	put_number(to, "entries", v->entries);
	put_member(to, "bytes", v->bytes);
	put_member(to, "journals", v->journals);
	put_member(to, "batches", v->batches);
	put_member(to, "commits", v->commits);
	buf_str(to, "},\"dropped\":{");
	put_number(to, "entries", v->gaps.entries);
	put_member(to, "bytes", v->gaps.bytes);
	put_member(to, "gaps", v->gaps.counted);
	buf_printf(to, ",\"counting\":%s},\"pruned\":{", v->gaps.open ? "true" : "false");
	put_number(to, "entries", v->pruned_entries);
	put_member(to, "batches", v->pruned_batches);
	buf_str(to, "},\"unproved\":{");
	put_number(to, "entries", v->lost_entries);
	put_member(to, "batches", v->lost_batches);
	buf_char(to, '}');
	put_member(to, "unsealed", v->unsealed_entries);
}

static void put_spans(struct buf *to, const char *name, const struct life_spans *spans)
{
	buf_printf(to, ",\"%s\":[", name);
	for (uint32_t i = 0; i < spans->n; i++) {
		buf_str(to, i > 0 ? ",{" : "{");
		put_time(to, "from", spans->at[i].from_ns);
		buf_char(to, ',');
		put_time(to, "to", spans->at[i].to_ns);
		put_member(to, "commit", spans->at[i].commit);
		buf_char(to, '}');
	}
	buf_printf(to, "],\"%s_count\":%" PRIu64, name, spans->counted);
}

static void put_receipts(const struct seen *s, struct buf *to)
{
	buf_str(to, ",\"receipts\":[");
	for (uint32_t i = 0; i < s->n_receipts; i++) {
		const struct receipt *r = &s->receipts[i];

		buf_str(to, i > 0 ? ",{\"aggregator\":" : "{\"aggregator\":");
		put_string(to, r->destination);
		put_member(to, "commits", r->size);
		buf_char(to, ',');
		put_time(to, "received", r->time_ns);
		buf_printf(to, ",\"checked\":%s", r->checked ? "true" : "false");
		buf_char(to, '}');
	}
	buf_char(to, ']');
}

void seen_put_json(const struct seen *s, struct buf *to)
{
	char weakest[SEEN_WORDS];

	buf_printf(to, "\"verdict\":\"%s\"", verdict_name(s->report.verdict));
	put_keys(s, to);
	put_covers(&s->report, to);
	if (s->report.commits > 0) {
		buf_char(to, ',');
		put_time(to, "from", s->report.time_first);
		buf_char(to, ',');
		put_time(to, "to", s->report.time_last);
		buf_printf(to, ",\"up\":%s", seen_is_up(s) ? "true" : "false");
	}
	put_spans(to, "silences", &s->report.life.silences);
	put_spans(to, "restarts", &s->report.life.restarts);
	put_receipts(s, to);
	seen_weakest(s, weakest);
	buf_str(to, ",\"weakest\":");
	put_string(to, weakest);
}
