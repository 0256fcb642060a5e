/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Following at the aggregator: what is sealed comes from the lanes in the order of its arrival; what is not sealed yet may
 * come earlier, pushed by the host because somebody follows.  Rows that have arrived are read where they lay then, even if
 * segments have them meanwhile; one who is too far behind is let go.
 *
 * For each journal a follower knows the next seq to show.  Unsealed rows are shown only where they continue exactly there;
 * sealed rows are shown from there on.  So nothing is shown twice, out of order or with a hole, whatever the network does
 * to the unsealed ones.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/text.h"
#include "bulla/error.h"

struct archive_follower {
	struct archive_follower *next;
	struct archive *archive;
	struct answer *answer;
	struct view *view;  /* in use: rows that have arrived can be read */
	uint64_t arrival;   /* next */
	uint64_t live;	    /* number of the next live piece */
	uint64_t *next_seq; /* by journal number */
	size_t n, cap;
	struct buf frame, raw;
};

/* Called with the lock held. */
static int know_journals(struct archive_follower *f)
{
	size_t n = f->archive->n_journals;
	int r = archive_grow(&f->next_seq, &f->cap, n, sizeof *f->next_seq);

	if (r < 0)
		return r;
	for (; f->n < n; f->n++)
		f->next_seq[f->n] = 0;
	return 0;
}

int archive_follow_from_here(struct archive_follower *f)
{
	struct archive *a = f->archive;
	int r = know_journals(f);

	for (uint32_t i = 0; i < f->n && r >= 0; i++)
		f->next_seq[i] = a->journals[i]->next_seq;
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
	f->archive = a;
	f->answer = answer;
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
	free(f->next_seq);
	buf_done(&f->frame);
	buf_done(&f->raw);
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

/* Leaves out the rows that were shown while they were not sealed yet. */
struct skipper {
	struct answer *answer;
	uint64_t from_seq;
};

static int show_new(void *arg, const struct shown *s)
{
	const struct skipper *k = arg;

	return s->seq < k->from_seq ? 0 : answer_entry(k->answer, s);
}

static int show_rows(struct archive_follower *f, const struct catalog_journal *j,
		     const struct rows_ref *ref, const struct tail_rows *rows, uint32_t journal)
{
	struct skipper k = { .answer = f->answer, .from_seq = f->next_seq[journal] };
	int r;

	if (rows->first_seq + rows->count <= k.from_seq)
		return 0;
	r = query_rows(&f->answer->request->query, j, ref, rows, &f->raw, show_new, &k);
	f->next_seq[journal] = rows->first_seq + rows->count;
	return r < 0 ? r : answer_flush(f->answer);
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
			r = show_rows(f, &j, &arrival.rows, &rows, arrival.journal);
		if (r < 0)
			return r;
	}
}

static void piece_free(struct live_piece *p)
{
	contexts_done(&p->contexts);
	free(p->frame);
	free(p);
}

/* Called with the lock held. */
static void piece_release(struct live_piece *p)
{
	if (--p->users == 0)
		piece_free(p);
}

/* Of rows that no batch has come with yet only their identity says it. */
static struct id boot_of(const struct contexts *c)
{
	const struct field *f = contexts_lookup(c, 0, "_BOOT_ID");
	struct id boot;

	if (!f || text_unhex((const char *) f->value, f->value_len, boot.b, ID_SIZE) < 0)
		return (struct id){ 0 };
	return boot;
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
	/* Only what continues: a hole would be filled later, out of order. */
	if (rows.first_seq > f->next_seq[p->journal])
		return 0;
	return show_rows(f, &j, &ref, &rows, p->journal);
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
		piece_release(p);
		pthread_mutex_unlock(&a->lock);
		if (r < 0)
			return r;
	}
}

static struct timespec deadline(unsigned timeout_ms)
{
	uint64_t at = clock_realtime_ns() + timeout_ms * NS_PER_MS;

	return (struct timespec){ .tv_sec = (time_t) (at / NS_PER_S),
				  .tv_nsec = (long) (at % NS_PER_S) };
}

int archive_follow_step(struct archive_follower *f, unsigned timeout_ms)
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
	r = step_sealed(f);
	return r < 0 ? r : step_live(f);
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

/* Coming in. */

static void drop_oldest(struct archive *a)
{
	struct live_piece *oldest = a->live[a->live_first++ % LIVE_MAX];

	a->live_bytes -= oldest->size;
	piece_release(oldest);
}

void archive_drop_live(struct archive *a)
{
	while (a->live_first < a->live_next)
		drop_oldest(a);
}

/*
 * The journal that rows are of.  Only origins that have sealed something have any, and what was never sealed is bounded:
 * nobody vouches for it.  Called with the lock held.  @return -ENOENT where it is not to be known.
 */
static int64_t live_journal(struct archive *a, const struct id *origin, const struct id *journal)
{
	struct held_origin *o = archive_origin(a, origin);
	uint32_t before = a->n_journals;
	int64_t number;

	if (!o)
		return -ENOENT;
	if (o->live_journals >= LIVE_JOURNALS_MAX && archive_find_journal(a, origin, journal) < 0)
		return -ENOENT;
	number = archive_journal(a, origin, journal);
	if (number >= before) {
		o->live_journals++;
		a->journals[number]->live_only = true;
	}
	return number;
}

static int publish(struct archive *a, const struct id *origin, const struct id *journal,
		   struct live_piece *p)
{
	int64_t number;

	pthread_mutex_lock(&a->lock);
	number = live_journal(a, origin, journal);
	if (number < 0) {
		pthread_mutex_unlock(&a->lock);
		piece_free(p);
		return number == -ENOENT ? 0 : (int) number;
	}
	/* What a slow follower has not seen yet comes to it sealed. */
	while (a->live_first < a->live_next && (a->live_next - a->live_first >= LIVE_MAX ||
						a->live_bytes + p->size > LIVE_BYTES_MAX))
		drop_oldest(a);
	p->users = 1;
	p->journal = (uint32_t) number;
	p->number = a->live_next;
	a->live[a->live_next++ % LIVE_MAX] = p;
	a->live_bytes += p->size;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static int copy_contexts(struct contexts *to, const struct contexts *from)
{
	for (uint32_t i = 0; i < from->n; i++) {
		int64_t k = contexts_add(to, from->at[i].leaf, from->at[i].leaf_size);

		if (k < 0)
			return (int) k;
	}
	return 0;
}

/* The rows are what their head says: whoever follows counts by it. */
static int check_rows(const struct frame *f, const struct contexts *contexts, struct buf *raw)
{
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct tail_rows rows;
	uint32_t context, n = 0;
	struct entry e;
	struct rd rd;
	int r;

	r = tail_rows_decode(f->payload, f->size, &rows);
	if (r >= 0)
		r = tail_rows_unpack(&rows, raw);
	if (r < 0)
		return r;
	rd = rd_of(raw->data, raw->len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= contexts->n)
			return BULLA_ECORRUPT;
		n++;
	}
	if (r < 0)
		return r;
	return n == rows.count && rows.first_seq <= UINT64_MAX - n ? 0 : BULLA_ECORRUPT;
}

static int on_rows(struct archive *a, const struct id *origin, const struct id *journal,
		   const struct contexts *contexts, const uint8_t *frame, size_t size)
{
	struct live_piece *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->frame = malloc(size);
	p->size = size + contexts->size;
	r = p->frame ? copy_contexts(&p->contexts, contexts) : -ENOMEM;
	if (r < 0) {
		piece_free(p);
		return r;
	}
	memcpy(p->frame, frame, size);
	p->frame_size = size;
	return publish(a, origin, journal, p);
}

static void contexts_clear(struct contexts *c)
{
	contexts_done(c);
}

int archive_live(struct archive *a, const struct id *origin, const uint8_t *body, size_t size)
{
	_cleanup_(contexts_clear) struct contexts contexts = { 0 };
	_cleanup_buf_ struct buf raw = { 0 };
	struct wire_batch head;
	bool begun = false;

	for (size_t at = 0; at < size;) {
		struct frame f;
		ssize_t n = frame_parse(body + at, size - at, TAIL_RECORD_MAX, &f);
		int64_t r = 0;

		if (n <= 0)
			return BULLA_ECORRUPT;
		if (f.type == WIRE_BATCH) {
			contexts_done(&contexts);
			r = wire_batch_decode(f.payload, f.size, &head);
			begun = true;
		} else if (f.type == TAIL_CONTEXT && begun) {
			r = contexts_add(&contexts, f.payload, f.size);
		} else if (f.type == TAIL_ROWS && begun) {
			r = check_rows(&f, &contexts, &raw);
			if (r >= 0)
				r = on_rows(a, origin, &head.journal, &contexts, body + at,
					    (size_t) n);
		} else {
			return BULLA_ECORRUPT;
		}
		if (r < 0)
			return (int) r;
		at += (size_t) n;
	}
	return 0;
}
