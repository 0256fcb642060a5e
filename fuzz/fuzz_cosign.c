/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: cosigner_parse(), cosigner_vkey(), cosign_check(), cosigner_name_valid().
 *
 * The first byte chooses.  0: the rest is a key as text; what parses is written again as the very text.  1: the rest is a
 * note.  2: the rest is edits (u16 place, u8 what, u8 byte) to a note that is good.  A note that is accepted holds the line
 * that the cosigner's key makes, byte for byte, for this checkpoint and the time that it gives: signatures of this kind are
 * made in one way only.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "bulla/error.h"
#include "fuzz/fuzz.h"
#include "seal/cosign.h"

enum { SIZE = 4711, TIME_S = 1700000000 };

static const struct id origin = { "an origin's id.." };
static const struct hash root = { "the root of a tree, 32 bytes...." };

static void try_key(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), again[COSIGNER_VKEY_SIZE];
	struct cosigner c;
	int r;

	assert(text);
	if (n > 0)
		memcpy(text, data, n);
	text[n] = '\0';
	r = cosigner_parse(text, &c);
	assert(r == 0 || r == BULLA_EPARSE);
	if (r == 0) {
		assert(cosigner_name_valid(c.name));
		cosigner_vkey(&c, again);
		assert(strcmp(again, text) == 0);
	}
	free(text);
}

static void make_signer(struct cosigner *c, uint8_t secret[COSIGN_SECRET_SIZE])
{
	static const uint8_t seed[crypto_sign_SEEDBYTES] = "no secret at all";

	*c = (struct cosigner){ .name = "central" };
	crypto_sign_seed_keypair(c->public_key, secret, seed);
}

static void try_note(const uint8_t *note, size_t n)
{
	_cleanup_buf_ struct buf own = { 0 };
	uint8_t secret[COSIGN_SECRET_SIZE];
	const uint8_t *line;
	struct cosigner c;
	uint64_t time_s;
	int r;

	make_signer(&c, secret);
	r = cosign_check(&c, (const char *) note, n, &origin, SIZE, &root, &time_s);
	assert(r == 0 || r == BULLA_EPARSE || r == BULLA_ESIG);
	if (r < 0)
		return;
	cosign_note(&c, secret, &origin, SIZE, &root, time_s, &own);
	/* The note is the checkpoint, an empty line, and lines; ours is one of them. */
	line = memmem(own.data, own.len, "\n\n", 2);
	assert(!own.bad && line);
	line += 1;
	assert(n >= (size_t) (line - own.data) && memcmp(note, own.data, line - own.data) == 0);
	assert(memmem(note, n, line + 1, own.len - (size_t) (line + 1 - own.data)));
}

static void try_edits(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf note = { 0 };
	uint8_t secret[COSIGN_SECRET_SIZE];
	struct rd rd = rd_of(data, size);
	struct cosigner c;

	make_signer(&c, secret);
	cosign_note(&c, secret, &origin, SIZE, &root, TIME_S, &note);
	while (rd.left > 0 && note.len > 0) {
		size_t at = rd_u16(&rd) % note.len;
		uint8_t what = rd_u8(&rd) % 4, byte = rd_u8(&rd);

		if (rd.bad)
			break;
		if (what == 0) {
			note.data[at] ^= byte;
		} else if (what == 1) {
			memmove(note.data + at, note.data + at + 1, note.len - at - 1);
			note.len--;
		} else if (what == 2) {
			buf_char(&note, '\0');
			memmove(note.data + at + 1, note.data + at, note.len - at - 1);
			note.data[at] = byte;
		} else {
			note.len = at;
		}
	}
	assert(!note.bad);
	try_note(note.data, note.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	assert(sodium_init() >= 0);
	if (size == 0)
		return 0;
	if (*data % 3 == 0)
		try_key(data + 1, size - 1);
	else if (*data % 3 == 1)
		try_note(data + 1, size - 1);
	else
		try_edits(data + 1, size - 1);
	return 0;
}
