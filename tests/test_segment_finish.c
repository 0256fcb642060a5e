/* SPDX-License-Identifier: Apache-2.0 */

/** Finishing a segment: what does not give back what was sealed is refused, whatever it was that went wrong before. */

#include "store/segment/writer.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "bulla/error.h"
#include "store/segment/check.h"

Suite(segment_finish);

enum { BATCHES = 3, ROWS = 40 };

struct made {
	struct field field; /* of the context */
	struct contexts contexts;
	struct seeds seeds;
	struct segment_writer writer;
	char path[4096];
};

/* All but its end. */
static void make(struct made *m)
{
	static const char *dir;
	static unsigned number;
	struct segment_source source = { .contexts = &m->contexts, .seeds = &m->seeds };
	struct segment_writer *w = &m->writer;

	*m = (struct made){ .field = { (const uint8_t *) "_TRANSPORT", (const uint8_t *) "stdout",
				       6, 10 } };
	if (!dir)
		dir = tempdir();
	snprintf(m->path, sizeof m->path, "%s/%u.segment", dir, number++);
	cr_assert(eq(i64, contexts_add_child(&m->contexts, -1, &m->field, 1), 0));
	cr_assert(eq(int, seeds_add(&m->seeds, &(struct tail_seed){ .seed = "a seed" }), 0));
	cr_assert(eq(int, segment_writer_open(w, AT_FDCWD, m->path, 3), 0));
	cr_assert(eq(i64, segment_writer_origin(w, &(struct id){ "one" }, 0), 0));
	cr_assert(eq(i64, segment_writer_journal(w, &source), 0));
	for (unsigned b = 0; b < BATCHES; b++) {
		cr_assert(eq(int, segment_writer_batch(w, 0, b, 0, 0), 0));
		for (unsigned i = 0; i < ROWS; i++) {
			char line[64];
			int n = snprintf(line, sizeof line, "request %u of session-%04x done", i,
					 40503u * (b * ROWS + i) & 0xffff);
			struct entry e = { .time_ns = 1000 * i,
					   .received_ns = 1000 * i,
					   .message = (const uint8_t *) line,
					   .message_len = (uint32_t) n };

			cr_assert(eq(int, segment_writer_add(w, &e, 0), 0));
		}
	}
	cr_assert(eq(int, segment_writer_flush(w), 0));
}

static void done(struct made *m)
{
	segment_writer_close(&m->writer);
	contexts_done(&m->contexts);
	seeds_done(&m->seeds);
}

static int finish(struct made *m, const struct sealed_batch *sealed, size_t n)
{
	return (int) MIN_OF(segment_writer_finish(&m->writer, sealed, n), INT64_C(0));
}

/* What would have been sealed. */
static void seal(struct sealed_batch *ret)
{
	struct segment_group g;
	struct segment s;
	struct made m;
	bool lies;

	make(&m);
	cr_assert(eq(int, finish(&m, NULL, 0), 0));
	cr_assert(eq(int, segment_open(&s, open(m.path, O_RDONLY | O_CLOEXEC)), 0));
	cr_assert(eq(int, group_open(&g, &s, 0), 0));
	cr_assert(eq(int, group_need_all(&g), 0));
	for (uint32_t i = 0; i < BATCHES; i++) {
		struct batch b;

		cr_assert(eq(int, group_batch(&g, i, &b), 0));
		ret[i] = (struct sealed_batch){ 0, i, batch_leaf_hash(&b) };
	}
	cr_expect(eq(int, group_check_index(&g, &lies), 0));
	cr_expect(not(lies));
	group_close(&g);
	segment_close(&s);
	done(&m);
}

Test(segment_finish, what_gives_back_what_was_sealed_is_one)
{
	struct sealed_batch sealed[BATCHES];
	uint8_t *tokens = NULL;
	struct segment_group g;
	struct segment s;
	struct rd bytes;
	struct made m;

	seal(sealed);
	make(&m);
	cr_assert(eq(int, finish(&m, sealed, BATCHES), 0));
	cr_expect(eq(int, segment_check(AT_FDCWD, m.path, sealed, BATCHES), 0));
	cr_assert(eq(int, segment_open(&s, open(m.path, O_RDONLY | O_CLOEXEC)), 0));
	cr_assert(eq(int, group_open(&g, &s, 0), 0));
	cr_expect(eq(int, group_tokens(&g, &tokens, &bytes), 1));
	free(tokens);
	group_close(&g);
	segment_close(&s);
	done(&m);
}

Test(segment_finish, another_batch_is_refused)
{
	struct sealed_batch sealed[BATCHES];
	struct made m;

	seal(sealed);
	for (uint32_t i = 0; i < BATCHES; i++) {
		make(&m);
		sealed[i].leaf.b[7 * i] ^= 1;
		cr_expect(eq(int, finish(&m, sealed, BATCHES), BULLA_ECORRUPT), "batch %u", i);
		sealed[i].leaf.b[7 * i] ^= 1;
		done(&m);
	}
	make(&m);
	cr_expect(eq(int, finish(&m, sealed, BATCHES - 1), BULLA_ECORRUPT));
	done(&m);
}

/* A disk that lies, a memory that forgets. */
Test(segment_finish, what_was_damaged_meanwhile_is_refused)
{
	struct sealed_batch sealed[BATCHES];
	uint64_t end;
	struct made m;
	int fd;

	seal(sealed);
	make(&m);
	end = m.writer.offset;
	done(&m);
	cr_assert(gt(u64, end, SEGMENT_HEADER_SIZE + 100));
	for (uint64_t at = SEGMENT_HEADER_SIZE; at < end; at += 11) {
		uint8_t byte;

		make(&m);
		fd = open(m.path, O_RDWR | O_CLOEXEC);
		cr_assert(eq(i64, io_pread(fd, &byte, 1, at), 1));
		byte ^= 4;
		cr_assert(eq(int, io_pwrite(fd, &byte, 1, at), 0));
		close(fd);
		cr_expect(lt(int, finish(&m, sealed, BATCHES), 0), "byte %zu", (size_t) at);
		unlink(m.path);
		done(&m);
	}
}

/* Their place is the ref. */
Test(segment_finish, tokens_among_the_blocks_are_refused)
{
	struct made m;

	make(&m);
	cr_assert(eq(int, m.writer.blocks_of.data[0], BLOCK_BATCHES));
	m.writer.blocks_of.data[0] = BLOCK_TOKENS;
	cr_expect(eq(int, finish(&m, NULL, 0), BULLA_ECORRUPT));
	done(&m);
}
