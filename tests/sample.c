/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/sample.h"

#include <string.h>

static struct field identity_fields[] = { F("CONTAINER_NAME", "web"), F("_HOSTNAME", "host") };
static struct field stream_fields[] = { F("_COMM", "nginx"), F("_PID", "42"),
					F("_STREAM", "stdout") };
struct context_entry sample_chain[2] = {
	{ .parent = -1, .fields = identity_fields, .n_fields = 2 },
	{ .parent = 0, .fields = stream_fields, .n_fields = 3 },
};
const struct contexts sample_contexts = { .at = sample_chain, .n = 2 };

struct entry entry;
struct shown shown;
struct output output;
struct buf out;

void begin(enum output_format format)
{
	output = (struct output){ .format = format, .utc = true };
	entry = (struct entry){
		.time_ns = SAMPLE_TIME,
		.received_ns = SAMPLE_TIME,
		.message = (const uint8_t *) "hello",
		.message_len = 5,
		.priority = 6,
	};
	shown = (struct shown){
		.entry = &entry, .contexts = &sample_contexts, .context = 1, .seq = 7
	};
	memset(shown.journal.b, 0xab, ID_SIZE);
	memset(shown.boot.b, 0xcd, ID_SIZE);
}

void end(void)
{
	output_done(&output);
	buf_done(&out);
}

void message(const void *text, size_t len)
{
	entry.message = text;
	entry.message_len = (uint32_t) len;
}

const char *show(void)
{
	buf_clear(&out);
	output_entry(&output, &shown, &out);
	buf_char(&out, '\0');
	cr_assert(not(out.bad));
	out.len--;
	return (const char *) out.data;
}

const char *show_message(const char *text)
{
	message(text, strlen(text));
	return show();
}
