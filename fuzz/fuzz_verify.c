/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: verify_state() over a ledger and a tail of any content.
 *
 * It ends, and with a verdict; and what it finds no fault with can be read, entry by entry.
 *
 * The input: options, u16 length of the ledger, ledger, tail.  Bit 0 of the first byte has the ledger's checksums made
 * right, bit 1 the tail's.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "bulla/error.h"
#include "fuzz/files.h"
#include "fuzz/fuzz.h"
#include "seal/ledger.h"
#include "store/tail_reader.h"
#include "store/verify.h"
#include "tests/builder.h"

static void count(void *arg, const struct finding *f)
{
	assert(f->what && f->file && f->verdict > VERDICT_OK);
	++*(unsigned *) arg;
}

static void nothing(void *arg, const struct ledger_journal *j, const struct buf *entries)
{
	(void) arg;
	(void) j;
	(void) entries;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *s = files_state();
	struct verify_report report;
	char name[TAIL_NAME_SIZE] = "";
	struct tail_header header;
	uint8_t *ledger, *tail;
	unsigned findings = 0;
	struct frame f;
	size_t n;
	int r;

	if (size < 3 || sodium_init() < 0)
		return 0;
	n = (size_t) (data[1] | data[2] << 8);
	n = MIN_OF(n, size - 3);
	ledger = files_copy(data + 3, n, data[0] & 1);
	tail = files_copy(data + 3 + n, size - 3 - n, data[0] & 2);
	files_put(s->ledger, LEDGER_FILE, ledger, n);
	if (frame_parse(tail, size - 3 - n, 1 << 20, &f) > 0 && f.type == TAIL_HEADER &&
	    tail_header_decode(f.payload, f.size, &header) == 0) {
		tail_name(&header.journal, name);
		files_put(s->journals, name, tail, size - 3 - n);
	}
	r = verify_state(s, &(struct verify_options){ .found = count, .arg = &findings }, &report);
	assert(r == 0 || r == -ENOMEM);
	assert(report.verdict >= VERDICT_UNPINNED && findings > 0);
	if (r == 0 && report.verdict == VERDICT_UNPINNED && report.commits > 0) {
		r = builder_dump_each(files_path, nothing, NULL);
		assert(r == 0);
	}
	if (name[0])
		unlinkat(s->journals, name, 0);
	unlinkat(s->ledger, LEDGER_FILE, 0);
	free(ledger);
	free(tail);
	return 0;
}
