/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A name has one number, whatever order names come in; what means something is known when all places are taken.
 */

#include "collector/import_words.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite(import_words);

static struct import_words *new_words(void)
{
	struct import_words *w = malloc(sizeof *w);

	cr_assert(ne(ptr, w, NULL));
	import_words_init(w);
	return w;
}

static struct field named(const char *name)
{
	return (struct field){ .name = (const uint8_t *) name, .name_len = (uint8_t) strlen(name) };
}

static enum import_meaning meaning(struct import_words *w, uint32_t place, const char *name)
{
	struct field f = named(name);

	return import_meaning_of(w, import_word_of(w, place, &f), &f);
}

Test(import_words, a_name_has_one_number_wherever_it_stands)
{
	static const char *const names[] = {
		"A",	     "AB",	  "ABCDEFGH",	       "ABCDEFGX",
		"ABCDEFGHI", "XBCDEFGHI", "ABCDEFGHIJKLMNOPQ", "ABCDEFGHIJKLMNOPX"
	};
	struct import_words *w = new_words();
	int number[ELEMENTS(names)];

	for (size_t i = 0; i < ELEMENTS(names); i++) {
		struct field f = named(names[i]);

		number[i] = import_word_of(w, 0, &f);
		for (size_t k = 0; k < i; k++)
			cr_expect(ne(int, number[i], number[k]), "%s and %s", names[i], names[k]);
	}
	for (uint32_t round = 0; round < 3; round++)
		for (size_t i = 0; i < ELEMENTS(names); i++) {
			struct field f = named(names[i]);
			uint32_t place = (uint32_t) (i * (round + 1)) % 5;

			cr_expect(eq(int, import_word_of(w, place, &f), number[i]), "%s", names[i]);
		}
	free(w);
}

Test(import_words, what_means_something_is_known_when_there_is_no_room)
{
	static char name[2 * IMPORT_WORDS_MAX][16];
	struct import_words *w = new_words();
	int last = 0;

	for (uint32_t i = 0; i < 2 * IMPORT_WORDS_MAX; i++) {
		struct field f;

		snprintf(name[i], sizeof name[i], "NAME_%u", i);
		f = named(name[i]);
		last = import_word_of(w, i, &f);
		cr_assert(eq(int, last >= 0, w->n < IMPORT_WORDS_MAX || last == (int) w->n - 1),
			  "%u", i);
	}
	cr_expect(eq(int, last, -1));
	cr_expect(eq(int, meaning(w, 0, "NAME_0"), MEANS_NOTHING));
	cr_expect(eq(int, meaning(w, 0, name[2 * IMPORT_WORDS_MAX - 1]), MEANS_NOTHING));
	cr_expect(eq(int, meaning(w, 1, "MESSAGE"), MEANS_MESSAGE));
	cr_expect(eq(int, meaning(w, 1, "_SYSTEMD_UNIT"), MEANS_UNIT));
	cr_expect(eq(int, meaning(w, 1, "CONTAINER_NAME"), MEANS_CONTAINER_LAST));
	cr_expect(eq(int, meaning(w, 1, "_TENANT"), MEANS_OURS));
	cr_expect(eq(int, meaning(w, 1, "_IMPORT_NEW"), MEANS_OURS));
	cr_expect(eq(int, meaning(w, 1, "_IMPORT"), MEANS_NOTHING));
	free(w);
}

/* Of each length, and with a difference at each byte. */
Test(import_words, other_bytes_are_another_name_and_another_hash)
{
	uint8_t a[40], b[40];

	memset(a, 'x', sizeof a);
	for (size_t n = 1; n <= sizeof a; n++) {
		memcpy(b, a, sizeof a);
		cr_expect(import_same(a, b, n), "%zu", n);
		cr_expect(eq(u64, import_hash(a, n, 1), import_hash(b, n, 1)), "%zu", n);
		cr_expect(ne(u64, import_hash(a, n, 1), import_hash(a, n - 1, 1)), "%zu", n);
		for (size_t i = 0; i < n; i++) {
			b[i] = 'y';
			cr_expect(not(import_same(a, b, n)), "%zu, %zu", n, i);
			cr_expect(ne(u64, import_hash(a, n, 1), import_hash(b, n, 1)), "%zu, %zu",
				  n, i);
			b[i] = 'x';
		}
	}
}
