/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What becomes of a container's output when the disk is full.
 *
 *	          no space                 block_max later              space again
 *	writing ───────────▶ waiting ──────────────────────▶ dropping ─────────────▶ writing
 *	   ▲                    │        an entry says so,             an entry says
 *	   └──── space again ───┘        and is on disk                how many
 *
 * While it waits nothing is taken out of the pipe, and so the container waits, too.  Both entries have the tail's reserve to be
 * written in.  What is dropped is counted on the page that outlives this process (progress.h) before it is taken; the
 * frame with the last entry covers it like rows do, so that the next collector sees whether it was told.
 *
 * If nobody is left to tell, the first entry still stands: the journal ends within a gap.  Where even the first cannot be
 * written, because the file system does not keep what it promised to reserve, nothing is dropped.
 */

#include "collector/collector-internal.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	RETRY_MS = 200,
	ROOM = 256 << 10, /* less is no reason to stop dropping */
};

static bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

int full_wait(struct collector *c, int (*write_it)(struct tail_writer *))
{
	bool said = c->full_said;
	int r;

	while (is_full(r = write_it(&c->tail))) {
		if (!said)
			log_error_code(r, "cannot append to the journal; its source waits");
		said = true;
		usleep(RETRY_MS * 1000);
	}
	if (said && !c->full_said && r >= 0)
		log_info("there is space again; the journal goes on");
	return r;
}

/* Waiting. */

int full_met(struct collector *c, struct source *s, int error)
{
	uint64_t now = clock_monotonic_ns();

	if (s->full_since == 0)
		s->full_since = now;
	if (!c->full_said)
		log_error_code(error, "cannot append to the journal; its source waits");
	c->full_said = true;
	c->not_before = now + RETRY_MS * NS_PER_MS;
	return 0;
}

void full_over(struct collector *c, struct source *s)
{
	bool waiting = false;

	s->full_since = 0;
	for (size_t i = 0; i < SOURCES_MAX; i++)
		waiting |= c->source[i].full_since != 0;
	if (c->full_said && !waiting) {
		log_info("there is space again; the journal goes on");
		c->full_said = false;
	}
}

static bool waited_enough(const struct collector *c, uint64_t now)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		uint64_t since = c->source[i].full_since;

		if (since != 0 && now - since >= c->block_max_ns)
			return true;
	}
	return false;
}

/* Dropping. */

static int begin(struct collector *c)
{
	uint64_t now = clock_now_stamp_ns();
	int r;

	r = own_add_gap_begin(c);
	if (r >= 0)
		r = tail_writer_flush_reserved(&c->tail);
	tail_writer_unstage(&c->tail);
	/* From the next step on bytes are gone for good, and that must be known whatever happens. */
	if (r >= 0)
		r = tail_writer_sync(&c->tail);
	if (r < 0)
		return is_full(r) ? 0 : r;
	c->drops = (struct progress_drops){
		.lines = intake_pack_lines(c), .since_ns = now, .until_ns = now, .is_on = 1
	};
	for (size_t i = 0; i < SOURCES_MAX; i++)
		c->drops.covered[i] = c->source[i].covered;
	progress_note_drops(&c->progress, &c->drops);
	c->dropping = true;
	links_tell_dirty(c);
	log_error("the disk is still full; what the command writes is dropped, and counted");
	return 0;
}

int full_drop(struct collector *c, struct source *s)
{
	struct progress_drops *d = &c->drops;

	d->bytes += s->covered - d->covered[s->channel];
	d->covered[s->channel] = s->covered;
	d->until_ns = clock_now_stamp_ns();
	d->lines = intake_pack_lines(c);
	progress_note_drops(&c->progress, d);
	return intake_consume(c, s, s->covered - progress_consumed(&c->progress, s->channel));
}

static void forget(struct collector *c)
{
	c->dropping = c->full_said = false;
	c->drops = (struct progress_drops){ 0 };
	progress_note_drops(&c->progress, &c->drops);
	for (size_t i = 0; i < SOURCES_MAX; i++)
		c->source[i].full_since = 0;
}

static int end(struct collector *c, int (*flush)(struct tail_writer *))
{
	const struct progress_drops *d = &c->drops;
	int r;

	r = own_add_gap_end(c);
	if (r < 0)
		return r;
	for (uint8_t i = 0; i < SOURCES_MAX; i++)
		tail_writer_consumed(&c->tail, i, d->covered[i]);
	if (c->level_prefix)
		tail_writer_consumed(&c->tail, CHANNEL_LINES, d->lines);
	r = flush(&c->tail);
	tail_writer_unstage(&c->tail);
	if (r < 0)
		return r;
	c->lines = d->lines;
	log_warning("%" PRIu64 " entries were dropped because the disk was full", d->entries);
	forget(c);
	links_tell_dirty(c);
	return 0;
}

static int look_for_space(struct collector *c, uint64_t now)
{
	int r;

	c->look_at = now + RETRY_MS * NS_PER_MS;
	r = tail_writer_make_room(&c->tail, ROOM);
	if (r >= 0)
		r = end(c, tail_writer_flush);
	return is_full(r) ? 0 : r;
}

int full_step(struct collector *c)
{
	uint64_t now = clock_monotonic_ns();

	if (c->dropping)
		return now >= c->look_at ? look_for_space(c, now) : 0;
	return waited_enough(c, now) ? begin(c) : 0;
}

int full_finish(struct collector *c)
{
	int r = 0;

	while (c->dropping && is_full(r = end(c, tail_writer_flush_reserved)))
		usleep(RETRY_MS * 1000);
	return r;
}

int full_wait_ms(const struct collector *c, int timeout_ms)
{
	return c->dropping || c->full_said ? MIN_OF(timeout_ms, (int) RETRY_MS) : timeout_ms;
}

void full_resume(struct collector *c)
{
	struct progress_drops d = progress_drops(&c->progress);
	bool told = d.bytes > 0;

	if (!d.is_on)
		return;
	for (size_t i = 0; i < SOURCES_MAX; i++)
		told &= d.covered[i] <= c->source[i].covered;
	if (told) {
		forget(c);
		return;
	}
	for (size_t i = 0; i < SOURCES_MAX; i++)
		c->source[i].covered = MAX_OF(c->source[i].covered, d.covered[i]);
	intake_unpack_lines(c, d.lines);
	c->drops = d;
	c->dropping = true;
}
