/* SPDX-License-Identifier: Apache-2.0 */

/**
 * JSON is one object a line that any parser takes, with every byte of every field and no key twice.
 */

#include "query/output.h"

#include "tests/sample.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

Suite(output_json);

/* Show the entry and parse it: one line, one object, no key twice. */
static json_t *show_json(void)
{
	json_error_t error;
	json_t *object;

	show();
	cr_assert(out.len > 0 && out.data[out.len - 1] == '\n');
	cr_assert(memchr(out.data, '\n', out.len) == out.data + out.len - 1);
	object = json_loadb((const char *) out.data, out.len, JSON_REJECT_DUPLICATES, &error);
	cr_assert(object != NULL, "%s at %d of %.300s", error.text, error.position,
		  (char *) out.data);
	cr_assert(eq(int, json_typeof(object), JSON_OBJECT));
	return object;
}

/* Whether a value stands for these bytes, be it a string or an array of numbers. */
static bool is_bytes(const json_t *value, const uint8_t *p, size_t n)
{
	if (json_is_string(value))
		return json_string_length(value) == n &&
		       memcmp(json_string_value(value), p, n) == 0;
	if (json_array_size(value) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (json_integer_value(json_array_get(value, i)) != p[i])
			return false;
	return true;
}

Test(output_json, json_has_journalctls_keys)
{
	begin(OUTPUT_JSON);
	shown.has_mono = true;
	shown.mono_offset = 5000000 - (int64_t) SAMPLE_TIME;
	expect_text(show(), "{\"__CURSOR\":\"abababababababababababababababab:7\","
			    "\"__REALTIME_TIMESTAMP\":\"1795462441250000\","
			    "\"__MONOTONIC_TIMESTAMP\":\"5000\","
			    "\"_BOOT_ID\":\"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\","
			    "\"__SEQNUM\":\"7\","
			    "\"__SEQNUM_ID\":\"abababababababababababababababab\","
			    "\"__SEALED\":\"no\","
			    "\"MESSAGE\":\"hello\",\"PRIORITY\":\"6\","
			    "\"CONTAINER_NAME\":\"web\",\"_COMM\":\"nginx\",\"_HOSTNAME\":\"host\","
			    "\"_PID\":\"42\",\"_STREAM\":\"stdout\"}\n");
	end();
}

Test(output_json, a_monotonic_time_that_is_none_is_left_out)
{
	static const int64_t offsets[] = { INT64_MIN, -(int64_t) SAMPLE_TIME - 1, INT64_MAX };

	for (size_t i = 0; i < ELEMENTS(offsets); i++) {
		begin(OUTPUT_JSON);
		shown.has_mono = true;
		shown.mono_offset = offsets[i];
		cr_expect(strstr(show(), "MONOTONIC") == NULL, "offset %zu", i);
		end();
	}
}

Test(output_json, the_largest_numbers_fit)
{
	json_t *object;

	begin(OUTPUT_JSON);
	shown.seq = UINT64_MAX;
	entry.time_ns = entry.received_ns = UINT64_MAX;
	entry.flags = ENTRY_TIME_BY_RUNTIME;
	shown.has_mono = true;
	shown.mono_offset = -(int64_t) (UINT64_MAX / 2);
	object = show_json();
	expect_text(json_string_value(json_object_get(object, "__SEQNUM")), "18446744073709551615");
	json_decref(object);
	end();
}

Test(output_json, a_senders_time_is_not_the_journals)
{
	json_t *object;

	begin(OUTPUT_JSON);
	entry.time_ns = UINT64_C(123456789);
	entry.flags = ENTRY_TIME_BY_SENDER;
	object = show_json();
	expect_text(json_string_value(json_object_get(object, "__REALTIME_TIMESTAMP")),
		    "1795462441250000");
	expect_text(json_string_value(json_object_get(object, "_SOURCE_REALTIME_TIMESTAMP")),
		    "123456");
	json_decref(object);
	end();
}

Test(output_json, json_keeps_every_byte_at_every_place)
{
	uint8_t text[40];

	begin(OUTPUT_JSON);
	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < 20; at++) {
			json_t *object, *value;

			memset(text, 'x', sizeof text);
			text[at] = (uint8_t) c;
			/* Sizes that end in the middle of a word, too. */
			message(text, at + 1 + (size_t) c % 9);
			object = show_json();
			value = json_object_get(object, "MESSAGE");
			cr_assert(is_bytes(value, text, entry.message_len), "byte %d at %zu", c,
				  at);
			cr_assert(eq(int, json_is_string(value), c > 0 && c < 0x80),
				  "byte %d at %zu", c, at);
			for (size_t i = 0; i + 1 < out.len; i++)
				cr_assert(out.data[i] >= ' ' && out.data[i] < 0x7f, "byte %d", c);
			json_decref(object);
		}
	end();
}

Test(output_json, json_drives_no_terminal)
{
	begin(OUTPUT_JSON);
	cr_expect(strstr(show_message("a\xc2\x9b"
				      "31m\x1b[0m\x7f\xc2\xa0"),
			 "\"a\\u009b31m\\u001b[0m\\u007f\xc2\xa0\"") != NULL);
	end();
}

Test(output_json, json_text_survives_where_the_buffer_grows)
{
	enum { SIZE = 3 * 4096 };
	uint8_t *text = malloc(SIZE);

	begin(OUTPUT_JSON);
	cr_assert(text != NULL);
	for (size_t n = 4096 - 12; n < 4096 + 12; n++) {
		for (int kind = 0; kind < 4; kind++) {
			json_t *object;

			memset(text, kind == 0 ? 0x01 : kind == 1 ? '"' : 'x', SIZE);
			/* A character, or what is none, across the edge. */
			memcpy(text + n, kind == 3 ? "\xf0\x9f\x98" : "\xf0\x9f\x98\x80", 4);
			message(text, n + 4 + n % 3);
			object = show_json();
			cr_assert(is_bytes(json_object_get(object, "MESSAGE"), text,
					   entry.message_len),
				  "%zu bytes, kind %d", n, kind);
			json_decref(object);
		}
	}
	message(text, SIZE);
	text[SIZE - 1] = 0xff;
	json_decref(show_json());
	free(text);
	end();
}

Test(output_json, several_values_make_an_array)
{
	static const struct field own[] = { F("A", ""), F("A", "\xff"), F("A", "x"), F("B", "y") };

	begin(OUTPUT_JSON);
	entry.fields = own;
	entry.n_fields = ELEMENTS(own);
	cr_expect(strstr(show(), ",\"A\":[\"\",[255],\"x\"],\"B\":\"y\",") != NULL);
	end();
}

Test(output_json, json_keys_come_once_wherever_they_are_from)
{
	static const struct field own[] = { F("CONTAINER_NAME", "mine"),
					    F("MESSAGE", "second"),
					    F("PRIORITY", "9"),
					    F("_BOOT_ID", "forged"),
					    F("_SOURCE_REALTIME_TIMESTAMP", "1"),
					    F("_STREAM", "x"),
					    F("__CURSOR", "forged"),
					    F("__SEQNUM", "forged"),
					    F("__x", "forged") };

	begin(OUTPUT_JSON);
	entry.fields = own;
	entry.n_fields = ELEMENTS(own);
	/* With and without a time of the sender's, from the kept text and not. */
	for (int i = 0; i < 4; i++) {
		json_t *object;

		entry.flags = i & 1 ? ENTRY_TIME_BY_SENDER : 0;
		object = show_json();
		cr_expect(strstr((char *) out.data, "forged") == NULL);
		cr_expect(strstr((char *) out.data, "\"MESSAGE\":[\"hello\",\"second\"]") != NULL);
		cr_expect(strstr((char *) out.data, "\"PRIORITY\":[\"6\",\"9\"]") != NULL);
		cr_expect(strstr((char *) out.data, "\"CONTAINER_NAME\":[\"mine\",\"web\"]") !=
			  NULL);
		cr_expect(strstr((char *) out.data, "\"_STREAM\":[\"x\",\"stdout\"]") != NULL);
		expect_text(
			json_string_value(json_object_get(object, "_SOURCE_REALTIME_TIMESTAMP")),
			i & 1 ? "1795462441250000" : "1");
		json_decref(object);
	}
	end();
}

Test(output_json, own_fields_that_only_look_like_the_contexts_change_nothing)
{
	struct field own[26 * 2];
	char names[26 * 2][2];

	begin(OUTPUT_JSON);
	/* So many names that some share their bits. */
	for (size_t i = 0; i < ELEMENTS(own); i++) {
		names[i][0] = (char) ('A' + i / 2);
		names[i][1] = i % 2 ? 'X' : 'W';
		own[i] = (struct field){ (const uint8_t *) names[i], (const uint8_t *) "v", 1, 2 };
	}
	entry.fields = own;
	entry.n_fields = ELEMENTS(own);
	for (int i = 0; i < 2; i++) {
		json_t *object = show_json();

		cr_expect(eq(sz, json_object_size(object), 6 + 2 + 52 + 5));
		json_decref(object);
	}
	end();
}

Test(output_json, names_of_any_bytes_make_valid_keys)
{
	static const struct field own[] = { F("\x01\"\\", "1"), F("\xff", "2"),
					    F("a b\xc3\xa4", "3") };
	json_t *object;

	begin(OUTPUT_JSON);
	entry.fields = own;
	entry.n_fields = ELEMENTS(own);
	object = show_json();
	cr_expect(json_object_get(object, "\x01\"\\") != NULL);
	cr_expect(json_object_get(object, "\xef\xbf\xbd") != NULL);
	cr_expect(json_object_get(object, "a b\xc3\xa4") != NULL);
	json_decref(object);
	end();
}

Test(output_json, the_most_fields_are_sorted_too)
{
	struct field *fields = calloc(FIELDS_MAX, sizeof *fields);
	char(*names)[8] = calloc(FIELDS_MAX, 8);
	json_t *object;

	cr_assert(fields != NULL && names != NULL);
	for (size_t i = 0; i < FIELDS_MAX; i++) {
		snprintf(names[i], 8, "F%04zu", i / 2);
		fields[i] = (struct field){ (const uint8_t *) names[i],
					    (const uint8_t *) (i % 2 ? "b" : "a"), 1, 5 };
	}
	/* One field of a context's name, so that all are sorted. */
	fields[0] = F("CONTAINER_NAME", "x");
	begin(OUTPUT_JSON);
	entry.fields = fields;
	entry.n_fields = FIELDS_MAX;
	object = show_json();
	cr_expect(eq(sz, json_object_size(object), 6 + 2 + 512 + 5));
	cr_expect(strstr((char *) out.data, "\"F0511\":[\"a\",\"b\"]") != NULL);
	json_decref(object);
	end();
	begin(OUTPUT_VERBOSE);
	entry.fields = fields;
	entry.n_fields = FIELDS_MAX;
	cr_expect(strstr(show(), "    F0510=b\n    F0511=a\n    F0511=b\n    MESSAGE=") != NULL);
	end();
	free(fields);
	free(names);
}
