/* SPDX-License-Identifier: Apache-2.0 */

#include "query/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "bulla/error.h"
#include "query/count.h"
#include "query/names.h"
#include "query/shortname.h"

int request_init(struct request *r)
{
	*r = (struct request){ .priority_to = 7 };
	r->query.until_ns = UINT64_MAX;
	r->query.limit = UINT64_MAX;
	return match_new(&r->match) < 0 ? -ENOMEM : 0;
}

void request_done(struct request *r)
{
	r->match = match_free(r->match);
	free(r->list_field);
	free(r->count_by);
	free(r->grep);
	r->list_field = r->count_by = r->grep = NULL;
	output_done(&r->output);
}

/* Priorities: "err", "3", or a range "crit..warning"; one alone means it and worse. */

static int set_priority(struct request *r, const char *value, char *why)
{
	const char *dots = strstr(value, "..");
	int from = dots ? level_parse(value, (size_t) (dots - value)) : 0;
	int to = dots ? level_parse(dots + 2, strlen(dots + 2)) : level_parse(value, strlen(value));

	if (from < 0 || to < 0) {
		snprintf(why, 256,
			 "%.60s is no priority: emerg, alert, crit, err, warning, notice, info, "
			 "debug, 0 to 7, "
			 "or a range A..B",
			 value);
		return -EINVAL;
	}
	r->priority_from = MIN_OF(from, to);
	r->priority_to = MAX_OF(from, to);
	match_set_priority(r->match, r->priority_from, r->priority_to);
	return 0;
}

static int set_grep(struct request *r, const char *value, char *why)
{
	char message[256];
	int k;

	if (r->grep) {
		snprintf(why, 256, "only one pattern can be given");
		return -EINVAL;
	}
	k = match_set_grep(r->match, value, message);
	if (k < 0) {
		snprintf(why, 256, "the pattern is not understood %.150s", message);
		return -EINVAL;
	}
	r->grep = strdup(value);
	return r->grep ? 0 : -ENOMEM;
}

static int set_number(const char *key, const char *value, uint64_t *ret, char *why)
{
	if (text_to_u64(value, ret) < 0) {
		snprintf(why, 256, "%.100s is no number (%s)", value, key);
		return -EINVAL;
	}
	return 0;
}

static int say_match(int r, const void *value, size_t n, char *why)
{
	if (r == -EINVAL)
		snprintf(why, 256,
			 "%.*s is no match: FIELD=value, FIELD!=value, a short name as unit=, or a "
			 "container",
			 (int) MIN_OF(n, (size_t) 100), (const char *) value);
	else if (r == BULLA_ELIMIT)
		snprintf(why, 256, "too many matches");
	return r == BULLA_ELIMIT ? -EINVAL : r;
}

/* Keys whose values are bytes.  @return 1 if it was none of them. */
static int set_match(struct request *r, const char *key, const void *value, size_t n, char *why)
{
	if (strcmp(key, "match") == 0)
		return say_match(match_add(r->match, value, n), value, n, why);
	if (strcmp(key, "require") == 0)
		return say_match(match_require(r->match, value, n), value, n, why);
	if (strcmp(key, "unit") == 0)
		return say_match(match_require_field(r->match, "unit", value, n), value, n, why);
	return 1;
}

static int set_output(struct request *r, const char *value, char *why)
{
	int k = output_format_parse(value);

	if (k < 0) {
		snprintf(why, 256,
			 "%.100s is no output format: short, short-iso, json, export, cat, verbose",
			 value);
		return -EINVAL;
	}
	r->output.format = (enum output_format) k;
	return 0;
}

static int set_bool(const char *value, bool *ret)
{
	*ret = strcmp(value, "0") != 0;
	return 0;
}

static int set_field(const char *value, char **ret, char *why)
{
	if (*value == '\0') {
		snprintf(why, 256, "an empty name of a field");
		return -EINVAL;
	}
	free(*ret);
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int set_span(const char *key, const char *value, uint64_t *ret, char *why)
{
	int r = set_number(key, value, ret, why);

	if (r >= 0 && *ret == 0) {
		snprintf(why, 256, "a span of no time (%s)", key);
		return -EINVAL;
	}
	return r;
}

static int set_text(struct request *r, const char *key, const char *value, char *why)
{
	if (strcmp(key, "since") == 0)
		return set_number(key, value, &r->query.since_ns, why);
	if (strcmp(key, "until") == 0)
		return set_number(key, value, &r->query.until_ns, why);
	if (strcmp(key, "limit") == 0)
		return set_number(key, value, &r->query.limit, why);
	if (strcmp(key, "reverse") == 0)
		return set_bool(value, &r->query.reverse);
	if (strcmp(key, "newest") == 0)
		return set_bool(value, &r->query.newest);
	if (strcmp(key, "priority") == 0)
		return set_priority(r, value, why);
	if (strcmp(key, "grep") == 0)
		return set_grep(r, value, why);
	if (strcmp(key, "output") == 0)
		return set_output(r, value, why);
	if (strcmp(key, "colour") == 0)
		return set_bool(value, &r->output.colour);
	if (strcmp(key, "utc") == 0)
		return set_bool(value, &r->output.utc);
	if (strcmp(key, "all") == 0)
		return set_bool(value, &r->output.all);
	if (strcmp(key, "names") == 0)
		return set_bool(value, &r->list_names);
	if (strcmp(key, "field") == 0)
		return set_field(value, &r->list_field, why);
	if (strcmp(key, "count-by") == 0)
		return set_field(value, &r->count_by, why);
	if (strcmp(key, "histogram") == 0)
		return set_span(key, value, &r->histogram_ns, why);
	snprintf(why, 256, "unknown key %.100s", key);
	return -ENOENT;
}

int request_set(struct request *r, const char *key, const char *value, char *why)
{
	int k = set_match(r, key, value, strlen(value), why);

	return k <= 0 ? k : set_text(r, key, value, why);
}

int request_set_bytes(struct request *r, const char *key, const void *value, size_t n, char *why)
{
	int k = set_match(r, key, value, n, why);
	char *text;

	if (k <= 0)
		return k;
	if (n > 0 && memchr(value, '\0', n)) {
		snprintf(why, 256, "a value with a zero byte (%.100s)", key);
		return -EINVAL;
	}
	text = strndup(n > 0 ? value : "", n);
	if (!text)
		return -ENOMEM;
	k = set_text(r, key, text, why);
	free(text);
	return k;
}

/* Sending. */

static bool is_unreserved(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static void url_value(const char *key, const void *value, size_t n, struct buf *to)
{
	static const char hex[] = "0123456789ABCDEF";

	if (to->len > 0)
		buf_char(to, '&');
	buf_str(to, key);
	buf_char(to, '=');
	for (size_t i = 0; i < n; i++) {
		uint8_t c = ((const uint8_t *) value)[i];

		if (is_unreserved(c)) {
			buf_char(to, (char) c);
			continue;
		}
		buf_char(to, '%');
		buf_char(to, hex[c >> 4]);
		buf_char(to, hex[c & 15]);
	}
}

static void url_word(void *arg, bool required, const void *word, size_t n)
{
	url_value(required ? "require" : "match", word, n, arg);
}

static void url_text(const char *key, const char *value, struct buf *to)
{
	url_value(key, value, strlen(value), to);
}

static void url_number(const char *key, uint64_t value, struct buf *to)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, value);
	url_text(key, text, to);
}

void request_url_match(const struct request *r, struct buf *to)
{
	if (match_each_word(r->match, url_word, to) < 0)
		to->bad = true;
}

void request_url(const struct request *r, struct buf *to)
{
	static const char *const formats[] = { "short",	 "short-iso", "json",
					       "export", "cat",	      "verbose" };
	char range[8];

	_Static_assert(ELEMENTS(formats) == OUTPUT_VERBOSE + 1, "a format without a name");
	request_url_match(r, to);
	if (r->query.since_ns > 0)
		url_number("since", r->query.since_ns, to);
	if (r->query.until_ns != UINT64_MAX)
		url_number("until", r->query.until_ns, to);
	if (r->query.limit != UINT64_MAX)
		url_number("limit", r->query.limit, to);
	if (r->query.reverse)
		url_text("reverse", "1", to);
	if (r->query.newest)
		url_text("newest", "1", to);
	if (r->priority_from > 0 || r->priority_to < 7) {
		snprintf(range, sizeof range, "%d..%d", r->priority_from, r->priority_to);
		url_text("priority", range, to);
	}
	if (r->grep)
		url_text("grep", r->grep, to);
	if (r->list_field)
		url_text("field", r->list_field, to);
	if (r->list_names)
		url_text("names", "1", to);
	if (r->count_by)
		url_text("count-by", r->count_by, to);
	if (r->histogram_ns > 0)
		url_number("histogram", r->histogram_ns, to);
	if (r->output.colour)
		url_text("colour", "1", to);
	if (r->output.utc)
		url_text("utc", "1", to);
	if (r->output.all)
		url_text("all", "1", to);
	url_text("output", formats[r->output.format], to);
}

/* Answering. */

void answer_init(struct answer *a, struct request *r, answer_fn write, void *arg)
{
	*a = (struct answer){ .request = r, .write = write, .arg = arg };
	r->query.match = r->match;
}

void answer_done(struct answer *a)
{
	buf_done(&a->text);
	a->names = names_free(a->names);
}

static int flush(struct answer *a, size_t keep)
{
	int r;

	if (a->text.bad)
		return -ENOMEM;
	if (a->text.len <= keep)
		return 0;
	r = a->write(a->arg, a->text.data, a->text.len);
	buf_clear(&a->text);
	return r;
}

struct lister {
	struct answer *answer;
	const char *field;
	int r;
};

static bool list_field(void *arg, const struct field *f)
{
	struct lister *l = arg;

	if (!l->field)
		l->r = names_add(l->answer->names, f->name, f->name_len);
	else if (field_is(f, l->field))
		l->r = names_add(l->answer->names, f->value, f->value_len);
	return l->r < 0;
}

static int list_entry(void *arg, const struct shown *s)
{
	struct answer *a = arg;
	const struct short_name *brief = NULL;
	const char *const *fields;
	struct lister l = { .answer = a, .field = a->request->list_field };

	if (l.field)
		brief = short_name_find(l.field, strlen(l.field));
	fields = brief ? brief->fields : NULL;
	do {
		if (fields)
			l.field = *fields++;
		shown_each_field(s, list_field, &l);
	} while (l.r >= 0 && fields && *fields);
	return l.r;
}

static int show_entry(void *arg, const struct shown *s)
{
	struct answer *a = arg;

	output_entry(&a->request->output, s, &a->text);
	return flush(a, ANSWER_PIECE);
}

bool request_is_summary(const struct request *r)
{
	return r->list_field || r->list_names || r->count_by || r->histogram_ns > 0;
}

static int answer_counts(struct answer *a, const struct catalog *c)
{
	struct request *q = a->request;
	struct counting k = { q->count_by, q->histogram_ns, q->query.limit };
	int r = count_entries(&k, c, &q->query, &q->output, &a->text, &a->stats);

	return r < 0 ? r : flush(a, 0);
}

int answer_begin(struct answer *a)
{
	if (a->request->list_field || a->request->list_names) {
		a->names = names_new();
		if (!a->names)
			return -ENOMEM;
	}
	return 0;
}

int answer_end(struct answer *a)
{
	if (a->names)
		names_write(a->names, &a->text);
	else if (!a->request->follow)
		output_end(&a->request->output, &a->text);
	return flush(a, 0);
}

int answer_query(struct answer *a, const struct catalog *c)
{
	int r;

	if (a->request->count_by || a->request->histogram_ns > 0)
		return answer_counts(a, c);
	r = answer_begin(a);
	if (r < 0) {
		if (c->copied)
			c->copied(c->arg);
		return r;
	}
	r = query_run(c, &a->request->query, a->names ? list_entry : show_entry, a, &a->stats);
	return r < 0 ? r : answer_end(a);
}

int answer_rows(struct answer *a, const struct catalog_journal *j, const struct rows_ref *ref,
		const struct tail_rows *rows, struct buf *raw)
{
	int r = query_rows(&a->request->query, j, ref, rows, raw, show_entry, a);

	return r < 0 ? r : flush(a, 0);
}

int answer_entry(struct answer *a, const struct shown *s)
{
	return a->names ? list_entry(a, s) : show_entry(a, s);
}

int answer_flush(struct answer *a)
{
	return flush(a, 0);
}
