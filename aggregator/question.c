/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/question.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "query/shown.h"

int question_init(struct question *q)
{
	*q = (struct question){ 0 };
	return request_init(&q->request);
}

void question_done(struct question *q)
{
	request_done(&q->request);
}

static int no(char *why, const char *sentence)
{
	snprintf(why, 256, "%s", sentence);
	return -EINVAL;
}

static int set_origin(struct question *q, const char *value, size_t n, char *why)
{
	if (q->has_origin)
		return no(why, "only one origin can be given");
	if (text_unhex(value, n, q->origin.b, ID_SIZE) < 0)
		return no(why, "an origin is 32 hex digits");
	q->has_origin = true;
	return 0;
}

static int set_cursor(struct question *q, const char *value, size_t n, char *why)
{
	char text[CURSOR_SIZE];

	if (q->has_cursor)
		return no(why, "only one cursor can be given");
	if (n < sizeof text && !memchr(value, '\0', n)) {
		memcpy(text, value, n);
		text[n] = '\0';
		q->has_cursor = shown_cursor_parse(text, &q->journal, &q->seq) >= 0;
	}
	return q->has_cursor ? 0 : no(why, "a cursor is 32 hex digits, a colon and a number");
}

static int set_from(struct question *q, const char *value, size_t n, char *why)
{
	char text[24] = "";

	if (n < sizeof text)
		memcpy(text, value, n);
	return strlen(text) == n && text_to_u64(text, &q->from) >= 0
		       ? 0
		       : no(why, "from is a number of commits");
}

int question_set(struct question *q, const char *key, const void *value, size_t n, char *why)
{
	if (strcmp(key, "origin") == 0)
		return set_origin(q, value, n, why);
	if (strcmp(key, "cursor") == 0)
		return set_cursor(q, value, n, why);
	if (strcmp(key, "from") == 0)
		return set_from(q, value, n, why);
	if (strcmp(key, "head") == 0) {
		q->head = n == 1 && *(const char *) value == '1';
		return q->head ? 0 : no(why, "head is 1, or is not given");
	}
	if (strcmp(key, "match") == 0)
		q->has_match = true;
	else if (strcmp(key, "since") != 0 && strcmp(key, "until") != 0) {
		snprintf(why, 256, "unknown key %.100s", key);
		return -ENOENT;
	}
	return request_set_bytes(&q->request, key, value, n, why);
}

int question_check(const struct question *q, char *why)
{
	const struct query *x = &q->request.query;

	if (q->head + q->has_cursor + q->has_match != 1)
		return no(why, "one cursor is wanted, a match, or a head");
	if (q->head && !q->has_origin)
		return no(why, "a head is of an origin");
	if (q->from > 0 && !q->head)
		return no(why, "from goes with a head");
	if (!q->has_match && (x->since_ns > 0 || x->until_ns < UINT64_MAX))
		return no(why, "since and until go with a match");
	return 0;
}
