/* SPDX-License-Identifier: Apache-2.0 */

/**
 * One hash, however the message is cut and whoever computes it.
 */

#include "seal/sha256.h"

#include "tests/harness.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

Suite(sha256);

enum { SIZE_MAX_TRIED = 320 };

static uint8_t message[SIZE_MAX_TRIED];

static void fill(void)
{
	uint64_t seed = 1;

	random_fill(&seed, message, sizeof message);
}

static void expect_hex(struct hash h, const char *want)
{
	char hex[2 * HASH_SIZE + 1];

	sodium_bin2hex(hex, sizeof hex, h.b, HASH_SIZE);
	cr_expect(eq(str, hex, (char *) want));
}

Test(sha256, known_answers_of_fips_180)
{
	char *million = malloc(1000000);

	expect_hex(sha256(NULL, 0),
		   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_hex(sha256("abc", 3),
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	expect_hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56),
		   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	cr_assert(ne(ptr, million, NULL));
	memset(million, 'a', 1000000);
	expect_hex(sha256(million, 1000000),
		   "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

Test(sha256, another_library_agrees_at_every_size)
{
	fill();
	for (size_t n = 0; n <= SIZE_MAX_TRIED; n++) {
		uint8_t *exact = exact_copy(message, n), want[HASH_SIZE];
		struct hash h = sha256(exact, n);

		crypto_hash_sha256(want, message, n);
		cr_expect(eq(int, memcmp(h.b, want, HASH_SIZE), 0), "size %zu", n);
		free(exact);
	}
}

Test(sha256, a_concatenation_is_the_whole_wherever_it_is_cut)
{
	struct hash whole;

	fill();
	whole = sha256(message, sizeof message);
	for (size_t a = 0; a <= sizeof message; a += 7)
		for (size_t b = a; b <= sizeof message; b += 5) {
			const struct span parts[] = { { message, a },
						      { message + a, b - a },
						      { NULL, 0 },
						      { message + b, sizeof message - b } };
			struct hash h = sha256_concat(parts, 4);

			cr_assert(eq(int, memcmp(h.b, whole.b, HASH_SIZE), 0), "cut at %zu, %zu", a,
				  b);
		}
}

Test(sha256, many_are_each_one)
{
	struct span spans[64];
	struct hash many[64];

	fill();
	for (size_t i = 0; i < 64; i++)
		spans[i] = (struct span){ message + i, 4 * i };
	for (size_t n = 0; n <= 64; n++) {
		sha256_many(many, spans, n);
		for (size_t i = 0; i < n; i++) {
			struct hash h = sha256(spans[i].p, spans[i].n);

			cr_assert(eq(int, memcmp(h.b, many[i].b, HASH_SIZE), 0), "%zu of %zu", i,
				  n);
		}
	}
}

Test(sha256, many_of_any_sizes_side_by_side)
{
	enum { MESSAGES = 48, ROUNDS = 200, LONG = 3000 };
	uint64_t seed = 2;

	for (int round = 0; round < ROUNDS; round++) {
		size_t n = 1 + random_u64(&seed) % MESSAGES;
		struct span spans[MESSAGES];
		struct hash many[MESSAGES];

		for (size_t i = 0; i < n; i++) {
			/* Mostly near the ends of blocks, where padding takes one block or two. */
			size_t size = random_u64(&seed) % 4 == 0
					      ? random_u64(&seed) % LONG
					      : 64 * (random_u64(&seed) % 4) + 50 +
							random_u64(&seed) % 16;
			uint8_t *p = malloc(size);

			random_fill(&seed, p, size);
			spans[i] = (struct span){ p, size };
		}
		sha256_many(many, spans, n);
		for (size_t i = 0; i < n; i++) {
			uint8_t want[HASH_SIZE];

			crypto_hash_sha256(want, spans[i].p, spans[i].n);
			cr_assert(eq(int, memcmp(many[i].b, want, HASH_SIZE), 0),
				  "message %zu of %zu in round %d, %zu bytes", i, n, round,
				  spans[i].n);
			free((void *) (uintptr_t) spans[i].p);
		}
	}
}
