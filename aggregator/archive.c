/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
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
#include "base/text.h"
#include "bulla/error.h"

int archive_grow(void *array, size_t *cap, size_t need, size_t size)
{
	void **at = array;
	size_t more = *cap ? *cap : 16;
	void *p;

	if (need <= *cap)
		return 0;
	while (more < need)
		more *= 2;
	p = reallocarray(*at, more, size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = more;
	return 0;
}

static int grow32(void *array, uint32_t *cap, uint32_t need, size_t size)
{
	size_t wide = *cap;
	int r = archive_grow(array, &wide, need, size);

	*cap = (uint32_t) wide;
	return r;
}

/* Journals. */

static bool is_journal(const struct held_journal *j, const struct id *origin, const struct id *id)
{
	return id_equal(&j->id, id) && id_equal(&j->origin, origin);
}

static uint32_t slot_of(const struct archive *a, const struct id *origin, const struct id *id)
{
	uint32_t hash;

	memcpy(&hash, id->b, sizeof hash);
	for (uint32_t i = hash;; i++) {
		uint32_t s = i & (a->n_slots - 1);

		if (a->journal_slot[s] == 0 ||
		    is_journal(a->journals[a->journal_slot[s] - 1], origin, id))
			return s;
	}
}

static int grow_slots(struct archive *a)
{
	uint32_t n = a->n_slots ? a->n_slots : 64;
	uint32_t *slot;

	while (n <= 2 * (a->n_journals + 1))
		n *= 2;
	if (n == a->n_slots)
		return 0;
	slot = calloc(n, sizeof *slot);
	if (!slot)
		return -ENOMEM;
	free(a->journal_slot);
	a->journal_slot = slot;
	a->n_slots = n;
	for (uint32_t i = 0; i < a->n_journals; i++)
		a->journal_slot[slot_of(a, &a->journals[i]->origin, &a->journals[i]->id)] = i + 1;
	return 0;
}

int64_t archive_journal(struct archive *a, const struct id *origin, const struct id *id)
{
	struct held_journal *j;
	uint32_t s;

	if (grow_slots(a) < 0)
		return -ENOMEM;
	s = slot_of(a, origin, id);
	if (a->journal_slot[s] != 0)
		return a->journal_slot[s] - 1;
	if (grow32(&a->journals, &a->journals_cap, a->n_journals + 1,
		   sizeof(struct held_journal *)) < 0)
		return -ENOMEM;
	j = calloc(1, sizeof *j);
	if (!j)
		return -ENOMEM;
	j->origin = *origin;
	j->id = *id;
	a->journals[a->n_journals++] = j;
	a->journal_slot[s] = a->n_journals;
	return a->n_journals - 1;
}

/* Objects. */

static int64_t object_number(struct archive *a, struct lane *l, uint64_t seq)
{
	for (uint32_t i = a->n_objects; i > 0; i--)
		if (a->objects[i - 1].lane == l && a->objects[i - 1].seq == seq)
			return i - 1;
	if (grow32(&a->objects, &a->objects_cap, a->n_objects + 1, sizeof *a->objects) < 0)
		return -ENOMEM;
	a->objects[a->n_objects] = (struct held_object){ l, seq, -1 };
	return a->n_objects++;
}

int archive_read_rows(struct archive *a, const struct rows_ref *ref, struct buf *frame,
		      struct tail_rows *ret)
{
	struct held_object *o;
	int fd;

	pthread_mutex_lock(&a->lock);
	o = &a->objects[ref->file];
	if (o->fd < 0)
		o->fd = lane_read(o->lane, o->seq);
	fd = o->fd;
	pthread_mutex_unlock(&a->lock);
	return fd < 0 ? fd : rows_ref_read(fd, ref, frame, ret);
}

/* Origins. */

static struct held_origin *find_origin(struct archive *a, const struct id *id)
{
	for (uint32_t i = 0; i < a->n_origins; i++)
		if (id_equal(&a->origins[i]->id, id))
			return a->origins[i];
	return NULL;
}

static struct held_origin *origin_free(struct held_origin *o)
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
	return o->receiver ? o : origin_free(o);
}

static int add_origin(struct archive *a, struct held_origin *o)
{
	int r = grow32(&a->origins, &a->origins_cap, a->n_origins + 1,
		       sizeof(struct held_origin *));

	if (r >= 0)
		a->origins[a->n_origins++] = o;
	return r;
}

/* Index the rows of a commit whose frames lie at `offset` of an object.  Called with the lock held. */
static int index_rows(struct archive *a, const struct id *origin, const struct received *c,
		      struct lane *l, uint64_t seq, uint64_t offset)
{
	int64_t file = object_number(a, l, seq);
	int r = file < 0 ? (int) file : 0;

	for (size_t i = 0; i < c->n_rows && r >= 0; i++) {
		const struct received_rows *rows = &c->rows[i];
		int64_t number = archive_journal(a, origin, &rows->journal);
		struct held_journal *j;

		if (number < 0)
			return (int) number;
		j = a->journals[number];
		r = archive_grow(&j->rows.at, &j->rows.cap, j->rows.n + 1, sizeof *j->rows.at);
		if (r >= 0)
			r = archive_grow(&a->arrivals, &a->arrivals_cap, a->n_arrivals + 1,
					 sizeof *a->arrivals);
		if (r < 0)
			return r;
		j->contexts = rows->contexts;
		j->boot = rows->boot;
		j->next_seq = rows->ref.first_seq + rows->ref.count;
		j->rows.at[j->rows.n] = rows->ref;
		j->rows.at[j->rows.n].offset += offset;
		j->rows.at[j->rows.n].file = (uint32_t) file;
		a->arrivals[a->n_arrivals++] =
			(struct arrival){ (uint32_t) number, (uint32_t) j->rows.n++ };
	}
	return r;
}

/* The head has moved and is durable: say so, with a receipt. */
static void acknowledge(struct archive *a, struct held_origin *o, uint64_t size,
			const struct hash *root)
{
	_cleanup_buf_ struct buf note = { 0 };

	if (size <= o->durable)
		return;
	o->durable = size;
	o->root = *root;
	o->time_ns = history_time(receiver_history(o->receiver));
	snprintf(o->host, sizeof o->host, "%s", history_host(receiver_history(o->receiver)));
	cosign_note(&a->cosigner, a->secret, &o->id, size, root, clock_realtime_ns() / NS_PER_S,
		    &note);
	buf_char(&note, '\0');
	*o->receipt = '\0';
	if (!note.bad && note.len <= sizeof o->receipt)
		memcpy(o->receipt, note.data, note.len);
}

/* Opening: what the lanes hold has been verified when it came. */

static int reload_block(void *arg, const struct lane *l, uint64_t seq, const struct id *origin,
			uint64_t commit, const uint8_t *frames, size_t size, uint64_t offset)
{
	struct archive *a = arg;
	struct held_origin *o = find_origin(a, origin);
	struct received c;
	struct hash root;
	int r = 0;

	if (!o) {
		o = origin_new(origin);
		if (!o || add_origin(a, o) < 0) {
			origin_free(o);
			return -ENOMEM;
		}
	}
	for (size_t at = 0; at < size && r == 0;) {
		struct frame f;
		ssize_t n = frame_parse(frames + at, size - at, WIRE_RECORD_MAX, &f);

		if (n <= 0)
			return BULLA_ECORRUPT;
		r = receiver_frame(o->receiver, &f, at, RECEIVE_OWN, &c);
		at += (size_t) n;
	}
	if (r != 1 || c.number != commit)
		return log_error_code(r < 0 ? r : BULLA_ECORRUPT,
				      "lane %u, object %" PRIu64 ", at byte %" PRIu64, l->number,
				      seq, offset);
	root = c.root;
	o->entries += c.entries;
	o->absent += c.absent;
	r = index_rows(a, origin, &c, &a->lane[l->number], seq, offset);
	if (r >= 0)
		r = receiver_accept(o->receiver);
	if (r >= 0)
		acknowledge(a, o, commit + 1, &root);
	return r;
}

/* The aggregator's own key: made once, readable by nobody else. */
static int load_key(struct archive *a, const char *name)
{
	_cleanup_buf_ struct buf seed = { 0 };
	uint8_t fresh[crypto_sign_SEEDBYTES];
	int r;

	if (!cosigner_name_valid(name))
		return -EINVAL;
	r = io_read_file(a->store.root, "key", crypto_sign_SEEDBYTES, &seed);
	if (r == -ENOENT) {
		randombytes_buf(fresh, sizeof fresh);
		r = io_replace_file(a->store.root, "key", fresh, sizeof fresh, 0600);
		buf_append(&seed, fresh, sizeof fresh);
		sodium_memzero(fresh, sizeof fresh);
	}
	if (r >= 0 && (seed.bad || seed.len != crypto_sign_SEEDBYTES))
		r = BULLA_ECORRUPT;
	if (r >= 0)
		crypto_sign_seed_keypair(a->cosigner.public_key, a->secret, seed.data);
	if (seed.data)
		sodium_memzero(seed.data, seed.cap);
	strcpy(a->cosigner.name, name);
	return r;
}

int archive_open(struct archive **ret, const char *path, const char *name)
{
	struct archive *a = calloc(1, sizeof *a);
	int r;

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->founding, NULL);
	pthread_cond_init(&a->more, NULL);
	a->store.root = -1;
	for (unsigned i = 0; i < LANES; i++)
		a->lane[i].fd = a->lane[i].prefix = -1;
	r = objstore_open(&a->store, path);
	if (r >= 0)
		r = load_key(a, name);
	for (unsigned i = 0; i < LANES && r >= 0; i++)
		r = lane_open(&a->lane[i], &a->store, i, reload_block, a);
	if (r < 0) {
		archive_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

struct archive *archive_close(struct archive *a)
{
	for (uint32_t i = 0; i < a->n_origins; i++)
		origin_free(a->origins[i]);
	for (uint32_t i = 0; i < a->n_journals; i++) {
		rows_index_done(&a->journals[i]->rows);
		free(a->journals[i]);
	}
	for (uint32_t i = 0; i < a->n_objects; i++)
		close_fd(&a->objects[i].fd);
	for (uint64_t i = a->live_first; i < a->live_next; i++) {
		contexts_done(&a->live[i % LIVE_MAX]->contexts);
		free(a->live[i % LIVE_MAX]->frame);
		free(a->live[i % LIVE_MAX]);
	}
	for (unsigned i = 0; i < LANES; i++)
		lane_close(&a->lane[i]);
	objstore_close(&a->store);
	free(a->origins);
	free(a->journals);
	free(a->journal_slot);
	free(a->objects);
	free(a->arrivals);
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->founding);
	pthread_cond_destroy(&a->more);
	sodium_memzero(a->secret, sizeof a->secret);
	free(a);
	return NULL;
}

/* Heads. */

int archive_head(struct archive *a, const struct id *origin, struct wire_head *ret)
{
	const struct held_origin *o;

	*ret = (struct wire_head){ 0 };
	pthread_mutex_lock(&a->lock);
	o = find_origin(a, origin);
	if (o) {
		/* The receive log is the open lane object: what is received is durable. */
		ret->received = ret->durable = o->durable;
		ret->root = o->root;
		strcpy(ret->receipt, o->receipt);
	}
	cosigner_vkey(&a->cosigner, ret->key);
	pthread_mutex_unlock(&a->lock);
	return 0;
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
	int r;

	in->root = c->root;
	r = lane_append(l, &o->id, c->number, in->body + in->start, end - in->start, &seq, &offset);
	if (r < 0)
		return r;
	in->appended = true;
	pthread_mutex_lock(&a->lock);
	/* Offsets of rows are in the body; in the object the commit's frames begin elsewhere. */
	r = index_rows(a, &o->id, c, l, seq, offset - in->start);
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

static bool is_this_origin(const struct incoming *in, const struct received *c)
{
	return c->number > 0 || memcmp(c->leaf.b, in->origin->id.b, ID_SIZE) == 0;
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
	if (!is_this_origin(in, &c)) {
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

/* Both histories of a fork are kept: ours in its lane, the other as it came. */
static void keep_evidence(struct archive *a, const struct incoming *in, uint64_t from)
{
	char origin[2 * ID_SIZE + 1], name[96];
	int dir = objstore_prefix(&a->store, "forks");

	text_hex(origin, in->origin->id.b, ID_SIZE);
	log_error("FORK: origin %s was sent two histories; the other one, from commit %" PRIu64
		  " on, is kept in forks/",
		  origin, from);
	snprintf(name, sizeof name, "%s-%" PRIu64 "-%" PRIu64, origin, from, clock_realtime_ns());
	if (dir >= 0 && io_replace_file(dir, name, in->body, in->size, 0640) < 0)
		log_error("cannot keep the evidence");
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
		acknowledge(a, o, history_size(receiver_history(o->receiver)), &in->root);
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

	in->origin = origin_new(origin);
	if (!in->origin)
		return refuse(ret, PUT_OVERLOAD, "out of memory");
	r = receive(in, 0, to, ret);
	if (r < 0 || history_size(receiver_history(in->origin->receiver)) == 0) {
		origin_free(in->origin);
		return r;
	}
	pthread_mutex_lock(&a->lock);
	r = add_origin(a, in->origin);
	pthread_mutex_unlock(&a->lock);
	return r;
}

int archive_put(struct archive *a, const struct id *origin, uint64_t from, uint64_t to,
		const uint8_t *body, size_t size, struct put_result *ret)
{
	struct incoming in = { .archive = a, .body = body, .size = size };
	int r;

	*ret = (struct put_result){ PUT_ACCEPTED, "" };
	if (to < from || to - from >= WIRE_COMMITS_MAX)
		return refuse(ret, PUT_REFUSED, "not a range of commits");
	pthread_mutex_lock(&a->founding);
	pthread_mutex_lock(&a->lock);
	in.origin = find_origin(a, origin);
	pthread_mutex_unlock(&a->lock);
	if (!in.origin) {
		r = from == 0 ? found(&in, origin, to, ret)
			      : refuse(ret, PUT_REWIND, "this origin is not known here");
		pthread_mutex_unlock(&a->founding);
		return r;
	}
	pthread_mutex_unlock(&a->founding);
	pthread_mutex_lock(&in.origin->lock);
	r = receive(&in, from, to, ret);
	pthread_mutex_unlock(&in.origin->lock);
	return r;
}

/* Asking. */

static int read_catalog(void *arg, const struct catalog_journal *j, const struct rows_ref *ref,
			struct buf *frame, struct tail_rows *ret)
{
	(void) j;
	return archive_read_rows(arg, ref, frame, ret);
}

static void catalog_copied(void *arg)
{
	pthread_mutex_unlock(&((struct archive *) arg)->lock);
}

int archive_query(struct archive *a, struct answer *answer)
{
	struct catalog c = { .read = read_catalog, .copied = catalog_copied, .arg = a };
	int r = 0;

	pthread_mutex_lock(&a->lock);
	for (uint32_t i = 0; i < a->n_journals && r >= 0; i++) {
		const struct held_journal *j = a->journals[i];

		if (j->rows.n > 0)
			r = catalog_add(&c, &(struct catalog_journal){
						    .id = j->id,
						    .boot = j->boot,
						    .contexts = j->contexts,
						    .rows = &j->rows,
					    });
	}
	if (r < 0)
		pthread_mutex_unlock(&a->lock);
	else
		r = answer_query(answer, &c);
	catalog_done(&c);
	return r;
}

int archive_status(struct archive *a, struct buf *to)
{
	uint64_t now = clock_realtime_ns();
	char key[COSIGNER_VKEY_SIZE];

	cosigner_vkey(&a->cosigner, key);
	buf_printf(to, "aggregator  %s\nkey         %s\n", a->cosigner.name, key);
	pthread_mutex_lock(&a->lock);
	buf_printf(to,
		   "holds       %u origins, %u journals\nfollowers   %u\n\n%-32s  %-16s %10s %12s "
		   "%8s %8s\n",
		   a->n_origins, a->n_journals, a->n_followers, "ORIGIN", "HOST", "COMMITS",
		   "ENTRIES", "ABSENT", "NEWEST");
	for (uint32_t i = 0; i < a->n_origins; i++) {
		const struct held_origin *o = a->origins[i];
		char hex[2 * ID_SIZE + 1];

		if (o->durable == 0)
			continue;
		text_hex(hex, o->id.b, ID_SIZE);
		buf_printf(to, "%s  %-16s %10" PRIu64 " %12" PRIu64 " %8" PRIu64 " %7" PRIu64 "s\n",
			   hex, o->host, o->durable, o->entries, o->absent,
			   now > o->time_ns ? (now - o->time_ns) / NS_PER_S : 0);
	}
	pthread_mutex_unlock(&a->lock);
	return to->bad ? -ENOMEM : 0;
}

void archive_shut_down(struct archive *a)
{
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
}
