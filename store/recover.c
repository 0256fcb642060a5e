/* SPDX-License-Identifier: Apache-2.0 */

#include "store/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/batchroot.h"
#include "store/tail_reader.h"

int recover_lock(int journals_dirfd, const struct id *journal)
{
	_cleanup_close_ int fd = -1;
	char name[TAIL_NAME_SIZE];

	tail_name(journal, name);
	fd = openat(journals_dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int take_rows(struct tail_reader *t, const struct tail_rows *rows, struct batchroot *root,
		     struct buf *raw)
{
	struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct entry e;
	uint32_t context, n = 0;
	struct rd rd;
	int r;

	r = tail_rows_unpack(rows, raw);
	if (r < 0)
		return r;
	rd = rd_of(raw->data, raw->len);
	while ((r = row_decode(&state, &rd, fields, &e, &context)) > 0) {
		if (context >= t->contexts.n)
			return BULLA_ECORRUPT;
		e.context = t->contexts.at[context].hash;
		r = batchroot_add(root, &e);
		if (r < 0)
			return r;
		n++;
	}
	return r < 0 ? r : n == rows->count ? 0 : BULLA_ECORRUPT;
}

static int read_unsealed(struct tail_reader *t, const struct ledger_journal *j,
			 struct batchroot *root, int64_t *mono_offset)
{
	_cleanup_buf_ struct buf raw = { 0 };
	uint64_t next = 0;
	struct tail_item item;
	bool begun = false;
	int r;

	while ((r = tail_reader_next(t, &item)) > 0) {
		if (item.type == TAIL_BATCH) {
			*mono_offset = item.batch.mono_offset;
			continue;
		}
		if (item.rows.first_seq != next)
			return BULLA_ECORRUPT;
		next += item.rows.count;
		if (next <= j->entries)
			continue;
		if (!begun) {
			const uint8_t *seed = seeds_of(&t->seeds, j->batches);

			if (!seed || item.rows.first_seq != j->entries)
				return BULLA_ECORRUPT;
			batchroot_begin(root, seed, j->batches, true);
			begun = true;
		}
		r = take_rows(t, &item.rows, root, &raw);
		if (r < 0)
			return r;
	}
	/* A torn end is what a crash leaves; missing sealed entries are not. */
	if (r < 0 && r != BULLA_ETRUNCATED && r != BULLA_ECORRUPT && r != BULLA_ELIMIT)
		return r;
	return next < j->entries ? BULLA_ECORRUPT : begun;
}

int recover_batch(int journals_dirfd, const struct ledger_journal *j, struct batch_item *ret)
{
	_cleanup_(tail_reader_close) struct tail_reader t = { .fd = -1 };
	_cleanup_(batchroot_done) struct batchroot root = { 0 };
	int64_t mono_offset = j->mono_offset;
	char name[TAIL_NAME_SIZE];
	int r;

	tail_name(&j->id, name);
	r = tail_reader_open(&t, journals_dirfd, name);
	if (r < 0)
		return r;
	r = read_unsealed(&t, j, &root, &mono_offset);
	if (r <= 0)
		return r;
	*ret = (struct batch_item){
		.entries = batchroot_count(&root),
		.bytes = root.bytes,
		.time_min = root.time_min,
		.time_max = root.time_max,
		.mono_offset = mono_offset,
		.root = batchroot_get(&root),
		.recovered = true,
	};
	return 1;
}
