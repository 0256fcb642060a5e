/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A receipt is good for one checkpoint of one origin by one cosigner, whatever else stands in the note.
 */

#include "seal/cosign.h"

#include "tests/harness.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "tests/vectors.h"

Suite(cosign);

enum { TIME_S = 1700000000, SIZE = 42 };

static const struct id origin = { { 1, 2, 3 } };
static struct hash root;
static struct cosigner who = { .name = "aggregator.example/one" };
static uint8_t secret[COSIGN_SECRET_SIZE];
static struct buf note;

static void make(void)
{
	static const uint8_t seed[32] = "cosigner";

	cr_assert(ge(int, sodium_init(), 0));
	crypto_sign_seed_keypair(who.public_key, secret, seed);
	root = sha256("root", 4);
	buf_clear(&note);
	cosign_note(&who, secret, &origin, SIZE, &root, TIME_S, &note);
	cr_assert(not(note.bad));
}

static int check(const void *text, size_t n, uint64_t *ret_time_s)
{
	char *exact = (char *) exact_copy(text, n);
	int r = cosign_check(&who, exact, n, &origin, SIZE, &root, ret_time_s);

	free(exact);
	return r;
}

Test(cosign, a_receipt_has_the_form_of_a_cosignature)
{
	char checkpoint[CHECKPOINT_SIZE_MAX], signed_text[256], line[512];
	uint8_t blob[128], hashed[256];
	size_t n, at;
	struct hash id;

	make();
	at = checkpoint_write(&origin, SIZE, &root, checkpoint);
	cr_assert(eq(int, memcmp(note.data, checkpoint, at), 0));
	n = (size_t) snprintf(line, sizeof line, "\n\xe2\x80\x94 %s ", who.name);
	cr_assert(eq(int, memcmp(note.data + at, line, n), 0));
	memcpy(line, note.data + at + n, note.len - at - n - 1);
	line[note.len - at - n - 1] = '\0';
	cr_expect(eq(u8, note.data[note.len - 1], '\n'));
	/* key id | u64 big-endian time | signature over "cosignature/v1", time and checkpoint */
	cr_assert(eq(sz, vectors_unbase64(line, blob, sizeof blob), 4 + 8 + 64));
	n = (size_t) snprintf((char *) hashed, sizeof hashed, "%s\n\x04", who.name);
	memcpy(hashed + n, who.public_key, 32);
	id = sha256(hashed, n + 32);
	cr_expect(eq(int, memcmp(blob, id.b, 4), 0));
	cr_expect(eq(int, memcmp(blob + 4, "\0\0\0\0\x65\x53\xf1\x00", 8), 0));
	n = (size_t) snprintf(signed_text, sizeof signed_text, "cosignature/v1\ntime %d\n%s",
			      TIME_S, checkpoint);
	cr_expect(eq(int,
		     crypto_sign_verify_detached(blob + 12, (const uint8_t *) signed_text, n,
						 who.public_key),
		     0));
	buf_done(&note);
}

Test(cosign, a_receipt_is_good_as_it_is_and_in_no_other_form)
{
	uint64_t time_s = 0;

	make();
	cr_assert(eq(int, check(note.data, note.len, &time_s), 0));
	cr_expect(eq(u64, time_s, TIME_S));
	for (size_t i = 0; i < note.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			note.data[i] ^= (uint8_t) (1 << bit);
			cr_expect(lt(int, check(note.data, note.len, &time_s), 0), "bit %u of %zu",
				  bit, i);
			note.data[i] ^= (uint8_t) (1 << bit);
		}
	for (size_t n = 0; n < note.len; n++)
		cr_expect(lt(int, check(note.data, n, &time_s), 0), "cut to %zu", n);
	buf_done(&note);
}

Test(cosign, a_receipt_is_for_one_checkpoint_and_by_one_cosigner)
{
	struct id other_origin = { { 9 } };
	struct hash other_root = sha256("other", 5);
	struct cosigner other = who;
	const char *text;
	uint64_t time_s;

	make();
	text = (const char *) note.data;
	other = who;
	cr_expect(eq(int, cosign_check(&who, text, note.len, &other_origin, SIZE, &root, &time_s),
		     BULLA_EPARSE));
	cr_expect(eq(int, cosign_check(&who, text, note.len, &origin, SIZE + 1, &root, &time_s),
		     BULLA_EPARSE));
	cr_expect(eq(int, cosign_check(&who, text, note.len, &origin, SIZE, &other_root, &time_s),
		     BULLA_EPARSE));
	other.public_key[0] ^= 1;
	cr_expect(eq(int, cosign_check(&other, text, note.len, &origin, SIZE, &root, &time_s),
		     BULLA_ESIG));
	other = who;
	strcpy(other.name, "aggregator.example/two");
	cr_expect(eq(int, cosign_check(&other, text, note.len, &origin, SIZE, &root, &time_s),
		     BULLA_ESIG));
	buf_done(&note);
}

/* The note with another line put before its own. */
static int check_behind(const char *line)
{
	struct buf more = { 0 };
	uint64_t time_s;
	char checkpoint[CHECKPOINT_SIZE_MAX];
	size_t at = checkpoint_write(&origin, SIZE, &root, checkpoint) + 1;
	int r;

	buf_append(&more, note.data, at);
	buf_str(&more, line);
	buf_append(&more, note.data + at, note.len - at);
	r = check(more.data, more.len, &time_s);
	buf_done(&more);
	return r;
}

Test(cosign, signatures_of_others_are_passed_over)
{
	make();
	/* Shorter than our name by itself, too. */
	cr_expect(eq(int, check_behind("\xe2\x80\x94 a AAAAAAA=\n"), 0));
	cr_expect(eq(int, check_behind("\xe2\x80\x94 aggregator.example/onetwo AAAAAAA=\n"), 0));
	cr_expect(eq(int, check_behind("\xe2\x80\x94 aggregator.example/one AAAAAAA=\n"), 0));
	cr_expect(eq(int, check_behind("- a AAAAAAA=\n"), BULLA_EPARSE));
	cr_expect(eq(int, check_behind("\n"), BULLA_EPARSE));
	buf_done(&note);
}

Test(cosign, a_cosigners_key_has_one_spelling)
{
	char text[COSIGNER_VKEY_SIZE];
	struct cosigner out;

	make();
	cosigner_vkey(&who, text);
	cr_assert(eq(int, cosigner_parse(text, &out), 0));
	cr_expect(eq(int, memcmp(out.public_key, who.public_key, COSIGN_PUBLIC_SIZE), 0));
	cr_expect(eq(int, strcmp(out.name, who.name), 0));
	for (size_t i = 0; text[i]; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] ^= (char) (1 << bit);
			cr_expect(eq(int, cosigner_parse(text, &out), BULLA_EPARSE),
				  "bit %u of %zu", bit, i);
			text[i] ^= (char) (1 << bit);
		}
	for (char *c = strchr(text, '+') + 1; *c != '+'; c++)
		*c = (char) toupper(*c);
	cr_expect(eq(int, cosigner_parse(text, &out), BULLA_EPARSE));
	buf_done(&note);
}

Test(cosign, names_are_words)
{
	char longest[COSIGNER_NAME_MAX + 2];

	memset(longest, 'n', sizeof longest);
	longest[COSIGNER_NAME_MAX + 1] = '\0';
	cr_expect(not(cosigner_name_valid(longest)));
	longest[COSIGNER_NAME_MAX] = '\0';
	cr_expect(cosigner_name_valid(longest));
	cr_expect(not(cosigner_name_valid("")));
	cr_expect(not(cosigner_name_valid("a b")));
	cr_expect(not(cosigner_name_valid("a+b")));
	cr_expect(not(cosigner_name_valid("a\n")));
	cr_expect(not(cosigner_name_valid("\xc3\xb6")));
}
