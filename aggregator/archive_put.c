/* SPDX-License-Identifier: Apache-2.0 */

/**
 * How commits come in: by PUT, verified; and at start from the lanes, where they were kept.
 *
 * A commit is appended to its lane before it is indexed, and acknowledged after the lane is durable.  At start a block is
 * taken if it continues its origin.  Where a block is damaged the origin stands at the commit before it, as if the rest had
 * never come: its host sends it once more, and that is found behind the old blocks at the next start.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/io.h"
#include "base/log.h"
#include "base/room.h"
#include "base/text.h"
#include "bulla/error.h"

uint32_t archive_origins_max = 1 << 16;

/* Origins. */

struct held_origin *archive_origin(struct archive *a, const struct id *id)
{
	for (uint32_t i = 0; i < a->n_origins; i++)
		if (id_equal(&a->origins[i]->id, id))
			return a->origins[i];
	return NULL;
}

struct held_origin *held_origin_free(struct held_origin *o)
{
	if (o) {
		receiver_free(o->receiver);
		pthread_mutex_destroy(&o->lock);
	}
	free(o);
	return NULL;
}

static struct held_origin *origin_new(const struct id *id)
{
	struct held_origin *o = calloc(1, sizeof *o);

	if (!o)
		return NULL;
	pthread_mutex_init(&o->lock, NULL);
	o->id = *id;
	o->lane = lane_of(id);
	o->receiver = receiver_new();
	return o->receiver ? o : held_origin_free(o);
}

/* Make room, so that adding cannot fail.  Called with the lock held. */
static int reserve_origin(struct archive *a)
{
	if (a->n_origins >= archive_origins_max)
		return BULLA_ELIMIT;
	return archive_grow32(&a->origins, &a->origins_cap, a->n_origins + 1,
			      sizeof(struct held_origin *));
}

static bool is_origins_own(const struct id *origin, const struct received *c)
{
	return c->number > 0 || memcmp(c->leaf.b, origin->b, ID_SIZE) == 0;
}

/* Keeping. */

/* A journal that only unsealed rows were known of is one like others. */
static void has_sealed(struct archive *a, const struct id *origin, struct held_journal *j)
{
	struct held_origin *o = j->live_only ? archive_origin(a, origin) : NULL;

	if (o)
		o->live_journals--;
	j->live_only = false;
}

/* Index the rows frames of a batch. */
static int index_rows(struct archive *a, uint32_t object, uint32_t number,
		      const struct received_batch *b, uint64_t offset)
{
	struct held_journal *j = a->journals[number];
	int r = archive_grow(&j->rows.at, &j->rows.cap, j->rows.n + b->n_rows, sizeof *j->rows.at);

	for (size_t i = 0; i < b->n_rows && r >= 0; i++) {
		struct rows_ref *ref = &j->rows.at[j->rows.n];

		*ref = b->rows[i];
		ref->offset += offset;
		ref->file = object;
		r = archive_arrived(a, number, ref);
		j->rows.n += r >= 0;
	}
	return r;
}

/* Note what is to be packed. */
static int note_batch(struct held_object *o, uint32_t number, const struct received *c,
		      const struct received_batch *b, uint64_t offset)
{
	if (!room_for(&o->batches, o->n_batches, &o->batches_cap, sizeof *o->batches))
		return -ENOMEM;
	o->batches[o->n_batches++] = (struct compact_batch){
		.journal = number,
		.entries = b->entries,
		.commit = c->number,
		.commit_time_ns = c->time_ns,
		.batch_no = b->batch_no,
		.first_seq = b->first_seq,
		.mono_offset = b->mono_offset,
		.leaf = b->leaf,
		.offset = b->rows[0].offset + offset,
		.recovered = b->recovered,
	};
	return 0;
}

/* In an audit: it is to be looked for in its segment. */
static int note_packed(struct archive *a, uint32_t number, const struct received_batch *b)
{
	if (!a->audit)
		return 0;
	if (!room_for(&a->packed, a->n_packed, &a->packed_cap, sizeof *a->packed))
		return -ENOMEM;
	a->packed[a->n_packed++] = (struct packed_batch){ number, b->batch_no, b->leaf };
	return 0;
}

static int index_batch(struct archive *a, uint32_t object, const struct id *origin,
		       const struct received *c, const struct received_batch *b, uint64_t offset)
{
	int64_t number = archive_journal(a, origin, &b->journal);
	struct held_journal *j;
	int r;

	if (number < 0)
		return (int) number;
	j = a->journals[number];
	has_sealed(a, origin, j);
	j->contexts = b->contexts;
	j->boot = b->boot;
	j->next_seq = b->first_seq + b->entries;
	if (spans_have(&j->packed, b->first_seq, j->next_seq))
		return note_packed(a, (uint32_t) number, b);
	/* It should be in a segment; or is in one that knows it as something else, and must not be shown twice. */
	if (b->n_rows == 0 || spans_touch(&j->packed, b->first_seq, j->next_seq)) {
		a->objects[object].lost += b->entries;
		return 0;
	}
	r = index_rows(a, object, (uint32_t) number, b, offset);
	/* What stays in a rest is not tried again. */
	return r < 0 || a->objects[object].rest
		       ? r
		       : note_batch(&a->objects[object], (uint32_t) number, c, b, offset);
}

/* Index a commit whose frames lie at `offset` of an object, `size` bytes with what is before them.  Called with the lock held. */
static int index_commit(struct archive *a, int64_t object, const struct id *origin,
			const struct received *c, uint64_t offset, uint64_t size)
{
	int r = object < 0 ? (int) object : 0;

	for (size_t i = 0; i < c->n_batches && r >= 0; i++)
		if (c->batches[i].absent == ABSENT_NOT)
			r = index_batch(a, (uint32_t) object, origin, c, &c->batches[i], offset);
	if (r >= 0)
		a->objects[object].taken += size;
	return r;
}

/* The head has moved and is durable.  Called with the lock held, as the next one. */
static void move_head(struct held_origin *o, uint64_t size, const struct hash *root)
{
	o->durable = size;
	o->root = *root;
	o->time_ns = history_time(receiver_history(o->receiver));
	snprintf(o->host, sizeof o->host, "%s", history_host(receiver_history(o->receiver)));
}

/* Say so, with a receipt. */
static void sign_receipt(struct archive *a, struct held_origin *o)
{
	_cleanup_buf_ struct buf note = { 0 };

	cosign_note(&a->cosigner, a->secret, &o->id, o->durable, &o->root,
		    clock_realtime_ns() / NS_PER_S, &note);
	buf_char(&note, '\0');
	*o->receipt = '\0';
	if (!note.bad && note.len <= sizeof o->receipt)
		memcpy(o->receipt, note.data, note.len);
}

/* Opening. */

static int reload_origin(struct archive *a, const struct id *id, struct held_origin **ret)
{
	struct held_origin *o = archive_origin(a, id);

	if (!o) {
		int r = reserve_origin(a);

		if (r < 0)
			return r;
		o = origin_new(id);
		if (!o)
			return -ENOMEM;
		a->origins[a->n_origins++] = o;
	}
	*ret = o;
	return 0;
}

/* @return 1: the commit is offered; 0: these frames are not its; -ENOMEM. */
static int reload_frames(const struct archive *a, struct held_origin *o, const struct lane_block *b,
			 struct received *c)
{
	unsigned how = (b->doubtful || a->audit ? RECEIVE_VERIFY : RECEIVE_OWN) |
		       (b->rest ? RECEIVE_PACKED : RECEIVE_VERIFY);
	int r = 0;

	for (size_t at = 0; at < b->size && r == 0;) {
		struct frame f;
		ssize_t n = frame_parse(b->frames + at, b->size - at, WIRE_RECORD_MAX, &f);

		if (n <= 0)
			break;
		r = receiver_frame(o->receiver, &f, at, how, c);
		at += (size_t) n;
		if (r == 1 &&
		    (at != b->size || c->number != b->commit || !is_origins_own(&o->id, c)))
			r = 0;
	}
	if (r != 1)
		receiver_reset(o->receiver);
	return r == -ENOMEM ? r : r == 1;
}

/* A new origin whose first block is not its genesis is none. */
static void forget_if_empty(struct archive *a, struct held_origin *o)
{
	if (history_size(receiver_history(o->receiver)) > 0)
		return;
	assert(a->origins[a->n_origins - 1] == o);
	a->n_origins--;
	held_origin_free(o);
}

/* What is damaged, or does not continue what is here because of it, is missing until its host has sent it again. */
static int reload_missing(struct archive *a, const struct lane *l, const struct lane_block *b)
{
	const char *rest = b->rest ? ".rest" : "";

	if (b->nobodys) {
		log_error("lanes/%02u/%020" PRIu64 "%s: at byte %" PRIu64 ": %s", l->number, b->seq,
			  rest, b->offset, bulla_strerror(BULLA_ECORRUPT));
		if (a->n_nobodys++ < DAMAGE_TOLD)
			buf_printf(&a->unusable,
				   "lanes/%02u/%020" PRIu64 "%s: at byte %" PRIu64
				   ": damaged; whose commit it was is not known\n",
				   l->number, b->seq, rest, b->offset);
		return 0;
	}
	log_warning("lanes/%02u/%020" PRIu64 "%s: at byte %" PRIu64 ": commit %" PRIu64 " %s; the "
		    "host is asked for it again",
		    l->number, b->seq, rest, b->offset, b->commit,
		    b->damaged ? "is damaged" : "does not continue its origin");
	/* Behind damage there may be content that only looks like a block: it accuses nobody. */
	return b->doubtful ? 0 : archive_note_missing(a, &b->origin, b->commit + 1);
}

int archive_reload_block(void *arg, const struct lane *l, const struct lane_block *b)
{
	struct archive *a = arg;
	struct held_origin *o;
	struct received c;
	uint64_t size;
	int64_t object;
	int r;

	if (b->damaged)
		return reload_missing(a, l, b);
	r = reload_origin(a, &b->origin, &o);
	if (r < 0)
		return r;
	size = history_size(receiver_history(o->receiver));
	r = b->commit == size ? reload_frames(a, o, b, &c) : 0;
	if (r <= 0) {
		forget_if_empty(a, o);
		/* One that is here already was sent twice, after damage. */
		return r < 0 || b->commit < size ? r : reload_missing(a, l, b);
	}
	o->entries += c.entries;
	o->absent += c.absent;
	object = archive_object(a, &a->lane[l->number], b->seq, b->rest);
	r = index_commit(a, object, &b->origin, &c, b->offset, LANE_HEAD_SPACE + b->size);
	move_head(o, b->commit + 1, &c.root);
	if (r >= 0)
		r = receiver_accept(o->receiver);
	return r;
}

void archive_reloaded(struct archive *a)
{
	for (uint32_t i = 0; i < a->n_origins && !a->audit; i++)
		sign_receipt(a, a->origins[i]);
	for (uint32_t i = 0; i < a->n_objects; i++) {
		const struct held_object *o = &a->objects[i];

		if (o->lost > 0)
			log_error("%" PRIu64 " entries of lanes/%02u/%020" PRIu64 "%s are in no "
				  "segment, and should be",
				  o->lost, o->lane->number, o->seq, o->rest ? ".rest" : "");
	}
}

/* Receiving. */

struct incoming {
	struct archive *archive;
	struct held_origin *origin;
	const uint8_t *body;
	size_t size;
	uint64_t expect; /* commit that the frames at hand should lead to */
	size_t start;	 /* of its frames */
	struct hash root;
	uint64_t entries, absent;
	bool appended;
};

static const char *why_refused(int r)
{
	switch (r) {
	case BULLA_ESIG:
		return "a seal or certificate does not verify";
	case BULLA_ETAMPERED:
		return "content is not what was sealed";
	case BULLA_EORDER:
		return "not the continuation of what is here";
	case BULLA_ELIMIT:
		return "a limit is exceeded";
	case BULLA_EVERSION:
		return "a record of unknown kind";
	default:
		return "malformed";
	}
}

static int refuse(struct put_result *ret, enum put_status status, const char *why)
{
	*ret = (struct put_result){ status, why };
	return 0;
}

/* Keep a verified commit: lane, index, and the origin's state. */
static int keep_commit(struct incoming *in, const struct received *c, size_t end)
{
	struct archive *a = in->archive;
	struct held_origin *o = in->origin;
	struct lane *l = &a->lane[o->lane];
	uint64_t seq, offset;
	int64_t object;
	int r;

	r = lane_append(l, &o->id, c->number, in->body + in->start, end - in->start, &seq, &offset);
	if (r < 0)
		return r;
	in->appended = true;
	in->root = c->root;
	pthread_mutex_lock(&a->lock);
	/* Offsets of rows are in the body; in the object the commit's frames begin elsewhere. */
	object = archive_object(a, l, seq, false);
	r = index_commit(a, object, &o->id, c, offset - in->start,
			 LANE_HEAD_SPACE + end - in->start);
	o->entries += c->entries;
	o->absent += c->absent;
	pthread_mutex_unlock(&a->lock);
	return r < 0 ? r : receiver_accept(o->receiver);
}

/* A commit that is here already: the same one is fine, another one is a fork.  @return 1 go on, 0 answered. */
static int on_overlap(struct incoming *in, const struct frame *f, struct put_result *ret)
{
	int same;

	if (f->type != WIRE_COMMIT)
		return 1;
	same = receiver_compare(in->origin->receiver, f->payload, f->size);
	if (same == 0)
		return refuse(ret, PUT_FORK, "another history of this origin is here");
	if (same == -ESTALE)
		return refuse(ret, PUT_REWIND, "older than can be compared");
	if (same < 0)
		return refuse(ret, PUT_REFUSED, "malformed");
	in->expect++;
	return 1;
}

/* One frame.  @return 1 go on, 0 answered, < 0 the archive is broken. */
static int on_frame(struct incoming *in, const struct frame *f, size_t at, size_t next,
		    struct put_result *ret)
{
	struct receiver *receiver = in->origin->receiver;
	struct received c;
	int r;

	if (in->expect < history_size(receiver_history(receiver))) {
		r = on_overlap(in, f, ret);
		if (f->type == WIRE_COMMIT)
			in->start = next;
		return r;
	}
	r = receiver_frame(receiver, f, at, RECEIVE_VERIFY, &c);
	if (r == -ENOKEY)
		return refuse(ret, PUT_CONTEXTS, "contexts or seeds are missing");
	if (r == -ENOMEM)
		return refuse(ret, PUT_OVERLOAD, "out of memory");
	if (r < 0)
		return refuse(ret, PUT_REFUSED, why_refused(r));
	if (r == 0)
		return 1;
	if (!is_origins_own(&in->origin->id, &c)) {
		receiver_reset(receiver);
		return refuse(ret, PUT_REFUSED, "the genesis is not this origin's");
	}
	r = keep_commit(in, &c, next);
	if (r == -ENOSPC || r == -EDQUOT) {
		receiver_reset(receiver);
		return refuse(ret, PUT_OVERLOAD, "the disk is full");
	}
	in->start = next;
	in->expect++;
	return r < 0 ? r : 1;
}

static int take_body(struct incoming *in, uint64_t to, struct put_result *ret)
{
	struct frame f;
	int r = 1;

	for (size_t at = 0; at < in->size && r > 0;) {
		ssize_t n = frame_parse(in->body + at, in->size - at, WIRE_RECORD_MAX, &f);

		if (n <= 0) {
			receiver_reset(in->origin->receiver);
			return refuse(ret, PUT_REFUSED, "a frame is damaged or cut off");
		}
		r = on_frame(in, &f, at, at + (size_t) n, ret);
		at += (size_t) n;
	}
	if (r > 0 && (in->start != in->size || in->expect != to + 1)) {
		receiver_reset(in->origin->receiver);
		return refuse(ret, PUT_REFUSED,
			      "the body is not the commits that the address names");
	}
	return MIN_OF(r, 0);
}

/*
 * Both histories of a fork are kept: ours in its lane, the other as it came.  Nothing has verified the other one, so anybody
 * can send such: what is kept is bounded.
 */
static void keep_evidence(struct archive *a, const struct incoming *in, uint64_t from)
{
	char origin[2 * ID_SIZE + 1], name[96];
	int dir, r;

	if (in->origin->forks++ >= FORKS_KEPT)
		return;
	text_hex(origin, in->origin->id.b, ID_SIZE);
	log_error("FORK: origin %s was sent another history than the one that is here; from commit "
		  "%" PRIu64 " on it is kept in forks/",
		  origin, from);
	dir = objstore_prefix(&a->store, "forks");
	/* A place for each, which the next run of this program uses again. */
	snprintf(name, sizeof name, "%s-%u", origin, in->origin->forks - 1);
	r = dir < 0 ? dir : io_replace_file(dir, name, in->body, in->size, 0640);
	if (r < 0)
		log_error_code(r, "cannot keep forks/%s", name);
	if (dir >= 0)
		close(dir);
}

static int receive(struct incoming *in, uint64_t from, uint64_t to, struct put_result *ret)
{
	struct archive *a = in->archive;
	struct held_origin *o = in->origin;
	uint64_t size = history_size(receiver_history(o->receiver));
	int r;

	if (from > size)
		return refuse(ret, PUT_REWIND, "commits before these are missing");
	in->expect = from;
	r = take_body(in, to, ret);
	if (r >= 0 && in->appended)
		r = lane_sync(&a->lane[o->lane]);
	if (r < 0)
		return r;
	if (ret->status == PUT_FORK)
		keep_evidence(a, in, from);
	if (in->appended) {
		pthread_mutex_lock(&a->lock);
		move_head(o, history_size(receiver_history(o->receiver)), &in->root);
		sign_receipt(a, o);
		pthread_cond_broadcast(&a->more);
		pthread_mutex_unlock(&a->lock);
	}
	return 0;
}

/*
 * An origin becomes known by its genesis and nothing less: one at a time, so that whoever sends something else leaves no
 * trace, and two who send the same do not both begin it.
 */
static int found(struct incoming *in, const struct id *origin, uint64_t to, struct put_result *ret)
{
	struct archive *a = in->archive;
	int r;

	pthread_mutex_lock(&a->lock);
	r = reserve_origin(a);
	pthread_mutex_unlock(&a->lock);
	if (r < 0)
		return refuse(ret, PUT_OVERLOAD,
			      r == BULLA_ELIMIT ? "too many origins" : "out of memory");
	in->origin = origin_new(origin);
	if (!in->origin)
		return refuse(ret, PUT_OVERLOAD, "out of memory");
	r = receive(in, 0, to, ret);
	if (history_size(receiver_history(in->origin->receiver)) == 0 && !in->appended) {
		held_origin_free(in->origin);
		return r;
	}
	pthread_mutex_lock(&a->lock);
	a->origins[a->n_origins++] = in->origin;
	pthread_mutex_unlock(&a->lock);
	return r;
}

static struct held_origin *look_up(struct archive *a, const struct id *origin)
{
	struct held_origin *o;

	pthread_mutex_lock(&a->lock);
	o = archive_origin(a, origin);
	pthread_mutex_unlock(&a->lock);
	return o;
}

int archive_put(struct archive *a, const struct id *origin, uint64_t from, uint64_t to,
		const uint8_t *body, size_t size, struct put_result *ret)
{
	struct incoming in = { .archive = a, .body = body, .size = size };
	int r;

	*ret = (struct put_result){ PUT_ACCEPTED, "" };
	if (to < from || to - from >= WIRE_COMMITS_MAX)
		return refuse(ret, PUT_REFUSED, "not a range of commits");
	in.origin = look_up(a, origin);
	if (!in.origin && from > 0)
		return refuse(ret, PUT_REWIND, "this origin is not known here");
	if (!in.origin) {
		pthread_mutex_lock(&a->founding);
		in.origin = look_up(a, origin);
		if (!in.origin) {
			r = found(&in, origin, to, ret);
			pthread_mutex_unlock(&a->founding);
			return r;
		}
		pthread_mutex_unlock(&a->founding);
	}
	pthread_mutex_lock(&in.origin->lock);
	r = receive(&in, from, to, ret);
	pthread_mutex_unlock(&in.origin->lock);
	return r;
}
