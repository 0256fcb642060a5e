/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Pruning is done in two steps.  The ledger says first what goes; then whatever the ledger says is gone is taken out of the
 * segments.  So a kill in between is made good by the next run, and nothing is missing that the ledger does not explain.
 */

#include "collector/upkeep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/room.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/prune.h"
#include "store/segment/check.h"
#include "store/segment/damaged.h"
#include "store/segment/merge.h"
#include "store/segment/replace.h"

enum { HOLLOW_S = 600 };

static const struct history *history_of(const struct upkeep *u)
{
	return segment_builder_history(u->builder);
}

/* How much of a segment the ledger says is pruned: entries, of how many. */
static uint64_t pruned_of(const struct upkeep *u, const struct segment *s, uint64_t *ret_of)
{
	uint64_t pruned = 0;

	*ret_of = 0;
	for (uint32_t i = 0; i < s->n_journals; i++) {
		const struct segment_journal *sj = &s->journals[i];
		int64_t handle = history_find_journal(history_of(u), &sj->id);
		const struct ledger_journal *j;

		*ret_of += sj->entries;
		if (handle < 0)
			continue;
		j = history_journal(history_of(u), (uint32_t) handle);
		if (sj->first_batch + sj->batches <= j->pruned_batches)
			pruned += sj->entries;
		else if (sj->first_batch < j->pruned_batches)
			pruned++;
	}
	return pruned;
}

/* What is damaged. */

static void on_damage(void *arg, const struct segment_file *f, int error, uint64_t at)
{
	(void) arg;
	if (error == 0)
		log_info(SEGMENTS_DIR "/%s is whole again", f->name);
	else
		log_error_code(error,
			       SEGMENTS_DIR "/%s: at byte %" PRIu64
					    ": it is left as it is, and marked " SEGMENT_DAMAGED,
			       f->name, at);
}

/* Nothing is known to be wrong with it, and yet it cannot be used: another version may do better. */
static int leave(struct upkeep *u, const struct segment_file *f)
{
	if (!room_for(&u->left, u->n_left, &u->left_cap, sizeof *u->left))
		return -ENOMEM;
	strcpy(u->left[u->n_left++], f->name);
	return 0;
}

static bool is_left(const struct upkeep *u, const struct segment_file *f)
{
	for (size_t i = 0; i < u->n_left; i++)
		if (strcmp(u->left[i], f->name) == 0)
			return true;
	return false;
}

/* Find out which of some segments could not be used, and have no more to do with it.  @return 1 or an error. */
static int set_aside(struct upkeep *u, struct segment_set *set, uint32_t first, uint32_t n,
		     int error)
{
	bool found = false;
	int r = 0;

	for (uint32_t i = first; r >= 0 && i < first + n; i++) {
		struct segment_file *f = &set->files[i];
		uint64_t at = 0;
		int damage = segment_check_content(&f->segment, &at);

		if (damage < 0 && !segment_is_damage(damage))
			return damage;
		if (damage == 0)
			continue;
		found = true;
		if (damage == BULLA_EVERSION) {
			log_error_code(damage, SEGMENTS_DIR "/%s: it is left as it is", f->name);
			r = leave(u, f);
			continue;
		}
		r = damaged_mark(u->segments, f, damage, at);
		if (r < 0)
			log_error_code(r, SEGMENTS_DIR "/%s" SEGMENT_DAMAGED, f->name);
		on_damage(NULL, f, damage, at);
		r = r < 0 ? leave(u, f) : 0;
	}
	for (uint32_t i = first; r >= 0 && !found && i < first + n; i++)
		r = leave(u, &set->files[i]);
	if (!found)
		log_error_code(error,
			       SEGMENTS_DIR
			       "/%s and %u behind it cannot be merged; see bulla verify",
			       set->files[first].name, n - 1);
	return r < 0 ? r : 1;
}

/* Those that are damaged, or are otherwise of no use, are passed over. */
static void leave_alone(const struct upkeep *u, struct segment_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		struct segment_file *f = &set->files[i];

		if (f->error == 0 && (f->marked || f->first < u->unmerged_before || is_left(u, f)))
			f->error = -EIO;
	}
}

/* Making segments out of segments. */

/* Roots of what is pruned stay in the ledger: they are written back before the segment is left without it.  As roots_keep(). */
static int keep_roots(const struct upkeep *u, const struct segment *s)
{
	uint64_t of;

	return pruned_of(u, s, &of) > 0 ? roots_keep(u->state, s, history_of(u)) : 0;
}

/* @return 1 when it was done, or what is in the way is left alone from now on; 0 when there is no room; an error. */
static int merge(struct upkeep *u, struct segment_set *set, uint32_t first, uint32_t n)
{
	struct merge_options o = { .dirfd = u->segments, .level = u->level };
	struct segment_made made;
	char size[16];
	int r = 0;

	for (uint32_t i = first; r == 0 && i < first + n; i++)
		r = keep_roots(u, &set->files[i].segment);
	if (r > 0)
		return set_aside(u, set, first, n, BULLA_ECORRUPT);
	/* That it is the ledger which cannot be written is not the segment's fault. */
	if (r < 0 && r != -ENOSPC && r != -EDQUOT)
		return r;
	if (r == 0)
		r = segment_merge(set, first, n, history_of(u), &o, &made);
	if (r == -ENOSPC || r == -EDQUOT) {
		/* Smaller as it would be, it needs room beside the old one.  What goes as a whole needs none. */
		log_error_code(r, "segments/%s cannot be made anew", set->files[first].name);
		u->unmerged_before = set->files[first + n - 1].end;
		return 0;
	}
	if (segment_is_damage(r))
		return set_aside(u, set, first, n, r);
	if (r < 0)
		return r;
	u->written += made.size;
	text_size(size, made.size);
	if (r == 0)
		log_info("nothing is left of segments/%s", set->files[first].name);
	else
		log_info("segments/%s: made of %u, %" PRIu64 " entries, %s, %.1f bytes an entry",
			 made.name, n, made.entries, size,
			 (double) made.size / (double) MAX_OF(made.entries, (uint64_t) 1));
	return 1;
}

static int merge_some(struct upkeep *u, struct segment_set *set)
{
	uint32_t first, n;

	leave_alone(u, set);
	if (!plan_merge(set, clock_realtime_ns(), MERGE_ENTRIES_MAX, &first, &n))
		return 0;
	return merge(u, set, first, n);
}

/* What is pruned. */

/* Take what is pruned out of a segment.  @return 1 when one was changed, 0 when there is none, an error. */
static int drop_pruned(struct upkeep *u, struct segment_set *set)
{
	leave_alone(u, set);
	for (uint32_t i = 0; i < set->n; i++) {
		const struct segment_file *f = &set->files[i];
		uint64_t of, pruned = f->error == 0 ? pruned_of(u, &f->segment, &of) : 0;
		int r;

		if (pruned == 0)
			continue;
		if (pruned < of) {
			r = merge(u, set, i, 1);
			if (r != 0)
				return r;
			continue;
		}
		r = keep_roots(u, &f->segment);
		if (r > 0)
			return set_aside(u, set, i, 1, BULLA_ECORRUPT);
		if (r >= 0 && unlinkat(u->segments, f->name, 0) < 0)
			r = -errno;
		if (r < 0)
			return r;
		log_info("took away segments/%s: all of it is pruned", f->name);
		return 1;
	}
	return 0;
}

/* Bytes of the tails, as they lie on the disk. */
struct sizes {
	int dirfd;
	uint64_t bytes;
};

static int add_tail(void *arg, const struct id *journal, const char *name)
{
	struct sizes *s = arg;
	struct stat st;

	(void) journal;
	if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->bytes += (uint64_t) st.st_blocks * 512;
	return 0;
}

/* The limits as they are now: free space that is short makes all of it less. */
static int limits_now(const struct upkeep *u, const struct segment_set *set, uint64_t tails,
		      struct retention *ret)
{
	uint64_t used = tails, free_bytes;
	struct statvfs fs;

	*ret = u->limits;
	if (u->keep_free == 0)
		return 0;
	if (fstatvfs(u->state->root, &fs) < 0)
		return -errno;
	for (uint32_t i = 0; i < set->n; i++)
		used += set->files[i].segment.size;
	free_bytes = (uint64_t) fs.f_bavail * fs.f_frsize;
	if (free_bytes >= u->keep_free)
		return 0;
	used -= MIN_OF(used, u->keep_free - free_bytes);
	used = MAX_OF(used, (uint64_t) 1);
	ret->bytes = ret->bytes == 0 ? used : MIN_OF(ret->bytes, used);
	return 0;
}

static bool has_limits(const struct upkeep *u)
{
	const struct retention *l = &u->limits;

	return l->age_ns > 0 || l->bytes > 0 || l->tenant_bytes > 0 || l->n_tenants > 0 ||
	       l->source_bytes > 0 || u->keep_free > 0;
}

/* Have it sealed what goes.  @return 1 when something does, 0, an error. */
static int seal_prunes(struct upkeep *u, const struct segment_set *set)
{
	_cleanup_free_ struct event_prune *prunes = NULL;
	struct sizes tails = { .dirfd = u->state->journals };
	struct retention limits;
	int64_t n;
	int r;

	if (!has_limits(u))
		return 0;
	r = state_each_journal(u->state, add_tail, &tails);
	if (r >= 0)
		r = limits_now(u, set, tails.bytes, &limits);
	if (r < 0)
		return r;
	n = plan_prune(set, history_of(u), &limits, clock_realtime_ns(), tails.bytes, &prunes);
	if (n <= 0)
		return (int) n;
	r = prune_seal(u->reach, prunes, (size_t) n, u->stop);
	if (r >= 0)
		r = segment_builder_read(u->builder);
	if (r < 0)
		return r;
	log_info("pruned the beginning of %" PRId64 " journal%s, over the limits", n,
		 n == 1 ? "" : "s");
	return 1;
}

/* All of it. */

typedef int (*work_fn)(struct upkeep *u, struct segment_set *set);

/* Do some work until there is none, each time with the segments that there are then. */
static int repeat(struct upkeep *u, work_fn work)
{
	int r = 1;

	while (r > 0 && !*u->stop) {
		struct segment_set set;

		r = segment_set_open(&set, u->state);
		if (r < 0)
			return r;
		r = work(u, &set);
		segment_set_close(&set);
	}
	return r;
}

static int sweep_and_prune(struct upkeep *u)
{
	struct segment_set set;
	int r = segment_set_open(&set, u->state);

	if (r < 0)
		return r;
	r = damaged_look(u->segments, &set, on_damage, NULL);
	if (r >= 0)
		r = segment_set_sweep(&set, u->segments);
	if (r >= 0)
		r = seal_prunes(u, &set);
	segment_set_close(&set);
	return r;
}

static void tell_kept(struct upkeep *u, uint64_t kept)
{
	if (kept > u->kept)
		log_warning("%" PRIu64 " tail%s not taken away: a segment that has what %s ha%s is "
			    "damaged; see bulla verify",
			    kept, kept == 1 ? " is" : "s are", kept == 1 ? "it" : "they",
			    kept == 1 ? "s" : "ve");
	u->kept = kept;
}

/* The segment for whose sake tails stay, or some of them.  @return 0 or an error. */
static int set_aside_kept(struct upkeep *u, const char *name)
{
	struct segment_set set;
	int r = 0;

	if (*name == '\0')
		return 0;
	r = segment_set_open(&set, u->state);
	if (r < 0)
		return r;
	for (uint32_t i = 0; r >= 0 && i < set.n; i++)
		if (strcmp(set.files[i].name, name) == 0 && set.files[i].error == 0 &&
		    !is_left(u, &set.files[i]))
			r = set_aside(u, &set, i, 1, BULLA_ECORRUPT);
	segment_set_close(&set);
	return MIN_OF(r, 0);
}

static int clear_tails(struct upkeep *u)
{
	uint64_t now = clock_monotonic_ns();
	struct replaced replaced;
	char size[16];
	int r;

	r = segment_replace_tails(u->state, history_of(u), &replaced);
	text_size(size, replaced.bytes);
	if (replaced.tails > 0)
		log_info("took away %" PRIu64 " tail%s (%s) that nothing needs", replaced.tails,
			 replaced.tails == 1 ? "" : "s", size);
	tell_kept(u, replaced.kept);
	if (r >= 0)
		r = set_aside_kept(u, replaced.damaged);
	if (r < 0 || now < u->hollow_at)
		return r;
	u->hollow_at = now + HOLLOW_S * NS_PER_S;
	r = segment_hollow_tails(u->state, history_of(u), HOLLOW_S, &replaced);
	text_size(size, replaced.bytes);
	if (replaced.tails > 0)
		log_debug("%s of %" PRIu64 " tails of open journals are hollow", size,
			  replaced.tails);
	return r < 0 ? r : set_aside_kept(u, replaced.damaged);
}

/* What the ledger has of what segments have. */
static int pack_ledger(struct upkeep *u)
{
	struct roots_packed packed;
	struct segment_set set;
	char before[16], after[16];
	int r = segment_set_open(&set, u->state);

	if (r < 0)
		return r;
	r = roots_pack(u->roots, &set, history_of(u), segment_builder_packed(u->builder), &packed);
	segment_set_close(&set);
	text_size(before, packed.bytes_before);
	text_size(after, packed.bytes);
	if (packed.files > 0)
		log_info("packed %" PRIu64 " file%s of the ledger: %s instead of %s", packed.files,
			 packed.files == 1 ? "" : "s", after, before);
	if (!segment_is_damage(r))
		return r;
	log_error_code(r, "the ledger cannot be packed; see bulla verify");
	return 0;
}

void upkeep_done(struct upkeep *u)
{
	free(u->left);
	u->left = NULL;
	u->n_left = u->left_cap = 0;
}

int upkeep_run(struct upkeep *u)
{
	int r;

	u->unmerged_before = 0;
	/* What can go unpruned goes first: it is not to count against what is pruned for. */
	r = clear_tails(u);
	if (r >= 0)
		r = sweep_and_prune(u);
	if (r >= 0)
		r = repeat(u, drop_pruned);
	if (r >= 0)
		r = repeat(u, merge_some);
	if (r >= 0)
		r = pack_ledger(u);
	return r < 0 ? r : clear_tails(u);
}
