/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/import_export.h"

enum { ERROR_SIZE = 160, DIGITS_MAX = 20, NUMBER_SIZE = 24, RECORD_SEPARATOR = 0x1e };

static void json_freep(json_t **j)
{
	json_decref(*j);
}

static void append_field(struct buf *to, const char *name, size_t name_len, const void *value,
			 size_t n)
{
	uint64_t size = n;

	buf_append(to, name, name_len);
	if (!memchr(value, '\n', n)) {
		buf_char(to, '=');
	} else {
		buf_char(to, '\n');
		buf_append(to, &size, sizeof size);
	}
	buf_append(to, value, n);
	buf_char(to, '\n');
}

/* A list of numbers is one value; a list of anything else has several. */
static bool is_bytes(const json_t *list)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) if (!json_is_integer(v) || json_integer_value(v) < 0 ||
					   json_integer_value(v) > UINT8_MAX) return false;
	return true;
}

static int append_bytes(struct buf *to, const char *name, size_t name_len, const json_t *list)
{
	uint64_t size = json_array_size(list);
	uint8_t *p;
	size_t i;
	json_t *v;

	buf_append(to, name, name_len);
	buf_char(to, '\n');
	buf_append(to, &size, sizeof size);
	p = buf_room(to, (size_t) size + 1);
	if (!p)
		return -ENOMEM;
	json_array_foreach(list, i, v) p[i] = (uint8_t) json_integer_value(v);
	p[size] = '\n';
	buf_add(to, (size_t) size + 1);
	return 0;
}

/* @return 0; BULLA_EPARSE for what is no single value. */
static int append_value(struct buf *to, const char *name, size_t name_len, const json_t *v)
{
	char number[NUMBER_SIZE];

	switch (json_typeof(v)) {
	case JSON_STRING:
		append_field(to, name, name_len, json_string_value(v), json_string_length(v));
		return 0;
	case JSON_NULL:
		append_field(to, IMPORT_OMITTED, STRLEN(IMPORT_OMITTED), name, name_len);
		return 0;
	case JSON_INTEGER:
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		append_field(to, name, name_len, number, strlen(number));
		return 0;
	case JSON_TRUE:
		append_field(to, name, name_len, "true", 4);
		return 0;
	case JSON_FALSE:
		append_field(to, name, name_len, "false", 5);
		return 0;
	case JSON_ARRAY:
		return is_bytes(v) ? append_bytes(to, name, name_len, v) : BULLA_EPARSE;
	default:
		return BULLA_EPARSE;
	}
}

static int append_values(struct buf *to, const char *name, size_t name_len, const json_t *v)
{
	size_t i;
	json_t *one;
	int r = 0;

	/* What a name cannot be in the export format it cannot be in a journal. */
	if (name_len == 0 || memchr(name, '=', name_len) || memchr(name, '\n', name_len) ||
	    memchr(name, '\0', name_len)) {
		append_field(to, IMPORT_OMITTED, STRLEN(IMPORT_OMITTED), name, name_len);
		return 0;
	}
	if (!json_is_array(v) || is_bytes(v))
		return append_value(to, name, name_len, v);
	json_array_foreach(v, i, one)
	{
		/* Numbers here are bytes, or out of place. */
		if (!json_is_string(one) && !json_is_array(one) && !json_is_null(one))
			return BULLA_EPARSE;
		r = append_value(to, name, name_len, one);
		if (r < 0)
			break;
	}
	return r;
}

/* Times are what the parser behind this would stop at, and it does not know the line. */
static bool is_time(const json_t *v, uint64_t max)
{
	uint64_t n;

	if (json_is_integer(v))
		return json_integer_value(v) >= 0 && (uint64_t) json_integer_value(v) <= max;
	return json_is_string(v) && json_string_length(v) <= DIGITS_MAX &&
	       strlen(json_string_value(v)) == json_string_length(v) &&
	       text_to_u64(json_string_value(v), &n) >= 0 && n <= max;
}

static const char *check_times(const json_t *root)
{
	const json_t *monotonic = json_object_get(root, "__MONOTONIC_TIMESTAMP");

	if (!is_time(json_object_get(root, "__REALTIME_TIMESTAMP"), UINT64_MAX / 1000))
		return "no __REALTIME_TIMESTAMP, or none that is a time";
	if (monotonic && !is_time(monotonic, UINT64_MAX))
		return "a __MONOTONIC_TIMESTAMP that is no time";
	return NULL;
}

/* json-seq begins each text with a separator, json-sse with a word. */
static void skip_framing(const uint8_t **line, size_t *n)
{
	while (*n > 0 &&
	       (**line == RECORD_SEPARATOR || **line == ' ' || **line == '\t' || **line == '\r')) {
		(*line)++;
		(*n)--;
	}
	if (*n >= 5 && memcmp(*line, "data:", 5) == 0) {
		*line += 5;
		*n -= 5;
	}
}

static bool is_blank(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

int import_json_line(const uint8_t *line, size_t n, struct buf *to, char error[ERROR_SIZE])
{
	_cleanup_(json_freep) json_t *root = NULL;
	size_t before = to->len, name_len;
	const char *name, *wrong;
	json_error_t e;
	json_t *v;
	int r = 0;

	skip_framing(&line, &n);
	if (is_blank(line, n))
		return 0;
	root = json_loadb((const char *) line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	if (!root || !json_is_object(root)) {
		/* The library's own words may quote the line, up to its control characters. */
		snprintf(error, ERROR_SIZE, root ? "no object" : "no JSON at byte %d of the line",
			 e.position);
		return !root && json_error_code(&e) == json_error_out_of_memory ? -ENOMEM
										: BULLA_EPARSE;
	}
	wrong = check_times(root);
	if (wrong) {
		snprintf(error, ERROR_SIZE, "%s", wrong);
		return BULLA_EPARSE;
	}
	json_object_keylen_foreach(root, name, name_len, v)
	{
		r = append_values(to, name, name_len, v);
		if (r < 0)
			break;
	}
	if (r == BULLA_EPARSE)
		snprintf(error, ERROR_SIZE, "a value that no journal has");
	buf_char(to, '\n');
	if (r >= 0 && to->bad)
		r = -ENOMEM;
	if (r < 0)
		to->len = before;
	return r;
}
