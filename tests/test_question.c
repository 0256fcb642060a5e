/* SPDX-License-Identifier: Apache-2.0 */

/** What an aggregator is asked to prove is understood, or refused with a sentence. */

#include "aggregator/question.h"

#include <errno.h>
#include <string.h>

#include "tests/harness.h"

Suite(question);

#define ID "00112233445566778899aabbccddeeff"

Test(question, a_question_is_understood_or_refused)
{
	static const struct {
		const char *keys[11];
		int set, check; /* of the last key, and of all */
	} cases[] = {
		{ { "cursor", ID ":7" }, 0, 0 },
		{ { "cursor", ID ":7", "origin", ID }, 0, 0 },
		{ { "match", "container=web" }, 0, 0 },
		{ { "match", "container=web", "match", "+", "match", "db", "since", "1", "until",
		    "2" },
		  0,
		  0 },
		{ { "head", "1", "origin", ID }, 0, 0 },
		{ { "head", "1", "origin", ID, "from", "7" }, 0, 0 },
		{ { "head", "1" }, 0, -EINVAL },
		{ { "head", "1", "origin", ID, "cursor", ID ":7" }, 0, -EINVAL },
		{ { "cursor", ID ":7", "from", "7" }, 0, -EINVAL },
		{ { "head", "yes" }, -EINVAL, 0 },
		{ { "from", "" }, -EINVAL, 0 },
		{ { "from", "123456789012345678901234567890" }, -EINVAL, 0 },
		{ { NULL }, 0, -EINVAL },
		{ { "cursor", ID ":7", "match", "web" }, 0, -EINVAL },
		{ { "cursor", ID ":7", "since", "1" }, 0, -EINVAL },
		{ { "origin", ID }, 0, -EINVAL },
		{ { "cursor", "" }, -EINVAL, 0 },
		{ { "cursor", ID }, -EINVAL, 0 },
		{ { "cursor", ID ":" }, -EINVAL, 0 },
		{ { "cursor", ID ":-1" }, -EINVAL, 0 },
		{ { "cursor", ID ":18446744073709551616" }, -EINVAL, 0 },
		{ { "cursor", ID ":18446744073709551615" }, 0, 0 },
		{ { "cursor", ID ":184467440737095516150" }, -EINVAL, 0 },
		{ { "cursor", "0011223344556677889/aabbccddeeff:7" }, -EINVAL, 0 },
		{ { "cursor", ID ":7", "cursor", ID ":8" }, -EINVAL, 0 },
		{ { "origin", ID "0" }, -EINVAL, 0 },
		{ { "origin", "../../../etc/passwd/../../../etc" }, -EINVAL, 0 },
		{ { "origin", ID, "origin", ID }, -EINVAL, 0 },
		{ { "match", "=x" }, -EINVAL, 0 },
		{ { "since", "yesterday" }, -EINVAL, 0 },
		{ { "output", "json" }, -ENOENT, 0 },
		{ { "", "" }, -ENOENT, 0 },
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		const char *const *k = cases[i].keys;
		char why[256] = "";
		struct question q;
		int r = 0;

		cr_assert(eq(int, question_init(&q), 0));
		for (; r == 0 && k[0]; k += 2)
			r = question_set(&q, k[0], k[1], strlen(k[1]), why);
		cr_expect(eq(int, r, cases[i].set), "case %zu", i);
		if (r == 0) {
			r = question_check(&q, why);
			cr_expect(eq(int, r, cases[i].check), "case %zu", i);
		}
		cr_expect(r == 0 || *why, "case %zu", i);
		question_done(&q);
	}
}

Test(question, a_cursor_has_no_zero_in_it)
{
	static const char cursor[] = ID ":7\0"
					"8";
	struct question q;
	char why[256];

	cr_assert(eq(int, question_init(&q), 0));
	cr_expect(eq(int, question_set(&q, "cursor", cursor, sizeof cursor - 1, why), -EINVAL));
	question_done(&q);
}
