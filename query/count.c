/* SPDX-License-Identifier: Apache-2.0 */

/** Most entries follow one that has the same context: such a row of them is looked up once. */

#include "query/count.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "query/names.h"
#include "query/output-internal.h"
#include "query/shortname.h"

/* What is being counted. */
struct counter {
	const struct counting *asked;
	const char *const *fields; /* the names that the field goes by, NULL behind the last */
	struct names *names;
	uint64_t without; /* entries that have no such field */
	/* Entries that count as one value, not yet in `names`. */
	uint64_t times;
	const struct contexts *contexts;
	uint32_t context;
	bool found;
	struct field value;
	struct histogram histogram;
};

static int settle(struct counter *k)
{
	uint64_t times = k->times;

	k->times = 0;
	if (times == 0)
		return 0;
	if (k->found)
		return names_count(k->names, k->value.value, k->value.value_len, times);
	k->without += times;
	return 0;
}

/* Fields. */

static bool look(const struct glimpse *g, const char *name, struct field *ret)
{
	static const char digits[] = "01234567";
	const struct field *f;

	if (strcmp(name, "PRIORITY") == 0 &&
	    !(g->contexts->at[g->context].import & CONTEXT_NO_PRIORITY)) {
		*ret = (struct field){ .value = (const uint8_t *) &digits[*g->priority & 7],
				       .value_len = 1 };
		return true;
	}
	for (uint16_t i = 0; i < g->n_fields; i++)
		if (field_is(&g->fields[i], name)) {
			*ret = g->fields[i];
			return true;
		}
	f = contexts_lookup(g->contexts, g->context, name);
	if (f)
		*ret = *f;
	return f != NULL;
}

static void look_for(struct counter *k, const struct glimpse *g)
{
	k->found = false;
	for (const char *const *name = k->fields; !k->found && *name; name++)
		k->found = look(g, *name, &k->value);
}

static bool is_priority(const struct counter *k)
{
	return strcmp(k->fields[0], "PRIORITY") == 0;
}

/* Each may have another. */
static int count_priorities(struct counter *k, const struct glimpse *g)
{
	struct glimpse one = *g;
	int r = 0;

	one.n = 1;
	for (uint32_t i = 0; r >= 0 && i < g->n; i++, one.priority++) {
		look_for(k, &one);
		k->times++;
		r = settle(k);
	}
	return r;
}

static int count_field(void *arg, const struct glimpse *g)
{
	struct counter *k = arg;
	int r;

	if (g->n_fields == 0 && k->times > 0 && k->contexts == g->contexts &&
	    k->context == g->context) {
		k->times += g->n;
		return 0;
	}
	r = settle(k);
	if (r >= 0 && is_priority(k))
		return count_priorities(k, g);
	look_for(k, g);
	k->times = g->n;
	k->contexts = g->contexts;
	k->context = g->context;
	/* A value of the entry's own goes with it, and what it has the next one may not have. */
	return r >= 0 && g->n_fields > 0 ? settle(k) : r;
}

/* A journal counts at once if the field is the same in all of its contexts. */
static int count_journal(void *arg, const struct contexts *c, uint64_t entries)
{
	struct counter *k = arg;
	struct glimpse g = { .contexts = c };
	struct field first;
	bool found;
	int r;

	if (is_priority(k))
		return 0;
	look_for(k, &g);
	found = k->found;
	first = k->value;
	for (g.context = 1; g.context < c->n; g.context++) {
		look_for(k, &g);
		if (k->found != found ||
		    (found && (k->value.value_len != first.value_len ||
			       memcmp(k->value.value, first.value, first.value_len) != 0)))
			return 0;
	}
	k->times = entries;
	r = settle(k);
	return r < 0 ? r : 1;
}

/* Fields that only a whole entry has. */
static int count_whole(void *arg, const struct shown *s)
{
	struct counter *k = arg;

	k->found = false;
	for (const char *const *name = k->fields; !k->found && *name; name++)
		k->found = shown_lookup(s, *name, &k->value);
	k->times = 1;
	return settle(k); /* what it has goes with it */
}

static bool is_of_whole(const char *const *fields)
{
	for (; *fields; fields++)
		if (strcmp(*fields, "MESSAGE") == 0 || strcmp(*fields, "_LINE_BREAK") == 0)
			return true;
	return false;
}

/* Times. */

static int count_times(void *arg, const struct glimpse *g)
{
	struct counter *k = arg;

	return g->histogram ? histogram_add_all(&k->histogram, g->histogram)
			    : histogram_add(&k->histogram, g->time_ns, g->n);
}

static int name_span(void *arg, const struct time_span *span)
{
	struct counter *k = arg;
	uint64_t number = htobe64(span->number);

	return names_count(k->names, &number, sizeof number, span->times);
}

static int tally_times(struct counter *k, const struct catalog *c, const struct query *q,
		       struct query_stats *stats)
{
	struct tally t = { .span_ns = k->asked->span_ns, .entries = count_times, .arg = k };
	int r;

	histogram_begin(&k->histogram, t.span_ns);
	r = query_tally(c, q, &t, stats);
	if (r >= 0)
		r = histogram_each(&k->histogram, name_span, k);
	histogram_done(&k->histogram);
	return r;
}

static int tally_fields(struct counter *k, const struct catalog *c, const struct query *q,
			struct query_stats *stats)
{
	struct tally t = { .contexts = true,
			   .priorities = is_priority(k),
			   .journal = count_journal,
			   .entries = count_field,
			   .arg = k };

	return query_tally(c, q, &t, stats);
}

static int count(struct counter *k, const struct catalog *c, const struct query *q,
		 struct query_stats *stats)
{
	struct query all = *q;
	int r;

	all.limit = UINT64_MAX;
	all.newest = all.reverse = false;
	if (!k->asked->field)
		r = tally_times(k, c, &all, stats);
	else if (is_of_whole(k->fields))
		r = query_run(c, &all, count_whole, k, stats);
	else
		r = tally_fields(k, c, &all, stats);
	return r < 0 ? r : settle(k);
}

/* The answer. */

struct writer {
	const struct counting *asked;
	struct output *output;
	struct buf *to;
	uint64_t written;
};

static uint64_t time_of(const struct writer *w, const void *p)
{
	uint64_t span;

	memcpy(&span, p, sizeof span);
	return be64toh(span) * w->asked->span_ns;
}

static void write_json(struct writer *w, const void *p, size_t n, uint64_t times)
{
	const char *name = w->asked->field;

	if (!name) {
		buf_printf(w->to, "{\"time\":\"%" PRIu64 "\",\"count\":%" PRIu64 "}\n",
			   time_of(w, p) / 1000, times);
		return;
	}
	buf_char(w->to, '{');
	output_json_value(w->to, (const uint8_t *) name, strlen(name));
	buf_char(w->to, ':');
	if (p)
		output_json_value(w->to, p, n);
	else
		buf_str(w->to, "null");
	buf_printf(w->to, ",\"count\":%" PRIu64 "}\n", times);
}

static void write_line(struct writer *w, const void *p, size_t n, uint64_t times)
{
	buf_printf(w->to, "%10" PRIu64 "  ", times);
	if (!w->asked->field)
		buf_str(w->to, output_time(w->output, time_of(w, p)));
	else if (!p)
		buf_str(w->to, "-");
	else if (w->output->all || output_printable(p, n, false))
		buf_append(w->to, p, n);
	else
		buf_printf(w->to, "[%zuB blob data]", n);
	buf_char(w->to, '\n');
}

static void write_one(void *arg, const void *p, size_t n, uint64_t times)
{
	struct writer *w = arg;

	if (w->written++ >= w->asked->limit)
		return;
	if (w->output->format == OUTPUT_JSON)
		write_json(w, p, n, times);
	else
		write_line(w, p, n, times);
}

int count_entries(const struct counting *asked, const struct catalog *c, const struct query *q,
		  struct output *o, struct buf *to, struct query_stats *ret_stats)
{
	const char *const one[] = { asked->field, NULL };
	const struct short_name *brief = NULL;
	struct counter k = { .asked = asked, .names = names_new() };
	struct writer w = { .asked = asked, .output = o, .to = to };
	int r;

	if (!k.names) {
		if (c->copied)
			c->copied(c->arg);
		return -ENOMEM;
	}
	if (asked->field)
		brief = short_name_find(asked->field, strlen(asked->field));
	k.fields = brief ? brief->fields : one;
	r = count(&k, c, q, ret_stats);
	if (r >= 0)
		names_each(k.names, asked->field != NULL, write_one, &w);
	if (r >= 0 && k.without > 0)
		write_one(&w, NULL, 0, k.without);
	names_free(k.names);
	return r;
}
