/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "store/receipts.h"
#include "store/segment/set.h"
#include "store/tail_hollow.h"
#include "store/tail_reader.h"

/* The one that keeps the tail of a journal where it is. */
static void note_damaged(const struct segment_set *set, const struct id *journal,
			 struct replaced *ret)
{
	uint32_t n;
	const struct segment_span *span = segment_set_of(set, journal, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct segment_file *f = &set->files[span[i].file];

		if (f->checked && !f->whole && segment_file_is_sound(f))
			strcpy(ret->damaged, f->name);
	}
}

static void replace(const struct state *s, struct segment_set *set, const struct ledger_journal *j,
		    uint64_t shipped, struct replaced *ret)
{
	char name[TAIL_NAME_SIZE];
	struct stat st;

	bool pruned = j->pruned && j->pruned_batches == j->batches;

	if (!j->closed || (!pruned && (j->batches == 0 || j->last_commit >= shipped)) ||
	    !segment_set_has_all(set, &j->id, j->pruned_batches, j->batches))
		return;
	tail_name(&j->id, name);
	if (fstatat(s->journals, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (!segment_set_has_whole(set, &j->id, j->pruned_batches, j->batches)) {
		ret->kept++;
		note_damaged(set, &j->id, ret);
		return;
	}
	if (unlinkat(s->journals, name, 0) < 0)
		return;
	ret->tails++;
	ret->bytes += (uint64_t) st.st_blocks * 512;
}

int segment_replace_tails(const struct state *s, const struct history *h, struct replaced *ret)
{
	struct segment_set set = { 0 };
	uint64_t shipped;
	int r = receipts_smallest(s, &shipped);

	*ret = (struct replaced){ 0 };
	if (r >= 0)
		r = segment_set_open(&set, s);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < history_n_journals(h); i++)
		replace(s, &set, history_journal(h, i), shipped, ret);
	segment_set_close(&set);
	return ret->tails > 0 ? io_sync_dir(s->journals) : 0;
}

/* Hollowing out. */

/* Which segments are to be relied on: old enough, and all of it acknowledged. */
static bool is_settled(const struct segment_file *f, uint64_t shipped, time_t before)
{
	struct stat st;

	return segment_file_is_sound(f) && f->end <= shipped && fstat(f->segment.fd, &st) == 0 &&
	       st.st_mtim.tv_sec < before;
}

/* So many batches of a journal are in such segments, or pruned. */
static uint64_t settled_batches(const struct segment_set *set, const struct ledger_journal *j,
				uint64_t shipped, time_t before)
{
	uint64_t have = j->pruned_batches;
	uint32_t n;
	const struct segment_span *span = segment_set_of(set, &j->id, &n);

	for (uint32_t i = 0; i < n; i++)
		if (span[i].first_batch <= have &&
		    is_settled(&set->files[span[i].file], shipped, before))
			have = MAX_OF(have, span[i].end_batch);
	return have;
}

/* A tail, and what stands for it. */
struct standing {
	struct segment_set *set;
	const struct id *journal;
	struct replaced *replaced;
};

static bool may_go(void *arg, uint64_t first, uint64_t end)
{
	const struct standing *s = arg;
	bool whole = segment_set_has_whole(s->set, s->journal, first, end);

	if (!whole)
		note_damaged(s->set, s->journal, s->replaced);
	return whole;
}

static int hollow(const struct state *s, struct segment_set *set, const struct ledger_journal *j,
		  uint64_t shipped, time_t before, struct replaced *ret)
{
	/* The last batches tell who goes on with the tail where it is. */
	enum { KEPT = 2 };
	struct standing standing = { set, &j->id, ret };
	uint64_t batches, bytes;
	int r;

	if (j->closed)
		return 0;
	batches = settled_batches(set, j, shipped, before);
	if (batches <= KEPT)
		return 0;
	r = tail_hollow(s->journals, &j->id, MIN_OF(batches, j->batches - KEPT), may_go, &standing,
			&bytes);
	ret->tails += bytes > 0;
	ret->bytes += bytes;
	/* One that cannot be read is for verify to find. */
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EOPNOTSUPP ? r : 0;
}

int segment_hollow_tails(const struct state *s, const struct history *h, unsigned settled_s,
			 struct replaced *ret)
{
	struct segment_set set = { 0 };
	uint64_t shipped;
	time_t before = time(NULL) - (time_t) settled_s;
	int r = receipts_smallest(s, &shipped);

	*ret = (struct replaced){ 0 };
	if (r >= 0)
		r = segment_set_open(&set, s);
	for (uint32_t i = 0; r >= 0 && i < history_n_journals(h); i++)
		r = hollow(s, &set, history_journal(h, i), shipped, before, ret);
	segment_set_close(&set);
	return r == -EOPNOTSUPP ? 0 : r;
}
