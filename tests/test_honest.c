/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Honest hosts are never accused: whatever happens to a host that nobody attacks, verify does not say TAMPERED, at no moment,
 * nothing acknowledged is gone, and in the end, when all is closed, it says OK.
 *
 * A history is drawn at random: containers come, log and go; collectors, the sealer or all are killed; the power fails in
 * the middle of any write (disk.c); the clock jumps by years in both directions; the disk is full or fails; keys of two to
 * some dozens of seals give way to others; the ledger goes on in new files and is packed; segments are built and merged, tails
 * taken away or hollowed out, batches pruned; somebody verifies all the while.  It follows from its seed but for keys and ids:
 * BULLA_SEED=n tries one alone, BULLA_LONG=1 ten thousand.
 */

#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/recover.h"
#include "store/segment/build.h"
#include "store/segment/merge.h"
#include "store/segment/replace.h"
#include "store/segment/roots.h"
#include "tests/builder.h"
#include "tests/disk.h"

TestSuite(honest, .fini = harness_teardown, .timeout = 7200);

enum { JOURNALS = 12, STEPS_MAX = 40, TRIES = 50 };

enum happening {
	STARTS,
	STOPS,
	OPENS,
	CLOSES,
	COMMITS,
	KILLS,
	SEALER_KILLS,
	COLLECTOR_KILLS,
	POWER_CUTS,
	CLOCK_AHEAD,
	CLOCK_BACK,
	DISK_FULL,
	DISK_ERRORS,
	REKEYS,
	LEDGER_FILES,
	LEDGERS_PACKED,
	SEGMENTS,
	MERGES,
	TAILS_TAKEN,
	HOLLOWED,
	PRUNES,
	VERIFIED,
	VERIFIED_MEANWHILE,
	N_EVENTS
};

static const char *const event_names[N_EVENTS] = { "starts",
						   "stops",
						   "journals",
						   "closes",
						   "commits",
						   "kills of all",
						   "kills of the sealer",
						   "kills of a collector",
						   "power cuts",
						   "steps of the clock ahead",
						   "and back",
						   "full disks",
						   "disk errors",
						   "rekeys",
						   "files of ledgers",
						   "ledgers packed",
						   "segments",
						   "merges",
						   "tails taken away",
						   "and hollowed out",
						   "prunes",
						   "verified at rest",
						   "and meanwhile" };

static uint64_t count[N_EVENTS], verdicts[VERDICT_TAMPERED + 1];

struct world {
	uint64_t seed, dice;
	struct builder b; /* its directory, clock and journals; what may fail is done here */
	bool alive[BUILDER_JOURNALS_MAX]; /* somebody writes it */
	size_t stop_at;			  /* step of the disk */
	uint64_t acknowledged;		  /* commits */
	uint64_t commits_of_key;
	struct vkey pin;
	bool pinned, torn;
	bool failing; /* the disk may */
};

static unsigned roll(struct world *w, unsigned n)
{
	return (unsigned) (random_u64(&w->dice) % n);
}

static bool dead(const struct world *w)
{
	return disk_steps() > w->stop_at;
}

static void heal(struct world *w)
{
	w->stop_at = SIZE_MAX;
	w->failing = false;
	disk_stop_at(SIZE_MAX);
	disk_fail_at(0, 0, 0);
}

/* What verify says. */

static void look(struct world *w, bool running)
{
	static struct verified v;
	struct verify_options o = { .pin = w->pinned ? &w->pin : NULL, .running = running };

	builder_verify_with(w->b.path, o, &v);
	count[VERIFIED]++;
	if (v.error == -ENOENT && w->acknowledged == 0)
		return;
	cr_assert(eq(int, v.error, 0), "seed %" PRIu64, w->seed);
	verdicts[v.report.verdict]++;
	cr_assert(lt(int, v.report.verdict, VERDICT_INCOMPLETE), "seed %" PRIu64 ": %s", w->seed,
		  (char *) v.findings.data);
	cr_assert(ge(u64, v.report.commits, w->acknowledged), "seed %" PRIu64, w->seed);
}

/* The sealer. */

static void sealer_dies(struct world *w)
{
	w->b.origin = origin_close(w->b.origin);
}

static int start_sealer(struct world *w, bool reboot)
{
	struct origin_config config = { .host = "honest.example", .params = w->b.params };
	bool unclean;
	int r;

	if (reboot)
		randombytes_buf(w->b.boot.b, ID_SIZE);
	config.boot = w->b.boot;
	r = origin_open(&w->b.origin, w->b.state.seal, w->b.state.ledger, &config);
	if (r >= 0)
		r = origin_begin(w->b.origin, w->b.now_ns, &unclean);
	for (int i = 0; r < 0 && w->b.origin && origin_is_pending(w->b.origin) && i < TRIES; i++)
		r = origin_retry(w->b.origin);
	if (r < 0) {
		/* With a disk that works there is no reason. */
		cr_assert(lt(u64, 0, disk_steps()), "seed %" PRIu64 ": %s", w->seed,
			  bulla_strerror(r));
		sealer_dies(w);
		return r;
	}
	count[STARTS]++;
	w->pin = builder_pin(&w->b);
	w->pinned = true;
	w->acknowledged = history_size(origin_history(w->b.origin));
	return 0;
}

static int commit(struct world *w, struct batch_item *items, size_t n, const struct event *events,
		  size_t n_events)
{
	const struct history *h = origin_history(w->b.origin);
	uint64_t first = history_key_first(h);
	int r = origin_commit(w->b.origin, w->b.now_ns, items, n, events, n_events);

	for (int i = 0; r == -ENOSPC && i < TRIES && !dead(w); i++)
		r = origin_is_pending(w->b.origin)
			    ? origin_retry(w->b.origin)
			    : origin_commit(w->b.origin, w->b.now_ns, items, n, events, n_events);
	if (r < 0) {
		sealer_dies(w);
		return r;
	}
	count[COMMITS]++;
	count[REKEYS] += history_key_first(h) != first;
	w->acknowledged = history_size(h);
	return 0;
}

/* Collectors. */

static struct batch_item item_of(const struct world *w, const struct tail_writer *t)
{
	const struct batch *c = &t->cut;
	int64_t handle = history_find_journal(origin_history(w->b.origin), &t->header.journal);

	cr_assert(ge(i64, handle, 0));
	return (struct batch_item){ .handle = (uint32_t) handle,
				    .entries = c->entries,
				    .bytes = c->bytes,
				    .time_min = c->time_min,
				    .time_max = c->time_max,
				    .mono_offset = c->mono_offset,
				    .root = c->root };
}

static void commit_all(struct world *w)
{
	struct batch_item items[BUILDER_JOURNALS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < w->b.n; i++) {
		struct tail_writer *t = &w->b.journal[i].tail;
		int64_t offset = (int64_t) roll(w, 1000) - (int64_t) w->b.now_ns;

		if (!w->alive[i])
			continue;
		if (!t->cut_pending &&
		    (tail_writer_flush(t) < 0 || tail_writer_open_entries(t) == 0 ||
		     tail_writer_cut(t, offset) < 0))
			continue;
		items[n++] = item_of(w, t);
	}
	if (commit(w, items, n, NULL, 0) < 0)
		return;
	for (size_t i = 0; i < w->b.n; i++)
		if (w->alive[i] && w->b.journal[i].tail.cut_pending)
			tail_writer_sealed(&w->b.journal[i].tail);
}

static void collector_dies(struct world *w, size_t i)
{
	tail_writer_close(&w->b.journal[i].tail);
	w->alive[i] = false;
}

static uint32_t stream(struct tail_writer *t, const char *name)
{
	struct field f = { .name = (const uint8_t *) "_STREAM",
			   .name_len = 7,
			   .value = (const uint8_t *) name,
			   .value_len = (uint32_t) strlen(name) };
	int64_t k = tail_writer_context(t, 0, &f, 1);

	return k < 0 ? 0 : (uint32_t) k;
}

/* Go on with a journal's tail; who cannot is dead. */
static void collector_starts(struct world *w, size_t i)
{
	struct builder_journal *b = &w->b.journal[i];
	const struct history *h = origin_history(w->b.origin);
	int64_t handle = history_find_journal(h, &b->id);
	struct ledger_journal j;

	if (handle < 0)
		return;
	j = *history_journal(h, (uint32_t) handle);
	if (j.closed || !id_equal(&j.boot, &w->b.boot) ||
	    tail_writer_open(&b->tail, w->b.state.journals, &b->id, j.batches, j.entries) < 0)
		return;
	b->out = stream(&b->tail, "stdout");
	b->err = stream(&b->tail, "stderr");
	w->alive[i] = true;
}

static void open_journal(struct world *w)
{
	struct builder_journal *j = &w->b.journal[w->b.n];
	struct field f = { .name = (const uint8_t *) "_CONTAINER_NAME",
			   .name_len = 15,
			   .value = (const uint8_t *) "honest",
			   .value_len = 6 };
	struct context c = { .fields = &f, .n_fields = 1 };
	uint8_t leaf[256], seed[SEED_SIZE], body[160];
	struct wr w_leaf = wr_of(leaf, sizeof leaf), w_body = wr_of(body, sizeof body);
	struct event_open open = { 0 };

	randombytes_buf(j->id.b, ID_SIZE);
	randombytes_buf(seed, sizeof seed);
	context_encode(&c, &w_leaf);
	cr_assert(eq(int, context_hash(&c, &open.identity), 0));
	open.journal = j->id;
	open.seed_commitment = seed_commitment(&j->id, seed);
	if (tail_create(w->b.state.journals, &j->id, &w->b.boot, leaf, w_leaf.len, seed) < 0)
		return;
	event_open_encode(&open, &w_body);
	if (commit(w, NULL, 0, &(struct event){ EVENT_OPEN, (uint16_t) w_body.len, body }, 1) < 0)
		return;
	count[OPENS]++;
	j->tail.fd = -1;
	collector_starts(w, w->b.n++);
}

/* Close what nobody writes. */
static void recover(struct world *w)
{
	const struct history *h = origin_history(w->b.origin);

	for (uint32_t i = 0; w->b.origin && i < history_n_journals(h); i++) {
		struct ledger_journal j = *history_journal(h, i);
		struct event_close close = { .journal = j.id };
		struct batch_item item;
		uint8_t body[64];
		struct wr wr = wr_of(body, sizeof body);
		bool written = j.closed;
		uint64_t cut;
		int r;

		for (size_t k = 0; k < w->b.n; k++)
			written |= w->alive[k] && id_equal(&w->b.journal[k].id, &j.id);
		if (written)
			continue;
		r = recover_batch(w->b.state.journals, &j, &item, &cut);
		if (r < 0) {
			cr_assert(w->failing || w->stop_at != SIZE_MAX,
				  "seed %" PRIu64 ": recovery: %s", w->seed, bulla_strerror(r));
			continue;
		}
		item.handle = i;
		close.batches = j.batches + (unsigned) r;
		close.entries = j.entries + (r ? item.entries : 0);
		event_close_encode(&close, &wr);
		if (commit(w, &item, (size_t) r,
			   &(struct event){ EVENT_CLOSE, (uint16_t) wr.len, body }, 1) < 0)
			return;
		count[CLOSES]++;
	}
}

/* Have a sealer again, with a disk that works if it must. */
static void start(struct world *w, bool reboot)
{
	if (start_sealer(w, reboot) < 0 && !dead(w)) {
		heal(w);
		cr_assert(eq(int, start_sealer(w, false), 0), "seed %" PRIu64, w->seed);
	}
	if (!w->b.origin)
		return;
	for (size_t i = 0; i < w->b.n; i++) {
		if (!w->alive[i] || reboot)
			continue;
		collector_dies(w, i);
		collector_starts(w, i);
	}
	if (reboot)
		recover(w);
}

/* What befalls a host. */

static void kill_all(struct world *w)
{
	builder_crash(&w->b);
	memset(w->alive, 0, sizeof w->alive);
}

static void lose_power(struct world *w)
{
	enum disk_cut how = (enum disk_cut) roll(w, N_CUTS);

	kill_all(w);
	count[POWER_CUTS]++;
	w->torn |= how != CUT_KEEPS_ALL && how != CUT_LOSES_ALL;
	disk_cut(how);
	disk_begin();
	heal(w);
	look(w, false);
	/* It may fail again while all is being set right. */
	if (roll(w, 4) == 0) {
		w->stop_at = disk_steps() + roll(w, 40);
		disk_stop_at(w->stop_at);
	}
	start(w, true);
	if (dead(w))
		lose_power(w);
	else
		heal(w);
}

static void log_some(struct world *w)
{
	for (size_t i = 0; i < w->b.n; i++)
		if (w->alive[i] && roll(w, 2) && w->b.journal[i].tail.batch_no < 200 &&
		    tail_writer_staged(&w->b.journal[i].tail) < 4096)
			builder_log_many(&w->b, i, roll(w, 16) ? 1 + roll(w, 6) : 900);
}

static void step_clock(struct world *w)
{
	uint64_t was = w->b.now_ns;

	/* 1990 to 2060. */
	w->b.now_ns = 631152000 * NS_PER_S + random_u64(&w->dice) % (2208988800ull * NS_PER_S);
	count[w->b.now_ns > was ? CLOCK_AHEAD : CLOCK_BACK]++;
}

static void fail_disk(struct world *w)
{
	bool full = roll(w, 2);

	/* What it leaves half written it may not let remove. */
	w->failing = w->torn = true;
	count[full ? DISK_FULL : DISK_ERRORS]++;
	disk_fail_at(disk_steps() + roll(w, 12), 1 + roll(w, full ? 20 : 3), full ? ENOSPC : EIO);
}

/* What the keeper does. */

/* Who has begun to read before a segment was there is done by now. */
static void settle_segments(int dirfd)
{
	const struct timespec long_ago[2] = { { 1, 0 }, { 1, 0 } };
	DIR *d = fdopendir(dup(dirfd));
	struct dirent *e;

	cr_assert(ne(ptr, d, NULL));
	rewinddir(d);
	while ((e = readdir(d)))
		if (e->d_type == DT_REG)
			utimensat(dirfd, e->d_name, long_ago, 0);
	closedir(d);
}

static void keep(struct world *w)
{
	char path[600];
	struct segment_builder_options o = { .entries_max = roll(w, 2) ? 20 : 0, .level = 1 };
	struct roots_packed roots = { 0 };
	struct roots_packer *packer;
	struct segment_builder *s = NULL;
	struct replaced replaced = { 0 };
	struct segment_set set;
	uint32_t before, n;
	int r;

	snprintf(path, sizeof path, "%s/segments", w->b.path);
	mkdir(path, 0755);
	cr_assert(eq(int, segment_set_open(&set, &w->b.state), 0));
	before = set.n;
	o.packed = &set;
	o.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = segment_builder_new(&s, &w->b.state, &o);
	segment_set_close(&set);
	cr_assert(r >= 0 || w->failing || w->stop_at != SIZE_MAX, "seed %" PRIu64, w->seed);
	if (r >= 0 && segment_builder_read(s) >= 0 && segment_builder_finish(s) >= 0) {
		settle_segments(o.dirfd);
		bool whole = roll(w, 3);

		r = whole ? segment_replace_tails(&w->b.state, segment_builder_history(s),
						  &replaced)
			  : segment_hollow_tails(&w->b.state, segment_builder_history(s), 0,
						 &replaced);
		count[whole ? TAILS_TAKEN : HOLLOWED] += r < 0 ? 0 : replaced.tails;
	}
	if (s)
		segment_builder_free(s);
	cr_assert(eq(int, segment_set_open(&set, &w->b.state), 0));
	n = set.n;
	count[SEGMENTS] += n > before ? n - before : 0;
	if (roll(w, 2)) {
		r = roots_packer_new(&packer, &w->b.state);
		if (r >= 0 && roots_pack(packer, &set, origin_history(w->b.origin),
					 n > 0 ? set.files[n - 1].end : 0, &roots) >= 0)
			count[LEDGERS_PACKED] += roots.files;
		if (r >= 0)
			roots_packer_free(packer);
	}
	segment_set_close(&set);
	close(o.dirfd);
}

/* Merge, which also takes out what was pruned: first their roots are kept. */
static void merge(struct world *w)
{
	const struct history *h = origin_history(w->b.origin);
	struct merge_options o = { .level = 1 };
	struct segment_made made;
	struct segment_set set;
	char path[600];
	uint32_t first, n;
	int r = 0;

	cr_assert(eq(int, segment_set_open(&set, &w->b.state), 0));
	if (set.n > 0) {
		first = roll(w, set.n);
		n = 1 + roll(w, set.n - first);
		snprintf(path, sizeof path, "%s/segments", w->b.path);
		o.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (uint32_t i = first; r == 0 && i < first + n; i++)
			r = roots_keep(&w->b.state, &set.files[i].segment, h);
		if (r == 0) {
			r = segment_merge(&set, first, n, h, &o, &made);
			count[MERGES] += r >= 0;
		}
		close(o.dirfd);
	}
	segment_set_close(&set);
}

static void prune(struct world *w)
{
	const struct history *h = origin_history(w->b.origin);
	struct event_prune p = { 0 };
	const struct ledger_journal *j;
	uint8_t body[64];
	struct wr wr = wr_of(body, sizeof body);

	if (history_n_journals(h) == 0)
		return;
	j = history_journal(h, roll(w, history_n_journals(h)));
	if (j->batches <= j->pruned_batches)
		return;
	p.journal = j->id;
	p.batches = j->pruned_batches + 1 + roll(w, (unsigned) (j->batches - j->pruned_batches));
	event_prune_encode(&p, &wr);
	if (commit(w, NULL, 0, &(struct event){ EVENT_PRUNE, (uint16_t) wr.len, body }, 1) == 0)
		count[PRUNES]++;
}

/* Somebody else verifies, again and again, while the host works. */
struct witness {
	const char *path;
	struct vkey pin;
	_Atomic bool stop;
	uint64_t n;
	enum verdict worst;
	struct buf said;
};

static void *verify_on(void *arg)
{
	struct witness *t = arg;
	struct verified v = { 0 };

	while (!t->stop) {
		builder_verify_with(t->path,
				    (struct verify_options){ .pin = &t->pin, .running = true }, &v);
		t->n += v.error == 0;
		if (v.error == 0 && v.report.verdict > t->worst) {
			t->worst = v.report.verdict;
			buf_clear(&t->said);
			buf_append(&t->said, v.findings.data, v.findings.len);
		}
	}
	verified_done(&v);
	return NULL;
}

static void work_watched(struct world *w)
{
	struct witness t = { .path = w->b.path, .pin = w->pin };
	pthread_t thread;

	cr_assert(eq(int, pthread_create(&thread, NULL, verify_on, &t), 0));
	for (unsigned i = 0; w->b.origin && i < 8; i++) {
		log_some(w);
		commit_all(w);
		if (w->b.origin && i == 4)
			keep(w);
	}
	t.stop = true;
	pthread_join(thread, NULL);
	count[VERIFIED_MEANWHILE] += t.n;
	cr_assert(lt(int, t.worst, VERDICT_INCOMPLETE), "seed %" PRIu64 ": %s", w->seed,
		  (char *) t.said.data);
	buf_done(&t.said);
}

static void live(struct world *w)
{
	size_t i = w->b.n > 0 ? roll(w, (unsigned) w->b.n) : 0;

	switch (roll(w, 20)) {
	case 0:
		kill_all(w);
		count[KILLS]++;
		look(w, false);
		start(w, roll(w, 2));
		break;
	case 1:
		sealer_dies(w);
		count[SEALER_KILLS]++;
		break;
	case 2:
		if (w->b.n == 0 || !w->alive[i])
			break;
		collector_dies(w, i);
		count[COLLECTOR_KILLS]++;
		if (roll(w, 2))
			collector_starts(w, i);
		else
			recover(w);
		break;
	case 3:
		w->stop_at = disk_steps() + roll(w, 30);
		disk_stop_at(w->stop_at);
		break;
	case 4:
	case 5:
		step_clock(w);
		break;
	case 6:
		fail_disk(w);
		break;
	case 7:
	case 8:
		keep(w);
		break;
	case 9:
		merge(w);
		break;
	case 10:
		prune(w);
		break;
	case 11:
		if (w->stop_at == SIZE_MAX && roll(w, 4) == 0)
			work_watched(w);
		break;
	case 12:
		look(w, true);
		break;
	default:
		if (w->b.n < JOURNALS && roll(w, 4) == 0)
			open_journal(w);
		if (!w->b.origin)
			break;
		log_some(w);
		commit_all(w);
	}
}

/*
 * A journal's file that was torn in its first bytes before the journal was opened could be anybody's.  Disks tear between sectors,
 * so that a header is there or not; disk.c tears in the middle of everything.
 */
static bool says_nothing_but_torn(const struct verified *v)
{
	const char *line = (const char *) v->findings.data;

	for (; *line; line = strchr(line, '\n') + 1)
		if (strncmp(line, "NOTE", 4) != 0 &&
		    strncmp(strstr(line, ": ") + 2, "a file that is no journal of this host's",
			    40) != 0)
			return false;
	return true;
}

static uint64_t count_ledger_files(const struct world *w)
{
	uint64_t *first = NULL;
	int64_t n = ledger_files(w->b.state.ledger, &first);

	cr_assert(gt(i64, n, 0));
	free(first);
	return (uint64_t) n;
}

/* The end: all is closed in order. */
static void end_well(struct world *w)
{
	static struct verified v;

	heal(w);
	if (!w->b.origin)
		start(w, false);
	commit_all(w);
	for (size_t i = 0; i < w->b.n; i++)
		if (w->alive[i])
			collector_dies(w, i);
	recover(w);
	cr_assert(ne(ptr, w->b.origin, NULL), "seed %" PRIu64, w->seed);
	cr_assert(eq(int, origin_end(w->b.origin, w->b.now_ns), 0));
	count[STOPS]++;
	count[LEDGER_FILES] += count_ledger_files(w);
	builder_verify(w->b.path, &w->pin, &v);
	cr_assert(eq(int, v.error, 0), "seed %" PRIu64, w->seed);
	if (v.report.verdict == VERDICT_UNSEALED && w->torn && says_nothing_but_torn(&v))
		v.report.verdict = VERDICT_NOTE;
	cr_assert(le(int, v.report.verdict, VERDICT_NOTE), "seed %" PRIu64 ": %s: %s", w->seed,
		  verdict_name(v.report.verdict), (char *) v.findings.data);
	verdicts[v.report.verdict]++;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

static void try_history(const char *dir, uint64_t seed)
{
	static const struct kes_params shapes[] = { { 1, 1 }, { 1, 3 }, { 2, 1 },
						    { 2, 2 }, { 3, 1 }, { 2, 3 } };
	struct world w = { .seed = seed, .dice = seed, .stop_at = SIZE_MAX };
	unsigned steps;
	char path[512];

	snprintf(path, sizeof path, "%s/%" PRIu64, dir, seed);
	ledger_file_size = 1024u << roll(&w, 6);
	builder_init(&w.b, path, shapes[roll(&w, ELEMENTS(shapes))]);
	w.pin = builder_pin(&w.b);
	w.pinned = true;
	disk_begin();
	steps = 5 + roll(&w, STEPS_MAX);
	for (unsigned i = 0; i < steps; i++) {
		live(&w);
		if (dead(&w))
			lose_power(&w);
		if (!w.b.origin)
			start(&w, false);
		if (dead(&w))
			lose_power(&w);
	}
	end_well(&w);
	disk_end();
	builder_done(&w.b);
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void try_histories(uint64_t from, uint64_t n)
{
	const char *one = getenv("BULLA_SEED"), *dir;

	setenv("TMPDIR", builder_parent(), 1);
	dir = tempdir();
	log_setup("test", LOG_LEVEL_ERR);
	if (one) {
		from = strtoull(one, NULL, 0);
		n = 1;
	}
	for (uint64_t seed = from; seed < from + n; seed++)
		try_history(dir, seed);
	fprintf(stderr, "%" PRIu64 " histories from %" PRIu64 ":", n, from);
	for (size_t i = 0; i < N_EVENTS; i++)
		fprintf(stderr, " %" PRIu64 " %s%s", count[i], event_names[i],
			i + 1 < N_EVENTS ? "," : "");
	for (size_t i = 0; i <= VERDICT_TAMPERED; i++)
		if (verdicts[i] > 0)
			fprintf(stderr, "; %" PRIu64 " %s", verdicts[i],
				verdict_name((enum verdict) i));
	fputc('\n', stderr);
}

Test(honest, whatever_happens_nobody_is_accused)
{
	try_histories(0, getenv("BULLA_LONG") ? 8000 : 200);
}

/* The long run has the time for seeds that nobody has tried. */
Test(honest, nor_in_histories_that_nobody_has_tried)
{
	uint64_t seed;

	if (!getenv("BULLA_LONG") || getenv("BULLA_SEED"))
		cr_skip_test("only in the long run");
	randombytes_buf(&seed, sizeof seed);
	try_histories(seed % 1000000000, 2000);
}
