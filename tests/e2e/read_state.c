/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What a state directory's tails hold, read without anything of query/: the tests' second opinion.
 *
 *	read_state [--where NAME=VALUE]... [--stream stdout|stderr] --raw | --list | --identity STATE
 *
 *	--raw       the bytes that the command wrote to the stream: pieces rejoined, a newline after each complete line
 *	--list      a line for each entry: stream, seq, flags, priority, length of the message
 *	--identity  NAME=value of each journal's identity, a blank line after each
 *	--where     only journals whose identity has this field
 */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/row.h"
#include "store/state.h"
#include "store/tail_reader.h"

enum { WHERES_MAX = 8 };

struct reading {
	struct state state;
	const char *stream;
	char mode;
	const char *where[WHERES_MAX];
	size_t n_where;
};

/* `text` is NAME=value. */
static bool is_wanted(const struct field *f, const char *text)
{
	size_t name = strcspn(text, "=");

	return f->name_len == name && memcmp(f->name, text, name) == 0 &&
	       f->value_len == strlen(text + name + 1) &&
	       memcmp(f->value, text + name + 1, f->value_len) == 0;
}

static bool wanted(const struct reading *o, const struct context_entry *identity)
{
	for (size_t i = 0; i < o->n_where; i++) {
		bool found = false;

		for (uint16_t k = 0; k < identity->n_fields; k++)
			found |= is_wanted(&identity->fields[k], o->where[i]);
		if (!found)
			return false;
	}
	return true;
}

static void show_identity(const struct context_entry *identity)
{
	for (uint16_t k = 0; k < identity->n_fields; k++) {
		const struct field *f = &identity->fields[k];

		printf("%.*s=%.*s\n", (int) f->name_len, (const char *) f->name, (int) f->value_len,
		       (const char *) f->value);
	}
	putchar('\n');
}

static void show(const struct reading *o, const struct tail_reader *t, const struct entry *e,
		 uint32_t context, uint64_t seq)
{
	const struct field *f = contexts_lookup(&t->contexts, context, "_STREAM");
	char stream[16] = "-";

	if (f && f->value_len < sizeof stream)
		memcpy(stream, f->value, f->value_len);
	if (f)
		stream[f->value_len] = '\0';
	if (o->stream && strcmp(stream, o->stream) != 0)
		return;
	if (o->mode == 'l')
		printf("%s %llu %u %u %u\n", stream, (unsigned long long) seq, e->flags,
		       e->priority, e->message_len);
	if (o->mode == 'r') {
		fwrite(e->message, 1, e->message_len, stdout);
		if (!(e->flags & (ENTRY_CONTINUED | ENTRY_NO_NEWLINE)))
			putchar('\n');
	}
}

static int read_rows(const struct reading *o, const struct tail_reader *t,
		     const struct tail_rows *rows, uint64_t *seq)
{
	_cleanup_buf_ struct buf raw = { 0 };
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context, n = 0;
	struct rd rd;
	int r;

	if (rows->first_seq != *seq) {
		fprintf(stderr, "frame begins with entry %llu, want %llu\n",
			(unsigned long long) rows->first_seq, (unsigned long long) *seq);
		return BULLA_EORDER;
	}
	r = tail_rows_unpack(rows, &raw);
	if (r < 0)
		return r;
	rd = rd_of(raw.data, raw.len);
	for (; (r = row_decode(&state, &rd, fields, &e, &context)) > 0; n++)
		show(o, t, &e, context, (*seq)++);
	return r < 0 ? r : n == rows->count ? 0 : BULLA_ECORRUPT;
}

static int read_journal(void *arg, const struct id *journal, const char *name)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	const struct reading *o = arg;
	struct tail_item item;
	uint64_t seq = 0;
	bool first = true;
	int r;

	(void) journal;
	r = tail_reader_open(&t, o->state.journals, name);
	while (r >= 0 && (r = tail_reader_next(&t, &item)) > 0) {
		if (first && (t.contexts.n == 0 || !wanted(o, &t.contexts.at[0])))
			return 0;
		if (first && o->mode == 'i')
			show_identity(&t.contexts.at[0]);
		first = false;
		if (item.type == TAIL_ROWS)
			r = read_rows(o, &t, &item.rows, &seq);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", name, bulla_strerror(r));
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "where", required_argument, NULL, 'w' },
		{ "stream", required_argument, NULL, 's' },
		{ "raw", no_argument, NULL, 'r' },
		{ "list", no_argument, NULL, 'l' },
		{ "identity", no_argument, NULL, 'i' },
		{ 0 },
	};
	static struct reading o;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'w' && o.n_where < WHERES_MAX && strchr(optarg, '='))
			o.where[o.n_where++] = optarg;
		else if (c == 's')
			o.stream = optarg;
		else if (c == 'r' || c == 'l' || c == 'i')
			o.mode = (char) c;
		else
			return 2;
	}
	if (!o.mode || optind + 1 != argc)
		return 2;
	r = state_open(&o.state, argv[optind], false);
	if (r >= 0)
		r = state_each_journal(&o.state, read_journal, &o);
	if (r < 0)
		fprintf(stderr, "read_state: %s\n", bulla_strerror(r));
	return r < 0 ? 1 : fflush(stdout) == 0 ? 0 : 1;
}
