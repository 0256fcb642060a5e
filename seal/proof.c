/* SPDX-License-Identifier: Apache-2.0 */

/** The file: text around base64.  What is read is written again, and must be the same, so that there is one spelling. */

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "seal/proof-internal.h"

static const char first_line[] = "c2sp.org/tlog-proof@v1\n";
static const char signature_start[] = "\xe2\x80\x94 "; /* an em dash and a space */

enum { FORMAT = 1, COUNTER_SIZE = 8 };

/* Text. */

static void put_base64(const void *p, size_t n, struct buf *to)
{
	size_t size = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
	uint8_t *at = buf_room(to, size);

	if (!at)
		return;
	sodium_bin2base64((char *) at, size, p, n, sodium_base64_VARIANT_ORIGINAL);
	buf_add(to, size - 1);
	buf_char(to, '\n');
}

/* The checkpoint of the tree whose last leaf the commit is. */
static size_t checkpoint_of(const struct entry_proof *p, uint64_t number,
			    char ret[CHECKPOINT_SIZE_MAX])
{
	struct hash root = proof_last_root(&p->seal);

	return checkpoint_write(&p->origin, number + 1, &root, ret);
}

/* Extra. */

static void put_span(const struct span *s, struct buf *to)
{
	buf_varint(to, s->n);
	buf_append(to, s->p, s->n);
}

static void put_path(const struct proof *p, struct buf *to)
{
	buf_char(to, (char) p->n);
	for (size_t i = 0; i < p->n; i++)
		buf_append(to, p->h[i].b, HASH_SIZE);
}

static void put_succession(const struct sealed_link *l, struct buf *to)
{
	put_span(&l->commit, to);
	put_path(&l->path, to);
	buf_varint(to, l->counter);
	put_span(&l->signature, to);
}

static void put_extra(const struct entry_proof *p, struct buf *to)
{
	buf_char(to, FORMAT);
	buf_char(to, (char) p->extent);
	buf_varint(to, p->n_successions);
	for (unsigned i = 0; i < p->n_successions; i++)
		put_succession(&p->successions[i], to);
	put_span(&p->seal.commit, to);
	buf_varint(to, p->batch_place);
	put_path(&p->batch_path, to);
	put_span(&p->batch, to);
	if (p->extent == PROOF_ENTRY) {
		buf_varint(to, p->place);
		put_path(&p->entry_path, to);
	}
	buf_varint(to, p->n_entries);
	buf_append(to, p->entries.p, p->entries.n);
	buf_varint(to, p->n_contexts);
	buf_append(to, p->contexts.p, p->contexts.n);
}

static struct span rd_span(struct rd *r)
{
	uint64_t n = rd_varint(r);

	return (struct span){ rd_bytes(r, n), n };
}

static void rd_path(struct rd *r, struct proof *ret)
{
	*ret = (struct proof){ .n = rd_u8(r) };
	r->bad |= ret->n > PROOF_MAX;
	for (size_t i = 0; !r->bad && i < ret->n; i++)
		rd_copy(r, ret->h[i].b, HASH_SIZE);
}

bool proof_next(struct rd *r, struct span *ret)
{
	if (r->left == 0)
		return false;
	*ret = rd_span(r);
	return !r->bad;
}

/* Statements behind each other, as many as are said. */
static struct span rd_statements(struct rd *r, uint32_t *ret_n)
{
	uint64_t n = rd_varint(r);
	const uint8_t *from = r->p;

	r->bad |= n > r->left;
	for (uint64_t i = 0; !r->bad && i < n; i++)
		rd_span(r);
	*ret_n = (uint32_t) n;
	return (struct span){ from, r->bad ? 0 : (size_t) (r->p - from) };
}

static int read_extra(struct rd r, struct entry_proof *ret)
{
	uint8_t format = rd_u8(&r), extent = rd_u8(&r);
	uint64_t n = rd_varint(&r), place = 0;

	if (r.bad || format != FORMAT || extent > PROOF_BATCH)
		return BULLA_EPARSE;
	if (n > PROOF_SUCCESSIONS_MAX)
		return BULLA_ELIMIT;
	ret->extent = extent;
	for (ret->n_successions = 0; ret->n_successions < n; ret->n_successions++) {
		struct sealed_link *l = &ret->successions[ret->n_successions];

		l->commit = rd_span(&r);
		rd_path(&r, &l->path);
		l->counter = rd_varint(&r);
		l->signature = rd_span(&r);
	}
	ret->seal.commit = rd_span(&r);
	ret->batch_place = rd_varint(&r);
	rd_path(&r, &ret->batch_path);
	ret->batch = rd_span(&r);
	if (ret->extent == PROOF_ENTRY) {
		place = rd_varint(&r);
		rd_path(&r, &ret->entry_path);
	}
	ret->place = (uint32_t) place;
	ret->entries = rd_statements(&r, &ret->n_entries);
	ret->contexts = rd_statements(&r, &ret->n_contexts);
	return r.bad || r.left > 0 || place > UINT32_MAX ? BULLA_EPARSE : 0;
}

/* Writing. */

static void put_be64(uint8_t *to, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t) (v >> (56 - 8 * i));
}

static uint64_t get_be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* The number that the commit's statement has; 0 where that is too short to have one. */
static uint64_t number_of(const struct span *commit)
{
	struct rd r = rd_of(commit->p, commit->n);

	rd_u16(&r);
	return rd_u64(&r);
}

void entry_proof_write(const struct entry_proof *p, struct buf *to)
{
	_cleanup_buf_ struct buf blob = { 0 };
	uint64_t number = number_of(&p->seal.commit);
	char checkpoint[CHECKPOINT_SIZE_MAX], name[ORIGIN_NAME_SIZE];
	uint8_t counter[COUNTER_SIZE];

	put_extra(p, &blob);
	buf_str(to, first_line);
	buf_str(to, "extra ");
	put_base64(blob.data, blob.len, to);
	buf_printf(to, "index %" PRIu64 "\n", number);
	for (size_t i = 0; i < p->seal.path.n; i++)
		put_base64(p->seal.path.h[i].b, HASH_SIZE, to);
	buf_char(to, '\n');
	buf_append(to, checkpoint, checkpoint_of(p, number, checkpoint));
	origin_name(&p->origin, name);
	buf_printf(to, "\n%s%s ", signature_start, name);
	buf_clear(&blob);
	put_be64(counter, p->seal.counter);
	buf_append(&blob, p->key_id, VKEY_ID_SIZE);
	buf_append(&blob, counter, sizeof counter);
	buf_append(&blob, p->seal.signature.p, p->seal.signature.n);
	put_base64(blob.data, blob.len, to);
	to->bad |= blob.bad;
}

/* Reading. */

/* The next line without its newline; NULL (and `bad`) if there is none. */
static struct span rd_line(struct rd *r)
{
	const uint8_t *end = r->bad || r->left == 0 ? NULL : memchr(r->p, '\n', r->left);
	struct span line = { 0 };

	if (!end) {
		r->bad = true;
		return line;
	}
	line = (struct span){ r->p, (size_t) (end - r->p) };
	rd_bytes(r, line.n + 1);
	return line;
}

/* A line that begins with this; what follows in it. */
static struct span rd_line_after(struct rd *r, const char *start)
{
	struct span line = rd_line(r);
	size_t n = strlen(start);

	if (r->bad || line.n < n || memcmp(line.p, start, n) != 0) {
		r->bad = true;
		return (struct span){ 0 };
	}
	return (struct span){ line.p + n, line.n - n };
}

static int get_base64(const struct span *text, uint8_t *to, size_t cap, size_t *ret_n)
{
	return sodium_base642bin(to, cap, (const char *) text->p, text->n, NULL, ret_n, NULL,
				 sodium_base64_VARIANT_ORIGINAL) == 0
		       ? 0
		       : BULLA_EPARSE;
}

/* The hashes up to the empty line. */
static void read_path(struct rd *r, struct proof *ret)
{
	struct span line;
	size_t n;

	*ret = (struct proof){ 0 };
	while ((line = rd_line(r)).n > 0) {
		if (ret->n == PROOF_MAX || get_base64(&line, ret->h[ret->n].b, HASH_SIZE, &n) < 0 ||
		    n != HASH_SIZE)
			r->bad = true;
		else
			ret->n++;
		if (r->bad)
			return;
	}
}

static int read_signature(const struct span *text, uint8_t *to, struct entry_proof *ret)
{
	size_t n;

	if (get_base64(text, to, text->n, &n) < 0 || n < VKEY_ID_SIZE + COUNTER_SIZE)
		return BULLA_EPARSE;
	memcpy(ret->key_id, to, VKEY_ID_SIZE);
	ret->seal.counter = get_be64(to + VKEY_ID_SIZE);
	ret->seal.signature =
		(struct span){ to + VKEY_ID_SIZE + COUNTER_SIZE, n - VKEY_ID_SIZE - COUNTER_SIZE };
	return 0;
}

static int read_file(struct rd r, uint8_t *memory, struct entry_proof *ret)
{
	struct span extra, origin, signature;
	size_t n = 0;

	rd_line_after(&r, "c2sp.org/tlog-proof@v1");
	extra = rd_line_after(&r, "extra ");
	rd_line_after(&r, "index ");
	read_path(&r, &ret->seal.path);
	origin = rd_line(&r);
	rd_line(&r);
	rd_line(&r);
	rd_line(&r);
	signature = rd_line_after(&r, signature_start);
	if (r.bad || r.left > 0 ||
	    origin_parse((const char *) origin.p, origin.n, &ret->origin) < 0 ||
	    signature.n < origin.n + 1)
		return BULLA_EPARSE;
	signature = (struct span){ signature.p + origin.n + 1, signature.n - origin.n - 1 };
	if (get_base64(&extra, memory, extra.n, &n) < 0)
		return BULLA_EPARSE;
	if (read_signature(&signature, memory + n, ret) < 0)
		return BULLA_EPARSE;
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
