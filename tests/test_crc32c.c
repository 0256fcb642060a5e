/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Both providers compute RFC 3720's checksum, on any size, at any address, in any number of steps.
 */

#include "base/crc32c.h"

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

Suite(crc32c);

/* RFC 3720, B.4, and the customary check value. */

struct vector {
	char name[16];
	uint8_t bytes[48];
	size_t size;
	uint32_t crc;
};

ParameterizedTestParameters(crc32c, published_vectors)
{
	static struct vector cases[6] = {
		{ .name = "32 zeroes", .size = 32, .crc = 0x8a9136aa },
		{ .name = "32 ones", .size = 32, .crc = 0x62a8ab43 },
		{ .name = "0 to 31", .size = 32, .crc = 0x46dd794e },
		{ .name = "31 to 0", .size = 32, .crc = 0x113fdb5c },
		{ .name = "an iSCSI read",
		  .bytes = { 0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18,
			     [32] = 0x28, [40] = 0x02 },
		  .size = 48,
		  .crc = 0xd9963a56 },
		{ .name = "digits", .bytes = "123456789", .size = 9, .crc = 0xe3069283 },
	};

	memset(cases[1].bytes, 0xff, 32);
	for (uint8_t i = 0; i < 32; i++) {
		cases[2].bytes[i] = i;
		cases[3].bytes[31 - i] = i;
	}
	return cr_make_param_array(struct vector, cases, ELEMENTS(cases));
}

ParameterizedTest(struct vector *c, crc32c, published_vectors)
{
	cr_expect(eq(u32, crc32c(0, c->bytes, c->size), c->crc), "%s", c->name);
	cr_expect(eq(u32, crc32c_portable(0, c->bytes, c->size), c->crc), "%s", c->name);
}

Test(crc32c, nothing_changes_nothing)
{
	cr_expect(eq(u32, crc32c(0, "", 0), 0));
	cr_expect(eq(u32, crc32c(0x12345678, NULL, 0), 0x12345678));
	cr_expect(eq(u32, crc32c_portable(0x12345678, NULL, 0), 0x12345678));
}

Test(crc32c, hardware_and_table_agree_at_every_size_and_address)
{
	uint64_t seed = 3720;
	uint8_t bytes[128];

	random_fill(&seed, bytes, sizeof bytes);
	for (size_t from = 0; from < 9; from++) {
		for (size_t n = 0; n <= sizeof bytes - from; n++) {
			uint32_t crc = (uint32_t) random_u64(&seed);

			cr_assert(eq(u32, crc32c(crc, bytes + from, n),
				     crc32c_portable(crc, bytes + from, n)),
				  "%zu bytes from %zu", n, from);
		}
	}
}

Test(crc32c, hardware_and_table_agree_on_random_sizes)
{
	uint64_t seed = 3721;

	for (int round = 0; round < 200; round++) {
		size_t n = random_u64(&seed) % 20000;
		uint8_t *bytes = malloc(n + 1);

		cr_assert(bytes != NULL);
		random_fill(&seed, bytes, n);
		cr_expect(eq(u32, crc32c(0, bytes, n), crc32c_portable(0, bytes, n)),
			  "round %d, %zu bytes", round, n);
		free(bytes);
	}
}

Test(crc32c, any_number_of_steps_gives_the_same)
{
	uint64_t seed = 3722;
	uint8_t bytes[61];
	uint32_t whole;

	random_fill(&seed, bytes, sizeof bytes);
	whole = crc32c(0, bytes, sizeof bytes);
	for (size_t cut = 0; cut <= sizeof bytes; cut++) {
		uint32_t crc = crc32c(0, bytes, cut);

		crc = crc32c(crc, bytes + cut, sizeof bytes - cut);
		cr_expect(eq(u32, crc, whole), "cut at %zu", cut);
		crc = crc32c_portable(0, bytes, cut);
		crc = crc32c_portable(crc, bytes + cut, sizeof bytes - cut);
		cr_expect(eq(u32, crc, whole), "cut at %zu, by table", cut);
	}
}

Test(crc32c, every_flipped_bit_shows)
{
	uint64_t seed = 3723;
	uint8_t bytes[256];
	uint32_t whole;

	random_fill(&seed, bytes, sizeof bytes);
	whole = crc32c(0, bytes, sizeof bytes);
	for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		cr_expect(ne(u32, crc32c(0, bytes, sizeof bytes), whole), "bit %zu", bit);
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
}
