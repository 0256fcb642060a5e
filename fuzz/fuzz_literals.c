/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: literals_make().
 *
 * The input is u8 flags, a pattern up to a NUL, and a text.  If PCRE2 matches the text with the pattern, one of the
 * pattern's literals of each set is in it, and behind it what must follow.
 */

#define PCRE2_CODE_UNIT_WIDTH 8

#include "query/literals.h"

#include <pcre2.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tests/literal.h"

static bool matches(const char *pattern, bool caseless, const uint8_t *p, size_t n)
{
	uint32_t flags = PCRE2_MATCH_INVALID_UTF | PCRE2_UTF | (caseless ? PCRE2_CASELESS : 0);
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_code *code;
	PCRE2_SIZE at;
	int r;

	code = pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED, flags, &r, &at, NULL);
	if (!code)
		return false;
	data = pcre2_match_data_create(1, NULL);
	context = pcre2_match_context_create(NULL);
	assert(data && context);
	pcre2_set_match_limit(context, 100000);
	r = pcre2_match(code, p, n, 0, 0, data, context);
	pcre2_match_context_free(context);
	pcre2_match_data_free(data);
	pcre2_code_free(code);
	return r >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size > 1 ? memchr(data + 1, '\0', size - 1) : NULL;
	struct literals l;
	size_t n;

	if (!nul)
		return 0;
	n = size - (size_t) (nul + 1 - data);
	assert(literals_make(&l, (const char *) data + 1, data[0] & 1) == 0);
	if (l.first.n > 0 && matches((const char *) data + 1, data[0] & 1, nul + 1, n))
		assert(literal_is_in(&l, &l.first, &l.behind_first, nul + 1, n) &&
		       literal_is_in(&l, &l.second, &l.behind_second, nul + 1, n));
	if (l.all && literal_is_in(&l, &l.first, &l.behind_first, nul + 1, n))
		assert(matches((const char *) data + 1, data[0] & 1, nul + 1, n));
	literals_done(&l);
	return 0;
}
