/* SPDX-License-Identifier: Apache-2.0 */

/**
 * No two errors share a number or a text, none of ours can be taken for the kernel's, and every int
 * has words.
 */

#include "bulla/error.h"

#include "tests/harness.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"

Suite(error);

static const struct {
	int value;
	const char *name, *words;
} table[] = {
#define X(name, value, words) { value, #name, words },
	BULLA_ERRORS(X)
#undef X
};

Test(error, ours_are_beyond_the_kernels)
{
	for (size_t i = 0; i < ELEMENTS(table); i++)
		cr_expect(lt(int, table[i].value, -4095), "%s", table[i].name);
}

Test(error, no_two_share_a_number_or_words)
{
	for (size_t i = 0; i < ELEMENTS(table); i++) {
		for (size_t k = 0; k < i; k++) {
			cr_expect(ne(int, table[i].value, table[k].value), "%s, %s", table[i].name,
				  table[k].name);
			cr_expect(strcmp(table[i].words, table[k].words) != 0, "%s, %s",
				  table[i].name, table[k].name);
		}
	}
}

Test(error, ours_have_the_words_of_the_table)
{
	for (size_t i = 0; i < ELEMENTS(table); i++) {
		cr_expect(table[i].words[0] != '\0', "%s", table[i].name);
		cr_expect(
			eq(str, (char *) bulla_strerror(table[i].value), (char *) table[i].words));
	}
}

Test(error, errnos_have_the_words_of_libc)
{
	for (int e = 0; e < 140; e++) {
		char want[256];

		snprintf(want, sizeof want, "%s", strerror(e));
		cr_expect(eq(str, (char *) bulla_strerror(-e), want), "errno %d", e);
	}
}

Test(error, numbers_that_nobody_gave_out_have_words_too)
{
	static const int strays[] = { 1, EIO, INT_MAX, INT_MIN, INT_MIN + 1, -4095, -999999 };

	for (size_t i = 0; i < ELEMENTS(strays); i++) {
		const char *words = bulla_strerror(strays[i]);

		cr_assert(words != NULL, "%d", strays[i]);
		cr_expect(strlen(words) > 5, "%d: %s", strays[i], words);
	}
	cr_expect(eq(str, (char *) bulla_strerror(INT_MIN), (char *) "unknown error -2147483648"));
}

static void *ask_for_another(void *unused)
{
	(void) unused;
	bulla_strerror(12345);
	return NULL;
}

Test(error, another_thread_does_not_change_the_words)
{
	const char *mine = bulla_strerror(54321);
	pthread_t t;

	cr_assert(eq(int, pthread_create(&t, NULL, ask_for_another, NULL), 0));
	pthread_join(t, NULL);
	cr_expect(eq(str, (char *) mine, (char *) "unknown error 54321"));
}
