/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: recover_batch(), tail_writer_open() and what follows it, on a file of any content.
 *
 * A batch that recovery reports is within its limits.  A writer that goes on with a file leaves one that the next can go on
 * with: it finds the same entries, the same cut, and the same root.
 *
 * The input: options, u8 sealed batches, u8 sealed entries, the file.  An odd first byte has checksums made right.
 */

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "bulla/error.h"
#include "fuzz/files.h"
#include "fuzz/fuzz.h"
#include "store/recover.h"
#include "store/tail_writer.h"

static void check_recovery(const struct state *s, const struct tail_header *h,
			   const struct hash *identity, uint64_t batches, uint64_t entries)
{
	struct ledger_journal j = {
		.id = h->journal, .identity = *identity, .batches = batches, .entries = entries
	};
	struct batch_item item;
	uint64_t cut;
	int r = recover_batch(s->journals, &j, &item, &cut);

	assert(r <= 1);
	if (r == 1) {
		assert(item.entries > 0 && item.entries <= BATCH_ENTRIES_MAX);
		assert(item.bytes <= RECOVERED_SIZE_MAX && item.recovered);
		assert(item.time_min <= item.time_max);
	}
}

static void check_writer(const struct state *s, const struct tail_header *h, uint64_t batches,
			 uint64_t entries)
{
	struct entry e = { .message = (const uint8_t *) "x", .message_len = 1 };
	struct tail_writer first, second;
	int r;

	if (tail_writer_open(&first, s->journals, &h->journal, batches, entries) < 0)
		return;
	assert(first.next_seq >= entries);
	r = tail_writer_add(&first, &e, 0);
	assert(r == 0);
	r = tail_writer_flush(&first);
	assert(r == 0);
	if (first.cut_pending)
		tail_writer_sealed(&first);
	else
		entries = first.next_seq - tail_writer_open_entries(&first);
	r = tail_writer_cut(&first, 5);
	assert(r == 0);
	r = tail_writer_open(&second, s->journals, &h->journal, first.cut.batch_no,
			     first.cut.first_seq);
	assert(r == 0);
	assert(second.cut_pending && second.next_seq == first.next_seq);
	assert(second.cut.entries == first.cut.entries);
	assert(memcmp(second.cut.root.b, first.cut.root.b, HASH_SIZE) == 0);
	tail_writer_close(&second);
	tail_writer_close(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *s = files_state();
	char name[TAIL_NAME_SIZE];
	struct tail_header header;
	struct hash identity = { 0 };
	struct tail_reader t;
	struct tail_item item;
	struct frame f;
	uint8_t *file;

	if (size < 3 || sodium_init() < 0)
		return 0;
	file = files_copy(data + 3, size - 3, data[0] & 1);
	if (frame_parse(file, size - 3, 1 << 20, &f) > 0 && f.type == TAIL_HEADER &&
	    tail_header_decode(f.payload, f.size, &header) == 0) {
		tail_name(&header.journal, name);
		files_put(s->journals, name, file, size - 3);
		if (tail_reader_open(&t, s->journals, name) == 0) {
			if (tail_reader_next(&t, &item) >= 0 && t.contexts.n > 0)
				identity = t.contexts.at[0].hash;
			tail_reader_close(&t);
		}
		check_recovery(s, &header, &identity, data[1], data[2]);
		check_writer(s, &header, data[1], data[2]);
		unlinkat(s->journals, name, 0);
	}
	free(file);
	return 0;
}
