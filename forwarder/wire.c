/* SPDX-License-Identifier: Apache-2.0 */

#include "forwarder/wire.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/frame.h"
#include "base/text.h"
#include "bulla/error.h"

void wire_batch_encode(const struct wire_batch *b, struct wr *w)
{
	wr_bytes(w, b->journal.b, ID_SIZE);
	wr_u64(w, b->batch_no);
	wr_u32(w, b->contexts);
	wr_u32(w, b->seeds);
	wr_u8(w, b->flags);
	wr_u8(w, (uint8_t) b->absent);
}

int wire_batch_decode(const uint8_t *p, size_t n, struct wire_batch *ret)
{
	struct rd r = rd_of(p, n);
	struct wire_batch b;
	uint8_t absent;

	rd_copy(&r, b.journal.b, ID_SIZE);
	b.batch_no = rd_u64(&r);
	b.contexts = rd_u32(&r);
	b.seeds = rd_u32(&r);
	b.flags = rd_u8(&r);
	absent = rd_u8(&r);
	if (r.bad || r.left > 0 || (b.flags & ~(WIRE_BATCH_ALL | WIRE_BATCH_RECOVERED)) ||
	    absent > ABSENT_QUOTA)
		return BULLA_ECORRUPT;
	b.absent = (enum absent) absent;
	*ret = b;
	return 0;
}

void wire_frame(struct buf *to, uint32_t type, const void *payload, size_t n)
{
	uint8_t *at = buf_room(to, frame_space(n));

	if (!at)
		return;
	memcpy(at + FRAME_HEADER_SIZE, payload, n);
	buf_add(to, frame_finish(at, type, (uint32_t) n));
}

void wire_head_write(const struct wire_head *h, struct buf *to)
{
	char root[2 * HASH_SIZE + 1], *text;
	json_t *o;

	text_hex(root, h->root.b, HASH_SIZE);
	o = json_pack("{s:I, s:I, s:s, s:s, s:s}", "received", (json_int_t) h->received, "durable",
		      (json_int_t) h->durable, "root", root, "receipt", h->receipt, "key", h->key);
	text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	if (text)
		buf_str(to, text);
	else
		to->bad = true;
	buf_char(to, '\n');
	free(text);
	json_decref(o);
}

static int copy_text(json_t *o, const char *name, char *to, size_t room)
{
	const char *text = json_string_value(json_object_get(o, name));

	if (!text || strlen(text) >= room)
		return BULLA_EPARSE;
	strcpy(to, text);
	return 0;
}

static int copy_number(json_t *o, const char *name, uint64_t *to)
{
	json_t *v = json_object_get(o, name);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return BULLA_EPARSE;
	*to = (uint64_t) json_integer_value(v);
	return 0;
}

int wire_head_parse(const char *json, size_t n, struct wire_head *ret)
{
	json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
	char root[2 * HASH_SIZE + 1];
	struct wire_head h = { 0 };
	int r;

	r = copy_number(o, "received", &h.received);
	if (r >= 0)
		r = copy_number(o, "durable", &h.durable);
	if (r >= 0)
		r = copy_text(o, "root", root, sizeof root);
	if (r >= 0)
		r = copy_text(o, "receipt", h.receipt, sizeof h.receipt);
	if (r >= 0)
		r = copy_text(o, "key", h.key, sizeof h.key);
	if (r >= 0 &&
	    (text_unhex(root, strlen(root), h.root.b, HASH_SIZE) < 0 || h.durable > h.received))
		r = BULLA_EPARSE;
	json_decref(o);
	if (r >= 0)
		*ret = h;
	return r;
}
