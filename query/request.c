/* SPDX-License-Identifier: Apache-2.0 */

#include "query/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "bulla/error.h"

enum { NAMES_MAX = 1 << 20 };

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
	free(r->grep);
	r->list_field = r->grep = NULL;
	output_done(&r->output);
}

/* Priorities: "err", "3", or a range "crit..warning"; one alone means it and worse. */

static int level_of(const char *text, size_t n)
{
	static const char *const names[] = { "emerg",	"alert",  "crit", "err",
					     "warning", "notice", "info", "debug" };

	if (n == 1 && *text >= '0' && *text <= '7')
		return *text - '0';
	for (int i = 0; i < (int) ELEMENTS(names); i++)
		if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0)
			return i;
	return -EINVAL;
}

static int set_priority(struct request *r, const char *value, char *why)
{
	const char *dots = strstr(value, "..");
	int from = dots ? level_of(value, (size_t) (dots - value)) : 0;
	int to = dots ? level_of(dots + 2, strlen(dots + 2)) : level_of(value, strlen(value));

	if (from < 0 || to < 0) {
		snprintf(why, 256,
			 "%s is no priority: emerg, alert, crit, err, warning, notice, info, "
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
		snprintf(why, 256, "%s is no number (%s)", value, key);
		return -EINVAL;
	}
	return 0;
}

static int set_match(struct request *r, const char *value, char *why)
{
	int k = match_add(r->match, value);

	if (k == -EINVAL)
		snprintf(why, 256,
			 "%.150s is no match: FIELD=value, a short name as unit=, or a container",
			 value);
	else if (k == BULLA_ELIMIT)
		snprintf(why, 256, "too many matches");
	return k == BULLA_ELIMIT ? -EINVAL : k;
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

int request_set(struct request *r, const char *key, const char *value, char *why)
{
	if (strcmp(key, "match") == 0)
		return set_match(r, value, why);
	if (strcmp(key, "unit") == 0)
		return match_add_field(r->match, "unit", value, strlen(value));
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
	if (strcmp(key, "field") == 0) {
		free(r->list_field);
		r->list_field = strdup(value);
		return r->list_field ? 0 : -ENOMEM;
	}
	snprintf(why, 256, "unknown key %.100s", key);
	return -ENOENT;
}

/* Sending. */

static void url_value(const char *key, const char *value, size_t n, struct buf *to)
{
	static const char hex[] = "0123456789ABCDEF";

	if (to->len > 0)
		buf_char(to, '&');
	buf_str(to, key);
	buf_char(to, '=');
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t) value[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c)) {
			if (c != 0) {
				buf_char(to, (char) c);
				continue;
			}
		}
		buf_char(to, '%');
		buf_char(to, hex[c >> 4]);
		buf_char(to, hex[c & 15]);
	}
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

void request_url(const struct request *r, struct buf *to)
{
	static const char *const formats[] = { "short",	 "short-iso", "json",
					       "export", "cat",	      "verbose" };
	struct buf words = { 0 };
	char range[8];

	match_words(r->match, &words);
	for (size_t at = 0; at < words.len;) {
		const uint8_t *end = memchr(words.data + at, '\n', words.len - at);
		size_t n = (size_t) (end - (words.data + at));

		url_value("match", (const char *) words.data + at, n, to);
		at += n + 1;
	}
	buf_done(&words);
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
	if (r->output.colour)
		url_text("colour", "1", to);
	if (r->output.utc)
		url_text("utc", "1", to);
	if (r->output.all)
		url_text("all", "1", to);
	url_text("output", formats[r->output.format], to);
}

/* Distinct values: an open-addressing set of byte strings, bounded. */

struct name {
	uint8_t *p;
	uint32_t n;
};

struct names {
	struct name *slot;
	size_t n, n_slots;
};

static struct names *names_free(struct names *s)
{
	for (size_t i = 0; s && i < s->n_slots; i++)
		free(s->slot[i].p);
	if (s)
		free(s->slot);
	free(s);
	return NULL;
}

static size_t names_slot(const struct names *s, const void *p, size_t n)
{
	uint64_t h = 1469598103934665603ull; /* FNV-1a */
	size_t i;

	for (size_t k = 0; k < n; k++)
		h = (h ^ ((const uint8_t *) p)[k]) * 1099511628211ull;
	for (i = h & (s->n_slots - 1); s->slot[i].p; i = (i + 1) & (s->n_slots - 1))
		if (s->slot[i].n == n && memcmp(s->slot[i].p, p, n) == 0)
			break;
	return i;
}

static int names_grow(struct names *s)
{
	struct names more = { .n_slots = s->n_slots ? 4 * s->n_slots : 256 };

	more.slot = calloc(more.n_slots, sizeof *more.slot);
	if (!more.slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].p)
			more.slot[names_slot(&more, s->slot[i].p, s->slot[i].n)] = s->slot[i];
	free(s->slot);
	s->slot = more.slot;
	s->n_slots = more.n_slots;
	return 0;
}

static int names_add(struct names *s, const void *p, size_t n)
{
	size_t i;

	if (2 * s->n >= s->n_slots && names_grow(s) < 0)
		return -ENOMEM;
	i = names_slot(s, p, n);
	if (s->slot[i].p)
		return 0;
	if (s->n >= NAMES_MAX)
		return BULLA_ELIMIT;
	s->slot[i].p = malloc(n + 1);
	if (!s->slot[i].p)
		return -ENOMEM;
	memcpy(s->slot[i].p, p, n);
	s->slot[i].n = (uint32_t) n;
	s->n++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = memcmp(x->p, y->p, MIN_OF(x->n, y->n));

	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
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
	else if (strlen(l->field) == f->name_len && memcmp(l->field, f->name, f->name_len) == 0)
		l->r = names_add(l->answer->names, f->value, f->value_len);
	return l->r < 0;
}

static int list_entry(void *arg, const struct shown *s)
{
	struct answer *a = arg;
	const char *const *fields = NULL;
	struct lister l = { .answer = a, .field = a->request->list_field };

	if (l.field)
		fields = match_short_name(l.field, strlen(l.field));
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

static int list_names(struct answer *a)
{
	struct names *s = a->names;
	size_t n = 0;

	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].p)
			s->slot[n++] = s->slot[i];
	for (size_t i = n; i < s->n_slots; i++)
		s->slot[i].p = NULL;
	if (n > 1)
		qsort(s->slot, n, sizeof *s->slot, compare_names);
	for (size_t i = 0; i < n; i++) {
		buf_append(&a->text, s->slot[i].p, s->slot[i].n);
		buf_char(&a->text, '\n');
	}
	return 0;
}

int answer_query(struct answer *a, const struct catalog *c)
{
	bool list = a->request->list_field || a->request->list_names;
	int r;

	if (list) {
		a->names = calloc(1, sizeof *a->names);
		if (!a->names)
			return -ENOMEM;
	}
	r = query_run(c, &a->request->query, list ? list_entry : show_entry, a, &a->stats);
	if (r >= 0 && list)
		r = list_names(a);
	else if (r >= 0 && !a->request->follow)
		output_end(&a->request->output, &a->text);
	if (r >= 0)
		r = flush(a, 0);
	return r;
}

int answer_rows(struct answer *a, const struct catalog_journal *j, const struct rows_ref *ref,
		const struct tail_rows *rows, struct buf *raw)
{
	int r = query_rows(&a->request->query, j, ref, rows, raw, show_entry, a);

	return r < 0 ? r : flush(a, 0);
}
