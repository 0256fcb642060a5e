/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-ask NAME URL PATH [follow] [quiet] [plain] [raw]: the answer of an aggregator, on standard output (remote.h); plain: for a
 * terminal; raw: its pieces as they come, for somebody who takes them apart.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/http_client.h"
#include "base/io.h"
#include "base/log.h"
#include "base/pieces.h"
#include "base/plain.h"
#include "bulla/error.h"

enum { STATUS_FOUND = 1, STATUS_FAILED = 2, ERROR_TEXT_MAX = 64 << 10 };

struct asking {
	const char *at;
	bool follow, quiet, plain, raw;
	struct http_answer answer;
	struct pieces pieces;
	struct plain terminal;
	bool damaged; /* it has said that something may be missing */
	bool found;   /* it has said that something was shown which is not so */
};

static int write_out(void *arg, const void *data, size_t n)
{
	struct asking *a = arg;
	_cleanup_buf_ struct buf text = { 0 };

	if (!a->plain)
		return io_write(1, data, n);
	plain_take(&a->terminal, data, n, &text);
	plain_rest(&a->terminal, &text);
	return text.bad ? -ENOMEM : io_write(1, text.data, text.len);
}

/* What was held back of a character that never ended. */
static int end_text(struct asking *a)
{
	_cleanup_buf_ struct buf text = { 0 };

	plain_end(&a->terminal, &text);
	return text.bad ? -ENOMEM : io_write(1, text.data, text.len);
}

static int tell_damage(void *arg, const char *line, size_t n)
{
	struct asking *a = arg;
	char said[TEXT_SENTENCE_SIZE];

	a->damaged = true;
	if (!a->quiet)
		log_warning("%s: %s", a->at, text_sentence(line, n, said));
	return 0;
}

static int tell_finding(void *arg, const char *line, size_t n)
{
	struct asking *a = arg;
	char said[TEXT_SENTENCE_SIZE];

	a->found = true;
	log_error("TAMPERED: %s: %s", a->at, text_sentence(line, n, said));
	return 0;
}

static int take(void *arg, const void *data, size_t n)
{
	struct asking *a = arg;
	bool in_pieces = strcmp(a->answer.type, ANSWER_PIECES_TYPE) == 0;

	if (a->raw)
		return in_pieces ? write_out(a, data, n) : BULLA_EPARSE;
	return in_pieces ? pieces_take(&a->pieces, data, n) : write_out(a, data, n);
}

static int check(const char *at)
{
	const char *why;
	int r = http_client_check_url(at, &why);

	if (r == -EINVAL)
		log_usage("--at %s: %s", at, why);
	else if (r < 0)
		log_error_code(r, "--at %s", at);
	return r;
}

/* @return 0 or an error, which is said. */
static int judge(struct asking *a, int r)
{
	char why[TEXT_SENTENCE_SIZE];

	if (r >= 0 && a->answer.status == 200 && !pieces_whole(&a->pieces))
		r = -EPIPE;
	if (r == -EPIPE && a->answer.status == 200 && a->follow)
		return log_error_code(r, "the aggregator at %s went away", a->at);
	if (r < 0)
		return log_error_code(r, "cannot ask %s", a->at);
	if (a->answer.status == 200)
		return 0;
	log_error("%s answers %ld: %s", a->at, a->answer.status,
		  http_answer_sentence(&a->answer, why));
	return -EIO;
}

static int get(struct asking *a, const char *path)
{
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	_cleanup_buf_ struct buf url = { 0 };
	struct http_request q = { .method = "GET",
				  .accept = ANSWER_PIECES_TYPE,
				  .write = take,
				  .arg = a,
				  .text_max = ERROR_TEXT_MAX };
	size_t n = strlen(a->at);
	int r;

	while (n > 0 && a->at[n - 1] == '/')
		n--;
	buf_append(&url, a->at, n);
	buf_str(&url, path);
	buf_char(&url, '\0');
	q.url = (const char *) url.data;
	a->pieces = (struct pieces){
		.text = write_out, .damage = tell_damage, .finding = tell_finding, .arg = a
	};
	r = url.bad ? -ENOMEM : http_client_new(&client);
	if (r >= 0)
		r = http_client_do(client, &q, &a->answer);
	if (a->plain && r >= 0)
		r = end_text(a);
	r = judge(a, r);
	buf_done(&a->answer.text);
	return r < 0 ? r : a->damaged ? BULLA_ECORRUPT : 0;
}

int main(int argc, char **argv)
{
	static struct asking a;
	int r;

	if (argc < 4) {
		fprintf(stderr,
			"bulla-ask is run by: bulla query, tail, prove and status --at URL\n");
		return STATUS_FAILED;
	}
	log_setup(argv[1], LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	if (check(argv[2]) < 0)
		return STATUS_FAILED;
	a.at = argv[2];
	for (int i = 4; i < argc; i++) {
		a.follow |= strcmp(argv[i], "follow") == 0;
		a.quiet |= strcmp(argv[i], "quiet") == 0;
		a.plain |= strcmp(argv[i], "plain") == 0;
		a.raw |= strcmp(argv[i], "raw") == 0;
	}
	r = get(&a, argv[3]);
	return a.found ? STATUS_FOUND : r < 0 ? STATUS_FAILED : 0;
}
