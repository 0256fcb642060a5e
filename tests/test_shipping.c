/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Both ends at once, over a link that loses, cuts, delays and doubles, while hosts are killed and the aggregator loses
 * power: what arrives is what was sealed, nothing lost, doubled or out of order, and it always arrives.
 *
 * The ends are the real ones (send.h, pack.h, archive.h); link, time and disk are this file's and disk.c's.  A world follows
 * from its seed but for keys and ids: BULLA_SEED=n tries one alone, BULLA_LONG=1 more of them.
 */

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/archive.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "base/log.h"
#include "forwarder/pack.h"
#include "forwarder/send.h"
#include "seal/ledger.h"
#include "tests/builder.h"
#include "tests/disk.h"
#include "tests/harness.h"

Suite(shipping);

enum {
	ROUNDS = 150,	    /* of a world, with faults */
	PATIENCE = 4000,    /* steps until all must be there, without */
	STASH = 4,	    /* messages that are still on their way */
	SENDERS = 2,	    /* forwarders of one host, which know nothing of each other */
	MOST_JOURNALS = 24, /* of a world */
};

/* A PUT on its way. */
struct message {
	uint64_t from, to;
	struct buf body;
};

struct end {
	struct packer *packer; /* NULL: not running */
	struct sender sender;
	struct send_input in;
};

struct world {
	uint64_t seed, dice;
	bool faults;
	bool damaged; /* a tail: batches may be absent */
	struct builder host;
	uint64_t logged;
	struct end end[SENDERS];
	struct id origin;
	const char *store;
	struct archive *archive;
	struct message stash[STASH];
	unsigned n_stashed;
	unsigned put, lost, cuts, kills; /* what happened */
};

static unsigned roll(struct world *w, unsigned n)
{
	return (unsigned) (random_u64(&w->dice) % n);
}

/* The host. */

static size_t pick_journal(struct world *w)
{
	size_t i;

	if (w->host.n == 0 || (w->host.n < MOST_JOURNALS && roll(w, 12) == 0))
		return builder_open(&w->host, "one");
	i = roll(w, (unsigned) w->host.n);
	return w->host.journal[i].closed ? builder_open(&w->host, "another") : i;
}

static void host_logs(struct world *w)
{
	unsigned batches = w->host.n < MOST_JOURNALS ? 1 + roll(w, 3) : 0;

	while (batches-- > 0) {
		size_t i = pick_journal(w), n = 1 + roll(w, 6);

		builder_log_many(&w->host, i, n);
		w->logged += n;
		if (roll(w, 2) == 0)
			builder_flush(&w->host, i);
	}
	if (roll(w, 4) > 0)
		builder_commit(&w->host);
}

/* A byte of a tail goes bad, for ever. */
static void damage(struct world *w)
{
	_cleanup_buf_ struct buf tail = { 0 };
	char name[64];

	if (w->host.n == 0)
		return;
	builder_tail(&w->host, roll(w, (unsigned) w->host.n), name);
	builder_load(w->host.path, name, &tail);
	tail.data[roll(w, (unsigned) tail.len)] ^= (uint8_t) (1 + roll(w, 255));
	builder_store(w->host.path, name, tail.data, tail.len);
	w->damaged = true;
}

static void start_end(struct world *w, struct end *e)
{
	*e = (struct end){ .in = { .event = SEND_START } };
	e->sender.jitter = (uint32_t) random_u64(&w->dice);
	cr_assert(eq(int, packer_new(&e->packer, &w->host.state), 0));
	cr_assert(eq(int, packer_size(e->packer, &e->sender.size), 0));
	cr_assert(eq(int, packer_origin(e->packer, &w->origin), 0));
}

static void host_crashes(struct world *w)
{
	/* Recovery would rightly refuse to go on without a person. */
	if (w->damaged || w->host.n >= MOST_JOURNALS)
		return;
	builder_crash(&w->host);
	builder_restart(&w->host, roll(w, 2));
	w->kills++;
}

/* The aggregator. */

static void open_archive(struct world *w)
{
	cr_assert(eq(int, archive_open(&w->archive, w->store, "central"), 0), "seed %" PRIu64,
		  w->seed);
}

static void restart_archive(struct world *w)
{
	archive_close(w->archive);
	open_archive(w);
	w->kills++;
}

static int deliver(struct world *w, const struct message *m)
{
	struct put_result result;
	int r = archive_put(w->archive, &w->origin, m->from, m->to, m->body.data, m->body.len,
			    &result);

	w->put++;
	return r < 0 ? r : (int) result.status;
}

/* The power fails while it works. */
static void deliver_in_the_dark(struct world *w, const struct message *m)
{
	disk_begin();
	disk_stop_at(roll(w, 16));
	cr_assert(ne(int, deliver(w, m), PUT_FORK), "seed %" PRIu64, w->seed);
	disk_cut((enum disk_cut) roll(w, N_CUTS));
	restart_archive(w);
	w->cuts++;
}

/* For some of its steps there is no room.  After a sync that failed it must not go on. */
static int deliver_to_full_disk(struct world *w, const struct message *m)
{
	int r;

	disk_begin();
	disk_fail_at(roll(w, 16), 1 + roll(w, 3), ENOSPC);
	r = deliver(w, m);
	disk_end();
	if (r < 0)
		restart_archive(w);
	return MAX_OF(r, 0);
}

/* The link. */

static void stash(struct world *w, const struct message *m)
{
	struct message *at = &w->stash[w->n_stashed++ % STASH];

	buf_clear(&at->body);
	buf_append(&at->body, m->body.data, m->body.len);
	at->from = m->from;
	at->to = m->to;
}

/* What was sent long ago arrives: its sender does not wait for the answer any more. */
static void deliver_late(struct world *w)
{
	const struct message *m = &w->stash[roll(w, STASH)];

	if (m->body.len > 0)
		cr_assert(ne(int, deliver(w, m), PUT_FORK), "seed %" PRIu64, w->seed);
}

/* @return a status, or 0: no answer came. */
static int transmit(struct world *w, struct message *m)
{
	size_t whole = m->body.len;

	switch (w->faults ? roll(w, 18) : 17) {
	case 0:
		w->lost++;
		return 0;
	case 1:
		(void) !deliver(w, m);
		w->lost++;
		return 0;
	case 2:
	case 3:
		deliver_in_the_dark(w, m);
		return 0;
	case 4:
		m->body.len = roll(w, (unsigned) whole);
		(void) !deliver(w, m);
		m->body.len = whole;
		w->lost++;
		return 0;
	case 5:
		(void) !deliver(w, m);
		return deliver(w, m);
	case 6:
		stash(w, m);
		w->lost++;
		return 0;
	case 7:
		stash(w, m);
		return deliver(w, m);
	case 8:
		deliver_late(w);
		return deliver(w, m);
	case 9:
		return PUT_OVERLOAD;
	case 10:
		return deliver_to_full_disk(w, m);
	default:
		return deliver(w, m);
	}
}

/* A forwarder: what forwarder/main.c does, without HTTP. */

static void take_head(struct world *w, struct end *e)
{
	struct wire_head h;
	struct hash ours;

	cr_assert(eq(int, archive_head(w->archive, &w->origin, &h), 0));
	e->in.head = h.received;
	if (h.received > e->sender.size)
		cr_assert(eq(int, packer_size(e->packer, &e->sender.size), 0));
	cr_assert(eq(int, packer_seek(e->packer, h.durable), 0), "seed %" PRIu64, w->seed);
	ours = packer_root(e->packer);
	if (h.durable > 0)
		cr_assert(eq(int, memcmp(&ours, &h.root, sizeof ours), 0), "seed %" PRIu64,
			  w->seed);
}

static void ask(struct world *w, struct end *e)
{
	e->in.event = w->faults && roll(w, 8) == 0 ? SEND_LOST : SEND_HEAD;
	if (e->in.event == SEND_HEAD)
		take_head(w, e);
}

static void put(struct world *w, struct end *e)
{
	struct pack_options o = { .full = e->sender.full, .careful = e->sender.careful };
	struct message m = { .from = e->sender.next, .to = e->sender.next };
	unsigned most = o.full || o.careful ? 1 : 1 + roll(w, 8);

	cr_assert(eq(int, packer_seek(e->packer, m.from), 0), "seed %" PRIu64, w->seed);
	for (unsigned n = 0; n < most && m.from + n < e->sender.size; n++) {
		cr_assert(eq(int, packer_next(e->packer, &o, &m.body), 1), "seed %" PRIu64,
			  w->seed);
		m.to = m.from + n;
	}
	switch (transmit(w, &m)) {
	case 0:
		e->in.event = SEND_LOST;
		break;
	case PUT_ACCEPTED:
		e->in.event = SEND_ACCEPTED;
		take_head(w, e);
		break;
	case PUT_REWIND:
		e->in.event = SEND_REWIND;
		break;
	case PUT_REFUSED:
		e->in.event = SEND_REFUSED;
		break;
	case PUT_CONTEXTS:
		e->in.event = SEND_CONTEXTS;
		break;
	case PUT_OVERLOAD:
		e->in.event = SEND_OVERLOAD;
		break;
	default:
		cr_assert(false, "seed %" PRIu64 ": a fork, or a broken archive", w->seed);
	}
	buf_done(&m.body);
}

/* @return whether it found nothing to do. */
static bool step(struct world *w, struct end *e)
{
	enum send_action action = sender_step(&e->sender, &e->in);
	uint64_t before = e->sender.size;

	e->in = (struct send_input){ 0 };
	switch (action) {
	case SEND_DO_ASK:
		ask(w, e);
		return false;
	case SEND_DO_PUT:
		put(w, e);
		return false;
	case SEND_DO_WAIT:
		e->in.event = SEND_WAITED;
		return false;
	case SEND_DO_IDLE:
		e->in.event = SEND_MORE;
		cr_assert(eq(int, packer_size(e->packer, &e->in.size), 0));
		return e->in.size == before;
	default:
		cr_assert(false, "seed %" PRIu64 ": a sender gave up (%d)", w->seed, (int) action);
		return true;
	}
}

/* The world. */

static void begin(struct world *w, uint64_t seed)
{
	*w = (struct world){ .seed = seed, .dice = seed, .faults = true };
	builder_init(&w->host, tempdir(), (struct kes_params){ 3, 3 });
	w->store = tempdir();
	lane_object_size = 2000 + roll(w, 20000);
	open_archive(w);
	for (size_t i = 0; i < SENDERS; i++)
		start_end(w, &w->end[i]);
}

static void end(struct world *w)
{
	for (size_t i = 0; i < SENDERS; i++)
		packer_free(w->end[i].packer);
	for (size_t i = 0; i < STASH; i++)
		buf_done(&w->stash[i].body);
	archive_close(w->archive);
	builder_done(&w->host);
	harness_teardown();
}

static void live(struct world *w)
{
	bool may_damage = w->seed % 4 == 3;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct end *e = &w->end[roll(w, SENDERS)];

		switch (roll(w, 24)) {
		case 0:
			host_crashes(w);
			break;
		case 1:
			packer_free(e->packer);
			start_end(w, e);
			w->kills++;
			break;
		case 2:
			restart_archive(w);
			break;
		case 3:
			deliver_late(w);
			break;
		case 4:
			if (may_damage && round > ROUNDS / 2)
				damage(w);
			break;
		case 5:
		case 6:
		case 7:
			host_logs(w);
			break;
		default:
			step(w, e);
		}
	}
}

/* No more faults: everything arrives, in a number of steps that has a limit. */
static void settle(struct world *w)
{
	unsigned idle = 0, steps = 0;

	w->faults = false;
	builder_commit(&w->host);
	for (; idle < 4 * SENDERS; steps++) {
		cr_assert(lt(u32, steps, PATIENCE), "seed %" PRIu64, w->seed);
		idle = step(w, &w->end[steps % SENDERS]) ? idle + 1 : 0;
	}
}

/* Looking at the result. */

/* Every frame that the lane holds, in order. */
static void read_lane(const struct world *w, struct buf *to)
{
	for (unsigned seq = 0;; seq++) {
		char name[64], path[600];
		size_t n;

		n = (size_t) snprintf(name, sizeof name, "lanes/%02u/%020u", lane_of(&w->origin),
				      seq);
		snprintf(path, sizeof path, "%s/%s", w->store, name);
		if (access(path, F_OK) == 0) {
			builder_load(w->store, name, to);
			continue;
		}
		snprintf(name + n, sizeof name - n, ".open");
		builder_load(w->store, name, to);
		return;
	}
}

/* The frames of one type, of one journal or all. */
static void frames_of(const struct buf *from, uint32_t type, const struct id *journal,
		      struct buf *to)
{
	bool wanted = !journal;

	for (size_t at = 0; at < from->len;) {
		struct frame f;
		ssize_t n = frame_parse(from->data + at, from->len - at, WIRE_RECORD_MAX, &f);

		if (n <= 0)
			break;
		if (f.type == WIRE_BATCH && journal)
			wanted = memcmp(f.payload, journal->b, ID_SIZE) == 0;
		if (f.type == type && wanted)
			wire_frame(to, f.type, f.payload, f.size);
		at += (size_t) n;
	}
}

static int count_lines(void *arg, const void *data, size_t n)
{
	uint64_t *lines = arg;

	for (size_t i = 0; i < n; i++)
		*lines += ((const char *) data)[i] == '\n';
	return 0;
}

static uint64_t entries_found(struct world *w)
{
	struct request request;
	struct answer answer;
	uint64_t lines = 0;
	char why[256];

	cr_assert(eq(int, request_init(&request), 0));
	cr_assert(eq(int, request_set(&request, "output", "json", why), 0));
	answer_init(&answer, &request, count_lines, &lines);
	cr_expect(eq(int, archive_query(w->archive, &answer, NULL, NULL), 0));
	answer_done(&answer);
	request_done(&request);
	return lines;
}

static void count_sealed(void *arg, const struct ledger_journal *j, const struct buf *entries)
{
	*(uint64_t *) arg += j->entries;
}

static void expect_same(const struct world *w, const struct buf *got, const struct buf *want,
			const char *what)
{
	cr_expect(got->len == want->len && memcmp(got->data, want->data, got->len) == 0,
		  "seed %" PRIu64 ": %s: %zu bytes, not the %zu", w->seed, what, got->len,
		  want->len);
}

/* The lane holds each commit once, in order, and of each journal the very rows of its tail. */
static void check(struct world *w)
{
	_cleanup_buf_ struct buf lane = { 0 }, got = { 0 }, want = { 0 }, file = { 0 };
	uint64_t sealed = 0;

	read_lane(w, &lane);
	builder_load(w->host.path, "ledger/" LEDGER_FILE, &file);
	frames_of(&lane, WIRE_COMMIT, NULL, &got);
	frames_of(&file, LEDGER_COMMIT, NULL, &want);
	for (size_t at = 0; at < want.len;) {
		struct frame f;
		ssize_t n = frame_parse(want.data + at, want.len - at, WIRE_RECORD_MAX, &f);

		frame_finish(want.data + at, WIRE_COMMIT, f.size);
		at += (size_t) n;
	}
	expect_same(w, &got, &want, "commits");
	if (w->damaged) {
		cr_expect(le(u64, entries_found(w), w->logged), "seed %" PRIu64, w->seed);
		return;
	}
	for (size_t i = 0; i < w->host.n; i++) {
		char name[64];

		buf_clear(&got);
		buf_clear(&want);
		buf_clear(&file);
		builder_tail(&w->host, i, name);
		builder_load(w->host.path, name, &file);
		frames_of(&lane, TAIL_ROWS, &w->host.journal[i].id, &got);
		frames_of(&file, TAIL_ROWS, NULL, &want);
		expect_same(w, &got, &want, name);
	}
	cr_assert(eq(int, builder_dump_each(w->host.path, count_sealed, &sealed), 0));
	cr_expect(eq(u64, entries_found(w), sealed), "seed %" PRIu64, w->seed);
}

static void try_world(uint64_t seed)
{
	struct world w;

	begin(&w, seed);
	live(&w);
	settle(&w);
	check(&w);
	restart_archive(&w);
	check(&w);
	fprintf(stderr, "seed %" PRIu64 ": %u puts, %u lost, %u power cuts, %u kills\n", seed,
		w.put, w.lost, w.cuts, w.kills);
	end(&w);
}

/* Worlds share a test, since most of the time of a small one goes into starting a process. */
static void try_worlds(uint64_t from, uint64_t n)
{
	const char *one = getenv("BULLA_SEED");

	log_setup("test", LOG_LEVEL_ERR);
	if (one) {
		try_world(strtoull(one, NULL, 0));
		return;
	}
	for (uint64_t seed = from; seed < from + n; seed++)
		try_world(seed);
}

Test(shipping, what_was_sealed_arrives_once_and_in_order)
{
	try_worlds(0, getenv("BULLA_LONG") ? 150 : 40);
}

/* A tail that lost contexts: all that is left of it is not enough for the commit, which has to be sent without that batch. */
Test(shipping, a_tail_that_lost_its_contexts_does_not_stop_the_rest)
{
	try_worlds(344834771, 1);
}

/* The long run has the time for seeds that nobody has tried. */
Test(shipping, and_in_worlds_that_nobody_has_tried)
{
	uint64_t seed;

	if (!getenv("BULLA_LONG") || getenv("BULLA_SEED"))
		cr_skip_test("only in the long run");
	randombytes_buf(&seed, sizeof seed);
	try_worlds(seed % 1000000000, 150);
}
