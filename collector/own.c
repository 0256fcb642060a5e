/* SPDX-License-Identifier: Apache-2.0 */

/** What the collector itself says in the journal.  It waits for nothing and writes nothing: the caller flushes. */

#include "collector/collector-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "store/gaps.h"

enum { PRIORITY_ERR = 3, PRIORITY_NOTICE = 5, PRIORITY_INFO = 6, NUMBER_SIZE = 24 };

static struct field field_of(const char *name, const char *value)
{
	return (struct field){
		.name = (const uint8_t *) name,
		.name_len = (uint8_t) strlen(name),
		.value = (const uint8_t *) value,
		.value_len = (uint32_t) strlen(value),
	};
}

/* `fields` are in order. */
static int add(struct collector *c, const char *message, uint8_t priority, uint8_t flags,
	       struct field *fields, uint16_t n)
{
	uint64_t now = clock_now_stamp_ns();
	struct entry e = {
		.time_ns = now,
		.received_ns = now,
		.message = (const uint8_t *) message,
		.message_len = (uint32_t) strlen(message),
		.fields = fields,
		.n_fields = n,
		.priority = priority,
		.flags = flags,
	};

	return tail_writer_add(&c->tail, &e, c->own_context);
}

/* How the command ended, in the words of systemd.exec(5). */
static void describe_exit(int wait_status, char message[64], char status[16], const char **ret_code)
{
	bool exited = WIFEXITED(wait_status),
	     dumped = WIFSIGNALED(wait_status) && WCOREDUMP(wait_status);
	int number = exited ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status);

	*ret_code = exited ? "exited" : dumped ? "dumped" : "killed";
	snprintf(status, 16, "%d", number);
	snprintf(message, 64, exited ? "exited with status %d" : "killed by signal %d%s", number,
		 dumped ? " (core dumped)" : "");
}

int own_add_exit(struct collector *c)
{
	char message[64], status[16];
	const char *code;
	struct field fields[3];

	describe_exit(c->wait_status, message, status, &code);
	fields[0] = field_of("EXIT_CODE", code);
	fields[1] = field_of("EXIT_STATUS", status);
	fields[2] = field_of("MESSAGE_ID", "8b1c6d0c6a2b4f39a36a8f5b8f3d0e51");
	return add(c, message, c->wait_status == 0 ? PRIORITY_INFO : PRIORITY_NOTICE, 0, fields,
		   ELEMENTS(fields));
}

static void microseconds(char to[NUMBER_SIZE], uint64_t time_ns)
{
	snprintf(to, NUMBER_SIZE, "%" PRIu64, time_ns / 1000);
}

int own_add_gap_begin(struct collector *c)
{
	struct field fields[] = {
		field_of("MESSAGE_ID", GAP_BEGIN_ID),
		field_of(GAP_REASON, "disk-full"),
	};

	return add(c, "the disk is full: what is written from here on is dropped, and counted",
		   PRIORITY_ERR, ENTRY_GAP, fields, ELEMENTS(fields));
}

int own_add_gap_end(struct collector *c)
{
	const struct progress_drops *d = &c->drops;
	char message[128], entries[NUMBER_SIZE], bytes[NUMBER_SIZE], since[NUMBER_SIZE],
		until[NUMBER_SIZE];
	struct field fields[] = {
		field_of("MESSAGE_ID", GAP_END_ID),
		field_of(GAP_BYTES, ""),
		field_of(GAP_ENTRIES, ""),
		field_of(GAP_REASON, "disk-full"),
		field_of(GAP_SINCE, ""),
		field_of(GAP_UNTIL, ""),
	};

	snprintf(entries, sizeof entries, "%" PRIu64, d->entries);
	snprintf(bytes, sizeof bytes, "%" PRIu64, d->bytes);
	microseconds(since, d->since_ns);
	microseconds(until, d->until_ns);
	fields[1] = field_of(GAP_BYTES, bytes);
	fields[2] = field_of(GAP_ENTRIES, entries);
	fields[4] = field_of(GAP_SINCE, since);
	fields[5] = field_of(GAP_UNTIL, until);
	snprintf(message, sizeof message,
		 "%s entr%s (%s bytes) dropped within %" PRIu64 " s: the disk was full", entries,
		 d->entries == 1 ? "y" : "ies", bytes,
		 d->until_ns > d->since_ns ? (d->until_ns - d->since_ns) / NS_PER_S : 0);
	return add(c, message, PRIORITY_ERR, ENTRY_GAP, fields, ELEMENTS(fields));
}
