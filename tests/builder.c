/* SPDX-License-Identifier: Apache-2.0 */

/** Behind builder.h. */

#include "tests/builder.h"

#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "seal/ledger.h"
#include "store/recover.h"

enum { EVENT_BODY = 160 };

static const char *const parts[] = { "seal", "ledger", "journals", "segments" };

const char *builder_parent(void)
{
	const char *set = getenv("TMPDIR");

	if (set && *set)
		return set;
	return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

static uint64_t roll(struct builder *b)
{
	uint64_t z = b->dice += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t tick(struct builder *b)
{
	return b->now_ns += 1 + roll(b) % NS_PER_S;
}

/* The origin. */

static void begin(struct builder *b)
{
	struct origin_config config = {
		.host = "builder.example",
		.machine = { "machine" },
		.boot = b->boot,
		.params = b->params,
	};
	bool unclean;
	int r;

	r = origin_open(&b->origin, b->state.seal, b->state.ledger, &config);
	assert(r == 0);
	r = origin_begin(b->origin, tick(b), &unclean);
	assert(r == 0);
}

void builder_init(struct builder *b, const char *path, struct kes_params params)
{
	int r = sodium_init();

	assert(r >= 0);
	*b = (struct builder){ .params = params, .now_ns = 1700000000 * NS_PER_S };
	r = snprintf(b->path, sizeof b->path, "%s", path);
	assert(r > 0 && (size_t) r < sizeof b->path);
	b->journal = calloc(BUILDER_JOURNALS_MAX, sizeof *b->journal);
	assert(b->journal);
	randombytes_buf(b->boot.b, ID_SIZE);
	r = state_open(&b->state, path, true);
	assert(r == 0);
	begin(b);
}

void builder_crash(struct builder *b)
{
	b->origin = origin_close(b->origin);
	for (size_t i = 0; i < b->n; i++)
		tail_writer_close(&b->journal[i].tail);
}

void builder_done(struct builder *b)
{
	builder_crash(b);
	free(b->journal);
	state_close(&b->state);
}

static void commit(struct builder *b, struct batch_item *items, size_t n_items,
		   const struct event *events, size_t n_events)
{
	int r = origin_commit(b->origin, tick(b), items, n_items, events, n_events);

	assert(r == 0);
}

/* Journals. */

static struct field field(const char *name, const char *value)
{
	return (struct field){ (const uint8_t *) name, (const uint8_t *) value,
			       (uint32_t) strlen(value), (uint8_t) strlen(name) };
}

static size_t identity_leaf(const char *name, const char *tenant, uint8_t *to, size_t size,
			    struct hash *ret)
{
	struct field fields[] = { field("_ATTRIBUTION", "channel"), field("_CONTAINER_NAME", name),
				  field("_IMAGE_NAME", name),
				  field("_TENANT", tenant ? tenant : "") };
	struct context c = { .fields = fields, .n_fields = tenant ? 4 : 3 };
	struct wr w = wr_of(to, size);
	int r;

	context_encode(&c, &w);
	assert(!w.bad);
	r = context_hash(&c, ret);
	assert(r == 0);
	return w.len;
}

static uint32_t stream(struct tail_writer *t, const char *name)
{
	struct field f = field("_STREAM", name);
	int64_t k = tail_writer_context(t, 0, &f, 1);

	assert(k > 0);
	return (uint32_t) k;
}

size_t builder_open(struct builder *b, const char *name)
{
	struct id journal;

	randombytes_buf(journal.b, ID_SIZE);
	return builder_open_as(b, name, &journal);
}

size_t builder_open_as(struct builder *b, const char *name, const struct id *journal)
{
	struct builder_journal *j = &b->journal[b->n];
	uint8_t leaf[1024], seed[SEED_SIZE], body[EVENT_BODY];
	struct event_open open = { 0 };
	struct wr w = wr_of(body, sizeof body);
	size_t size;
	int r;

	assert(b->n < BUILDER_JOURNALS_MAX);
	j->id = *journal;
	randombytes_buf(seed, sizeof seed);
	size = identity_leaf(name, b->tenant, leaf, sizeof leaf, &open.identity);
	open.journal = j->id;
	open.seed_commitment = seed_commitment(&j->id, seed);
	r = tail_create(b->state.journals, &j->id, &b->boot, leaf, size, seed);
	assert(r == 0);
	event_open_encode(&open, &w);
	commit(b, NULL, 0, &(struct event){ EVENT_OPEN, (uint16_t) w.len, body }, 1);
	r = tail_writer_open(&j->tail, b->state.journals, &j->id, 0, 0);
	assert(r == 0);
	j->out = stream(&j->tail, "stdout");
	j->err = stream(&j->tail, "stderr");
	j->closed = false;
	return b->n++;
}

static void add(struct builder *b, size_t journal, struct entry *e, uint32_t context)
{
	struct builder_journal *j = &b->journal[journal];
	int r;

	e->time_ns = e->received_ns = b->now_ns += roll(b) % NS_PER_MS;
	if (roll(b) % 8 == 0) {
		e->time_ns -= roll(b) % NS_PER_S;
		e->flags |= ENTRY_TIME_BY_SENDER;
	}
	r = tail_writer_add(&j->tail, e, context);
	assert(r == 0);
}

void builder_log(struct builder *b, size_t journal, const char *message)
{
	struct entry e = { .message = (const uint8_t *) message,
			   .message_len = (uint32_t) strlen(message),
			   .priority = 6 };

	add(b, journal, &e, b->journal[journal].out);
}

void builder_log_many(struct builder *b, size_t journal, size_t n)
{
	static const char *const words[] = { "GET /",	 "took ",    "error: ",	  "user ",
					     "\xc3\xa4", "id=4711 ", "retrying ", "done " };

	for (size_t i = 0; i < n; i++) {
		char message[256] = "", value[32];
		struct field fields[2];
		struct entry e = { .message = (const uint8_t *) message,
				   .fields = fields,
				   .priority = (uint8_t) (roll(b) % 8) };
		size_t k = roll(b) % 6;

		while (k-- > 0)
			strcat(message, words[roll(b) % ELEMENTS(words)]);
		snprintf(value, sizeof value, "%u", (unsigned) (roll(b) % 1000));
		fields[0] = field("CODE_LINE", value);
		fields[1] = field("TID", value);
		e.n_fields = (uint16_t) (roll(b) % 4 == 0 ? roll(b) % 3 : 0);
		e.message_len = (uint32_t) strlen(message);
		e.flags = roll(b) % 16 == 0 ? ENTRY_CONTINUED : 0;
		add(b, journal, &e,
		    roll(b) % 3 == 0 ? b->journal[journal].err : b->journal[journal].out);
	}
}

void builder_flush(struct builder *b, size_t journal)
{
	struct tail_writer *t = &b->journal[journal].tail;
	int r;

	tail_writer_consumed(t, 0, t->next_seq * 10);
	r = tail_writer_flush(t);
	assert(r == 0);
}

static uint32_t handle_of(const struct builder *b, const struct id *id)
{
	int64_t handle = history_find_journal(origin_history(b->origin), id);

	assert(handle >= 0);
	return (uint32_t) handle;
}

void builder_cut(struct builder *b, size_t journal, struct batch_item *ret)
{
	struct builder_journal *j = &b->journal[journal];
	const struct batch *c = &j->tail.cut;
	int r;

	builder_flush(b, journal);
	r = tail_writer_cut(&j->tail, (int64_t) (roll(b) % NS_PER_S) - (int64_t) b->now_ns);
	assert(r == 0);
	*ret = (struct batch_item){ .handle = handle_of(b, &j->id),
				    .entries = c->entries,
				    .bytes = c->bytes,
				    .time_min = c->time_min,
				    .time_max = c->time_max,
				    .mono_offset = c->mono_offset,
				    .root = c->root };
}

void builder_commit(struct builder *b)
{
	struct batch_item items[BUILDER_JOURNALS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->journal[i].tail.fd >= 0 && tail_writer_open_entries(&b->journal[i].tail) > 0)
			builder_cut(b, i, &items[n++]);
	builder_seal(b, items, n);
}

void builder_seal(struct builder *b, struct batch_item *items, size_t n)
{
	commit(b, items, n, NULL, 0);
	for (size_t i = 0; i < b->n; i++)
		if (b->journal[i].tail.fd >= 0 && b->journal[i].tail.cut_pending)
			tail_writer_sealed(&b->journal[i].tail);
}

static struct event close_event(const struct builder *b, const struct id *id,
				const struct batch_item *last, uint8_t body[EVENT_BODY])
{
	const struct ledger_journal *j =
		history_journal(origin_history(b->origin), handle_of(b, id));
	struct event_close close = { .journal = *id,
				     .batches = j->batches + (last != NULL),
				     .entries = j->entries + (last ? last->entries : 0) };
	struct wr w = wr_of(body, EVENT_BODY);

	event_close_encode(&close, &w);
	assert(!w.bad);
	return (struct event){ EVENT_CLOSE, (uint16_t) w.len, body };
}

void builder_close(struct builder *b, size_t journal)
{
	struct builder_journal *j = &b->journal[journal];
	uint8_t body[EVENT_BODY];
	struct event e;

	builder_commit(b);
	e = close_event(b, &j->id, NULL, body);
	commit(b, NULL, 0, &e, 1);
	tail_writer_close(&j->tail);
	j->closed = true;
}

void builder_prune(struct builder *b, size_t journal, uint64_t batches)
{
	struct event_prune prune = { b->journal[journal].id, batches };
	uint8_t body[EVENT_BODY];
	struct wr w = wr_of(body, EVENT_BODY);
	struct event e = { EVENT_PRUNE, 0, body };

	event_prune_encode(&prune, &w);
	e.len = (uint16_t) w.len;
	commit(b, NULL, 0, &e, 1);
}

void builder_end(struct builder *b)
{
	int r;

	for (size_t i = 0; i < b->n; i++)
		if (!b->journal[i].closed)
			builder_close(b, i);
	r = origin_end(b->origin, tick(b));
	assert(r == 0);
	b->origin = origin_close(b->origin);
}

void builder_start(struct builder *b, bool reboot)
{
	if (reboot)
		randombytes_buf(b->boot.b, ID_SIZE);
	begin(b);
}

void builder_recover(struct builder *b)
{
	const struct history *h = origin_history(b->origin);
	uint8_t body[EVENT_BODY];

	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		struct ledger_journal j = *history_journal(h, i);
		struct batch_item item;
		struct event e;
		uint64_t cut;
		int r;

		if (j.closed)
			continue;
		r = recover_batch(b->state.journals, &j, &item, &cut);
		assert(r >= 0);
		item.handle = i;
		e = close_event(b, &j.id, r > 0 ? &item : NULL, body);
		commit(b, &item, (size_t) r, &e, 1);
	}
	for (size_t i = 0; i < b->n; i++)
		b->journal[i].closed = true;
}

void builder_restart(struct builder *b, bool reboot)
{
	builder_start(b, reboot);
	builder_recover(b);
}

struct vkey builder_pin(const struct builder *b)
{
	return history_vkey(origin_history(b->origin));
}

void builder_tail(const struct builder *b, size_t journal, char ret[64])
{
	char name[TAIL_NAME_SIZE];

	tail_name(&b->journal[journal].id, name);
	snprintf(ret, 64, "journals/%s", name);
}

void builder_story(struct builder *b, const char *path)
{
	size_t web, db, job;

	builder_init(b, path, (struct kes_params){ 2, 2 });
	web = builder_open(b, "web");
	db = builder_open(b, "db");
	for (unsigned i = 0; i < 5; i++) {
		builder_log_many(b, web, 3 + i);
		builder_flush(b, web);
		if (i % 2 == 0)
			builder_log_many(b, db, 2);
		builder_log(b, web, "last of its batch");
		builder_commit(b);
	}
	builder_close(b, db);
	builder_log_many(b, web, 2);
	builder_flush(b, web);
	builder_crash(b);
	builder_restart(b, true);
	job = builder_open(b, "job");
	for (unsigned i = 0; i < 4; i++) {
		builder_log_many(b, job, 4);
		builder_commit(b);
	}
	builder_end(b);
}

/* Looking at the result. */

void verified_done(struct verified *v)
{
	buf_done(&v->findings);
}

static void note(void *arg, const struct finding *f)
{
	struct verified *v = arg;

	buf_printf(&v->findings, "%s %s: %s\n", verdict_name(f->verdict), f->file, f->what);
}

void builder_verify_with(const char *path, struct verify_options options, struct verified *v)
{
	struct state s;

	buf_clear(&v->findings);
	v->error = state_open(&s, path, false);
	if (v->error < 0)
		return;
	options.found = note;
	options.arg = v;
	if (options.now_ns == 0)
		options.now_ns = 1800000000 * NS_PER_S;
	v->error = verify_state(&s, &options, &v->report);
	state_close(&s);
	buf_char(&v->findings, '\0');
	assert(!v->findings.bad);
}

void builder_verify(const char *path, const struct vkey *pin, struct verified *v)
{
	builder_verify_with(path, (struct verify_options){ .pin = pin }, v);
}

bool verified_says(const struct verified *v, enum verdict verdict, const char *what)
{
	const char *line = (const char *) v->findings.data, *name = verdict_name(verdict);

	for (; line && *line; line = strchr(line, '\n') + 1) {
		const char *said = strstr(line, ": ");

		if (strncmp(line, name, strlen(name)) == 0 && said &&
		    strncmp(said + 2, what, strlen(what)) == 0)
			return true;
	}
	return false;
}

static int dump_rows(struct tail_reader *t, const struct tail_rows *rows, uint64_t *left,
		     struct buf *raw, struct buf *to)
{
	static const uint8_t no_salt[SALT_SIZE];
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r = tail_rows_unpack(rows, raw);

	if (r < 0)
		return r;
	rd = rd_of(raw->data, raw->len);
	while (*left > 0 && (r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		struct wr w;

		if (context >= t->contexts.n)
			return -EBADMSG;
		e.context = t->contexts.at[context].hash;
		if (!buf_room(to, entry_leaf_size(&e)))
			return -ENOMEM;
		w = wr_of(to->data + to->len, entry_leaf_size(&e));
		entry_encode(&e, no_salt, &w);
		buf_add(to, w.len);
		for (int64_t k = context; k >= 0; k = t->contexts.at[k].parent)
			buf_append(to, t->contexts.at[k].leaf, t->contexts.at[k].leaf_size);
		--*left;
	}
	return r < 0 ? r : 0;
}

static int dump_journal(const struct state *s, const struct ledger_journal *j, struct buf *to)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_buf_ struct buf raw = { 0 };
	char name[TAIL_NAME_SIZE];
	uint64_t left = j->entries;
	struct tail_item item;
	int r;

	tail_name(&j->id, name);
	r = tail_reader_open(&t, s->journals, name);
	while (r >= 0 && left > 0 && (r = tail_reader_next(&t, &item)) > 0)
		if (item.type == TAIL_ROWS)
			r = dump_rows(&t, &item.rows, &left, &raw, to);
	return r < 0 ? r : left > 0 ? -ENODATA : 0;
}

int builder_dump_each(const char *path, builder_dump_fn each, void *arg)
{
	_cleanup_buf_ struct buf entries = { 0 };
	struct history *h = history_new();
	struct ledger_scan scan;
	struct ledger l;
	struct state s;
	int r = state_open(&s, path, false);

	assert(h);
	if (r >= 0) {
		r = ledger_open(&l, s.ledger, O_RDONLY, h, HISTORY_SKIP_SIGNATURE, NULL, NULL,
				&scan);
		if (r >= 0)
			ledger_close(&l);
		for (uint32_t i = 0; r >= 0 && i < history_n_journals(h); i++) {
			buf_clear(&entries);
			r = dump_journal(&s, history_journal(h, i), &entries);
			if (r >= 0)
				each(arg, history_journal(h, i), &entries);
		}
		state_close(&s);
	}
	history_free(h);
	return r;
}

static void append_dump(void *arg, const struct ledger_journal *j, const struct buf *entries)
{
	buf_append(arg, j->id.b, ID_SIZE);
	buf_append(arg, entries->data, entries->len);
}

int builder_dump(const char *path, struct buf *to)
{
	return builder_dump_each(path, append_dump, to);
}

/* Files. */

void builder_load(const char *path, const char *name, struct buf *to)
{
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = io_read_file(dir, name, 64 << 20, to);

	assert(r == 0);
}

void builder_store(const char *path, const char *name, const void *data, size_t n)
{
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	int r;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(fd >= 0);
	r = io_write(fd, data, n);
	assert(r == 0);
}

void builder_copy(const char *from, const char *to)
{
	_cleanup_buf_ struct buf content = { 0 };
	char below[1024], name[512];

	for (size_t i = 0; i < ELEMENTS(parts); i++) {
		struct dirent *e;
		DIR *dir;
		int r;

		snprintf(below, sizeof below, "%s/%s", from, parts[i]);
		dir = opendir(below);
		/* Segments are not always there. */
		if (!dir && errno == ENOENT)
			continue;
		assert(dir);
		snprintf(below, sizeof below, "%s/%s", to, parts[i]);
		r = io_make_dirs(below, 0700);
		assert(r == 0);
		while ((e = readdir(dir)) != NULL) {
			if (e->d_type != DT_REG)
				continue;
			snprintf(name, sizeof name, "%s/%s", parts[i], e->d_name);
			buf_clear(&content);
			builder_load(from, name, &content);
			builder_store(to, name, content.data, content.len);
		}
		closedir(dir);
	}
}
