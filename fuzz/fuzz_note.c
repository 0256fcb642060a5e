/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: vkey_parse(), origin_parse(), checkpoint_write(), seal_message_write(), head_read(), growth_read(), growth_check().
 *
 * A head, or a proof of growth, that is read is written again as the very bytes that were read.
 * A vkey that parses is written again as the very text that was read; so is an origin's name.  Checkpoints and seal
 * messages of any numbers fit where they are written to.
 */

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/growth.h"
#include "seal/note.h"

static void try_vkey(const char *text)
{
	char again[VKEY_SIZE];
	struct vkey k;
	int r = vkey_parse(text, &k);

	assert(r == 0 || r == BULLA_EPARSE);
	if (r < 0)
		return;
	vkey_write(&k, again);
	assert(strcmp(again, text) == 0);
}

static void try_origin(const char *text, size_t n)
{
	char again[ORIGIN_NAME_SIZE];
	struct id id;
	int r = origin_parse(text, n, &id);

	assert(r == 0 || r == BULLA_EPARSE);
	if (r < 0)
		return;
	origin_name(&id, again);
	assert(n == strlen(again) && memcmp(again, text, n) == 0);
}

static void try_numbers(const uint8_t *data, size_t size)
{
	char checkpoint[CHECKPOINT_SIZE_MAX], message[SEAL_MESSAGE_SIZE_MAX];
	struct rd r = rd_of(data, size);
	uint64_t c = rd_u64(&r), time_ns = rd_u64(&r), tree_size = rd_u64(&r);
	struct vkey k, again;
	struct hash root;
	char text[VKEY_SIZE];
	size_t n, m;

	rd_copy(&r, k.origin.b, ID_SIZE);
	rd_copy(&r, k.public_key, KES_PUBLIC_SIZE);
	rd_copy(&r, root.b, HASH_SIZE);
	n = checkpoint_write(&k.origin, tree_size, &root, checkpoint);
	m = seal_message_write(&k.origin, c, time_ns, tree_size, &root, message);
	assert(n == strlen(checkpoint) && m == strlen(message));
	assert(m > n && strcmp(message + m - n, checkpoint) == 0);
	vkey_write(&k, text);
	assert(vkey_parse(text, &again) == 0);
	assert(memcmp(&again, &k, sizeof k) == 0);
}

static void try_heads(const uint8_t *data, size_t size)
{
	uint8_t *memory = malloc(size + 1);
	struct growth *g = calloc(1, sizeof *g);
	struct vkey nobody = { 0 };
	const char *why = NULL;
	struct buf again = { 0 };

	assert(memory && g);
	if (head_read(rd_of(data, size), memory, &g->head) == 0) {
		head_write(&g->head, &again);
		assert(again.len == size && memcmp(again.data, data, size) == 0);
		assert(head_check(&g->head, &nobody, &(struct kes_params){ 4, 8 }, 0) ==
		       BULLA_ESIG);
	}
	buf_clear(&again);
	if (growth_read(rd_of(data, size), memory, g) == 0) {
		growth_write(g, &again);
		assert(again.len == size && memcmp(again.data, data, size) == 0);
		nobody.origin = g->head.origin;
		assert(growth_check(g, &nobody, &(struct kes_params){ 4, 8 }, &why) ==
		       BULLA_ETAMPERED);
		assert(why);
	}
	buf_done(&again);
	free(memory);
	free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	assert(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	try_vkey(text);
	try_origin((const char *) data, size);
	try_numbers(data, size);
	try_heads(data, size);
	free(text);
	return 0;
}
