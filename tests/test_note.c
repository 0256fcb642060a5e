/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Names, keys and checkpoints are C2SP's forms, and each has one spelling.
 */

#include "seal/note.h"

#include "tests/harness.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "tests/vectors.h"

Suite(note);

static const struct id origin = { { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
				    0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff } };
static const char name[] = "bulla/00112233445566778899aabbccddeeff";

static struct vkey some_key(void)
{
	struct vkey k = { .origin = origin };

	for (size_t i = 0; i < sizeof k.public_key; i++)
		k.public_key[i] = (uint8_t) (0xf8 + i);
	return k;
}

static int parse(const char *text, struct vkey *ret)
{
	char *exact = (char *) exact_copy(text, strlen(text) + 1);
	int r = vkey_parse(exact, ret);

	free(exact);
	return r;
}

/* Names. */

Test(note, an_origins_name_is_read_back)
{
	char text[ORIGIN_NAME_SIZE];
	struct id id;

	origin_name(&origin, text);
	cr_expect(eq(str, text, (char *) name));
	cr_assert(eq(int, origin_parse(text, strlen(text), &id), 0));
	cr_expect(id_equal(&id, &origin));
}

Test(note, other_names_are_not_an_origins)
{
	static const char *const bad[] = {
		"",
		"bulla/",
		"bulla/00112233445566778899aabbccddeef",
		"bulla/00112233445566778899aabbccddeefff",
		"bulla/00112233445566778899AABBCCDDEEFF",
		"Bulla/00112233445566778899aabbccddeeff",
		"bulla 00112233445566778899aabbccddeeff",
		"bulla/00112233445566778899aabbccddeefg",
		"bulla/0x112233445566778899aabbccddeeff",
		"bulla/ 0112233445566778899aabbccddeeff",
	};
	struct id id;

	for (size_t i = 0; i < ELEMENTS(bad); i++)
		cr_expect(eq(int, origin_parse(bad[i], strlen(bad[i]), &id), BULLA_EPARSE), "%s",
			  bad[i]);
}

/* Keys. */

Test(note, a_vkey_is_read_back)
{
	struct vkey k = some_key(), out;
	char text[VKEY_SIZE];

	vkey_write(&k, text);
	cr_expect(eq(sz, strlen(text) + 1, VKEY_SIZE - 1));
	cr_assert(eq(int, parse(text, &out), 0));
	cr_expect(id_equal(&out.origin, &k.origin));
	cr_expect(eq(int, memcmp(out.public_key, k.public_key, sizeof k.public_key), 0));
}

Test(note, a_vkey_has_the_form_that_signed_notes_ask_for)
{
	struct vkey k = some_key();
	uint8_t typed[256], want[KES_PUBLIC_SIZE + 13], hashed[512];
	char text[VKEY_SIZE], id_hex[9];
	struct hash h;
	size_t n;

	vkey_write(&k, text);
	/* <name>+<hash>+<base64 of type and key>, the hash over name, newline, type and key. */
	cr_expect(eq(int, strncmp(text, name, strlen(name)), 0));
	cr_assert(eq(chr, text[strlen(name)], '+'));
	n = vectors_unbase64(text + strlen(name) + 10, typed, sizeof typed);
	memcpy(want,
	       "\xff"
	       "bulla-kes-v1",
	       13);
	memcpy(want + 13, k.public_key, KES_PUBLIC_SIZE);
	cr_assert(eq(sz, n, sizeof want));
	cr_expect(eq(int, memcmp(typed, want, n), 0));
	memcpy(hashed, name, strlen(name));
	hashed[strlen(name)] = '\n';
	memcpy(hashed + strlen(name) + 1, want, sizeof want);
	h = sha256(hashed, strlen(name) + 1 + sizeof want);
	sodium_bin2hex(id_hex, sizeof id_hex, h.b, 4);
	cr_expect(eq(int, strncmp(text + strlen(name) + 1, id_hex, 8), 0));
}

Test(note, no_character_of_a_vkey_can_be_another)
{
	struct vkey k = some_key(), out;
	char text[VKEY_SIZE + 1] = "";

	vkey_write(&k, text);
	for (size_t i = 0; text[i]; i++) {
		char was = text[i];

		for (int c = 1; c < 256; c++) {
			if ((char) c == was)
				continue;
			text[i] = (char) c;
			cr_expect(eq(int, parse(text, &out), BULLA_EPARSE), "%d at %zu", c, i);
		}
		text[i] = was;
	}
	for (size_t cut = strlen(text); cut-- > 0;) {
		text[cut] = '\0';
		cr_expect(eq(int, parse(text, &out), BULLA_EPARSE), "cut to %zu", cut);
	}
	vkey_write(&k, text);
	strcat(text, "\n");
	cr_expect(eq(int, parse(text, &out), BULLA_EPARSE));
}

Test(note, a_vkey_in_other_letters_is_another_text)
{
	struct vkey k = some_key(), out;
	char text[VKEY_SIZE];

	vkey_write(&k, text);
	for (char *c = text + 6; *c != '+'; c++)
		*c = (char) toupper(*c);
	cr_expect(eq(int, parse(text, &out), BULLA_EPARSE));
	vkey_write(&k, text);
	for (char *c = strchr(text, '+') + 1; *c != '+'; c++)
		*c = (char) toupper(*c);
	cr_expect(eq(int, parse(text, &out), BULLA_EPARSE));
}

/* Others' keys are well-formed vkeys, but of another algorithm or name: not ours to take. */
Test(note, vkeys_of_others_are_refused)
{
	json_t *vectors = vectors_load(vectors_path("secure-data/signed-notes.json"));
	const json_t *vector;
	struct vkey out;
	size_t i;

	json_array_foreach(vectors, i, vector) cr_expect(
		eq(int, parse(vectors_str(vector, "vkey"), &out), BULLA_EPARSE), "vector %zu", i);
	cr_expect(gt(sz, i, 0));
	json_decref(vectors);
}

/* Checkpoints. */

Test(note, a_checkpoint_is_three_lines)
{
	struct hash root = sha256("root", 4);
	char text[CHECKPOINT_SIZE_MAX], want[256], root64[64];
	size_t n = checkpoint_write(&origin, 7, &root, text);

	sodium_bin2base64(root64, sizeof root64, root.b, HASH_SIZE, sodium_base64_VARIANT_ORIGINAL);
	snprintf(want, sizeof want, "%s\n7\n%s\n", name, root64);
	cr_expect(eq(str, text, want));
	cr_expect(eq(sz, n, strlen(want)));
}

/* The text of a real checkpoint, but for its first line, is what ours would be for the same size and root. */
Test(note, a_checkpoint_has_the_form_of_one_in_the_wild)
{
	json_t *vectors = vectors_load(vectors_path("secure-data/signed-notes.json"));
	const json_t *vector;
	size_t i, n = 0;

	json_array_foreach(vectors, i, vector)
	{
		const char *note = vectors_str(vector, "note"), *size_at = strchr(note, '\n') + 1;
		char ours[CHECKPOINT_SIZE_MAX];
		unsigned long long size;
		char root64[64];
		struct hash root;

		if (sscanf(size_at, "%llu\n%60[A-Za-z0-9+/=]\n", &size, root64) != 2)
			continue;
		n++;
		cr_assert(eq(sz, vectors_unbase64(root64, root.b, HASH_SIZE), HASH_SIZE));
		checkpoint_write(&origin, size, &root, ours);
		cr_expect(
			eq(int,
			   strncmp(strchr(ours, '\n') + 1, size_at, strlen(strchr(ours, '\n') + 1)),
			   0));
	}
	cr_expect(eq(sz, n, 2));
	json_decref(vectors);
}

Test(note, a_seal_message_names_counter_and_time_before_the_checkpoint)
{
	struct hash root = sha256("root", 4);
	char text[SEAL_MESSAGE_SIZE_MAX], checkpoint[CHECKPOINT_SIZE_MAX], want[512];
	size_t n = seal_message_write(&origin, 3, 1700000000999999999, 8, &root, text);

	checkpoint_write(&origin, 8, &root, checkpoint);
	snprintf(want, sizeof want, "bulla-kes/v1\nseal 3\ntime 1700000000\n%s", checkpoint);
	cr_expect(eq(str, text, want));
	cr_expect(eq(sz, n, strlen(want)));
}

Test(note, the_largest_numbers_fit)
{
	struct hash root = sha256("root", 4);
	char text[SEAL_MESSAGE_SIZE_MAX], checkpoint[CHECKPOINT_SIZE_MAX];

	cr_expect(eq(sz, checkpoint_write(&origin, UINT64_MAX, &root, checkpoint),
		     CHECKPOINT_SIZE_MAX - 1));
	cr_expect(gt(sz,
		     seal_message_write(&origin, UINT64_MAX, UINT64_MAX, UINT64_MAX, &root, text),
		     CHECKPOINT_SIZE_MAX));
	cr_expect(ne(ptr, strstr(text, "seal 18446744073709551615\ntime 18446744073\n"), NULL));
}
