/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/cosign.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "bulla/error.h"

static_assert(COSIGN_SECRET_SIZE == crypto_sign_SECRETKEYBYTES, "libsodium's form of a secret key");

enum { ALGORITHM = 0x04, KEY_ID_SIZE = 4, BLOB_SIZE = KEY_ID_SIZE + 8 + 64, BLOB64_SIZE = 104 + 1 };

bool cosigner_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > COSIGNER_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char) name[i] <= ' ' || name[i] == '+' ||
		    (unsigned char) name[i] >= 127)
			return false;
	return true;
}

static void key_id(const struct cosigner *c, uint8_t ret[KEY_ID_SIZE])
{
	static const uint8_t middle[2] = { '\n', ALGORITHM };
	const struct span parts[] = {
		{ (const uint8_t *) c->name, strlen(c->name) },
		{ middle, sizeof middle },
		{ c->public_key, COSIGN_PUBLIC_SIZE },
	};
	struct hash h = sha256_concat(parts, ELEMENTS(parts));

	memcpy(ret, h.b, KEY_ID_SIZE);
}

void cosigner_vkey(const struct cosigner *c, char ret[COSIGNER_VKEY_SIZE])
{
	uint8_t typed[1 + COSIGN_PUBLIC_SIZE] = { ALGORITHM }, id[KEY_ID_SIZE];
	char hex[2 * KEY_ID_SIZE + 1], key64[48];
	int n;

	memcpy(typed + 1, c->public_key, COSIGN_PUBLIC_SIZE);
	key_id(c, id);
	text_hex(hex, id, KEY_ID_SIZE);
	sodium_bin2base64(key64, sizeof key64, typed, sizeof typed, sodium_base64_VARIANT_ORIGINAL);
	n = snprintf(ret, COSIGNER_VKEY_SIZE, "%s+%s+%s", c->name, hex, key64);
	assert(n > 0 && n < COSIGNER_VKEY_SIZE);
}

int cosigner_parse(const char *vkey, struct cosigner *ret)
{
	const char *id_at = strchr(vkey, '+'), *key_at = id_at ? strchr(id_at + 1, '+') : NULL;
	uint8_t typed[1 + COSIGN_PUBLIC_SIZE];
	char again[COSIGNER_VKEY_SIZE];
	struct cosigner c = { 0 };
	size_t n;

	if (!key_at || (size_t) (id_at - vkey) > COSIGNER_NAME_MAX)
		return BULLA_EPARSE;
	memcpy(c.name, vkey, (size_t) (id_at - vkey));
	if (!cosigner_name_valid(c.name))
		return BULLA_EPARSE;
	key_at++;
	if (sodium_base642bin(typed, sizeof typed, key_at, strlen(key_at), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n != sizeof typed || typed[0] != ALGORITHM)
		return BULLA_EPARSE;
	memcpy(c.public_key, typed + 1, COSIGN_PUBLIC_SIZE);
	/* The key id follows from the rest, and there is one spelling of all of it. */
	cosigner_vkey(&c, again);
	if (strcmp(again, vkey) != 0)
		return BULLA_EPARSE;
	*ret = c;
	return 0;
}

/* What is signed: the cosignature's head and the checkpoint. */
static size_t signed_text(const struct id *origin, uint64_t size, const struct hash *root,
			  uint64_t time_s, char ret[64 + CHECKPOINT_SIZE_MAX])
{
	int n = snprintf(ret, 64, "cosignature/v1\ntime %" PRIu64 "\n", time_s);

	assert(n > 0 && n < 64);
	return (size_t) n + checkpoint_write(origin, size, root, ret + n);
}

void cosign_note(const struct cosigner *c, const uint8_t secret[COSIGN_SECRET_SIZE],
		 const struct id *origin, uint64_t size, const struct hash *root, uint64_t time_s,
		 struct buf *to)
{
	char text[64 + CHECKPOINT_SIZE_MAX], body[CHECKPOINT_SIZE_MAX], blob64[BLOB64_SIZE];
	uint8_t blob[BLOB_SIZE];
	size_t n = signed_text(origin, size, root, time_s, text);

	key_id(c, blob);
	put_be64(blob + KEY_ID_SIZE, time_s);
	crypto_sign_detached(blob + KEY_ID_SIZE + 8, NULL, (const uint8_t *) text, n, secret);
	sodium_bin2base64(blob64, sizeof blob64, blob, sizeof blob, sodium_base64_VARIANT_ORIGINAL);
	buf_append(to, body, checkpoint_write(origin, size, root, body));
	buf_printf(to, "\n%s%s %s\n", NOTE_SIGNATURE_START, c->name, blob64);
}

/* One signature line.  @return 1: ours and good; 0: somebody else's; BULLA_ESIG: ours and bad. */
static int check_line(const struct cosigner *c, const char *line, size_t n, const struct id *origin,
		      uint64_t size, const struct hash *root, uint64_t *ret_time_s)
{
	size_t name_len = strlen(c->name), start = STRLEN(NOTE_SIGNATURE_START), got;
	uint8_t blob[BLOB_SIZE], id[KEY_ID_SIZE];
	char text[64 + CHECKPOINT_SIZE_MAX], again[BLOB64_SIZE];
	uint64_t time_s;

	if (n < start || memcmp(line, NOTE_SIGNATURE_START, start) != 0)
		return BULLA_EPARSE;
	line += start;
	n -= start;
	if (n < name_len + 1 || memcmp(line, c->name, name_len) != 0 || line[name_len] != ' ')
		return 0;
	line += name_len + 1;
	n -= name_len + 1;
	if (sodium_base642bin(blob, sizeof blob, line, n, NULL, &got, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    got != sizeof blob)
		return 0;
	/* The decoder takes some bytes beyond ASCII for letters; nobody writes them. */
	sodium_bin2base64(again, sizeof again, blob, sizeof blob, sodium_base64_VARIANT_ORIGINAL);
	if (n != strlen(again) || memcmp(line, again, n) != 0)
		return BULLA_EPARSE;
	key_id(c, id);
	if (memcmp(blob, id, KEY_ID_SIZE) != 0)
		return 0;
	time_s = get_be64(blob + KEY_ID_SIZE);
	if (crypto_sign_verify_detached(blob + KEY_ID_SIZE + 8, (const uint8_t *) text,
					signed_text(origin, size, root, time_s, text),
					c->public_key) != 0)
		return BULLA_ESIG;
	*ret_time_s = time_s;
	return 1;
}

int cosign_check(const struct cosigner *c, const char *note, size_t note_len,
		 const struct id *origin, uint64_t size, const struct hash *root,
		 uint64_t *ret_time_s)
{
	char body[CHECKPOINT_SIZE_MAX];
	size_t at = checkpoint_write(origin, size, root, body);

	if (note_len < at + 1 || memcmp(note, body, at) != 0 || note[at] != '\n')
		return BULLA_EPARSE;
	for (at++; at < note_len;) {
		const char *end = memchr(note + at, '\n', note_len - at);
		int r;

		if (!end)
			return BULLA_EPARSE;
		r = check_line(c, note + at, (size_t) (end - (note + at)), origin, size, root,
			       ret_time_s);
		if (r != 0)
			return r < 0 ? r : 0;
		at = (size_t) (end - note) + 1;
	}
	return BULLA_ESIG;
}
