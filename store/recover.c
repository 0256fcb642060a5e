/* SPDX-License-Identifier: Apache-2.0 */

#include "store/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/batchroot.h"
#include "store/tail_reader.h"

int recover_lock(int journals_dirfd, const struct id *journal)
{
	_cleanup_close_ int fd = -1;
	char name[TAIL_NAME_SIZE];

	tail_name(journal, name);
	fd = io_open_regular(journals_dirfd, name, O_RDONLY);
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Whether this is the tail of the journal that the ledger opened. */
static int check_identity(const struct tail_reader *t, const struct ledger_journal *j)
{
	if (!id_equal(&t->header.journal, &j->id) || t->contexts.n == 0 ||
	    !hash_same(&t->contexts.at[0].hash, &j->identity))
		return BULLA_ECORRUPT;
	return 0;
}

struct recovery {
	struct tail_reader tail;
	const struct ledger_journal *journal;
	struct batchroot root;
	int64_t mono_offset;
	uint64_t next; /* seq */
	bool begun;
	uint64_t
		from; /* offset behind the last sealed batch: contexts and seeds may be unsynced, too */
	struct buf raw;
};

static void recovery_done(struct recovery *v)
{
	tail_reader_close(&v->tail);
	batchroot_done(&v->root);
	buf_done(&v->raw);
}

static int take_rows(struct recovery *v, const struct tail_rows *rows)
{
	const struct contexts *contexts = &v->tail.contexts;
	_uninitialized_ struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context, n = 0;
	struct rd rd;
	int r;

	r = tail_rows_unpack(rows, &v->raw);
	if (r < 0)
		return r;
	rd = rd_of(v->raw.data, v->raw.len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= contexts->n)
			return BULLA_ECORRUPT;
		e.context = contexts->at[context].hash;
		r = batchroot_add(&v->root, &e);
		if (r < 0)
			return r;
		n++;
	}
	if (r < 0 || n != rows->count)
		return BULLA_ECORRUPT;
	if (v->root.bytes > RECOVERED_SIZE_MAX || batchroot_count(&v->root) > BATCH_ENTRIES_MAX)
		return BULLA_ELIMIT;
	return 0;
}

static int on_rows(struct recovery *v, const struct tail_rows *rows)
{
	const struct ledger_journal *j = v->journal;
	const uint8_t *seed;

	if (rows->first_seq != v->next)
		return BULLA_ECORRUPT;
	v->next += rows->count;
	if (v->next <= j->entries)
		return 0;
	if (!v->begun) {
		seed = seeds_of(&v->tail.seeds, j->batches);
		if (!seed || rows->first_seq != j->entries)
			return BULLA_ECORRUPT;
		batchroot_begin(&v->root, seed, j->batches, true);
		v->begun = true;
	}
	return take_rows(v, rows);
}

/* What was packed is sealed. */
static int on_hole(struct recovery *v, const struct tail_hole *hole)
{
	if (hole->next_seq < v->next || hole->next_seq > v->journal->entries)
		return BULLA_ECORRUPT;
	v->next = hole->next_seq;
	return 0;
}

static int read_unsealed(struct recovery *v)
{
	struct tail_item item;
	int r;

	v->next = v->tail.header.first_seq;
	v->mono_offset = v->journal->mono_offset;
	while ((r = tail_reader_next(&v->tail, &item)) > 0) {
		if (item.type == TAIL_HOLE ||
		    (item.type == TAIL_BATCH && item.batch.batch_no < v->journal->batches))
			v->from = v->tail.frames.offset;
		if (item.type == TAIL_BATCH)
			v->mono_offset = item.batch.mono_offset;
		else if (item.type == TAIL_HOLE)
			r = on_hole(v, &item.hole);
		else
			r = on_rows(v, &item.rows);
		if (r < 0)
			return r;
	}
	/* A torn end is what a crash leaves; missing sealed entries are not, nor frames that were written like that. */
	if (r < 0 && (v->tail.refused || r > BULLA_ETRUNCATED))
		return r;
	r = check_identity(&v->tail, v->journal);
	if (r < 0)
		return r;
	return v->next < v->journal->entries ? BULLA_ECORRUPT : v->begun;
}

/* A disk writes in what order it likes: behind what is torn there may be whole frames, and what is torn may look like some. */
static int cut_off(int fd, uint64_t end, uint64_t *ret_cut)
{
	int r = io_is_blank(fd, end);
	struct stat st;

	if (r != 0)
		return MIN_OF(r, 0);
	if (fstat(fd, &st) < 0 || ftruncate(fd, (off_t) end) < 0)
		return -errno;
	*ret_cut = (uint64_t) st.st_size - end;
	return 0;
}

/*
 * If only the writer died, and not the host, its last frames may be in memory alone, and after a failed sync not even to be
 * written: what is sealed must be on disk, and so must be where it ends.
 */
static int settle(int journals_dirfd, const char *name, uint64_t from, uint64_t to,
		  uint64_t *ret_cut)
{
	_cleanup_close_ int fd = io_open_regular(journals_dirfd, name, O_RDWR);
	int r = fd < 0 ? fd : cut_off(fd, to, ret_cut);

	if (r >= 0)
		r = io_write_again(fd, from, to);
	return r < 0 ? r : io_sync(fd);
}

int recover_batch(int journals_dirfd, const struct ledger_journal *j, struct batch_item *ret,
		  uint64_t *ret_cut)
{
	_cleanup_(recovery_done) struct recovery v = { .tail.fd = -1, .journal = j };
	char name[TAIL_NAME_SIZE];
	int r, any;

	*ret_cut = 0;
	tail_name(&j->id, name);
	r = tail_reader_open(&v.tail, journals_dirfd, name);
	if (r < 0)
		return r;
	r = tail_reader_lock(&v.tail);
	if (r < 0)
		return r;
	any = read_unsealed(&v);
	if (any < 0)
		return any;
	r = settle(journals_dirfd, name, v.from, v.tail.frames.offset, ret_cut);
	if (r < 0 || any == 0)
		return r;
	*ret = (struct batch_item){
		.entries = (uint32_t) batchroot_count(&v.root),
		.bytes = v.root.bytes,
		.time_min = v.root.time_min,
		.time_max = v.root.time_max,
		.mono_offset = v.mono_offset,
		.root = batchroot_get(&v.root),
		.recovered = true,
	};
	return 1;
}
