/* SPDX-License-Identifier: Apache-2.0 */

/** What is read is written again, and must be the same: so there is one spelling of each. */

#include "seal/head.h"

#include <sodium.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bulla/error.h"

enum { NUMBERS_SIZE = 8 + 8, BLOB_HEAD_SIZE = VKEY_ID_SIZE + NUMBERS_SIZE };

/* Lines. */

void head_put_base64(const void *p, size_t n, struct buf *to)
{
	size_t size = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
	uint8_t *at = buf_room(to, size);

	if (!at)
		return;
	sodium_bin2base64((char *) at, size, p, n, sodium_base64_VARIANT_ORIGINAL);
	buf_add(to, size - 1);
	buf_char(to, '\n');
}

int head_base64(const struct span *text, uint8_t *to, size_t cap, size_t *ret_n)
{
	return sodium_base642bin(to, cap, (const char *) text->p, text->n, NULL, ret_n, NULL,
				 sodium_base64_VARIANT_ORIGINAL) == 0
		       ? 0
		       : BULLA_EPARSE;
}

struct span head_line(struct rd *r)
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

struct span head_line_after(struct rd *r, const char *start)
{
	struct span line = head_line(r);
	size_t n = strlen(start);

	if (r->bad || line.n < n || memcmp(line.p, start, n) != 0) {
		r->bad = true;
		return (struct span){ 0 };
	}
	return (struct span){ line.p + n, line.n - n };
}

void head_put_path(const struct proof *p, struct buf *to)
{
	for (size_t i = 0; i < p->n; i++)
		head_put_base64(p->h[i].b, HASH_SIZE, to);
	buf_char(to, '\n');
}

void head_path(struct rd *r, struct proof *ret)
{
	struct span line;
	size_t n;

	*ret = (struct proof){ 0 };
	while (!r->bad && (line = head_line(r)).n > 0) {
		if (ret->n == PROOF_MAX ||
		    head_base64(&line, ret->h[ret->n].b, HASH_SIZE, &n) < 0 || n != HASH_SIZE)
			r->bad = true;
		else
			ret->n++;
	}
}

uint64_t head_number(const struct span *text)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text->n && i < 20; i++)
		v = 10 * v + (uint64_t) (text->p[i] - '0');
	return v;
}

/* Notes. */

void head_write(const struct head *h, struct buf *to)
{
	_cleanup_buf_ struct buf blob = { 0 };
	char checkpoint[CHECKPOINT_SIZE_MAX], name[ORIGIN_NAME_SIZE];
	uint8_t numbers[NUMBERS_SIZE];

	put_be64(numbers, h->counter);
	put_be64(numbers + 8, h->time_s);
	buf_append(&blob, h->key_id, VKEY_ID_SIZE);
	buf_append(&blob, numbers, sizeof numbers);
	buf_append(&blob, h->signature.p, h->signature.n);
	origin_name(&h->origin, name);
	buf_append(to, checkpoint, checkpoint_write(&h->origin, h->size, &h->root, checkpoint));
	buf_printf(to, "\n%s%s ", NOTE_SIGNATURE_START, name);
	head_put_base64(blob.data, blob.len, to);
	to->bad |= blob.bad;
}

static int read_note(struct rd r, uint8_t *memory, struct head *ret)
{
	struct span origin = head_line(&r), size = head_line(&r), root = head_line(&r);
	struct span empty = head_line(&r), signature = head_line_after(&r, NOTE_SIGNATURE_START);
	size_t n;

	if (r.bad || r.left > 0 || empty.n > 0 ||
	    origin_parse((const char *) origin.p, origin.n, &ret->origin) < 0 ||
	    signature.n < origin.n + 1)
		return BULLA_EPARSE;
	ret->size = head_number(&size);
	signature = (struct span){ signature.p + origin.n + 1, signature.n - origin.n - 1 };
	if (head_base64(&root, ret->root.b, HASH_SIZE, &n) < 0 || n != HASH_SIZE ||
	    head_base64(&signature, memory, signature.n, &n) < 0 || n < BLOB_HEAD_SIZE)
		return BULLA_EPARSE;
	memcpy(ret->key_id, memory, VKEY_ID_SIZE);
	ret->counter = get_be64(memory + VKEY_ID_SIZE);
	ret->time_s = get_be64(memory + VKEY_ID_SIZE + 8);
	ret->signature = (struct span){ memory + BLOB_HEAD_SIZE, n - BLOB_HEAD_SIZE };
	return ret->size > 0 ? 0 : BULLA_EPARSE;
}

int head_same(const struct rd *read, const struct buf *written)
{
	if (written->bad)
		return BULLA_EPARSE;
	return written->len == read->left && memcmp(written->data, read->p, written->len) == 0
		       ? 0
		       : BULLA_EPARSE;
}

int head_read(struct rd r, uint8_t *memory, struct head *ret)
{
	_cleanup_buf_ struct buf again = { 0 };
	int k = read_note(r, memory, ret);

	if (k < 0)
		return k;
	head_write(ret, &again);
	return head_same(&r, &again);
}

int head_check_seal(const struct head *h, const uint8_t public_key[KES_PUBLIC_SIZE],
		    const struct kes_params *shape, uint64_t first)
{
	char message[SEAL_MESSAGE_SIZE_MAX];
	size_t n;

	if (h->size - 1 < first || h->counter != h->size - 1 - first ||
	    h->counter >= kes_capacity(shape) || h->time_s > UINT64_MAX / NS_PER_S)
		return BULLA_EORDER;
	n = seal_message_write(&h->origin, h->counter, h->time_s * NS_PER_S, h->size, &h->root,
			       message);
	return kes_check(shape, public_key, h->counter, h->signature.p, h->signature.n, message, n)
		       ? 0
		       : BULLA_ESIG;
}

int head_check(const struct head *h, const struct vkey *key, const struct kes_params *shape,
	       uint64_t first)
{
	uint8_t id[VKEY_ID_SIZE];

	vkey_id(key, id);
	if (!id_equal(&h->origin, &key->origin) || memcmp(id, h->key_id, VKEY_ID_SIZE) != 0 ||
	    head_check_seal(h, key->public_key, shape, first) < 0)
		return BULLA_ESIG;
	return 0;
}
