/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What an archive has and cannot show, so that nobody takes an answer for whole that is not: one line a place.
 *
 * Some of it is known from the start: segments that cannot be used, entries that are in no segment, commits behind damage that
 * their host has not sent again.  The rest a query meets.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "aggregator/archive-internal.h"
#include "base/room.h"
#include "base/text.h"
#include "bulla/error.h"

int archive_note_missing(struct archive *a, const struct id *origin, uint64_t end)
{
	for (size_t i = 0; i < a->n_missing; i++)
		if (id_equal(&a->missing[i].origin, origin)) {
			a->missing[i].end = MAX_OF(a->missing[i].end, end);
			return 0;
		}
	if (!room_for(&a->missing, a->n_missing, &a->missing_cap, sizeof *a->missing))
		return -ENOMEM;
	a->missing[a->n_missing++] = (struct missing){ *origin, end };
	return 0;
}

void archive_note_unusable(struct archive *a, unsigned lane, const char *name, const char *why)
{
	if (a->n_damaged++ < DAMAGE_TOLD)
		buf_printf(&a->unusable, "segments/%02u/%s: %s; nothing of it is shown\n", lane,
			   name, why);
}

static void put_missing(struct archive *a, struct buf *to)
{
	for (size_t i = 0; i < a->n_missing; i++) {
		const struct missing *m = &a->missing[i];
		const struct held_origin *o = archive_origin(a, &m->origin);
		uint64_t has = o ? o->durable : 0;
		char hex[2 * ID_SIZE + 1];

		if (has >= m->end)
			continue;
		text_hex(hex, m->origin.b, ID_SIZE);
		buf_printf(to,
			   "lanes/%02u: commits %" PRIu64 " to %" PRIu64 " of origin %s are "
			   "behind damage and are not shown; its host is asked for them again\n",
			   lane_of(&m->origin), has, m->end - 1, hex);
	}
}

static void put_object(const struct held_object *o, struct buf *to)
{
	char name[LANE_NAME_SIZE];

	lane_name(o->seq, o->rest, name);
	buf_printf(to, "lanes/%02u/%s: ", o->lane->number, name);
}

void archive_damage(struct archive *a, struct buf *to)
{
	buf_append(to, a->unusable.data, a->unusable.len);
	if (a->n_damaged > DAMAGE_TOLD)
		buf_printf(to, "segments: %u more cannot be used\n", a->n_damaged - DAMAGE_TOLD);
	for (uint32_t i = 0; i < a->n_objects; i++) {
		const struct held_object *o = &a->objects[i];

		if (!o->lane || o->lost == 0)
			continue;
		put_object(o, to);
		buf_printf(to, "%" PRIu64 " of its entries are in no segment, and should be\n",
			   o->lost);
	}
	put_missing(a, to);
}

/* The segment's name in a view. */
static void put_segment(const struct view *v, const struct segment *segment, struct buf *to)
{
	for (uint32_t i = 0; i < v->segments.n; i++)
		if (&v->segments.files[i].segment == segment)
			buf_printf(to, "segments/%02u/%s: ", v->held[i]->lane, v->held[i]->name);
}

void archive_damage_met(struct archive *a, const struct view *v, const struct query_stats *stats,
			const struct damaged_objects *objects, struct buf *to)
{
	uint64_t more = stats->frames_damaged - stats->n_damage - objects->n;

	for (uint32_t i = 0; i < stats->n_damage; i++) {
		put_segment(v, stats->damage[i].segment, to);
		buf_printf(to, "at byte %" PRIu64 ": %s; what needs this block is not shown\n",
			   stats->damage[i].offset, bulla_strerror(stats->damage[i].error));
	}
	for (uint32_t i = 0; i < objects->n; i++) {
		pthread_mutex_lock(&a->lock);
		put_object(&a->objects[objects->at[i].object], to);
		pthread_mutex_unlock(&a->lock);
		buf_printf(to, "at byte %" PRIu64 ": %s; its rows are not shown\n",
			   objects->at[i].offset, bulla_strerror(objects->at[i].error));
	}
	if (more > 0)
		buf_printf(to, "%" PRIu64 " more damaged places were passed over\n", more);
}
