/* SPDX-License-Identifier: Apache-2.0 */

#include "query/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Who has a candidate. */
enum who { NOBODY, SOMEBODY, DONE };

enum {
	AHEAD_ROWS = WINDOW_ROWS / 2, /* of the next window that are ready while one is given out */
	TALLIED_EACH = 4,	      /* groups that each thread may have ready for a tally */
};

struct place {
	enum who who;
	struct source **sources; /* owned, and each that was not given out */
	size_t n, cap, given;
	int r;
};

struct worker {
	struct ahead *ahead;
	pthread_t thread;
	struct query query;
	struct match *match; /* owned */
	struct opener opener;
	struct query_stats stats;
};

struct ahead {
	const struct opener *main;
	const struct candidate *candidates;
	struct place *places; /* owned */
	size_t n;
	pthread_mutex_t lock;
	pthread_cond_t more, done; /* for threads; for the query */
	size_t at;		   /* where the query is */
	bool stop;
	struct worker *workers; /* owned */
	unsigned n_workers;
};

/* Opening. */

int opener_open(struct opener *o, const struct candidate *c, source_fn each, void *arg)
{
	struct opening opening = {
		.catalog = o->catalog,
		.query = o->query,
		.stats = o->stats,
		.backward = o->backward,
		.tally = o->tally,
		.all = o->all,
		.thorough = o->thorough,
		.frame = &o->frame,
		.each = each,
		.arg = arg,
	};

	return c->is_group ? group_source_open(&opening, &o->searched[c->of], c->group)
			   : frame_source_open(&opening, &o->catalog->journals[c->of],
					       &o->judgements[c->of], &c->ref);
}

static uint32_t n_segments(const struct opener *o)
{
	return o->catalog->segments ? o->catalog->segments->n : 0;
}

void opener_done(struct opener *o)
{
	for (uint32_t i = 0; o->judgements && i < o->catalog->n; i++)
		free(o->judgements[i].of);
	for (uint32_t i = 0; o->searched && i < n_segments(o); i++)
		searched_done(&o->searched[i]);
	free(o->judgements);
	free(o->searched);
	buf_done(&o->frame);
}

/* Threads. */

static int gather(void *arg, struct source *s)
{
	struct place *p = arg;

	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		struct source **more = reallocarray(p->sources, cap, sizeof(struct source *));

		if (!more) {
			s->free(s);
			return -ENOMEM;
		}
		p->sources = more;
		p->cap = cap;
	}
	p->sources[p->n++] = s;
	return 0;
}

static void drop_sources(struct place *p)
{
	while (p->given < p->n) {
		struct source *s = p->sources[p->given++];

		s->free(s);
	}
	free(p->sources);
	p->sources = NULL;
}

/* The query's own thread has asked all journals already; this one asks them of a segment when it first comes there. */
static int meet_segment(struct worker *w, uint32_t number)
{
	const struct opener *main = w->ahead->main;
	struct searched *s = &w->opener.searched[number];
	int r;

	if (s->segment)
		return 0;
	r = searched_init(s, main->searched[number].segment, &w->query);
	if (r < 0) {
		searched_done(s);
		*s = (struct searched){ 0 };
		return r;
	}
	memcpy(s->counted, main->searched[number].counted,
	       s->segment->n_journals * sizeof *s->counted);
	return 0;
}

static const struct group_ref *group_of(const struct ahead *a, const struct candidate *c)
{
	return &a->main->searched[c->of].segment->groups[c->group];
}

/*
 * Where all entries are merged those of a window are read together: while the query gives them out, the others go on with the
 * next window, and with no third.  @return behind the last candidate of which that is true.
 */
static size_t end_of_ahead(const struct ahead *a)
{
	const struct candidate *last = &a->candidates[a->at];
	uint64_t rows = 0;
	unsigned windows = 0;
	size_t i = a->at;

	if (!a->main->all || a->main->tally || !last->is_group)
		return i;
	while (++i < a->n && a->candidates[i].is_group) {
		const struct candidate *c = &a->candidates[i];

		windows += c->of != last->of || group_of(a, c)->window != group_of(a, last)->window;
		rows += windows > 0 ? group_of(a, c)->rows : 0;
		if (windows > 1 || rows > AHEAD_ROWS)
			break;
		last = c;
	}
	return i;
}

/* The next candidate that nobody has; `n` if there is none near. */
static size_t find_work(const struct ahead *a)
{
	size_t near = a->at + 1 + (size_t) a->n_workers * (a->main->tally ? TALLIED_EACH : 1);
	size_t end = MAX_OF(MIN_OF(near, a->n), end_of_ahead(a));

	for (size_t i = a->at; i < end; i++)
		if (a->places[i].who == NOBODY && a->candidates[i].is_group)
			return i;
	return a->n;
}

/* Open a candidate into its place; called with the lock, which is let go meanwhile. */
static void open_place(struct ahead *a, size_t i, struct opener *o, struct worker *w)
{
	struct place *p = &a->places[i];

	p->who = SOMEBODY;
	pthread_mutex_unlock(&a->lock);
	p->r = w ? meet_segment(w, a->candidates[i].of) : 0;
	if (p->r >= 0)
		p->r = opener_open(o, &a->candidates[i], gather, p);
	pthread_mutex_lock(&a->lock);
	p->who = DONE;
	pthread_cond_signal(&a->done);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct ahead *a = w->ahead;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		size_t i = find_work(a);

		if (i < a->n)
			open_place(a, i, &w->opener, w);
		else
			pthread_cond_wait(&a->more, &a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static int start_worker(struct ahead *a, struct worker *w)
{
	const struct opener *main = a->main;
	sigset_t all, before;
	int r;

	*w = (struct worker){ .ahead = a, .query = *main->query };
	w->opener = (struct opener){ .catalog = main->catalog,
				     .query = &w->query,
				     .tally = main->tally,
				     .stats = &w->stats,
				     .backward = main->backward,
				     .all = main->all,
				     .thorough = true };
	w->opener.searched = calloc((size_t) n_segments(main) + 1, sizeof *w->opener.searched);
	r = w->opener.searched ? match_share(main->query->match, &w->match) : -ENOMEM;
	w->query.match = w->match;
	if (r >= 0) {
		/* Signals are for whoever called the query. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&w->thread, NULL, work, w);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (r < 0) {
		opener_done(&w->opener);
		match_free(w->match);
	}
	return r;
}

int ahead_start(const struct opener *main, const struct candidate *c, size_t n, size_t from,
		unsigned threads, struct ahead **ret)
{
	struct ahead *a = calloc(1, sizeof *a);
	int r = 0;

	if (!a)
		return -ENOMEM;
	*a = (struct ahead){ .main = main, .candidates = c, .n = n, .at = from };
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->more, NULL);
	pthread_cond_init(&a->done, NULL);
	a->places = calloc(n + 1, sizeof *a->places);
	a->workers = calloc(threads, sizeof *a->workers);
	if (!a->places || !a->workers)
		r = -ENOMEM;
	while (r >= 0 && a->n_workers < threads) {
		r = start_worker(a, &a->workers[a->n_workers]);
		pthread_mutex_lock(&a->lock);
		a->n_workers += r >= 0;
		pthread_mutex_unlock(&a->lock);
	}
	if (a->n_workers == 0) {
		ahead_stop(a);
		return r;
	}
	*ret = a;
	return 0;
}

/* Whether a thread has opened a candidate, or is about to: then open others until it has. */
static bool is_taken(struct ahead *a, size_t number, struct opener *main)
{
	struct place *p = &a->places[number];
	bool taken;

	pthread_mutex_lock(&a->lock);
	a->at = number;
	taken = p->who != NOBODY;
	if (!taken)
		p->who = SOMEBODY;
	pthread_cond_broadcast(&a->more);
	main->thorough = true;
	while (taken && p->who != DONE) {
		size_t i = find_work(a);

		if (i < a->n)
			open_place(a, i, main, NULL);
		else
			pthread_cond_wait(&a->done, &a->lock);
	}
	main->thorough = false;
	pthread_mutex_unlock(&a->lock);
	return taken;
}

int ahead_open(struct ahead *a, size_t number, struct opener *main, source_fn each, void *arg)
{
	struct place *p = &a->places[number];
	int r = 0;

	if (!is_taken(a, number, main))
		return opener_open(main, &a->candidates[number], each, arg);
	while (r >= 0 && p->given < p->n)
		r = each(arg, p->sources[p->given++]);
	drop_sources(p);
	return r < 0 ? r : p->r;
}

void ahead_stop(struct ahead *a)
{
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->n_workers; i++) {
		struct worker *w = &a->workers[i];

		pthread_join(w->thread, NULL);
		a->main->stats->frames_read += w->stats.frames_read;
		a->main->stats->rows_seen += w->stats.rows_seen;
		for (uint32_t k = 0; k < w->stats.n_damage; k++)
			query_note_damage(a->main->stats, &w->stats.damage[k]);
		opener_done(&w->opener);
		match_free(w->match);
	}
	for (size_t i = 0; a->places && i < a->n; i++)
		drop_sources(&a->places[i]);
	pthread_cond_destroy(&a->done);
	pthread_cond_destroy(&a->more);
	pthread_mutex_destroy(&a->lock);
	free(a->places);
	free(a->workers);
	free(a);
}
