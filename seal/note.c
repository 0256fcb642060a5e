/* SPDX-License-Identifier: Apache-2.0 */

#include "seal/note.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "bulla/error.h"

static const char name_prefix[] = "bulla/";
static const uint8_t algorithm[] = "\xff"
				   "bulla-kes-v1";

enum { TYPED_KEY_SIZE = STRLEN(algorithm) + KES_PUBLIC_SIZE };

void origin_name(const struct id *origin, char ret[ORIGIN_NAME_SIZE])
{
	memcpy(ret, name_prefix, STRLEN(name_prefix));
	text_hex(ret + STRLEN(name_prefix), origin->b, ID_SIZE);
}

int origin_parse(const char *name, size_t len, struct id *ret)
{
	char again[ORIGIN_NAME_SIZE];
	struct id id;

	if (len != ORIGIN_NAME_SIZE - 1 || memcmp(name, name_prefix, STRLEN(name_prefix)) != 0)
		return BULLA_EPARSE;
	if (text_unhex(name + STRLEN(name_prefix), 2 * ID_SIZE, id.b, ID_SIZE) < 0)
		return BULLA_EPARSE;
	/* Names are compared as text, so there is one spelling. */
	origin_name(&id, again);
	if (memcmp(again, name, len) != 0)
		return BULLA_EPARSE;
	*ret = id;
	return 0;
}

size_t checkpoint_write(const struct id *origin, uint64_t size, const struct hash *root,
			char ret[CHECKPOINT_SIZE_MAX])
{
	char name[ORIGIN_NAME_SIZE],
		root64[sodium_base64_ENCODED_LEN(HASH_SIZE, sodium_base64_VARIANT_ORIGINAL)];
	int n;

	origin_name(origin, name);
	sodium_bin2base64(root64, sizeof root64, root->b, HASH_SIZE,
			  sodium_base64_VARIANT_ORIGINAL);
	n = snprintf(ret, CHECKPOINT_SIZE_MAX, "%s\n%" PRIu64 "\n%s\n", name, size, root64);
	assert(n > 0 && n < CHECKPOINT_SIZE_MAX);
	return (size_t) n;
}

size_t seal_message_write(const struct id *origin, uint64_t c, uint64_t time_ns, uint64_t size,
			  const struct hash *root, char ret[SEAL_MESSAGE_SIZE_MAX])
{
	int n = snprintf(ret, SEAL_MESSAGE_SIZE_MAX,
			 "bulla-kes/v1\nseal %" PRIu64 "\ntime %" PRIu64 "\n", c,
			 time_ns / NS_PER_S);

	assert(n > 0 && n <= SEAL_MESSAGE_SIZE_MAX - CHECKPOINT_SIZE_MAX);
	return (size_t) n + checkpoint_write(origin, size, root, ret + n);
}

static void typed_key(const struct vkey *k, uint8_t ret[TYPED_KEY_SIZE])
{
	memcpy(ret, algorithm, STRLEN(algorithm));
	memcpy(ret + STRLEN(algorithm), k->public_key, KES_PUBLIC_SIZE);
}

static void key_id(const char *name, const uint8_t typed[TYPED_KEY_SIZE], uint8_t ret[VKEY_ID_SIZE])
{
	const struct span parts[] = {
		{ (const uint8_t *) name, strlen(name) },
		{ (const uint8_t *) "\n", 1 },
		{ typed, TYPED_KEY_SIZE },
	};
	struct hash h = sha256_concat(parts, ELEMENTS(parts));

	memcpy(ret, h.b, VKEY_ID_SIZE);
}

void vkey_id(const struct vkey *k, uint8_t ret[VKEY_ID_SIZE])
{
	uint8_t typed[TYPED_KEY_SIZE];
	char name[ORIGIN_NAME_SIZE];

	origin_name(&k->origin, name);
	typed_key(k, typed);
	key_id(name, typed, ret);
}

void vkey_write(const struct vkey *k, char ret[VKEY_SIZE])
{
	uint8_t typed[TYPED_KEY_SIZE], id[VKEY_ID_SIZE];
	char name[ORIGIN_NAME_SIZE], id_hex[2 * VKEY_ID_SIZE + 1];
	char key64[sodium_base64_ENCODED_LEN(TYPED_KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)];
	int n;

	origin_name(&k->origin, name);
	typed_key(k, typed);
	key_id(name, typed, id);
	text_hex(id_hex, id, VKEY_ID_SIZE);
	sodium_bin2base64(key64, sizeof key64, typed, sizeof typed, sodium_base64_VARIANT_ORIGINAL);
	n = snprintf(ret, VKEY_SIZE, "%s+%s+%s", name, id_hex, key64);
	assert(n > 0 && n < VKEY_SIZE);
}

int vkey_parse(const char *text, struct vkey *ret)
{
	const char *id_at = strchr(text, '+'), *key_at = id_at ? strchr(id_at + 1, '+') : NULL;
	uint8_t typed[TYPED_KEY_SIZE];
	size_t n;
	char again[VKEY_SIZE];
	struct vkey k;

	if (!key_at || origin_parse(text, (size_t) (id_at - text), &k.origin) < 0)
		return BULLA_EPARSE;
	key_at++;
	if (sodium_base642bin(typed, sizeof typed, key_at, strlen(key_at), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n != sizeof typed || memcmp(typed, algorithm, STRLEN(algorithm)) != 0)
		return BULLA_EPARSE;
	memcpy(k.public_key, typed + STRLEN(algorithm), KES_PUBLIC_SIZE);
	/* The key id follows from the rest, and there is one spelling of all of it. */
	vkey_write(&k, again);
	if (strcmp(again, text) != 0)
		return BULLA_EPARSE;
	*ret = k;
	return 0;
}
