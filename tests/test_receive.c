/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A receiver takes what a packer packs, and no other bytes: whatever is changed in a body is refused, or changes nothing
 * of what is kept.
 */

#include "forwarder/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "forwarder/pack.h"
#include "tests/builder.h"
#include "tests/harness.h"

Suite(receive);

/* A body of real commits. */

struct shipped {
	struct builder b;
	struct packer *packer;
	struct buf body;
	uint64_t commits;
};

static void pack_all(struct shipped *s, struct pack_options o)
{
	s->commits = 0;
	cr_assert(eq(int, packer_new(&s->packer, &s->b.state), 0));
	cr_assert(eq(int, packer_size(s->packer, &s->commits), 0));
	cr_assert(eq(int, packer_seek(s->packer, 0), 0));
	for (uint64_t i = 0; i < s->commits; i++)
		cr_assert(eq(int, packer_next(s->packer, &o, &s->body), 1), "commit %d", (int) i);
}

static void begin_story(struct shipped *s)
{
	*s = (struct shipped){ 0 };
	builder_story(&s->b, tempdir());
	pack_all(s, (struct pack_options){ 0 });
}

/* Two journals, a few entries: small enough to try every bit. */
static void begin_small(struct shipped *s)
{
	size_t web, db;

	*s = (struct shipped){ 0 };
	builder_init(&s->b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&s->b, "web");
	builder_log(&s->b, web, "hello");
	builder_commit(&s->b);
	db = builder_open(&s->b, "db");
	builder_log(&s->b, db, "world");
	builder_log(&s->b, web, "again");
	builder_commit(&s->b);
	builder_end(&s->b);
	pack_all(s, (struct pack_options){ 0 });
}

static void end_shipped(struct shipped *s)
{
	packer_free(s->packer);
	buf_done(&s->body);
	builder_done(&s->b);
}

/* What came of it: how many commits were kept, the root over them, and the first refusal. */
struct outcome {
	uint64_t commits, entries;
	int error;
	struct hash root;
};

static void feed_how(struct receiver *r, const uint8_t *p, size_t n, unsigned how,
		     struct outcome *ret)
{
	for (size_t at = 0; at < n;) {
		struct received c;
		struct frame f;
		ssize_t k = frame_parse(p + at, n - at, WIRE_RECORD_MAX, &f);

		ret->error = k > 0 ? receiver_frame(r, &f, at, how, &c) : BULLA_ECORRUPT;
		if (ret->error < 0)
			break;
		if (ret->error == 1) {
			ret->entries += c.entries;
			cr_assert(eq(int, receiver_accept(r), 0));
		}
		ret->error = 0;
		at += (size_t) k;
	}
	receiver_reset(r);
	ret->commits = history_size(receiver_history(r));
	ret->root = frontier_root(history_tree(receiver_history(r)));
}

static void feed(struct receiver *r, const uint8_t *p, size_t n, struct outcome *ret)
{
	feed_how(r, p, n, RECEIVE_VERIFY, ret);
}

static struct outcome receive(const uint8_t *p, size_t n)
{
	struct receiver *r = receiver_new();
	struct outcome o = { 0 };

	cr_assert(r != NULL);
	feed(r, p, n, &o);
	receiver_free(r);
	return o;
}

Test(receive, what_is_packed_is_taken)
{
	struct shipped s;
	struct outcome o;
	struct hash root;

	begin_story(&s);
	o = receive(s.body.data, s.body.len);
	root = packer_root(s.packer);
	cr_expect(eq(int, o.error, 0));
	cr_expect(eq(u64, o.commits, s.commits));
	cr_expect(gt(u64, o.entries, 0));
	cr_expect(eq(int, memcmp(&o.root, &root, sizeof root), 0));
	end_shipped(&s);
}

Test(receive, whole_lists_and_care_change_nothing)
{
	struct shipped s;

	begin_story(&s);
	for (int i = 0; i < 4; i++) {
		struct outcome want = receive(s.body.data, s.body.len), got;

		packer_free(s.packer);
		buf_clear(&s.body);
		pack_all(&s, (struct pack_options){ .full = i & 1, .careful = i & 2 });
		got = receive(s.body.data, s.body.len);
		cr_expect(eq(int, got.error, 0), "options %d", i);
		cr_expect(eq(u64, got.entries, want.entries), "options %d", i);
		cr_expect(eq(int, memcmp(&got.root, &want.root, sizeof got.root), 0), "options %d",
			  i);
	}
	end_shipped(&s);
}

/* The root of a receiver that refused is one that this history went through. */
static bool is_prefix(struct shipped *s, const struct outcome *o)
{
	struct hash root;

	cr_assert(le(u64, o->commits, s->commits));
	cr_assert(eq(int, packer_seek(s->packer, o->commits), 0));
	root = packer_root(s->packer);
	return memcmp(&root, &o->root, sizeof root) == 0;
}

Test(receive, every_truncation_keeps_whole_commits_only)
{
	struct shipped s;

	begin_small(&s);
	for (size_t n = 0; n < s.body.len; n += FRAME_ALIGN) {
		struct outcome o = receive(s.body.data, n);

		cr_assert(lt(u64, o.commits, s.commits), "%zu bytes", n);
		cr_assert(is_prefix(&s, &o), "%zu bytes", n);
	}
	end_shipped(&s);
}

/* A frame's own checksum is made right again, so that it is the content that is judged. */
static void flip(uint8_t *frame, size_t at, unsigned bit)
{
	uint32_t size, type;

	memcpy(&size, frame, 4);
	memcpy(&type, frame + 4, 4);
	frame[FRAME_HEADER_SIZE + at] ^= (uint8_t) (1u << bit);
	frame_finish(frame, type, size);
}

Test(receive, every_changed_bit_is_refused_or_changes_nothing)
{
	struct outcome want;
	struct shipped s;
	uint8_t *copy;

	begin_small(&s);
	want = receive(s.body.data, s.body.len);
	copy = exact_copy(s.body.data, s.body.len);
	for (size_t at = 0; at < s.body.len;) {
		struct frame f;
		ssize_t n = frame_parse(copy + at, s.body.len - at, WIRE_RECORD_MAX, &f);
		/* Of the trees of keys, which are many and alike, a sample. */
		size_t step = f.type == WIRE_KEYS ? 13 : 1;

		cr_assert(gt(i64, n, 0));
		for (size_t k = 0; k < f.size; k += step) {
			unsigned bit = (unsigned) (k * 5 + at) % 8;
			struct outcome got;

			flip(copy + at, k, bit);
			got = receive(copy, s.body.len);
			flip(copy + at, k, bit);
			if (got.error == 0) {
				/* Counts that a whole list does not need, and how rows are packed. */
				cr_assert(eq(u64, got.entries, want.entries), "type %#x, byte %zu",
					  f.type, k);
				cr_assert(eq(int, memcmp(&got.root, &want.root, HASH_SIZE), 0));
			}
			cr_assert(is_prefix(&s, &got), "type %#x, byte %zu", f.type, k);
		}
		at += (size_t) n;
	}
	free(copy);
	end_shipped(&s);
}

/* Frames dropped, doubled and swapped. */
Test(receive, frames_are_wanted_once_and_in_order)
{
	size_t place[512], n = 0;
	struct buf body = { 0 };
	struct shipped s;

	begin_small(&s);
	for (size_t at = 0; at < s.body.len;) {
		struct frame f;
		ssize_t k = frame_parse(s.body.data + at, s.body.len - at, WIRE_RECORD_MAX, &f);

		cr_assert(gt(i64, k, 0));
		cr_assert(lt(sz, n + 1, ELEMENTS(place)));
		place[n++] = at;
		at += (size_t) k;
	}
	place[n] = s.body.len;
	for (size_t i = 0; i + 1 < n; i++)
		for (int what = 0; what < 3; what++) {
			const uint8_t *p = s.body.data;
			struct outcome o;
			struct frame f;

			buf_clear(&body);
			buf_append(&body, p, place[i]);
			if (what == 1)
				buf_append(&body, p + place[i], place[i + 1] - place[i]);
			if (what == 2) {
				buf_append(&body, p + place[i + 1], place[i + 2] - place[i + 1]);
				buf_append(&body, p + place[i], place[i + 1] - place[i]);
			} else if (what == 1) {
				buf_append(&body, p + place[i], place[i + 1] - place[i]);
			}
			if (what < 2)
				buf_append(&body, p + place[i + 1], s.body.len - place[i + 1]);
			else
				buf_append(&body, p + place[i + 2], s.body.len - place[i + 2]);
			o = receive(body.data, body.len);
			cr_expect(is_prefix(&s, &o), "frame %zu, way %d", i, what);
			/* A context that no row means is missed by nobody. */
			cr_assert(gt(i64,
				     frame_parse(p + place[i], s.body.len - place[i],
						 WIRE_RECORD_MAX, &f),
				     0));
			if (what == 0 && f.type != TAIL_CONTEXT)
				cr_expect(lt(int, o.error, 0), "frame %zu", i);
		}
	buf_done(&body);
	end_shipped(&s);
}

/* What a commit needs is kept with it: keys that came with one that was refused come again with the one that is not. */
Test(receive, a_commit_is_not_kept_without_its_keys)
{
	struct receiver *r = receiver_new();
	struct outcome o = { 0 };
	struct shipped s;
	struct frame f;
	ssize_t n;

	begin_small(&s);
	n = frame_parse(s.body.data, s.body.len, WIRE_RECORD_MAX, &f);
	cr_assert(gt(i64, n, 0));
	cr_assert(eq(u32, f.type, WIRE_KEYS));
	feed(r, s.body.data, (size_t) n, &o);
	cr_expect(eq(int, o.error, 0));
	feed(r, s.body.data + n, s.body.len - (size_t) n, &o);
	cr_expect(eq(int, o.error, BULLA_EORDER));
	cr_expect(eq(u64, o.commits, 0));
	feed(r, s.body.data, s.body.len, &o);
	cr_expect(eq(int, o.error, 0));
	cr_expect(eq(u64, o.commits, s.commits));
	receiver_free(r);
	end_shipped(&s);
}

/* Nothing would vouch for contexts of a batch that is not there. */
Test(receive, an_absent_batch_brings_nothing)
{
	struct wire_batch head = { .absent = ABSENT_DAMAGED };
	uint8_t bytes[WIRE_BATCH_SIZE];
	static const uint32_t types[] = { TAIL_CONTEXT, TAIL_SEED, TAIL_ROWS };

	for (size_t i = 0; i < ELEMENTS(types); i++) {
		struct receiver *r = receiver_new();
		struct wr w = wr_of(bytes, sizeof bytes);
		struct frame f = { bytes, sizeof bytes, WIRE_BATCH };
		struct received c;

		wire_batch_encode(&head, &w);
		cr_assert(eq(int, receiver_frame(r, &f, 0, RECEIVE_VERIFY, &c), 0));
		f.type = types[i];
		cr_expect(lt(int, receiver_frame(r, &f, 0, RECEIVE_VERIFY, &c), 0));
		receiver_free(r);
	}
}

/* What is not sealed yet is bounded: who sends batches and never a commit fills no memory. */
Test(receive, content_before_its_seal_is_bounded)
{
	struct receiver *r = receiver_new();
	struct outcome o = { 0 };
	struct shipped s;

	begin_story(&s);
	receiver_content_max = 10;
	feed(r, s.body.data, s.body.len, &o);
	cr_expect(eq(int, o.error, BULLA_ELIMIT));
	cr_expect(lt(u64, o.commits, s.commits));
	cr_expect(is_prefix(&s, &o));
	receiver_free(r);
	/* Each commit is counted by itself. */
	receiver_content_max = s.body.len;
	o = receive(s.body.data, s.body.len);
	cr_expect(eq(int, o.error, 0));
	cr_expect(eq(u64, o.commits, s.commits));
	end_shipped(&s);
}

Test(receive, a_damaged_tail_does_not_stop_its_host)
{
	struct shipped s = { 0 };
	struct outcome o;
	struct buf tail = { 0 };
	char name[64];
	size_t web, db;

	builder_init(&s.b, tempdir(), (struct kes_params){ 2, 2 });
	web = builder_open(&s.b, "web");
	db = builder_open(&s.b, "db");
	for (int i = 0; i < 3; i++) {
		builder_log_many(&s.b, web, 5);
		builder_log_many(&s.b, db, 5);
		builder_commit(&s.b);
	}
	builder_end(&s.b);
	builder_tail(&s.b, web, name);
	builder_load(s.b.path, name, &tail);
	for (size_t i = tail.len / 64; i < tail.len; i++)
		tail.data[i] ^= 0x55;
	builder_store(s.b.path, name, tail.data, tail.len);
	pack_all(&s, (struct pack_options){ .careful = true });
	o = receive(s.body.data, s.body.len);
	cr_expect(eq(int, o.error, 0));
	cr_expect(eq(u64, o.commits, s.commits));
	cr_expect(ge(u64, o.entries, 15));
	buf_done(&tail);
	end_shipped(&s);
}

Test(receive, a_commit_below_the_head_is_compared)
{
	struct receiver *r = receiver_new();
	struct outcome o = { 0 };
	struct shipped s;

	begin_small(&s);
	feed(r, s.body.data, s.body.len, &o);
	for (size_t at = 0; at < s.body.len;) {
		struct frame f;
		ssize_t n = frame_parse(s.body.data + at, s.body.len - at, WIRE_RECORD_MAX, &f);
		uint8_t *other;

		at += (size_t) n;
		if (f.type != WIRE_COMMIT)
			continue;
		cr_expect(eq(int, receiver_compare(r, f.payload, f.size), 1));
		other = exact_copy(f.payload, f.size);
		other[f.size - 1] ^= 1;
		cr_expect(eq(int, receiver_compare(r, other, f.size), 0));
		free(other);
	}
	cr_expect(eq(int, receiver_compare(r, (const uint8_t *) "\xff", 1), BULLA_ECORRUPT));
	receiver_free(r);
	end_shipped(&s);
}

/* Packed: what is left of bodies whose rows are in segments. */

/* Leave out rows; and heads with nothing behind them, unless `heads`. */
static void strip(const struct buf *body, bool heads, struct buf *to)
{
	size_t head = SIZE_MAX;

	for (size_t at = 0; at < body->len;) {
		struct frame f;
		ssize_t k = frame_parse(body->data + at, body->len - at, WIRE_RECORD_MAX, &f);

		cr_assert(gt(i64, k, 0));
		if (f.type == WIRE_BATCH || f.type == WIRE_COMMIT) {
			if (head != SIZE_MAX && !heads)
				to->len = head;
			head = f.type == WIRE_BATCH ? to->len : SIZE_MAX;
		} else if (f.type != TAIL_ROWS) {
			head = SIZE_MAX;
		}
		if (f.type != TAIL_ROWS)
			buf_append(to, body->data + at, (size_t) k);
		at += (size_t) k;
	}
	cr_assert(not(to->bad));
}

static struct outcome receive_how(const struct buf *body, unsigned how)
{
	struct receiver *r = receiver_new();
	struct outcome o = { 0 };

	cr_assert(r != NULL);
	feed_how(r, body->data, body->len, how, &o);
	receiver_free(r);
	return o;
}

Test(receive, a_rest_gives_what_the_whole_gave)
{
	for (int heads = 0; heads <= 1; heads++) {
		struct outcome whole, rest;
		struct buf left = { 0 };
		struct shipped s;

		begin_story(&s);
		strip(&s.body, heads, &left);
		cr_expect(lt(sz, left.len, s.body.len));
		whole = receive_how(&s.body, RECEIVE_VERIFY);
		cr_assert(eq(u64, whole.commits, s.commits));
		for (unsigned own = 0; own <= RECEIVE_OWN; own += RECEIVE_OWN) {
			rest = receive_how(&left, RECEIVE_PACKED | own);
			cr_expect(eq(int, rest.error, 0), "heads %d, own %u", heads, own);
			cr_expect(eq(u64, rest.commits, whole.commits), "heads %d, own %u", heads,
				  own);
			cr_expect(eq(u64, rest.entries, whole.entries), "heads %d, own %u", heads,
				  own);
			cr_expect(hash_same(&rest.root, &whole.root), "heads %d, own %u", heads,
				  own);
			/* Whole ones are taken likewise. */
			rest = receive_how(&s.body, RECEIVE_PACKED | own);
			cr_expect(eq(u64, rest.entries, whole.entries), "heads %d, own %u", heads,
				  own);
		}
		/* Not where rows are to be there. */
		rest = receive_how(&left, RECEIVE_VERIFY);
		cr_expect(lt(int, rest.error, 0), "heads %d", heads);
		rest = receive_how(&left, RECEIVE_OWN);
		cr_expect(lt(int, rest.error, 0), "heads %d", heads);
		buf_done(&left);
		end_shipped(&s);
		harness_teardown();
	}
}

/* Whatever is changed of what is left, what is verified of it is the commits that were sealed. */
Test(receive, a_changed_rest_is_refused_or_gives_the_same_commits)
{
	struct outcome whole, rest;
	struct buf left = { 0 };
	struct shipped s;

	begin_small(&s);
	strip(&s.body, false, &left);
	whole = receive_how(&s.body, RECEIVE_VERIFY);
	for (size_t at = 0; at < left.len; at++) {
		left.data[at] ^= (uint8_t) (1u << at % 8);
		rest = receive_how(&left, RECEIVE_PACKED);
		cr_expect(rest.commits < whole.commits || hash_same(&rest.root, &whole.root),
			  "byte %zu", at);
		left.data[at] ^= (uint8_t) (1u << at % 8);
	}
	buf_done(&left);
	end_shipped(&s);
}
