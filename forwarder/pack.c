/* SPDX-License-Identifier: Apache-2.0 */

/**
 * For each batch of a commit the journal's tail is read on from where the last batch ended: contexts, seeds and rows up to
 * the sealed number of entries go into the body as they lie.  Where the tail is gone or damaged, segments may have the batch
 * (packed.h); what nobody has is absent, so that one bad block never stops a host.
 */

#include "forwarder/pack.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/framefile.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"
#include "forwarder/packed.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/tail_reader.h"

enum { TAILS_OPEN = 64, SEARCH_BUDGET = 64 << 20 };

/* How far a journal has been sent, and its tail read: it is behind while segments stand in for it. */
struct place {
	uint64_t next_seq;
	uint32_t contexts, seeds; /* sent */
	uint64_t offset;
	uint32_t contexts_read, seeds_read; /* in the tail before `offset` */
	int fd;				    /* -1 while closed */
};

struct packer {
	const struct state *state;
	struct history *history; /* at the packer's place */
	struct ledger ledger;
	struct ledger_scan scan;
	struct batch *batches; /* owned: of the commit at hand, where the ledger left roots out */
	size_t batches_cap;
	struct buf record;
	bool strayed;	      /* the ledger was read on beyond the history */
	struct place *places; /* by handle */
	uint32_t n_places, places_cap;
	uint32_t open[TAILS_OPEN]; /* handles + 1, a ring */
	uint32_t turn;
	struct packed *packed;
	struct history *ahead; /* at the ledger's end */
	struct ledger ahead_ledger;
	struct ledger_scan ahead_scan;
	bool synced; /* what `ahead` has read is durable */
};

static int start_over(struct packer *p)
{
	int r;

	history_free(p->history);
	p->history = history_new();
	if (!p->history)
		return -ENOMEM;
	ledger_close(&p->ledger);
	p->scan = (struct ledger_scan){ 0 };
	p->strayed = false;
	r = ledger_begin(&p->ledger, p->state->ledger, O_RDONLY);
	for (uint32_t i = 0; i < p->n_places; i++)
		close_fd(&p->places[i].fd);
	p->n_places = 0;
	memset(p->open, 0, sizeof p->open);
	return r;
}

int packer_new(struct packer **ret, const struct state *s)
{
	struct packer *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->state = s;
	p->ledger.fd = p->ahead_ledger.fd = -1;
	p->ahead = history_new();
	r = p->ahead ? start_over(p) : -ENOMEM;
	if (r >= 0)
		r = packed_new(&p->packed, s);
	if (r >= 0)
		r = ledger_open(&p->ahead_ledger, s->ledger, O_RDONLY, p->ahead,
				HISTORY_SKIP_SIGNATURE, NULL, NULL, &p->ahead_scan);
	if (r < 0) {
		packer_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct packer *packer_free(struct packer *p)
{
	if (!p)
		return NULL;
	for (uint32_t i = 0; i < p->n_places; i++)
		close_fd(&p->places[i].fd);
	free(p->places);
	history_free(p->history);
	history_free(p->ahead);
	ledger_close(&p->ahead_ledger);
	packed_free(p->packed);
	ledger_close(&p->ledger);
	free(p->batches);
	buf_done(&p->record);
	free(p);
	return NULL;
}

int packer_size(struct packer *p, uint64_t *ret)
{
	uint64_t before = history_size(p->ahead);
	int r = ledger_catch_up(&p->ahead_ledger, p->ahead, HISTORY_SKIP_SIGNATURE, NULL, NULL,
				&p->ahead_scan);

	/*
	 * A commit can be read before its sealer has made it durable.  Shipped then, and lost here by a power cut, it would
	 * look like an attack: so nothing is counted that is not on disk.
	 */
	if (r >= 0 && (history_size(p->ahead) > before || !p->synced))
		r = io_sync(p->ahead_ledger.fd);
	if (r < 0)
		return r;
	p->synced = true;
	*ret = history_size(p->ahead);
	return 0;
}

int packer_origin(struct packer *p, struct id *ret)
{
	if (history_size(p->ahead) == 0)
		return -ENOENT;
	*ret = history_vkey(p->ahead).origin;
	return 0;
}

uint64_t packer_position(const struct packer *p)
{
	return history_size(p->history);
}

struct hash packer_root(const struct packer *p)
{
	return frontier_root(history_tree(p->history));
}

/* Tails. */

static int grow_places(struct packer *p, uint32_t n)
{
	if (n > p->places_cap) {
		uint32_t cap = MAX_OF(n, 2 * p->places_cap);
		struct place *more = reallocarray(p->places, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		p->places = more;
		p->places_cap = cap;
	}
	for (; p->n_places < n; p->n_places++)
		p->places[p->n_places] = (struct place){ .fd = -1 };
	return 0;
}

static int open_place(struct packer *p, uint32_t handle, const struct id *journal)
{
	struct place *at = &p->places[handle];
	uint32_t *slot = &p->open[p->turn % TAILS_OPEN];
	char name[TAIL_NAME_SIZE];

	if (at->fd >= 0)
		return 0;
	if (*slot != 0)
		close_fd(&p->places[*slot - 1].fd);
	tail_name(journal, name);
	at->fd = openat(p->state->journals, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (at->fd < 0)
		return -errno;
	*slot = handle + 1;
	p->turn++;
	return 0;
}

/* A context or seed, unless it was sent before. */
static void copy_new(const struct frame *f, uint32_t *read, uint32_t *sent, struct buf *body)
{
	if ((*read)++ < *sent)
		return;
	wire_frame(body, f->type, f->payload, f->size);
	(*sent)++;
}

/* Segments have what was in a hole. */
static int step_over(struct frame_reader *reader, const struct frame *f, struct place *at,
		     const struct batch *b)
{
	struct tail_hole hole;
	int r = tail_hole_decode(f->payload, f->size, &hole);

	if (r < 0 || hole.end < reader->offset || hole.next_seq > b->first_seq)
		return BULLA_ECORRUPT;
	frame_reader_seek(reader, hole.end);
	at->next_seq = MAX_OF(at->next_seq, hole.next_seq);
	return 0;
}

/* Frames from the reader's place up to the last row of a batch.  What was before the batch counts, but is not copied. */
static int copy_frames(struct frame_reader *reader, struct place *at, const struct batch *b,
		       struct wire_batch *head, bool full, struct buf *body, size_t head_at)
{
	uint64_t end = b->first_seq + b->entries;
	size_t from = head_at + frame_space(WIRE_BATCH_SIZE);
	uint64_t budget = SEARCH_BUDGET;
	struct tail_rows rows;
	struct frame f;
	int r;

	while (at->next_seq < end) {
		r = frame_reader_next(reader, &f, NULL);
		if (r == BULLA_ECORRUPT || r == BULLA_ETRUNCATED || r == BULLA_ELIMIT) {
			/* What lies behind the damage may be whole: rows say themselves where they belong. */
			r = frame_reader_search(reader, reader->offset + FRAME_ALIGN, TAIL_CONTEXT,
						TAIL_HOLE, &budget);
			if (r == 1)
				continue;
			return BULLA_ECORRUPT;
		}
		if (r <= 0)
			return r < 0 ? r : BULLA_ETRUNCATED;
		if (f.type == TAIL_CONTEXT)
			copy_new(&f, &at->contexts_read, &at->contexts, body);
		if (f.type == TAIL_SEED)
			copy_new(&f, &at->seeds_read, &at->seeds, body);
		if (f.type == TAIL_HOLE) {
			r = step_over(reader, &f, at, b);
			if (r < 0)
				return r;
		}
		if (f.type != TAIL_ROWS)
			continue;
		r = tail_rows_decode(f.payload, f.size, &rows);
		if (r < 0)
			return r;
		if (rows.first_seq + rows.count <= at->next_seq)
			continue; /* segments had them */
		/* Rows of an absent batch may be missing before this one, but none of its own. */
		if (rows.first_seq < at->next_seq ||
		    rows.first_seq > MAX_OF(at->next_seq, b->first_seq) ||
		    rows.first_seq + rows.count > end)
			return BULLA_ECORRUPT;
		at->next_seq = rows.first_seq + rows.count;
		if (at->next_seq > b->first_seq) {
			wire_frame(body, f.type, f.payload, f.size);
			continue;
		}
		/* Still before the batch. */
		head->contexts = at->contexts;
		head->seeds = at->seeds;
		if (!full)
			body->len = from;
	}
	return body->bad ? -ENOMEM : 0;
}

/* Hash what was copied: does it make the sealed root? */
static bool copy_is_sound(const struct state *s, const struct batch *b)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_(batchroot_done) struct batchroot root = { 0 };
	_cleanup_buf_ struct buf raw = { 0 };
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct tail_item item;
	char name[TAIL_NAME_SIZE];
	bool begun = false;
	struct hash h;

	tail_name(&b->journal, name);
	if (tail_reader_open(&t, s->journals, name) < 0)
		return false;
	while (!begun || batchroot_count(&root) < b->entries) {
		struct row_state state = { 0 };
		const uint8_t *seed;
		struct entry e;
		uint32_t context;
		struct rd rd;
		int r;

		if (tail_reader_next(&t, &item) != 1)
			return false;
		if (item.type != TAIL_ROWS || item.rows.first_seq < b->first_seq)
			continue;
		seed = seeds_of(&t.seeds, b->batch_no);
		if (!seed || tail_rows_unpack(&item.rows, &raw) < 0)
			return false;
		if (!begun)
			batchroot_begin(&root, seed, b->batch_no, b->recovered);
		begun = true;
		rd = rd_of(raw.data, raw.len);
		while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
			if (context >= t.contexts.n)
				return false;
			e.context = t.contexts.at[context].hash;
			if (batchroot_add(&root, &e) < 0)
				return false;
		}
		if (r < 0)
			return false;
	}
	h = batchroot_get(&root);
	return hash_same(&h, &b->root);
}

static void put_head(struct buf *body, size_t head_at, const struct wire_batch *head)
{
	struct wr w = wr_of(body->data + head_at + FRAME_HEADER_SIZE, WIRE_BATCH_SIZE);

	wire_batch_encode(head, &w);
	assert(!w.bad && w.len == WIRE_BATCH_SIZE);
	frame_finish(body->data + head_at, WIRE_BATCH, WIRE_BATCH_SIZE);
}

static int copy_from_tail(struct packer *p, const struct batch *b, uint32_t handle,
			  const struct pack_options *o, struct wire_batch *head, struct buf *body,
			  size_t head_at)
{
	struct place *at = &p->places[handle];
	struct frame_reader reader;
	int r = open_place(p, handle, &b->journal);

	if (r < 0)
		return r;
	frame_reader_init(&reader, at->fd, at->offset, TAIL_RECORD_MAX);
	r = copy_frames(&reader, at, b, head, o->full, body, head_at);
	at->offset = reader.offset;
	frame_reader_done(&reader);
	if (r >= 0 && o->careful && !copy_is_sound(p->state, b))
		return BULLA_ECORRUPT;
	return r;
}

static int copy_from_segments(struct packer *p, const struct batch *b, struct place *at,
			      struct buf *body)
{
	int r = packed_batch(p->packed, b, &at->contexts, &at->seeds, body);

	if (r >= 0)
		at->next_seq = b->first_seq + b->entries;
	return r;
}

/* The ledger may have said later that it was taken away on purpose. */
static bool is_pruned(const struct packer *p, const struct batch *b, uint32_t handle)
{
	return handle < history_n_journals(p->ahead) &&
	       b->batch_no < history_journal(p->ahead, handle)->pruned_batches;
}

static bool is_shortage(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

static int copy_batch(struct packer *p, const struct batch *b, uint32_t handle,
		      const struct pack_options *o, struct buf *body)
{
	size_t head_at = body->len, space = frame_space(WIRE_BATCH_SIZE);
	struct place *at = &p->places[handle];
	struct wire_batch head;
	struct place before;
	int r;

	if (!buf_room(body, space))
		return -ENOMEM;
	buf_add(body, space);
	if (o->full)
		*at = (struct place){ .fd = at->fd };
	before = *at;
	head = (struct wire_batch){
		.journal = b->journal,
		.batch_no = b->batch_no,
		.contexts = at->contexts,
		.seeds = at->seeds,
		.flags = (uint8_t) ((b->recovered ? WIRE_BATCH_RECOVERED : 0) |
				    (o->full ? WIRE_BATCH_ALL : 0)),
	};
	r = copy_from_tail(p, b, handle, o, &head, body, head_at);
	if (r < 0 && !is_shortage(r)) {
		body->len = head_at + space;
		before.fd = at->fd;
		*at = before;
		head.contexts = at->contexts;
		head.seeds = at->seeds;
		r = copy_from_segments(p, b, at, body);
	}
	/* What only a newer version can read is not lost. */
	if (is_shortage(r) || (r == BULLA_EVERSION && !is_pruned(p, b, handle)))
		return r;
	if (r < 0) {
		/* Left out; the next batch looks for its own rows from here on. */
		head.absent = is_pruned(p, b, handle) ? ABSENT_PRUNED : ABSENT_DAMAGED;
		head.flags &= (uint8_t) ~WIRE_BATCH_ALL;
	}
	put_head(body, head_at, &head);
	return 0;
}

/* The ledger. */

int packer_seek(struct packer *p, uint64_t number)
{
	struct ledger_read record;
	int r;

	if (number < history_size(p->history) || p->strayed) {
		r = start_over(p);
		if (r < 0)
			return r;
	}
	while (history_size(p->history) < number) {
		r = ledger_next(&p->ledger, p->history, HISTORY_SKIP_SIGNATURE, &p->scan, &record);
		if (r <= 0)
			return r < 0 ? r : -ENOENT;
		if (record.type == LEDGER_COMMIT)
			history_commit_sealed(p->history);
	}
	return 0;
}

/*
 * A commit that the ledger has packed, as it was sealed: its batches' roots are made again.  Without one of them there is no
 * record that the other end could check.
 */
static int unpack_record(struct packer *p, struct ledger_read *record)
{
	uint32_t n = record->commit.commit.n_batches;
	int r = 0;

	while (p->batches_cap < n)
		if (!room_for(&p->batches, p->batches_cap, &p->batches_cap, sizeof *p->batches))
			return -ENOMEM;
	if (n > 0)
		memcpy(p->batches, record->commit.batches, n * sizeof *p->batches);
	for (uint32_t i = 0; r >= 0 && i < n; i++)
		if (root_is_absent(&p->batches[i].root))
			r = packed_root(p->packed, &p->batches[i], &p->batches[i].root);
	buf_clear(&p->record);
	if (r >= 0)
		r = history_rewrite_commit(p->history, p->batches, &p->record);
	if (r < 0) {
		p->strayed = true;
		return is_shortage(r) || r == BULLA_EVERSION ? r : BULLA_ECORRUPT;
	}
	record->payload = p->record.data;
	record->size = p->record.len;
	record->commit.batches = p->batches;
	return 0;
}

static int pack_commit(struct packer *p, struct ledger_read *record, const struct pack_options *o,
		       struct buf *body)
{
	const struct sealed_commit *c = &record->commit;
	int r = record->payload ? 0 : unpack_record(p, record);

	if (r < 0)
		return r;
	history_commit_sealed(p->history);
	r = grow_places(p, history_n_journals(p->history));
	for (uint32_t i = 0; i < c->commit.n_batches && r >= 0; i++)
		r = copy_batch(p, &c->batches[i], c->handles[i], o, body);
	if (r < 0)
		return r;
	wire_frame(body, WIRE_COMMIT, record->payload, record->size);
	return body->bad ? -ENOMEM : 1;
}

int packer_next(struct packer *p, const struct pack_options *o, struct buf *body)
{
	struct ledger_read record;
	int r;

	/* Keys without their commit are not there yet: stay before them. */
	while (history_size(p->history) < history_size(p->ahead)) {
		r = ledger_next(&p->ledger, p->history, HISTORY_SKIP_SIGNATURE, &p->scan, &record);
		if (r <= 0)
			return r;
		if (record.type == LEDGER_COMMIT)
			return pack_commit(p, &record, o, body);
		wire_frame(body, WIRE_KEYS, record.payload, record.size);
	}
	return 0;
}
