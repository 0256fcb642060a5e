/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Following at the aggregator: what is sealed comes from the lanes in the order of its arrival; what is not sealed yet may
 * come earlier, pushed by the host because somebody follows.  Rows that have arrived are read where they lay then, even if
 * segments have them meanwhile; one who is too far behind is let go.
 *
 * For each journal a follower knows how far it was shown what is sealed, and what it was shown beyond that.  Unsealed rows are
 * shown only where they continue exactly there; sealed rows take their place.  A row that was shown before, and is what was sealed,
 * is not shown again; one that was sealed otherwise is, and who follows is told.  So no row that a host has sealed is displaced, and
 * none that it has not passes for long, whoever pushed it.
 *
 * What was shown and is not sealed yet is remembered, as far as `archive_pending_max` goes: what cannot be is shown once it is sealed.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aggregator/archive-internal.h"
#include "aggregator/pending.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/text.h"
#include "bulla/error.h"

uint64_t archive_pending_max = 1 << 16;
uint64_t archive_pending_wait_ns = 60 * NS_PER_S;

/* Where a follower is in a journal. */
struct place {
	uint64_t sealed; /* behind the last row of which what is sealed was shown */
	struct pending pending;
};

struct archive_follower {
	struct archive_follower *next;
	struct archive *archive;
	struct answer *answer;
	struct view *view; /* in use: rows that have arrived can be read */
	uint64_t arrival;  /* next */
	uint64_t live;	   /* number of the next live piece */
	struct place *at;  /* by journal number */
	size_t n, cap;
	uint64_t n_pending;    /* rows of all journals */
	uint64_t next_look_ns; /* for those that are not sealed for long */
	uint8_t key[PENDING_KEY_SIZE];
	struct match *any; /* owned: matches everything */
	struct follow_told *told;
	struct buf frame, raw, room;
};

/* Called with the lock held. */
static int know_journals(struct archive_follower *f)
{
	size_t n = f->archive->n_journals;
	int r = archive_grow(&f->at, &f->cap, n, sizeof *f->at);

	if (r < 0)
		return r;
	for (; f->n < n; f->n++)
		f->at[f->n] = (struct place){ 0 };
	return 0;
}

int archive_follow_from_here(struct archive_follower *f)
{
	struct archive *a = f->archive;
	int r = know_journals(f);

	for (uint32_t i = 0; i < f->n && r >= 0; i++)
		f->at[i].sealed = a->journals[i]->next_seq;
	f->arrival = a->n_arrivals;
	f->live = a->live_next;
	return r;
}

static void renew_view(struct archive_follower *f)
{
	struct archive *a = f->archive;

	if (f->view)
		f->view->users--;
	f->view = archive_pin(a);
}

int archive_follow(struct archive *a, struct answer *answer, struct archive_follower **ret)
{
	struct archive_follower *f = calloc(1, sizeof *f);
	int r;

	if (!f)
		return -ENOMEM;
	if (match_new(&f->any) < 0) {
		free(f);
		return -ENOMEM;
	}
	f->archive = a;
	f->answer = answer;
	randombytes_buf(f->key, sizeof f->key);
	pthread_mutex_lock(&a->lock);
	f->next = a->followers;
	a->followers = f;
	renew_view(f);
	r = archive_follow_from_here(f);
	a->n_followers++;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
	if (r < 0) {
		archive_unfollow(f);
		return r;
	}
	*ret = f;
	return 0;
}

struct archive_follower *archive_unfollow(struct archive_follower *f)
{
	struct archive_follower **at;

	if (!f)
		return NULL;
	pthread_mutex_lock(&f->archive->lock);
	for (at = &f->archive->followers; *at != f;)
		at = &(*at)->next;
	*at = f->next;
	f->archive->n_followers--;
	f->view->users--;
	pthread_mutex_unlock(&f->archive->lock);
	for (size_t i = 0; i < f->n; i++)
		pending_done(&f->at[i].pending);
	free(f->at);
	match_free(f->any);
	buf_done(&f->frame);
	buf_done(&f->raw);
	buf_done(&f->room);
	free(f);
	return NULL;
}

/* Arrivals. */

/* Forget what all followers have seen; and if that is too little, what the slowest have not. */
static void forget_arrivals(struct archive *a)
{
	uint64_t first = a->n_arrivals;
	size_t n;

	for (const struct archive_follower *f = a->followers; f; f = f->next)
		first = MIN_OF(first, f->arrival);
	first = MAX_OF(first, a->first_arrival);
	if (a->n_arrivals - first >= ARRIVALS_MAX)
		first = a->n_arrivals - ARRIVALS_MAX / 2;
	if (first == a->first_arrival)
		return;
	n = (size_t) (a->n_arrivals - first);
	memmove(a->arrivals, a->arrivals + (first - a->first_arrival), n * sizeof *a->arrivals);
	a->first_arrival = first;
}

int archive_arrived(struct archive *a, uint32_t journal, const struct rows_ref *rows)
{
	size_t n;
	int r;

	if (!a->followers) {
		a->first_arrival = ++a->n_arrivals;
		return 0;
	}
	n = (size_t) (a->n_arrivals - a->first_arrival);
	if (n == a->arrivals_cap) {
		forget_arrivals(a);
		n = (size_t) (a->n_arrivals - a->first_arrival);
	}
	r = archive_grow(&a->arrivals, &a->arrivals_cap, n + 1, sizeof *a->arrivals);
	if (r < 0)
		return r;
	a->arrivals[n] = (struct arrival){ journal, *rows };
	a->n_arrivals++;
	return 0;
}

/* Rows of a frame. */

/* A frame of a journal, on its way to a follower. */
struct coming {
	struct archive_follower *follower;
	struct place *at;
	const struct catalog_journal *journal;
	const struct rows_ref *ref;
	const struct tail_rows *rows;
	uint64_t from;	      /* unsealed rows are new from here on */
	uint64_t n_otherwise; /* shown before, and sealed as something else */
	uint64_t first, last; /* of these */
};

typedef int (*row_fn)(struct coming *c, uint64_t seq, const struct entry *e);

static int each_row(struct coming *c, row_fn fn)
{
	const struct contexts *contexts = c->journal->contexts;
	struct archive_follower *f = c->follower;
	_uninitialized_ struct field fields[FIELDS_MAX];
	uint64_t seq = c->rows->first_seq;
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r = tail_rows_unpack(c->rows, &f->raw);

	if (r < 0)
		return r;
	rd = rd_of(f->raw.data, f->raw.len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= contexts->n)
			return BULLA_ECORRUPT;
		e.context = contexts->at[context].hash;
		r = fn(c, seq++, &e);
		if (r < 0)
			return r;
	}
	return r;
}

static int show_rows(struct coming *c, const struct query *q, query_row_fn row)
{
	struct archive_follower *f = c->follower;
	int r = query_rows(q, c->journal, c->ref, c->rows, &f->raw, row, c);

	return r < 0 ? r : answer_flush(f->answer);
}

/* @return how many of them were shown, and are not what was sealed. */
static uint64_t forget_before(struct coming *c, uint64_t seq)
{
	struct pending *p = &c->at->pending;
	uint64_t had = p->end - p->first, shown = pending_forget(p, seq);

	c->follower->n_pending -= had - (p->end - p->first);
	p->since_ns = clock_monotonic_ns();
	return shown;
}

static void tell(struct buf *to, const struct id *journal, const char *format, ...) _printf_(3, 4);

/* A line about a journal. */
static void tell(struct buf *to, const struct id *journal, const char *format, ...)
{
	char id[2 * ID_SIZE + 1], text[256];
	va_list args;

	text_hex(id, journal->b, ID_SIZE);
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	buf_printf(to, "journal %s: %s\n", id, text);
}

/* Sealed rows. */

static int compare_row(struct coming *c, uint64_t seq, const struct entry *e)
{
	struct archive_follower *f = c->follower;
	struct pending_row *p = pending_of(&c->at->pending, seq);
	uint64_t digest;
	int r;

	if (!p)
		return 0;
	r = pending_digest(f->key, e, &f->room, &digest);
	if (r < 0)
		return r;
	p->same = digest == p->digest;
	if (p->same || !p->shown)
		return 0;
	c->first = c->n_otherwise++ == 0 ? seq : c->first;
	c->last = seq;
	return 0;
}

/* What was sealed in the place of something that was shown is shown, whether it matches or not. */
static int show_otherwise(void *arg, const struct shown *s)
{
	const struct coming *c = arg;
	const struct pending_row *p = pending_of(&c->at->pending, s->seq);
	struct shown corrected = *s;

	corrected.corrected = true;
	return p && p->shown && !p->same ? answer_entry(c->follower->answer, &corrected) : 0;
}

static int show_sealed(void *arg, const struct shown *s)
{
	const struct coming *c = arg;
	const struct pending_row *p = pending_of(&c->at->pending, s->seq);

	return s->seq < c->at->sealed || (p && (p->shown || p->same))
		       ? 0
		       : answer_entry(c->follower->answer, s);
}

static void tell_otherwise(const struct coming *c)
{
	struct follow_told *told = c->follower->told;

	if (told && c->n_otherwise > 0)
		tell(&told->findings, &c->journal->id,
		     "%" PRIu64 " entries, %" PRIu64 " to %" PRIu64
		     ", were shown before they were sealed, and were sealed otherwise; what was "
		     "sealed is shown now",
		     c->n_otherwise, c->first, c->last);
}

/* Sealed rows in front of these did not come: of what was pushed in their place nothing was sealed here. */
static void pass_over(struct coming *c)
{
	struct follow_told *told = c->follower->told;
	uint64_t shown = forget_before(c, c->rows->first_seq);

	if (told && shown > 0)
		tell(&told->doubts, &c->journal->id,
		     "%" PRIu64 " entries before %" PRIu64
		     " were shown before they were sealed, and nothing of them was sealed here",
		     shown, c->rows->first_seq);
}

static int take_sealed(struct coming *c)
{
	uint64_t end = c->rows->first_seq + c->rows->count;
	struct archive_follower *f = c->follower;
	struct query any = { .match = f->any, .until_ns = UINT64_MAX, .limit = UINT64_MAX };
	int r = 0;

	if (end <= c->at->sealed)
		return 0;
	if (c->at->pending.first < c->at->pending.end) {
		pass_over(c);
		r = each_row(c, compare_row);
	}
	if (r >= 0 && c->n_otherwise > 0)
		r = show_rows(c, &any, show_otherwise);
	if (r >= 0)
		r = show_rows(c, &f->answer->request->query, show_sealed);
	tell_otherwise(c);
	(void) forget_before(c, end);
	c->at->sealed = end;
	return r;
}

static int step_sealed(struct archive_follower *f)
{
	struct archive *a = f->archive;

	for (;;) {
		struct catalog_journal j;
		struct arrival arrival;
		struct tail_rows rows;
		int r;

		pthread_mutex_lock(&a->lock);
		r = know_journals(f);
		if (r >= 0 && f->arrival < a->first_arrival)
			r = -ESTALE;
		if (r < 0 || f->arrival == a->n_arrivals) {
			renew_view(f);
			pthread_mutex_unlock(&a->lock);
			return r;
		}
		arrival = a->arrivals[f->arrival++ - a->first_arrival];
		j = (struct catalog_journal){
			.id = a->journals[arrival.journal]->id,
			.boot = a->journals[arrival.journal]->boot,
			.contexts = a->journals[arrival.journal]->contexts,
			.sealed = UINT64_MAX,
		};
		pthread_mutex_unlock(&a->lock);
		r = archive_read_rows(a, &arrival.rows, &f->frame, &rows);
		if (r >= 0)
			r = take_sealed(&(struct coming){ .follower = f,
							  .at = &f->at[arrival.journal],
							  .journal = &j,
							  .ref = &arrival.rows,
							  .rows = &rows });
		if (r < 0)
			return r;
	}
}

/* Unsealed rows. */

/* Of rows that no batch has come with yet only their identity says it. */
static struct id boot_of(const struct contexts *c)
{
	const struct field *f = contexts_lookup(c, 0, "_BOOT_ID");
	struct id boot;

	if (!f || text_unhex((const char *) f->value, f->value_len, boot.b, ID_SIZE) < 0)
		return (struct id){ 0 };
	return boot;
}

static int remember_row(struct coming *c, uint64_t seq, const struct entry *e)
{
	struct archive_follower *f = c->follower;
	uint64_t digest;
	int r;

	if (seq < c->from)
		return 0;
	r = pending_digest(f->key, e, &f->room, &digest);
	if (r < 0)
		return r;
	pending_add(&c->at->pending, digest);
	f->n_pending++;
	return 0;
}

static int show_unsealed(void *arg, const struct shown *s)
{
	const struct coming *c = arg;

	if (s->seq < c->from)
		return 0;
	pending_of(&c->at->pending, s->seq)->shown = true;
	return answer_entry(c->follower->answer, s);
}

static int take_unsealed(struct coming *c)
{
	uint64_t end = c->rows->first_seq + c->rows->count;
	struct archive_follower *f = c->follower;
	struct pending *p = &c->at->pending;
	int r;

	c->from = p->first < p->end ? p->end : c->at->sealed;
	/* Only what continues: a hole would be filled later, out of order. */
	if (c->rows->first_seq > c->from || end <= c->from)
		return 0;
	/* What cannot be remembered is shown once it is sealed. */
	if (f->n_pending + (end - c->from) > archive_pending_max)
		return 0;
	if (p->first == p->end)
		p->since_ns = clock_monotonic_ns();
	r = pending_reserve(p, c->from, (size_t) (end - c->from));
	if (r >= 0)
		r = each_row(c, remember_row);
	return r < 0 ? r : show_rows(c, &f->answer->request->query, show_unsealed);
}

static int show_live(struct archive_follower *f, const struct live_piece *p, const struct id *id)
{
	struct catalog_journal j = {
		.id = *id,
		.boot = boot_of(&p->contexts),
		.contexts = &p->contexts,
		.sealed = 0,
	};
	struct rows_ref ref = { .own_fields = true };
	struct tail_rows rows;
	struct frame frame;

	if (frame_parse(p->frame, p->frame_size, TAIL_RECORD_MAX, &frame) <= 0 ||
	    tail_rows_decode(frame.payload, frame.size, &rows) < 0)
		return 0;
	return take_unsealed(&(struct coming){ .follower = f,
					       .at = &f->at[p->journal],
					       .journal = &j,
					       .ref = &ref,
					       .rows = &rows });
}

static int step_live(struct archive_follower *f)
{
	struct archive *a = f->archive;

	for (;;) {
		struct live_piece *p;
		struct id id;
		int r;

		pthread_mutex_lock(&a->lock);
		r = know_journals(f);
		f->live = MAX_OF(f->live, a->live_first);
		if (r < 0 || f->live == a->live_next) {
			pthread_mutex_unlock(&a->lock);
			return r;
		}
		p = a->live[f->live++ % LIVE_MAX];
		p->users++;
		id = a->journals[p->journal]->id;
		pthread_mutex_unlock(&a->lock);
		r = show_live(f, p, &id);
		output_forget_contexts(&f->answer->request->output);
		pthread_mutex_lock(&a->lock);
		archive_release_piece(p);
		pthread_mutex_unlock(&a->lock);
		if (r < 0)
			return r;
	}
}

/* What is not sealed for long: it is told, and forgotten, so that what is pushed for numbers that never come takes no room. */
static void step_waiting(struct archive_follower *f)
{
	uint64_t now = clock_monotonic_ns();

	if (f->n_pending == 0 || now < f->next_look_ns)
		return;
	f->next_look_ns = now + archive_pending_wait_ns / 16;
	for (size_t i = 0; i < f->n; i++) {
		struct coming c = { .follower = f, .at = &f->at[i] };
		struct pending *p = &c.at->pending;
		uint64_t shown, end = p->end;
		struct id id;

		if (p->first == p->end || now - p->since_ns < archive_pending_wait_ns)
			continue;
		shown = forget_before(&c, end);
		if (!f->told || shown == 0)
			continue;
		pthread_mutex_lock(&f->archive->lock);
		id = f->archive->journals[i]->id;
		pthread_mutex_unlock(&f->archive->lock);
		tell(&f->told->doubts, &id,
		     "%" PRIu64 " entries before %" PRIu64
		     " were shown before they were sealed, and are not sealed after %" PRIu64
		     " s: nothing vouches for them",
		     shown, end, archive_pending_wait_ns / NS_PER_S);
	}
}

static struct timespec deadline(unsigned timeout_ms)
{
	uint64_t at = clock_realtime_ns() + timeout_ms * NS_PER_MS;

	return (struct timespec){ .tv_sec = (time_t) (at / NS_PER_S),
				  .tv_nsec = (long) (at % NS_PER_S) };
}

int archive_follow_step(struct archive_follower *f, unsigned timeout_ms, struct follow_told *told)
{
	struct archive *a = f->archive;
	struct timespec until = deadline(timeout_ms);
	bool ending;
	int r = 0;

	pthread_mutex_lock(&a->lock);
	while (!a->ending && f->arrival == a->n_arrivals && f->live >= a->live_next && r == 0)
		r = pthread_cond_timedwait(&a->more, &a->lock, &until);
	ending = a->ending;
	pthread_mutex_unlock(&a->lock);
	if (ending)
		return -ESHUTDOWN;
	f->told = told;
	r = step_sealed(f);
	if (r >= 0)
		r = step_live(f);
	if (r >= 0)
		step_waiting(f);
	f->told = NULL;
	return r;
}

bool archive_wait_interest(struct archive *a, unsigned timeout_ms)
{
	struct timespec until = deadline(timeout_ms);
	bool interest;
	int r = 0;

	pthread_mutex_lock(&a->lock);
	while (!a->ending && a->n_followers == 0 && r == 0)
		r = pthread_cond_timedwait(&a->more, &a->lock, &until);
	interest = a->n_followers > 0;
	pthread_mutex_unlock(&a->lock);
	return interest;
}
