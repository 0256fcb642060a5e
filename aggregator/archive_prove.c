/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Proofs of what is held: the commits of an origin are read from its lane, from the first on, and the entries of those in which
 * something is wished for from segments, or where their rows lie.
 *
 * Nothing that is read is believed: what makes the proofs holds all of it against the seal.  No lock is held while that goes on;
 * a segment may take the place of rows meanwhile, and is looked for then.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/archive-internal.h"
#include "aggregator/question.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "base/room.h"
#include "bulla/error.h"
#include "query/extents.h"
#include "store/heading.h"
#include "store/proving.h"
#include "store/segment/batches.h"

enum {
	PROVING_MAX = 2, /* at once: each may have a batch of 32 MiB in memory, and its proof */
	ORIGINS_OF_JOURNAL = 16, /* that are looked at for one of this id */
};

/* The proofs of one origin. */
struct proving_here {
	struct archive *archive;
	struct held_origin *origin;
	struct view *view; /* in use */
	struct segment_set set;
	struct segment_batches *segments;
	struct buf frame;
};

/* Segments. */

static void drop_segments(struct proving_here *p)
{
	p->segments = segment_batches_free(p->segments);
	free(p->set.spans);
	p->set.spans = NULL;
	archive_unpin(p->archive, p->view);
	p->view = NULL;
}

/* Have those that there are now, of this origin. */
static int renew_segments(struct proving_here *p)
{
	int r;

	drop_segments(p);
	pthread_mutex_lock(&p->archive->lock);
	p->view = archive_pin(p->archive);
	pthread_mutex_unlock(&p->archive->lock);
	p->set = (struct segment_set){ .files = p->view->segments.files, .n = p->view->segments.n };
	r = segment_set_index(&p->set, &p->origin->id);
	return r < 0 ? r : segment_batches_of(&p->segments, &p->set);
}

/* Contexts of a segment are hashed once, by whoever needs it first: it is not ours alone. */
static int hash_contexts(const struct proving_here *p, const struct id *journal)
{
	uint32_t n;
	const struct segment_span *span = segment_set_of(&p->set, journal, &n);
	int r = 0;

	pthread_mutex_lock(&p->archive->lock);
	for (uint32_t i = 0; r >= 0 && i < n; i++)
		r = contexts_hash_all(
			&p->set.files[span[i].file].segment.journals[span[i].number].contexts);
	pthread_mutex_unlock(&p->archive->lock);
	return r;
}

static int from_segment(const struct proving_here *p, const struct batch *b,
			struct proved_entries *e)
{
	struct segment_group *g;
	uint32_t number;
	int r = hash_contexts(p, &b->journal);

	if (r >= 0)
		r = segment_batches_find(p->segments, &b->journal, b->batch_no, &g, &number);
	return r < 0 ? r : proved_entries_group(e, b, g, number);
}

/* Rows. */

struct batch_rows {
	struct rows_ref *at; /* owned */
	size_t n, cap;
	const struct contexts *contexts;
	uint8_t seed[SEED_SIZE];
	bool has_seed;
};

/* The first frame that does not begin before an entry: they are in the order of their numbers. */
static size_t first_rows(const struct rows_index *rows, uint64_t seq)
{
	size_t from = 0, to = rows->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (rows->at[middle].first_seq < seq)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Called with the lock held. */
static int find_rows(const struct archive *a, const struct id *origin, const struct batch *b,
		     struct batch_rows *ret)
{
	int64_t number = archive_find_journal(a, origin, &b->journal);
	const struct held_journal *j = number < 0 ? NULL : a->journals[number];
	uint64_t end = b->first_seq + b->entries;

	for (size_t i = j ? first_rows(&j->rows, b->first_seq) : 0; j && i < j->rows.n; i++) {
		const struct rows_ref *ref = &j->rows.at[i];

		if (ref->first_seq + ref->count > end)
			break;
		if (!room_for(&ret->at, ret->n, &ret->cap, sizeof *ret->at))
			return -ENOMEM;
		ret->at[ret->n++] = *ref;
	}
	ret->contexts = j ? j->contexts : NULL;
	return ret->n > 0 && ret->contexts ? 0 : -ENOENT;
}

static int locate_rows(const struct proving_here *p, const struct batch *b, struct batch_rows *ret)
{
	struct held_origin *o = p->origin;
	const struct seeds *seeds;
	const uint8_t *seed;
	int r;

	pthread_mutex_lock(&o->lock);
	seeds = receiver_seeds(o->receiver, &b->journal);
	seed = seeds ? seeds_of(seeds, b->batch_no) : NULL;
	if (seed)
		memcpy(ret->seed, seed, sizeof ret->seed);
	ret->has_seed = seed != NULL;
	pthread_mutex_unlock(&o->lock);
	pthread_mutex_lock(&p->archive->lock);
	r = find_rows(p->archive, &o->id, b, ret);
	pthread_mutex_unlock(&p->archive->lock);
	return r;
}

static int from_rows(struct proving_here *p, const struct batch *b, struct proved_entries *e)
{
	struct batch_rows rows = { 0 };
	int r = locate_rows(p, b, &rows);

	for (size_t i = 0; r >= 0 && i < rows.n; i++) {
		struct tail_rows frame;

		r = archive_read_rows(p->archive, &rows.at[i], &p->frame, &frame);
		if (r >= 0)
			r = proved_entries_rows(e, b, rows.has_seed ? rows.seed : NULL,
						rows.contexts, &frame);
	}
	free(rows.at);
	return r;
}

static int find_entries(void *arg, const struct batch *b, struct proved_entries *e)
{
	struct proving_here *p = arg;
	int r = -ENOENT;

	/* Twice: rows that are gone are in a segment that was not there before. */
	for (int turn = 0; turn < 2 && r < 0 && r != -ENOMEM; turn++) {
		r = turn > 0 || !p->view ? renew_segments(p) : 0;
		if (r >= 0)
			r = from_segment(p, b, e);
		if (r >= 0 || r == -ENOMEM || r == BULLA_ELIMIT)
			return r;
		r = proved_entries_begin(e, b);
		if (r >= 0)
			r = from_rows(p, b, e);
		if (r < 0 && r != -ENOMEM && r != BULLA_ELIMIT)
			r = proved_entries_begin(e, b) < 0 ? -ENOMEM : r;
	}
	return r;
}

/* Commits. */

/* Whoever goes along the commits of an origin, those that are durable and indexed. */
struct walk {
	struct archive *archive;
	const struct held_origin *origin;
	struct history *history;
	/** Takes a commit that the history has previewed.  @return 0; 1: no more are wanted; an error. */
	int (*commit)(void *arg, const struct sealed_commit *c);
	void *arg;
	uint64_t end; /* commits */
	int result;   /* of the commit that ended it */
};

/* Take a block of the origin that is the next one.  @return as `commit`. */
static int take_block(const struct walk *w, const struct lane_block *b)
{
	enum history_check check = b->doubtful ? HISTORY_CHECK_ALL : HISTORY_SKIP_SIGNATURE;
	struct sealed_commit c;
	struct frame f;

	for (size_t at = 0; at < b->size;) {
		ssize_t n = frame_parse(b->frames + at, b->size - at, WIRE_RECORD_MAX, &f);
		int r;

		if (n <= 0) {
			/* What looks like a frame behind damage may be content. */
			check = HISTORY_CHECK_ALL;
			at += FRAME_ALIGN;
			continue;
		}
		at += (size_t) n;
		if (f.type == WIRE_KEYS) {
			/* Keys that are not the next ones are refused, and seal nothing. */
			r = history_keys(w->history, f.payload, f.size);
			if (r == -ENOMEM)
				return r;
		} else if (f.type == WIRE_COMMIT) {
			r = history_preview(w->history, f.payload, f.size, check, &c);
			if (r >= 0)
				return w->commit(w->arg, &c);
			return r == -ENOMEM ? r : 0;
		}
	}
	return 0;
}

static int on_block(void *arg, const struct lane *l, const struct lane_block *b)
{
	struct walk *w = arg;

	(void) l;
	if (b->damaged || !id_equal(&b->origin, &w->origin->id) ||
	    b->commit != history_size(w->history))
		return 0;
	w->result = b->commit < w->end ? take_block(w, b) : 1;
	return w->result == 0 ? 0 : -ECANCELED;
}

static bool is_ending(struct archive *a)
{
	bool ending;

	pthread_mutex_lock(&a->lock);
	ending = a->ending;
	pthread_mutex_unlock(&a->lock);
	return ending;
}

/* `*why` says that there are commits which cannot be read: who asks must not take the rest for all. */
static int walk(struct walk *w, const char **why)
{
	struct lane *l = &w->archive->lane[w->origin->lane];
	_cleanup_buf_ struct buf header = { 0 };
	uint64_t end;
	int r;

	pthread_mutex_lock(&w->archive->lock);
	w->end = w->origin->durable;
	pthread_mutex_unlock(&w->archive->lock);
	/* Asked later: so all of these are in the objects up to it. */
	end = lane_next(l);
	history_write_header(0, &header);
	r = header.bad ? -ENOMEM : history_header(w->history, header.data, header.len);
	for (uint64_t seq = 0; r >= 0 && seq <= end; seq++) {
		r = is_ending(w->archive) ? -ESHUTDOWN : lane_scan(l, seq, on_block, w);
		if (r == -ENOENT)
			r = 0;
	}
	if (w->result != 0)
		return MIN_OF(w->result, 0);
	if (r >= 0 && history_size(w->history) < w->end) {
		*why = "a commit cannot be read here: of those behind it there are no proofs";
		return BULLA_ECORRUPT;
	}
	return r;
}

static int give_commit(void *arg, const struct sealed_commit *c)
{
	return proving_commit(arg, c);
}

static int prove_origin(struct archive *a, struct held_origin *o, const struct prove_options *x,
			const char **why)
{
	struct proving_here p = { .archive = a, .origin = o };
	const struct prove_source source = { NULL, find_entries, &p };
	struct proving *proving = NULL;
	int r = proving_new(&proving, &source, x, why);

	if (r >= 0)
		r = walk(&(struct walk){ .archive = a,
					 .origin = o,
					 .history = proving_history(proving),
					 .commit = give_commit,
					 .arg = proving },
			 why);
	proving_free(proving);
	drop_segments(&p);
	buf_done(&p.frame);
	return r;
}

/* What cannot be proved of one host is no reason not to prove what another has. */
struct failure {
	int error; /* the first; 0: none */
	const char *why;
};

static bool goes_on(const struct failure *f)
{
	return f->error >= 0 || f->why;
}

static void note_failure(struct failure *f, int r, const char *why)
{
	if (r < 0 && (f->error >= 0 || !why))
		*f = (struct failure){ r, why };
}

/* Proofs on their way to who asked. */
struct asked {
	struct extents
		extents; /* first: they are asked what is wished for, if it is not one entry */
	const struct question *question;
	archive_proof_fn proof;
	void *arg;
};

static int give(void *arg, const struct batch *b, const struct prove_wish *wish,
		const struct buf *file)
{
	const struct asked *x = arg;

	(void) b;
	(void) wish;
	return x->proof(x->arg, file);
}

/* One entry. */

static int wish_entry(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	const struct asked *x = arg;

	(void) commit_ns;
	return prove_wish_entry(b, &x->question->journal, x->question->seq, ret);
}

/* The origins that have a journal of this id: one, but where somebody repeats another's. */
static uint32_t origins_of(struct archive *a, const struct question *q,
			   struct held_origin *ret[ORIGINS_OF_JOURNAL])
{
	uint32_t n = 0;

	pthread_mutex_lock(&a->lock);
	for (uint32_t i = 0; i < a->n_origins && n < ORIGINS_OF_JOURNAL; i++) {
		struct held_origin *o = a->origins[i];

		if ((!q->has_origin || id_equal(&o->id, &q->origin)) &&
		    archive_find_journal(a, &o->id, &q->journal) >= 0)
			ret[n++] = o;
	}
	pthread_mutex_unlock(&a->lock);
	return n;
}

static int prove_entry(struct archive *a, const struct question *q, archive_proof_fn proof,
		       void *arg, const char **why)
{
	struct held_origin *origins[ORIGINS_OF_JOURNAL];
	struct asked asked = { .question = q, .proof = proof, .arg = arg };
	const struct prove_options x = { wish_entry, give, &asked };
	uint32_t n = origins_of(a, q, origins);
	struct failure failure = { 0 };

	for (uint32_t i = 0; i < n && goes_on(&failure); i++) {
		int r = prove_origin(a, origins[i], &x, why);

		note_failure(&failure, r, *why);
	}
	*why = failure.why;
	return failure.error;
}

/* All of some journals. */

/* A journal that may match, as it was when the question came.  Contexts that are published once stay as they are. */
struct candidate {
	struct id origin;
	struct id journal;
	const struct contexts *contexts;
};

struct candidates {
	struct candidate *at; /* owned; by origin */
	size_t n, cap;
};

static void candidates_done(struct candidates *c)
{
	free(c->at);
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return id_compare(&x->origin, &y->origin);
}

/* Called with the lock held. */
static int list_candidates(struct archive *a, const struct question *q, struct candidates *c)
{
	for (uint32_t i = 0; i < a->n_journals; i++) {
		const struct held_journal *j = a->journals[i];

		if (!j->contexts || (q->has_origin && !id_equal(&j->origin, &q->origin)))
			continue;
		if (!room_for(&c->at, c->n, &c->cap, sizeof *c->at))
			return -ENOMEM;
		c->at[c->n++] = (struct candidate){ j->origin, j->id, j->contexts };
	}
	return 0;
}

/* Those of one origin. */
static int prove_matching(struct archive *a, const struct query *query, const struct candidate *c,
			  size_t n, struct asked *asked, const char **why)
{
	struct prove_options x = { extents_measure, give, asked };
	struct held_origin *o;
	int r = 0;

	asked->extents.n = 0;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = extents_add(&asked->extents, query, &c[i].journal, c[i].contexts);
	if (r == -EINVAL)
		*why = EXTENTS_WHY;
	if (r < 0 || asked->extents.n == 0)
		return r;
	extents_settle(&asked->extents);
	pthread_mutex_lock(&a->lock);
	o = archive_origin(a, &c->origin);
	pthread_mutex_unlock(&a->lock);
	r = o ? prove_origin(a, o, &x, why) : 0;
	x.wish = extents_wish;
	return r < 0 || !o ? r : prove_origin(a, o, &x, why);
}

static int prove_all(struct archive *a, const struct question *q, archive_proof_fn proof, void *arg,
		     const char **why)
{
	_cleanup_(candidates_done) struct candidates c = { 0 };
	struct query query = q->request.query;
	struct asked asked = {
		.extents = { .since_ns = query.since_ns, .until_ns = query.until_ns },
		.question = q,
		.proof = proof,
		.arg = arg,
	};
	struct failure failure = { 0 };
	int r;

	query.match = q->request.match;
	pthread_mutex_lock(&a->lock);
	r = list_candidates(a, q, &c);
	note_failure(&failure, r, NULL);
	pthread_mutex_unlock(&a->lock);
	if (c.n > 1)
		qsort(c.at, c.n, sizeof *c.at, compare_candidates);
	for (size_t i = 0, n; i < c.n && goes_on(&failure); i += n) {
		for (n = 1; i + n < c.n && id_equal(&c.at[i + n].origin, &c.at[i].origin);)
			n++;
		*why = NULL;
		r = prove_matching(a, &query, &c.at[i], n, &asked, why);
		note_failure(&failure, r, *why);
	}
	extents_done(&asked.extents);
	*why = failure.why;
	return failure.error;
}

/* A head. */

static int head_commit(void *arg, const struct sealed_commit *c)
{
	return heading_commit(arg, c);
}

static int make_head(struct archive *a, const struct held_origin *o, struct heading *h,
		     struct buf *to, const char **why)
{
	int r;

	do {
		r = walk(&(struct walk){ .archive = a,
					 .origin = o,
					 .history = heading_history(h),
					 .commit = head_commit,
					 .arg = h },
			 why);
		if (r >= 0)
			r = heading_again(h, why);
	} while (r > 0);
	return r < 0 ? r : heading_write(h, to);
}

static int prove_head_of(struct archive *a, const struct question *q, archive_proof_fn proof,
			 void *arg, const char **why)
{
	_cleanup_buf_ struct buf file = { 0 };
	const struct held_origin *o;
	struct heading *h = NULL;
	int r;

	pthread_mutex_lock(&a->lock);
	o = archive_origin(a, &q->origin);
	pthread_mutex_unlock(&a->lock);
	if (!o)
		return 0;
	r = heading_new(&h, q->from);
	if (r >= 0)
		r = make_head(a, o, h, &file, why);
	heading_free(h);
	return r < 0 ? r : proof(arg, &file);
}

int archive_prove(struct archive *a, const struct question *q, archive_proof_fn proof, void *arg,
		  const char **ret_why)
{
	int r = -EBUSY;

	*ret_why = NULL;
	if (atomic_fetch_add(&a->n_proving, 1) < PROVING_MAX)
		r = q->head	    ? prove_head_of(a, q, proof, arg, ret_why)
		    : q->has_cursor ? prove_entry(a, q, proof, arg, ret_why)
				    : prove_all(a, q, proof, arg, ret_why);
	atomic_fetch_sub(&a->n_proving, 1);
	return r;
}
