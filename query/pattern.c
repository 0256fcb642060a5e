/* SPDX-License-Identifier: Apache-2.0 */

#include "query/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

enum { MATCH_LIMIT = 10000000, MESSAGE_SIZE = 256 };

struct pattern {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
	struct literals literals;
	bool shared; /* all but the match data is another's */
};

static inline void pattern_freep(struct pattern **p)
{
	pattern_free(*p);
}

struct pattern *pattern_free(struct pattern *p)
{
	if (!p)
		return NULL;
	pcre2_match_data_free(p->data);
	if (!p->shared) {
		literals_done(&p->literals);
		pcre2_code_free(p->code);
		pcre2_match_context_free(p->context);
	}
	free(p);
	return NULL;
}

static int compile(struct pattern *p, const char *text, uint32_t flags, size_t before,
		   char *message)
{
	PCRE2_SIZE at;
	size_t n;
	int error;

	p->code = pcre2_compile((PCRE2_SPTR) text, PCRE2_ZERO_TERMINATED, flags, &error, &at, NULL);
	if (p->code)
		return 0;
	n = (size_t) snprintf(message, MESSAGE_SIZE, "at %zu: ", at + before);
	pcre2_get_error_message(error, (PCRE2_UCHAR *) message + n, MESSAGE_SIZE - n);
	return -EINVAL;
}

int pattern_new(struct pattern **ret, const char *text, char *message)
{
	static const char any_case[] = "(?i)";
	_cleanup_(pattern_freep) struct pattern *p = calloc(1, sizeof *p);
	uint32_t flags = PCRE2_MATCH_INVALID_UTF | PCRE2_UTF | PCRE2_CASELESS;
	size_t told = strncmp(text, any_case, STRLEN(any_case)) == 0 ? STRLEN(any_case) : 0;
	int r;

	if (!p)
		return -ENOMEM;
	/* An option within a pattern would hide what it looks for. */
	text += told;
	for (const char *c = text; *c && told == 0; c++)
		if (isupper((unsigned char) *c))
			flags &= ~PCRE2_CASELESS;
	r = compile(p, text, flags, told, message);
	if (r >= 0)
		r = literals_make(&p->literals, text, flags & PCRE2_CASELESS);
	if (r < 0)
		return r;
	/* Where there is no JIT the interpreter gives the same answers. */
	pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	p->data = pcre2_match_data_create_from_pattern(p->code, NULL);
	p->context = pcre2_match_context_create(NULL);
	if (!p->data || !p->context)
		return -ENOMEM;
	pcre2_set_match_limit(p->context, MATCH_LIMIT);
	*ret = TAKE_PTR(p);
	return 0;
}

int pattern_share(const struct pattern *p, struct pattern **ret)
{
	_cleanup_(pattern_freep) struct pattern *share = malloc(sizeof *share);

	if (!share)
		return -ENOMEM;
	*share = *p;
	share->shared = true;
	share->data = pcre2_match_data_create_from_pattern(p->code, NULL);
	if (!share->data)
		return -ENOMEM;
	*ret = TAKE_PTR(share);
	return 0;
}

int pattern_matches(struct pattern *p, const void *message, size_t n)
{
	PCRE2_SPTR text = n > 0 ? message : (PCRE2_SPTR) "";
	int r = pcre2_match(p->code, text, n, 0, 0, p->data, p->context);

	/* Compiled patterns have a small stack; the interpreter takes its memory from the heap. */
	if (r == PCRE2_ERROR_JIT_STACKLIMIT)
		r = pcre2_match(p->code, text, n, 0, PCRE2_NO_JIT, p->data, p->context);
	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	return r < 0 ? BULLA_ELIMIT : 1;
}

const struct literals *pattern_literals(const struct pattern *p)
{
	return &p->literals;
}
