/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A file of the ledger is read into memory as a whole, which its size allows: it is full at about a MiB.  Its commits are
 * gathered into blocks; a record of keys ends one.  What was written is read back and compared before it takes the place of
 * what was there, and readers find either the one or the other under its name.
 */

#include "store/segment/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "seal/packed.h"
#include "store/receipts.h"

enum { FILE_SIZE_MAX = 64 << 20 };

#define LEDGER_REWRITTEN "rewritten"

/* Commits that become one record; what their events and signatures point to is the file as it was read. */
struct block {
	struct commit_record *commits; /* owned */
	size_t n, cap;
	struct ledger_item *items; /* owned: of all, by commit */
	size_t n_items, items_cap;
	struct hash *roots; /* owned: over the batches of each commit */
	size_t roots_cap;
};

static void block_done(struct block *b)
{
	free(b->commits);
	free(b->items);
	free(b->roots);
}

/* Add a commit; its items may then be changed.  @return them, or NULL without memory. */
static struct ledger_item *block_add(struct block *b, const struct commit_record *c,
				     const struct hash *root)
{
	if (!room_for(&b->commits, b->n, &b->cap, sizeof *b->commits) ||
	    !room_for(&b->roots, b->n, &b->roots_cap, sizeof *b->roots))
		return NULL;
	while (b->items_cap < b->n_items + c->n_items + 1)
		if (!room_for(&b->items, b->items_cap, &b->items_cap, sizeof *b->items))
			return NULL;
	if (c->n_items > 0)
		memcpy(b->items + b->n_items, c->items, c->n_items * sizeof *b->items);
	b->commits[b->n] = *c;
	b->roots[b->n++] = *root;
	b->n_items += c->n_items;
	return b->items + (b->n_items - c->n_items);
}

static void block_clear(struct block *b)
{
	b->n = b->n_items = 0;
}

/* The arrays have grown: let each commit find its own. */
static void block_settle(struct block *b)
{
	size_t at = 0;

	for (size_t i = 0; i < b->n; i++) {
		b->commits[i].items = b->items + at;
		b->commits[i].batches_root = b->roots[i].b;
		at += b->commits[i].n_items;
	}
}

/* Journals. */

struct journal_of {
	struct id id;
	uint64_t handle;
};

static int compare_ids(const void *a, const void *b)
{
	return id_compare(&((const struct journal_of *) a)->id,
			  &((const struct journal_of *) b)->id);
}

/* The journals of a block's items, by id.  @return how many, or -ENOMEM. */
static int64_t block_handles(const struct block *b, const struct history *h, uint64_t **ret)
{
	_cleanup_free_ struct journal_of *of = reallocarray(NULL, b->n_items + 1, sizeof *of);
	_cleanup_free_ uint64_t *handles = reallocarray(NULL, b->n_items + 1, sizeof *handles);
	size_t n = 0;

	if (!of || !handles)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_items; i++) {
		of[i].handle = b->items[i].handle;
		of[i].id = history_journal(h, (uint32_t) of[i].handle)->id;
	}
	if (b->n_items > 1)
		qsort(of, b->n_items, sizeof *of, compare_ids);
	for (size_t i = 0; i < b->n_items; i++)
		if (i == 0 || of[i].handle != handles[n - 1])
			handles[n++] = of[i].handle;
	*ret = TAKE_PTR(handles);
	return (int64_t) n;
}

/* Writing. */

static int put_frame(struct buf *to, uint32_t type, const void *payload, size_t n)
{
	uint8_t *at = buf_room(to, frame_space(n));

	if (!at)
		return -ENOMEM;
	memcpy(at + FRAME_HEADER_SIZE, payload, n);
	buf_add(to, frame_finish(at, type, (uint32_t) n));
	return 0;
}

static bool same_commit(const struct commit_record *a, const struct commit_record *b)
{
	for (size_t i = 0; i < a->n_items && a->n_items == b->n_items; i++) {
		const struct ledger_item *x = &a->items[i], *y = &b->items[i];

		if (x->handle != y->handle || x->flags != y->flags || x->entries != y->entries ||
		    x->bytes != y->bytes || x->time_min != y->time_min || x->span != y->span ||
		    x->mono != y->mono || !hash_same(&x->root, &y->root))
			return false;
	}
	return a->number == b->number && a->time_ns == b->time_ns && a->n_items == b->n_items &&
	       a->n_events == b->n_events && a->events_size == b->events_size &&
	       memcmp(a->events, b->events, a->events_size) == 0 &&
	       memcmp(a->sigma, b->sigma, KES_SIGMA_SIZE) == 0 &&
	       (a->n_items == 0 || memcmp(a->batches_root, b->batches_root, HASH_SIZE) == 0);
}

/* Whether a record gives back what it was made of. */
static int read_back(const struct block *b, const struct buf *record)
{
	_cleanup_(packed_done) struct packed_reader reader = { 0 };
	struct commit_record c;
	int r = packed_begin(&reader, record->data, record->len);

	for (size_t i = 0; r >= 0 && i < b->n; i++) {
		r = packed_next(&reader, &c);
		if (r == 0 || (r > 0 && !same_commit(&c, &b->commits[i])))
			r = BULLA_ECORRUPT;
	}
	if (r >= 0)
		r = packed_next(&reader, &c);
	return r > 0 ? BULLA_ECORRUPT : r;
}

/* Append the block as a record, and begin another. */
static int flush(struct block *b, const struct history *h, struct buf *to)
{
	_cleanup_free_ uint64_t *handles = NULL;
	_cleanup_buf_ struct buf record = { 0 };
	int64_t n;
	int r;

	if (b->n == 0)
		return 0;
	block_settle(b);
	n = block_handles(b, h, &handles);
	r = n < 0 ? (int) n : packed_write(b->commits, b->n, handles, (size_t) n, &record);
	if (r >= 0)
		r = read_back(b, &record);
	if (r >= 0)
		r = put_frame(to, LEDGER_PACKED, record.data, record.len);
	block_clear(b);
	return r;
}

/* It is whose the old one was. */
static int like_old_one(const struct state *s, const char *name, int fd)
{
	struct stat st;

	if (fstatat(s->ledger, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 0777) < 0)
		return -errno;
	return 0;
}

/* A file takes the place of the one of that name. */
static int replace_file(const struct state *s, const char *name, const struct buf *content)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (unlinkat(s->ledger, LEDGER_REWRITTEN, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(s->ledger, LEDGER_REWRITTEN,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = like_old_one(s, name, fd);
	if (r >= 0)
		r = io_write(fd, content->data, content->len);
	if (r >= 0)
		r = io_sync(fd);
	if (r >= 0 && renameat(s->ledger, LEDGER_REWRITTEN, s->ledger, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(s->ledger, LEDGER_REWRITTEN, 0);
		return r;
	}
	return io_sync_dir(s->ledger);
}

/* Packing. */

struct roots_packer {
	const struct state *state;
	struct history *history; /* before the next file; NULL: begin anew */
	struct block block;
	struct ledger_items items;
	struct packed_reader packed;
};

int roots_packer_new(struct roots_packer **ret, const struct state *s)
{
	struct roots_packer *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->state = s;
	*ret = p;
	return 0;
}

struct roots_packer *roots_packer_free(struct roots_packer *p)
{
	if (!p)
		return NULL;
	history_free(p->history);
	block_done(&p->block);
	ledger_items_done(&p->items);
	packed_done(&p->packed);
	free(p);
	return NULL;
}

/* What is known of a packer's surroundings while it packs. */
struct packing {
	struct roots_packer *packer;
	struct segment_set *set;
	const struct history *pruned;
	struct buf to;
	bool anything; /* was not packed already */
};

/* Whether segments have the batch, and are to keep it. */
static bool can_go(const struct packing *k, const struct batch *b)
{
	int64_t handle = history_find_journal(k->pruned, &b->journal);

	return handle >= 0 &&
	       b->batch_no >= history_journal(k->pruned, (uint32_t) handle)->pruned_batches &&
	       segment_set_has_whole(k->set, &b->journal, b->batch_no, b->batch_no + 1);
}

static int take_commit(struct packing *k, const struct frame *f)
{
	struct roots_packer *p = k->packer;
	struct commit_record record;
	struct sealed_commit c;
	struct ledger_item *items;
	int r = history_preview(p->history, f->payload, f->size, HISTORY_SKIP_SIGNATURE, &c);

	if (r >= 0)
		r = commit_record_read(f->payload, f->size, true, &p->items, &record);
	if (r >= 0 && p->block.n == PACKED_COMMITS_MAX)
		r = flush(&p->block, p->history, &k->to);
	if (r < 0)
		return r;
	items = block_add(&p->block, &record, &c.commit.batches_root);
	if (!items)
		return -ENOMEM;
	for (uint32_t i = 0; i < c.commit.n_batches; i++)
		if (can_go(k, &c.batches[i]))
			items[i].root = (struct hash){ 0 };
	history_commit_sealed(p->history);
	k->anything = true;
	return 0;
}

/* One that is packed already only moves the history. */
static int pass_packed(struct packing *k, const struct frame *f)
{
	struct roots_packer *p = k->packer;
	struct commit_record record;
	int r = packed_begin(&p->packed, f->payload, f->size);

	while (r >= 0 && (r = packed_next(&p->packed, &record)) > 0) {
		r = history_preview_record(p->history, &record, HISTORY_SKIP_SIGNATURE, NULL);
		if (r >= 0)
			history_commit_sealed(p->history);
	}
	return r < 0 ? r : put_frame(&k->to, f->type, f->payload, f->size);
}

static int take_frame(struct packing *k, const struct frame *f)
{
	struct roots_packer *p = k->packer;
	int r;

	if (f->type == LEDGER_COMMIT)
		return take_commit(k, f);
	r = flush(&p->block, p->history, &k->to);
	if (r < 0)
		return r;
	switch (f->type) {
	case LEDGER_HEADER:
		r = history_header(p->history, f->payload, f->size);
		break;
	case LEDGER_KEYS:
		r = history_keys(p->history, f->payload, f->size);
		break;
	case LEDGER_PACKED:
		return pass_packed(k, f);
	default:
		return BULLA_EVERSION;
	}
	return r < 0 ? r : put_frame(&k->to, f->type, f->payload, f->size);
}

/* Pack the file that begins with the history's next commit, and ends before commit `end`. */
static int pack_file(struct packing *k, uint64_t end, struct roots_packed *ret)
{
	struct roots_packer *p = k->packer;
	_cleanup_buf_ struct buf file = { 0 };
	char name[LEDGER_NAME_SIZE];
	struct frame f;
	ssize_t space = 0;
	int r;

	ledger_name(history_size(p->history), name);
	r = io_read_file(p->state->ledger, name, FILE_SIZE_MAX, &file);
	buf_clear(&k->to);
	block_clear(&p->block);
	k->anything = false;
	for (size_t at = 0; r >= 0; at += (size_t) space) {
		space = frame_parse(file.data + at, file.len - at, LEDGER_RECORD_MAX, &f);
		if (space <= 0)
			break;
		r = take_frame(k, &f);
	}
	if (r >= 0)
		r = space < 0 ? (int) space : flush(&p->block, p->history, &k->to);
	/* Whatever is not the whole file is for verify to find. */
	if (r >= 0 && history_size(p->history) != end)
		r = BULLA_EORDER;
	if (r < 0 || !k->anything)
		return r;
	r = replace_file(p->state, name, &k->to);
	ret->files += r >= 0;
	ret->bytes_before += r < 0 ? 0 : file.len;
	ret->bytes += r < 0 ? 0 : k->to.len;
	return r;
}

int roots_pack(struct roots_packer *p, struct segment_set *set, const struct history *h,
	       uint64_t end, struct roots_packed *ret)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	struct packing k = { .packer = p, .set = set, .pruned = h };
	int64_t n = ledger_files(p->state->ledger, &firsts);
	uint64_t shipped;
	int r = n < 0 ? (int) n : receipts_smallest(p->state, &shipped);

	*ret = (struct roots_packed){ 0 };
	if (r < 0)
		return r;
	end = MIN_OF(end, shipped);
	if (!p->history)
		p->history = history_new();
	r = p->history ? 0 : -ENOMEM;
	for (int64_t i = 0; r >= 0 && i + 1 < n; i++)
		if (firsts[i] == history_size(p->history) && firsts[i + 1] <= end)
			r = pack_file(&k, firsts[i + 1], ret);
	buf_done(&k.to);
	if (r < 0)
		p->history = history_free(p->history);
	return r;
}

/* Keeping what goes. */

/* The root of a batch that is to be taken out of a segment. */
struct kept {
	uint64_t commit;
	uint64_t handle;
	struct hash root;
};

struct keeping {
	struct kept *kept; /* owned; by commit, then handle */
	size_t n, cap;
};

static int compare_kept(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->commit != y->commit)
		return x->commit > y->commit ? 1 : -1;
	return (x->handle > y->handle) - (x->handle < y->handle);
}

static int note_group(struct keeping *k, const struct segment *s, uint32_t number,
		      const struct history *h)
{
	_cleanup_(group_close) struct segment_group g = { 0 };
	int r = group_open(&g, s, number);

	if (r >= 0)
		r = group_need_all(&g);
	for (uint32_t i = 0; r >= 0 && i < g.ref->batches; i++) {
		const struct group_batch *b = &g.batches[i];
		int64_t handle = history_find_journal(h, &s->journals[b->journal].id);
		struct batch batch;

		if (handle < 0 ||
		    b->batch_no >= history_journal(h, (uint32_t) handle)->pruned_batches)
			continue;
		r = group_batch(&g, i, &batch);
		if (r >= 0 && !room_for(&k->kept, k->n, &k->cap, sizeof *k->kept))
			r = -ENOMEM;
		if (r >= 0)
			k->kept[k->n++] = (struct kept){ b->commit, (uint64_t) handle, batch.root };
	}
	return r;
}

/* @return whether a root was put back. */
static bool put_back(const struct keeping *k, uint64_t commit, struct ledger_item *item)
{
	const struct kept *kept;

	if (!root_is_absent(&item->root))
		return false;
	kept = bsearch(&(struct kept){ .commit = commit, .handle = item->handle }, k->kept, k->n,
		       sizeof *k->kept, compare_kept);
	if (kept)
		item->root = kept->root;
	return kept != NULL;
}

/* A record anew, with the roots that are to be kept.  @return 1 when it has any more of them, 0, an error. */
static int put_record(const struct keeping *k, const struct frame *f, const struct history *h,
		      struct buf *to)
{
	_cleanup_(block_done) struct block block = { 0 };
	_cleanup_(packed_done) struct packed_reader reader = { 0 };
	struct commit_record c;
	bool more = false;
	int r = packed_begin(&reader, f->payload, f->size);

	while (r >= 0 && (r = packed_next(&reader, &c)) > 0) {
		struct hash root = { 0 };
		struct ledger_item *items;

		if (c.n_items > 0)
			memcpy(root.b, c.batches_root, HASH_SIZE);
		items = block_add(&block, &c, &root);
		if (!items)
			return -ENOMEM;
		for (size_t i = 0; i < c.n_items; i++)
			more |= put_back(k, c.number, &items[i]);
		for (size_t i = 0; i < c.n_items; i++)
			if (items[i].handle >= history_n_journals(h))
				return BULLA_ECORRUPT;
	}
	if (r >= 0)
		r = more ? flush(&block, h, to) : put_frame(to, f->type, f->payload, f->size);
	return r < 0 ? r : more;
}

/* A file anew, with those roots.  @return 1 when it has any more of them, 0, an error. */
static int put_file(const struct state *s, const struct keeping *k, const char *name,
		    const struct history *h, struct buf *to)
{
	_cleanup_buf_ struct buf file = { 0 };
	struct frame f;
	ssize_t space = 0;
	bool more = false;
	int r = io_read_file(s->ledger, name, FILE_SIZE_MAX, &file);

	for (size_t at = 0; r >= 0; at += (size_t) space) {
		space = frame_parse(file.data + at, file.len - at, LEDGER_RECORD_MAX, &f);
		if (space <= 0)
			break;
		/* Where commits are as they were sealed, nothing was left out. */
		if (f.type == LEDGER_COMMIT)
			return 0;
		r = f.type == LEDGER_PACKED ? put_record(k, &f, h, to)
					    : put_frame(to, f.type, f.payload, f.size);
		more |= r > 0;
	}
	if (r >= 0 && space < 0)
		r = (int) space;
	return r < 0 ? r : more;
}

static bool is_damage(int r)
{
	return r <= BULLA_ETRUNCATED || r == -EIO || r == -EFBIG;
}

/* A file that cannot be read has lost its roots already; one that cannot be written has not. */
static int keep_in_file(const struct state *s, const struct keeping *k, uint64_t first,
			const struct history *h)
{
	_cleanup_buf_ struct buf to = { 0 };
	char name[LEDGER_NAME_SIZE];
	int r;

	ledger_name(first, name);
	r = put_file(s, k, name, h, &to);
	if (r <= 0)
		return is_damage(r) ? 0 : r;
	return replace_file(s, name, &to);
}

int roots_keep(const struct state *s, const struct segment *segment, const struct history *h)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	struct keeping k = { 0 };
	int64_t n = ledger_files(s->ledger, &firsts);
	bool damaged = false;
	int r = n < 0 ? (int) n : 0;

	/* A group that cannot be read has nothing to give; its neighbours do. */
	for (uint32_t i = 0; r >= 0 && i < segment->n_groups; i++) {
		r = note_group(&k, segment, i, h);
		damaged |= is_damage(r);
		r = is_damage(r) ? 0 : r;
	}
	if (k.n > 1)
		qsort(k.kept, k.n, sizeof *k.kept, compare_kept);
	for (int64_t i = 0; r >= 0 && k.n > 0 && i < n; i++) {
		bool before = i + 1 < n && firsts[i + 1] <= k.kept[0].commit;

		if (before || firsts[i] > k.kept[k.n - 1].commit)
			continue;
		r = keep_in_file(s, &k, firsts[i], h);
	}
	/* A file that was replaced may have its name in memory alone, when an earlier sync has failed. */
	if (r >= 0 && k.n > 0)
		r = io_sync_dir(s->ledger);
	free(k.kept);
	return r < 0 ? r : damaged;
}
