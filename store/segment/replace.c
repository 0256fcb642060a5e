/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "store/receipts.h"
#include "store/segment/set.h"
#include "store/tail_reader.h"

/* The commits that all destinations have. */
static int note_smallest(void *arg, const struct receipt *r)
{
	uint64_t *size = arg;

	*size = MIN_OF(*size, r->size);
	return 0;
}

static void replace(const struct state *s, const struct segment_set *set,
		    const struct ledger_journal *j, uint64_t shipped, struct replaced *ret)
{
	char name[TAIL_NAME_SIZE];
	struct stat st;

	bool pruned = j->pruned && j->pruned_batches == j->batches;

	if (!j->closed || (!pruned && (j->batches == 0 || j->last_commit >= shipped)) ||
	    !segment_set_has_all(set, &j->id, j->pruned_batches, j->batches))
		return;
	tail_name(&j->id, name);
	if (fstatat(s->journals, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    unlinkat(s->journals, name, 0) < 0)
		return;
	ret->tails++;
	ret->bytes += (uint64_t) st.st_blocks * 512;
}

int segment_replace_tails(const struct state *s, const struct history *h, struct replaced *ret)
{
	struct segment_set set = { 0 };
	uint64_t shipped = UINT64_MAX;
	int r = receipts_each(s, note_smallest, &shipped);

	*ret = (struct replaced){ 0 };
	if (r >= 0 || r == -ENOENT)
		r = segment_set_open(&set, s);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < history_n_journals(h); i++)
		replace(s, &set, history_journal(h, i), shipped, ret);
	segment_set_close(&set);
	return ret->tails > 0 ? io_sync_dir(s->journals) : 0;
}
