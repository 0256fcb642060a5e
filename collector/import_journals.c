/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory stays bounded however many sources there are: rows are staged up to a limit in all journals together, contexts up to
 * another, and what a busy journal holds on to is given back when many have been busy.
 */

#include "collector/import_journals-internal.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "bulla/error.h"
#include "collector/identity.h"
#include "store/recover.h"

enum {
	STAGE_MAX = 256 << 10,	  /* of a journal... */
	STAGE_ALL_MAX = 16 << 20, /* ...and of all */
	KEPT_ALL_MAX = 48 << 20,
	BATCH_FULL = 3 << 20,
	BATCH_FULL_ENTRIES = 1 << 18,
	CUT_EVERY_MS = 2000,
	CUT_COST = 8, /* cutting takes no more than a part of the time */
	RETRY_MS = 500,
	OPEN_AT_ONCE = 64, /* new journals... */
	OPEN_LATE_MS = 50, /* ...that wait for each other no longer than this */
	FDS_PER_JOURNAL = 3,
	FDS_OTHERS = 64,
};

/* Starting. */

static uint32_t journals_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur <= FDS_OTHERS + FDS_PER_JOURNAL)
		return 1;
	return (uint32_t) MIN_OF((files.rlim_cur - FDS_OTHERS) / FDS_PER_JOURNAL,
				 (rlim_t) SOURCES_OPEN_MAX);
}

int import_journals_new(struct import_journals **ret, const struct state *state,
			const struct tenant *tenant, const volatile sig_atomic_t *stop)
{
	struct import_journals *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	s->state = state;
	s->tenant = *tenant;
	s->stop = stop;
	s->link = SEALER_LINK_NONE;
	s->shared = s->before.journal = s->before.context = -1;
	s->n_max = journals_max();
	import_split_init(&s->split);
	s->cut_at = clock_monotonic_ns();
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = s->epoll < 0 ? -errno : host_describe(&s->host);
	if (r >= 0)
		r = import_links_reach(s);
	if (r < 0) {
		import_journals_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void journal_free(struct import_journal *j)
{
	close_fd(&j->channel);
	tail_writer_close(&j->tail);
	close_fd(&j->lock);
	free(j);
}

struct import_journals *import_journals_free(struct import_journals *s)
{
	if (!s)
		return NULL;
	for (uint32_t i = 0; i < s->n; i++)
		journal_free(s->journals[i]);
	for (size_t i = 0; i < CACHE_SIZE; i++)
		buf_done(&s->cache[i].fields);
	close_fd(&s->link.fd);
	close_fd(&s->epoll);
	free(s);
	return NULL;
}

/* Writing.  A full disk is waited for; who has been told to stop meanwhile does without what is not written. */

int import_wait_for_space(struct import_journals *s, int error)
{
	if (error != -ENOSPC && error != -EDQUOT)
		return error;
	if (*s->stop)
		return -ECANCELED;
	if (!s->full_said)
		log_error_code(error, "waiting for space");
	s->full_said = true;
	poll(NULL, 0, RETRY_MS);
	return 0;
}

static int make_durable(struct import_journals *s, struct import_journal *j)
{
	int r;

	while ((r = tail_writer_settle(&j->tail)) < 0) {
		r = import_wait_for_space(s, r);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Have the sealer open the journals that are new.  Many at once share the sync of their directory, and its commits. */
static int open_new(struct import_journals *s)
{
	int r = 0;

	if (s->n_opened == s->n)
		return 0;
	for (uint32_t i = s->n_opened; i < s->n && r >= 0; i++)
		if (s->journals[i]->tail.durable == 0)
			r = make_durable(s, s->journals[i]);
	if (r >= 0)
		r = io_sync_dir(s->state->journals);
	while (r >= 0 && s->n_opened < s->n)
		r = import_links_open(s, s->journals[s->n_opened++]);
	return r;
}

/* Its opening is sealed, or others have closed it. */
static int await_opening(struct import_journals *s, const struct import_journal *j)
{
	int r = j->opened ? 0 : open_new(s);

	while (r >= 0 && !j->opened && !j->closed)
		r = import_links_pump(s, -1);
	return r;
}

/* What the ledger does not know has nothing in it, whenever we are killed: until it knows the journal, its rows wait. */
static int flush(struct import_journals *s, struct import_journal *j)
{
	size_t staged = tail_writer_staged(&j->tail);
	int r;

	if (staged == 0)
		return 0;
	r = await_opening(s, j);
	if (r < 0)
		return r;
	if (s->flushed_last)
		tail_writer_take_scratch(&j->tail, &s->flushed_last->tail);
	s->flushed_last = j;
	while ((r = tail_writer_flush(&j->tail)) < 0) {
		r = import_wait_for_space(s, r);
		if (r < 0)
			return r;
	}
	s->staged -= staged;
	return 0;
}

/* Let go of the memory of rows when many journals hold on to much. */
static void relax(struct import_journals *s)
{
	size_t kept = 0;

	for (uint32_t i = 0; i < s->n; i++)
		kept += s->journals[i]->tail.stage.rows.cap;
	for (uint32_t i = 0; i < s->n && kept > KEPT_ALL_MAX; i++)
		if (tail_writer_staged(&s->journals[i]->tail) == 0)
			tail_writer_relax(&s->journals[i]->tail);
}

static int flush_all(struct import_journals *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->n && r >= 0; i++)
		r = flush(s, s->journals[i]);
	relax(s);
	return r;
}

/* Cut what the journal has, if its opening and its last cut are sealed.  The sealer is yet to be told. */
static int cut_quietly(struct import_journals *s, struct import_journal *j)
{
	int64_t mono = clock_offset_stamp_ns();
	int r = j->opened ? flush(s, j) : 0;

	if (r < 0 || !j->opened || j->tail.cut_pending || tail_writer_open_entries(&j->tail) == 0)
		return r;
	while ((r = tail_writer_cut(&j->tail, mono)) < 0) {
		r = import_wait_for_space(s, r);
		if (r < 0)
			return r;
	}
	j->untold = true;
	return 0;
}

static int cut(struct import_journals *s, struct import_journal *j)
{
	int r = await_opening(s, j);

	while (r >= 0 && j->tail.cut_pending)
		r = import_links_pump(s, -1);
	if (r >= 0)
		r = cut_quietly(s, j);
	if (r < 0)
		return r;
	if (j->untold)
		import_links_send_cut(s, j);
	return import_links_pump(s, 0);
}

/* All are durable before the sealer hears of the first, so that few commits have all of them. */
static int cut_all(struct import_journals *s)
{
	uint64_t began = clock_monotonic_ns();
	int r = 0;

	for (uint32_t i = 0; i < s->n && r >= 0; i++)
		r = cut_quietly(s, s->journals[i]);
	if (r >= 0)
		r = open_new(s);
	for (uint32_t i = 0; i < s->n; i++)
		if (s->journals[i]->untold)
			import_links_send_cut(s, s->journals[i]);
	s->cut_at = clock_monotonic_ns();
	s->cut_took = s->cut_at - began;
	relax(s);
	return r < 0 ? r : import_links_pump(s, 0);
}

int import_journals_step(struct import_journals *s, bool idle)
{
	uint64_t pause = MAX_OF(CUT_EVERY_MS * NS_PER_MS, CUT_COST * s->cut_took);
	uint64_t now = clock_monotonic_ns();
	int r = import_links_pump(s, 0);

	if (r >= 0 && (idle || now - s->cut_at > pause))
		return cut_all(s);
	if (r >= 0 && s->n > s->n_opened &&
	    (s->n - s->n_opened >= OPEN_AT_ONCE || now - s->new_since > OPEN_LATE_MS * NS_PER_MS))
		r = open_new(s);
	return r;
}

int import_journals_fd(const struct import_journals *s)
{
	return s->epoll;
}

/* Journals. */

static int make_identity(const struct import_source *source, const struct tenant *tenant,
			 struct buf *leaf, struct hash *ret)
{
	struct identity i = { 0 };
	char uid[16], name[FIELD_NAME_MAX + 1];
	int r;

	snprintf(uid, sizeof uid, "%u", (unsigned) getuid());
	r = identity_add(&i, "_ATTRIBUTION", "import");
	if (r >= 0)
		r = identity_add(&i, TENANT_FIELD, tenant->name);
	if (r >= 0)
		r = identity_add(&i, "_IMPORT_UID", uid);
	for (uint32_t k = 0; k < source->n && r >= 0; k++) {
		const struct field *f = &source->fields[k];

		memcpy(name, f->name, f->name_len);
		name[f->name_len] = '\0';
		r = identity_add_bytes(&i, name, f->value, f->value_len);
	}
	if (r >= 0)
		r = identity_leaf(&i, leaf, ret);
	identity_done(&i);
	return r;
}

static int create(struct import_journals *s, struct import_journal *j,
		  const struct import_source *source)
{
	_cleanup_buf_ struct buf leaf = { 0 };
	uint8_t seed[SEED_SIZE];
	struct hash identity;
	int r;

	randombytes_buf(j->id.b, ID_SIZE);
	randombytes_buf(seed, sizeof seed);
	r = make_identity(source, &s->tenant, &leaf, &identity);
	if (r < 0)
		return r;
	while ((r = tail_writer_create(&j->tail, s->state->journals, &j->id, &s->host.boot,
				       leaf.data, leaf.len, seed)) < 0) {
		r = import_wait_for_space(s, r);
		if (r < 0)
			break;
	}
	sodium_memzero(seed, sizeof seed);
	if (r < 0)
		return r;
	r = j->lock = recover_lock(s->state->journals, &j->id);
	return r < 0 ? r : 0;
}

/* As the identity has them, which lives as long as the journal. */
static void keep_source(struct import_journal *j, const struct import_source *source)
{
	const struct context_entry *identity = &j->tail.contexts.at[0];

	for (uint32_t i = 0; i < source->n; i++)
		for (uint16_t k = 0; k < identity->n_fields; k++)
			if (field_compare(&identity->fields[k], &source->fields[i]) == 0)
				j->source[i] = identity->fields[k];
	j->n_source = source->n;
}

static int open_journal(struct import_journals *s, const struct import_source *source, uint64_t key)
{
	struct import_journal *j = calloc(1, sizeof *j);
	int r;

	if (!j)
		return -ENOMEM;
	j->tail.fd = j->channel = j->lock = -1;
	j->key = key;
	r = create(s, j, source);
	if (r < 0) {
		journal_free(j);
		return r == -ECANCELED
			       ? r
			       : log_error_code(r, "cannot create a journal in %s", s->state->path);
	}
	keep_source(j, source);
	s->contexts_size += j->tail.contexts.size;
	if (s->n == s->n_opened)
		s->new_since = clock_monotonic_ns();
	s->journals[s->n++] = j;
	return 0;
}

static uint64_t key_of(const struct import_source *source)
{
	uint64_t h = source->n;

	for (uint32_t i = 0; i < source->n; i++) {
		h = import_hash(source->fields[i].name, source->fields[i].name_len, h);
		h = import_hash(source->fields[i].value, source->fields[i].value_len, h);
	}
	return h;
}

/* Whether a journal is the source's: its identity has these fields and no others but ours. */
static bool is_of(const struct import_journal *j, const struct import_source *source)
{
	if (j->n_source != source->n)
		return false;
	for (uint32_t i = 0; i < source->n; i++)
		if (field_compare(&j->source[i], &source->fields[i]) != 0)
			return false;
	return true;
}

/* @return the number of the source's journal; the source is none any more where it has to share one. */
static int64_t journal_of(struct import_journals *s, struct import_source *source)
{
	uint64_t key = key_of(source);
	uint32_t at = (uint32_t) key & (TABLE_SIZE - 1);
	int r;

	for (; s->table[at] != 0; at = (at + 1) & (TABLE_SIZE - 1)) {
		const struct import_journal *j = s->journals[s->table[at] - 1];

		if (j->key == key && is_of(j, source))
			return s->table[at] - 1;
	}
	/* The last one is for all the others. */
	if (s->n + (s->shared < 0) >= s->n_max && source->n > 0) {
		source->n = 0;
		if (s->shared < 0)
			s->shared = journal_of(s, source);
		return s->shared;
	}
	r = open_journal(s, source, key);
	if (r < 0)
		return r;
	s->table[at] = s->n;
	return s->n - 1;
}

/* The same for most entries. */
static int64_t journal_of_next(struct import_journals *s, struct import_source *source)
{
	struct import_before *b = &s->before;
	uint32_t n = source->n;

	if (source->again && b->journal >= 0 && b->n_source == n &&
	    memcmp(b->source_word, source->word, n * sizeof *source->word) == 0)
		return b->journal;
	b->journal = journal_of(s, source);
	b->n_source = n;
	memcpy(b->source_word, source->word, n * sizeof *source->word);
	/* Who has to share a journal is to be told that. */
	if (b->journal == s->shared && b->journal >= 0) {
		b->journal = -1;
		return s->shared;
	}
	return b->journal;
}

/* Entries. */

static bool is_full(const struct import_journal *j)
{
	return tail_writer_open_bytes(&j->tail) >= BATCH_FULL ||
	       tail_writer_open_entries(&j->tail) >= BATCH_FULL_ENTRIES;
}

static int stage(struct import_journals *s, struct import_journal *j, uint32_t context)
{
	size_t before = tail_writer_staged(&j->tail);
	int r = tail_writer_add(&j->tail, &s->split.entry, context);

	if (r == -ENOBUFS) {
		r = flush(s, j);
		if (r < 0)
			return r;
		before = 0;
		r = tail_writer_add(&j->tail, &s->split.entry, context);
	}
	if (r < 0)
		return r;
	s->staged += tail_writer_staged(&j->tail) - before;
	j->entries++;
	s->entries++;
	if (is_full(j))
		return cut(s, j);
	if (tail_writer_staged(&j->tail) >= STAGE_MAX)
		r = flush(s, j);
	if (r >= 0 && s->staged >= STAGE_ALL_MAX)
		r = flush_all(s);
	return r;
}

int import_journals_add(struct import_journals *s, const struct import_entry *e)
{
	struct import_source source;
	int64_t number, context;
	int r;

	import_source_of(&s->split, e, &source);
	number = journal_of_next(s, &source);
	if (number < 0)
		return (int) number;
	import_split(&s->split, e, &source, &s->journals[number]->names);
	context = import_context_of(s, (uint32_t) number);
	/* Its values are not those that the next one may have again. */
	if (!e->known)
		s->before.journal = s->before.context = -1;
	if (context < 0)
		return (int) context;
	r = stage(s, s->journals[number], (uint32_t) context);
	if (r >= 0)
		s->omitted += e->n_omitted;
	return r;
}

void import_journals_from(struct import_journals *s, const char *name)
{
	snprintf(s->file_name, sizeof s->file_name, "%s", name);
	s->file++;
}

/* Ending. */

static bool all_closed(const struct import_journals *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (!s->journals[i]->closed)
			return false;
	return true;
}

static int close_those_sealed(struct import_journals *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->n && r >= 0; i++) {
		struct import_journal *j = s->journals[i];

		if (!j->welcomed || j->tail.cut_pending || j->close_sent || j->closed ||
		    tail_writer_open_entries(&j->tail) > 0)
			continue;
		r = make_durable(s, j);
		if (r >= 0)
			import_links_send_close(s, j);
	}
	return r;
}

int import_journals_finish(struct import_journals *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->n && r >= 0; i++) {
		r = await_opening(s, s->journals[i]);
		while (r >= 0 && s->journals[i]->tail.cut_pending)
			r = import_links_pump(s, -1);
	}
	if (r >= 0)
		r = cut_all(s);
	while (r >= 0 && !all_closed(s)) {
		r = close_those_sealed(s);
		if (r >= 0)
			r = import_links_pump(s, -1);
	}
	for (uint32_t i = 0; i < s->n; i++)
		if (s->journals[i]->closed)
			tail_writer_end(&s->journals[i]->tail);
	return r;
}

uint64_t import_journals_entries(const struct import_journals *s)
{
	return s->entries;
}

uint64_t import_journals_omitted(const struct import_journals *s)
{
	return s->omitted;
}

uint32_t import_journals_count(const struct import_journals *s)
{
	return s->n;
}

bool import_journals_shared(const struct import_journals *s)
{
	return s->shared >= 0;
}
