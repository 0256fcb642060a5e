/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An entry is shown as sealed from the moment that the ledger has it, and not before.
 */

#include "query/seals.h"

#include "tests/builder.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "query/follow.h"

Suite(seals);

static struct builder b;
static struct local_catalog catalog;
static struct request request;
static struct answer answer;
static struct buf said;

static int collect(void *arg, const void *data, size_t n)
{
	(void) arg;
	buf_append(&said, data, n);
	return 0;
}

static void begin(bool follow)
{
	char why[256];

	builder_init(&b, tempdir(), (struct kes_params){ 2, 2 });
	builder_open(&b, "web");
	cr_assert(zero(int, request_init(&request)));
	cr_assert(zero(int, request_set(&request, "output", "export", why)));
	request.follow = follow;
	answer_init(&answer, &request, collect, NULL);
}

static void end(void)
{
	local_catalog_done(&catalog);
	answer_done(&answer);
	request_done(&request);
	buf_done(&said);
	builder_done(&b);
}

/* What was said since, as "message:yes|no " of each entry. */
static const char *heard(void)
{
	static char text[256];
	const char *sealed = "";
	char *line, *next;

	*text = '\0';
	buf_char(&said, '\0');
	for (line = (char *) said.data; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (strncmp(line, "__SEALED=", 9) == 0)
			sealed = line + 9;
		if (strncmp(line, "MESSAGE=", 8) == 0)
			snprintf(text + strlen(text), sizeof text - strlen(text), "%s:%s ",
				 line + 8, sealed);
	}
	buf_clear(&said);
	return text;
}

static const char *ask(void)
{
	local_catalog_done(&catalog);
	cr_assert(zero(int, local_catalog_build(&catalog, &b.state)));
	cr_assert(zero(int, local_catalog_read_seals(&catalog)));
	cr_assert(zero(int, answer_query(&answer, &catalog.catalog)));
	return heard();
}

#define expect_said(got, want) cr_expect(eq(str, (char *) (got), (char *) (want)))

Test(seals, an_entry_is_sealed_with_its_commit)
{
	struct batch_item item;

	begin(false);
	builder_log(&b, 0, "one");
	builder_flush(&b, 0);
	expect_said(ask(), "one:no ");
	builder_commit(&b);
	expect_said(ask(), "one:yes ");
	builder_log(&b, 0, "two");
	builder_cut(&b, 0, &item);
	/* A cut is a wish, no seal. */
	expect_said(ask(), "one:yes two:no ");
	end();
}

Test(seals, each_journal_for_itself)
{
	begin(false);
	builder_open(&b, "db");
	builder_log(&b, 0, "one");
	builder_log(&b, 1, "two");
	builder_commit(&b);
	builder_log(&b, 0, "three");
	builder_flush(&b, 0);
	expect_said(ask(), "one:yes two:yes three:no ");
	builder_log(&b, 1, "four");
	builder_commit(&b);
	expect_said(ask(), "one:yes two:yes three:yes four:yes ");
	end();
}

Test(seals, followers_see_the_ledger_grow)
{
	struct follower f;

	begin(true);
	cr_assert(zero(int, follower_open(&f, &catalog, &b.state)));
	expect_said(ask(), "");
	builder_log(&b, 0, "one");
	builder_flush(&b, 0);
	cr_assert(zero(int, follower_step(&f, &answer)));
	expect_said(heard(), "one:no ");
	builder_log(&b, 0, "two");
	builder_commit(&b);
	builder_log(&b, 0, "three");
	builder_flush(&b, 0);
	cr_assert(zero(int, follower_step(&f, &answer)));
	expect_said(heard(), "two:yes three:no ");
	follower_close(&f);
	end();
}

Test(seals, without_a_ledger_nothing_is_sealed)
{
	begin(false);
	builder_log(&b, 0, "one");
	builder_commit(&b);
	cr_assert(zero(int, unlinkat(b.state.ledger, LEDGER_FILE, 0)));
	expect_said(ask(), "one:no ");
	end();
}

Test(seals, a_damaged_ledger_seals_what_comes_before)
{
	uint8_t byte;
	uint64_t at;
	int fd;

	begin(false);
	builder_log(&b, 0, "one");
	builder_commit(&b);
	fd = openat(b.state.ledger, LEDGER_FILE, O_RDWR | O_CLOEXEC);
	cr_assert(zero(int, seals_read(&catalog.seals, &b.state)));
	at = catalog.seals.scan.end;
	seals_done(&catalog.seals);
	builder_log(&b, 0, "two");
	builder_commit(&b);
	expect_said(ask(), "one:yes two:yes ");
	cr_assert(eq(long, pread(fd, &byte, 1, (off_t) at + 20), 1));
	byte ^= 1;
	cr_assert(eq(long, pwrite(fd, &byte, 1, (off_t) at + 20), 1));
	close(fd);
	expect_said(ask(), "one:yes two:no ");
	end();
}
