/* SPDX-License-Identifier: Apache-2.0 */

/** The file: text around base64.  What is read is written again, and must be the same, so that there is one spelling. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"
#include "seal/head.h"
#include "seal/proof.h"

static const char first_line[] = "c2sp.org/tlog-proof@v1";

enum { FORMAT = 1, STATEMENT_SIZE_MIN = 36 /* a context without fields */ };

/* Extra. */

static void put_extra(const struct entry_proof *p, struct buf *to)
{
	buf_char(to, FORMAT);
	buf_char(to, (char) p->extent);
	buf_varint(to, p->successions.n);
	for (unsigned i = 0; i < p->successions.n; i++)
		reign_put_link(&p->successions.at[i], to);
	reign_put_sized(&p->seal.commit, to);
	buf_varint(to, p->batch_place);
	reign_put_path(&p->batch_path, to);
	reign_put_sized(&p->batch, to);
	if (p->extent == PROOF_ENTRY) {
		buf_varint(to, p->place);
		reign_put_path(&p->entry_path, to);
	}
	buf_varint(to, p->n_entries);
	buf_append(to, p->entries.p, p->entries.n);
	buf_varint(to, p->n_contexts);
	buf_append(to, p->contexts.p, p->contexts.n);
}

bool proof_next(struct rd *r, struct span *ret)
{
	if (r->left == 0)
		return false;
	*ret = reign_sized(r);
	return !r->bad;
}

/* Statements behind each other, as many as are said. */
static struct span rd_statements(struct rd *r, uint32_t *ret_n)
{
	uint64_t n = rd_varint(r);
	const uint8_t *from = r->p;

	r->bad |= n > r->left / STATEMENT_SIZE_MIN;
	for (uint64_t i = 0; !r->bad && i < n; i++)
		reign_sized(r);
	*ret_n = (uint32_t) n;
	return (struct span){ from, r->bad ? 0 : (size_t) (r->p - from) };
}

static int read_extra(struct rd r, struct entry_proof *ret)
{
	uint8_t format = rd_u8(&r), extent = rd_u8(&r);
	uint64_t n = rd_varint(&r), place = 0;

	if (r.bad || format != FORMAT || extent > PROOF_BATCH)
		return BULLA_EPARSE;
	if (n > SUCCESSIONS_MAX)
		return BULLA_ELIMIT;
	ret->extent = extent;
	for (ret->successions.n = 0; ret->successions.n < n; ret->successions.n++)
		reign_link(&r, &ret->successions.at[ret->successions.n]);
	ret->seal.commit = reign_sized(&r);
	ret->batch_place = rd_varint(&r);
	reign_path(&r, &ret->batch_path);
	ret->batch = reign_sized(&r);
	if (ret->extent == PROOF_ENTRY) {
		place = rd_varint(&r);
		reign_path(&r, &ret->entry_path);
	}
	ret->place = (uint32_t) place;
	ret->entries = rd_statements(&r, &ret->n_entries);
	ret->contexts = rd_statements(&r, &ret->n_contexts);
	return r.bad || r.left > 0 || place > UINT32_MAX ? BULLA_EPARSE : 0;
}

/* The file. */

/* Number and time that the commit's statement has; zeroes where that is too short. */
static struct head head_of(const struct entry_proof *p)
{
	struct rd r = rd_of(p->seal.commit.p, p->seal.commit.n);
	struct head h = {
		.origin = p->origin,
		.root = reign_link_root(&p->seal),
		.counter = p->seal.counter,
		.signature = p->seal.signature,
	};

	rd_u16(&r);
	h.size = rd_u64(&r) + 1;
	h.time_s = rd_u64(&r) / NS_PER_S;
	memcpy(h.key_id, p->key_id, VKEY_ID_SIZE);
	return h;
}

void entry_proof_write(const struct entry_proof *p, struct buf *to)
{
	_cleanup_buf_ struct buf extra = { 0 };
	struct head h = head_of(p);

	put_extra(p, &extra);
	buf_str(to, first_line);
	buf_str(to, "\nextra ");
	head_put_base64(extra.data, extra.len, to);
	buf_printf(to, "index %" PRIu64 "\n", h.size - 1);
	head_put_path(&p->seal.path, to);
	head_write(&h, to);
	to->bad |= extra.bad;
}

static int read_file(struct rd r, uint8_t *memory, struct entry_proof *ret)
{
	struct span extra;
	struct head h;
	size_t n = 0;

	head_line_after(&r, first_line);
	extra = head_line_after(&r, "extra ");
	head_line_after(&r, "index ");
	head_path(&r, &ret->seal.path);
	if (r.bad || head_base64(&extra, memory, extra.n, &n) < 0 ||
	    head_read(r, memory + n, &h) < 0)
		return BULLA_EPARSE;
	ret->origin = h.origin;
	memcpy(ret->key_id, h.key_id, VKEY_ID_SIZE);
	ret->seal.counter = h.counter;
	ret->seal.signature = h.signature;
	return read_extra(rd_of(memory, n), ret);
}

int entry_proof_read(const char *text, size_t n, struct buf *memory, struct entry_proof *ret)
{
	_cleanup_buf_ struct buf again = { 0 };
	uint8_t *room;
	int r;

	if (n > PROOF_FILE_SIZE_MAX)
		return BULLA_ELIMIT;
	*ret = (struct entry_proof){ 0 };
	buf_clear(memory);
	room = buf_room(memory, n + 1);
	if (!room)
		return -ENOMEM;
	r = read_file(rd_of(text, n), room, ret);
	if (r < 0)
		return r;
	entry_proof_write(ret, &again);
	if (again.bad)
		return -ENOMEM;
	return again.len == n && memcmp(again.data, text, n) == 0 ? 0 : BULLA_EPARSE;
}
