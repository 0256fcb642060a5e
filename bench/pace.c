/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "seal/origin.h"

enum { EVENTS_AT_ONCE = 1024 };

static void commit_events(struct pace *p, uint8_t kind, uint64_t now)
{
	struct event events[EVENTS_AT_ONCE];
	uint8_t(*body)[160] = calloc(EVENTS_AT_ONCE, sizeof *body);
	uint32_t n = 0;

	must(body ? 0 : -1, "memory");
	for (uint32_t i = 0; i < p->b->sources; i++) {
		struct wr w = wr_of(body[n], sizeof body[n]);
		struct id id = bench_journal_id(i);

		if (kind == EVENT_OPEN)
			event_open_encode(
				&(struct event_open){
					.journal = id,
					.identity = p->source[i].tail.contexts.at[0].hash,
					.seed_commitment = seed_commitment(
						&id, p->source[i].tail.seeds.at[0].seed),
				},
				&w);
		else
			event_close_encode(&(struct event_close){ id, p->source[i].tail.batch_no,
								  p->source[i].tail.next_seq },
					   &w);
		events[n] = (struct event){ kind, (uint16_t) w.len, body[n] };
		n++;
		if (n < EVENTS_AT_ONCE && i + 1 < p->b->sources)
			continue;
		must(origin_commit(p->origin, now, NULL, 0, events, n), "events");
		n = 0;
	}
	free(body);
}

/* One step of the collector: what waits in the pipe becomes a frame. */
static void step(struct pace *p, struct source *s, uint64_t now)
{
	for (uint32_t i = 0; i < s->n_waiting; i++) {
		const struct line *l = &p->b->lines[s->waiting[i]];
		struct entry e = { .time_ns = clock_stamp(now),
				   .received_ns = clock_stamp(now),
				   .message = l->p,
				   .message_len = l->n,
				   .priority = 6 };

		must(tail_writer_add(&s->tail, &e, s->context), "add an entry");
	}
	tail_writer_consumed(&s->tail, 0, s->tail.open.bytes);
	must(tail_writer_flush(&s->tail), "append");
	s->n_waiting = 0;
	s->not_before = now + p->linger_ns;
	p->frames++;
}

static void step_if_due(struct pace *p, struct source *s, uint64_t now)
{
	if (s->n_waiting > 0 && s->not_before <= now)
		step(p, s, s->not_before);
}

static void arrive(struct pace *p, uint32_t line)
{
	const struct line *l = &p->b->lines[line];
	struct source *s = &p->source[l->source];

	step_if_due(p, s, l->time_ns);
	if (s->n_waiting == s->cap_waiting) {
		s->cap_waiting = s->cap_waiting ? 2 * s->cap_waiting : 16;
		s->waiting = reallocarray(s->waiting, s->cap_waiting, sizeof *s->waiting);
		must(s->waiting ? 0 : -1, "memory");
	}
	s->waiting[s->n_waiting++] = line;
	if (s->not_before <= l->time_ns)
		step(p, s, l->time_ns);
}

static void tick(struct pace *p, uint64_t now, bool last)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->b->sources; i++) {
		struct source *s = &p->source[i];

		step_if_due(p, s, last ? UINT64_MAX : now);
		if (tail_writer_open_entries(&s->tail) == 0)
			continue;
		must(tail_writer_cut(&s->tail, -(int64_t) clock_stamp(123456789)), "cut a batch");
		p->item[n++] = (struct batch_item){ .handle = i,
						    .entries = s->tail.cut.entries,
						    .bytes = s->tail.cut.bytes,
						    .time_min = s->tail.cut.time_min,
						    .time_max = s->tail.cut.time_max,
						    .mono_offset = s->tail.cut.mono_offset,
						    .root = s->tail.cut.root };
		tail_writer_sealed(&s->tail);
	}
	p->batches += n;
	if (n == 0)
		return;
	must(origin_commit(p->origin, now, p->item, n, NULL, 0), "commit");
	p->commits++;
}

static void open_all(struct pace *p, int key)
{
	struct origin_config config = { .host = "bench",
					.boot = { { 1 } },
					.params = { .levels = 4, .height = 8 } };
	uint64_t now = p->b->lines[0].time_ns / NS_PER_S * NS_PER_S;
	bool unclean;

	p->source = calloc(p->b->sources, sizeof *p->source);
	p->item = calloc(p->b->sources, sizeof *p->item);
	must(p->source && p->item ? 0 : -1, "memory");
	must(origin_open(&p->origin, key, p->ledger, &config), "found an origin");
	must(origin_begin(p->origin, now, &unclean), "begin");
	for (uint32_t i = 0; i < p->b->sources; i++)
		bench_open_journal(p->b, &p->source[i].tail, p->journals, i, &p->source[i].context);
	commit_events(p, EVENT_OPEN, now);
	p->tick = now + NS_PER_S;
}

void pace_done(struct pace *p)
{
	for (uint32_t i = 0; i < p->b->sources; i++) {
		tail_writer_close(&p->source[i].tail);
		free(p->source[i].waiting);
	}
	origin_close(p->origin);
	free(p->source);
	free(p->item);
	close(p->journals);
	close(p->ledger);
}

static void raise_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

void pace_play_pieces(struct pace *p, const struct bench *b, uint64_t linger_ms, uint32_t pieces,
		      void (*pause)(void *arg), void *arg)
{
	int key = bench_fresh_dir(b, "seal");
	size_t piece = b->n / MAX_OF(pieces, 1u) + 1, next = piece;

	must(b->sources > 0 ? 0 : -1, "lines without times: --when is missing");
	raise_files();
	*p = (struct pace){ .b = b,
			    .linger_ns = linger_ms * NS_PER_MS,
			    .journals = bench_fresh_dir(b, "journals"),
			    .ledger = bench_fresh_dir(b, "ledger") };
	open_all(p, key);
	for (size_t i = 0; i < b->n; i++) {
		for (; b->lines[i].time_ns >= p->tick; p->tick += NS_PER_S) {
			tick(p, p->tick, false);
			if (i < next)
				continue;
			next += piece;
			pause(arg);
		}
		arrive(p, (uint32_t) i);
	}
	tick(p, p->tick + NS_PER_S, true);
	commit_events(p, EVENT_CLOSE, p->tick + NS_PER_S);
}

void pace_play(struct pace *p, const struct bench *b, uint64_t linger_ms)
{
	pace_play_pieces(p, b, linger_ms, 1, NULL, NULL);
}
