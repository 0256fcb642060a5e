/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The hole's frame lies within one sector: a crash leaves it, or what was there before, and both are whole.  Only when it is
 * durable the space behind it goes.
 */

#include "store/tail_hollow.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "bulla/error.h"
#include "store/tail_reader.h"

enum { SECTOR = 512, BLOCK = 4096, HOLE_MIN = 4 * BLOCK };

/* Batches that follow each other with nothing between them that readers need. */
struct run {
	uint64_t from, to;		   /* offsets; from 0: there is none */
	uint64_t next_seq, first, batches; /* [first, batches) */
};

struct hollowing {
	int fd;
	struct run run;
	uint64_t batch_from; /* offset of the batch at hand; 0 between batches */
	bool clean;	     /* nothing but rows has come of it */
	uint64_t next_seq;
	uint64_t given_back;
	tail_hollow_fn may_go;
	void *arg;
};

static bool fits_sector(uint64_t offset)
{
	return offset % SECTOR + frame_space(TAIL_HOLE_SIZE) <= SECTOR;
}

static int punch(struct hollowing *h, uint64_t from, uint64_t to)
{
	from = ALIGN_UP(from + frame_space(TAIL_HOLE_SIZE), (uint64_t) BLOCK);
	to -= to % BLOCK;
	if (from >= to)
		return 0;
	if (fallocate(h->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) from,
		      (off_t) (to - from)) < 0)
		return -errno;
	h->given_back += to - from;
	return 0;
}

/* The run at hand is over. */
static int end_run(struct hollowing *h)
{
	uint8_t frame[FRAME_HEADER_SIZE + TAIL_HOLE_SIZE + FRAME_ALIGN] = { 0 };
	struct tail_hole hole = { h->run.to, h->run.next_seq, h->run.batches };
	struct wr w = wr_of(frame + FRAME_HEADER_SIZE, TAIL_HOLE_SIZE);
	struct run run = h->run;
	size_t size;
	int r;

	h->run = (struct run){ 0 };
	if (run.from == 0 || run.to - run.from < HOLE_MIN ||
	    (h->may_go && !h->may_go(h->arg, run.first, run.batches)))
		return 0;
	tail_hole_encode(&hole, &w);
	size = frame_finish(frame, TAIL_HOLE, TAIL_HOLE_SIZE);
	r = io_pwrite(h->fd, frame, size, run.from);
	if (r >= 0)
		r = io_sync(h->fd);
	return r < 0 ? r : punch(h, run.from, run.to);
}

static int on_batch(struct hollowing *h, const struct frame *f, uint64_t end, uint64_t *ret_seen)
{
	struct tail_batch batch;
	int r = tail_batch_decode(f->payload, f->size, &batch);

	if (r < 0)
		return r;
	*ret_seen = batch.batch_no + 1;
	if (!h->clean || h->batch_from == 0) {
		r = end_run(h);
	} else {
		if (h->run.from == 0 && fits_sector(h->batch_from)) {
			h->run.from = h->batch_from;
			h->run.first = batch.batch_no;
		}
		h->run.to = end;
		h->run.next_seq = h->next_seq;
		h->run.batches = batch.batch_no + 1;
	}
	h->batch_from = 0;
	return r;
}

static int on_rows(struct hollowing *h, const struct frame *f, uint64_t offset)
{
	struct tail_rows rows;
	int r = tail_rows_decode(f->payload, f->size, &rows);

	if (r < 0)
		return r;
	if (h->batch_from == 0) {
		h->batch_from = offset;
		h->clean = true;
	}
	h->next_seq = rows.first_seq + rows.count;
	return 0;
}

/* One that an earlier run has left; its space may not have been given back. */
static int on_hole(struct hollowing *h, struct frame_reader *reader, const struct frame *f,
		   uint64_t offset, uint64_t *ret_batches)
{
	struct tail_hole hole;
	int r = end_run(h);

	if (r >= 0)
		r = tail_hole_decode(f->payload, f->size, &hole);
	if (r < 0 || hole.end < reader->offset)
		return r < 0 ? r : -EINVAL;
	*ret_batches = hole.batches;
	frame_reader_seek(reader, hole.end);
	return punch(h, offset, hole.end);
}

/* Walk along the frames before batch `batches`.  @return 0 or a negated errno; damage ends the walk. */
static int walk(struct hollowing *h, struct frame_reader *reader, uint64_t batches)
{
	uint64_t seen = 0, offset;
	struct frame f;
	int r = 0;

	while (r >= 0 && seen < batches) {
		r = frame_reader_next(reader, &f, &offset);
		if (r <= 0)
			break;
		if (f.type == TAIL_ROWS) {
			r = on_rows(h, &f, offset);
		} else if (f.type == TAIL_BATCH) {
			r = on_batch(h, &f, reader->offset, &seen);
		} else if (f.type == TAIL_HOLE) {
			r = on_hole(h, reader, &f, offset, &seen);
		} else if (h->batch_from != 0) {
			h->clean = false;
		} else {
			r = end_run(h);
		}
	}
	return r < 0 && r > BULLA_ETRUNCATED ? r : end_run(h);
}

int tail_hollow(int journals_dirfd, const struct id *journal, uint64_t batches,
		tail_hollow_fn may_go, void *arg, uint64_t *ret_bytes)
{
	_cleanup_close_ int fd = -1;
	struct frame_reader reader;
	struct hollowing h = { .may_go = may_go, .arg = arg };
	struct flock whole = { .l_type = F_WRLCK };
	char name[TAIL_NAME_SIZE];
	int r;

	*ret_bytes = 0;
	tail_name(journal, name);
	fd = io_open_regular(journals_dirfd, name, O_RDWR);
	if (fd < 0)
		return fd;
	/* Who goes on with the tail has it read first; that is not to happen meanwhile.  (flock() is the holder's.) */
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
		return errno == EAGAIN || errno == EACCES ? 0 : -errno;
	h.fd = fd;
	frame_reader_init(&reader, fd, 0, TAIL_RECORD_MAX);
	r = walk(&h, &reader, batches);
	frame_reader_done(&reader);
	*ret_bytes = h.given_back;
	return r;
}
