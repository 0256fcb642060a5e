/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: question_set(), question_check().
 *
 * The input is settings: u8 key, u8 size, value.  Each is taken or refused with a sentence; what makes sense in the end asks for one
 * thing.
 */

#include <errno.h>
#include <string.h>

#include "aggregator/question.h"
#include "base/bytes.h"
#include "fuzz/fuzz.h"

static const char *const keys[] = { "cursor", "origin", "match", "since",      "until",
				    "head",   "from",	"",	 "no-such-key" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd rd = rd_of(data, size);
	struct question q;
	char why[256] = "";
	int k = 0;

	assert(question_init(&q) == 0);
	while (rd.left > 0 && k == 0) {
		const char *key = keys[rd_u8(&rd) % ELEMENTS(keys)];
		size_t n = rd_u8(&rd);
		const uint8_t *value;

		n = MIN_OF(n, rd.left);
		value = rd_bytes(&rd, n);
		if (rd.bad)
			break;
		k = question_set(&q, key, value, n, why);
		assert(k == 0 || k == -EINVAL || k == -ENOENT || k == -ENOMEM);
		assert(k == 0 || k == -ENOMEM || (*why && memchr(why, '\0', sizeof why)));
	}
	if (k == 0 && question_check(&q, why) == 0)
		assert(q.head + q.has_cursor + q.has_match == 1);
	question_done(&q);
	return 0;
}
