/* SPDX-License-Identifier: Apache-2.0 */

/** bulla-ask NAME URL PATH [follow]: the answer of an aggregator, on standard output (remote.h). */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/http_client.h"
#include "base/io.h"
#include "base/log.h"

enum { STATUS_FAILED = 2, ERROR_TEXT_MAX = 64 << 10 };

static int write_out(void *arg, const void *data, size_t n)
{
	(void) arg;
	return io_write(1, data, n);
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

static int get(const char *at, const char *path, bool follow)
{
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	_cleanup_buf_ struct buf url = { 0 };
	struct http_request q = { .method = "GET", .write = write_out, .text_max = ERROR_TEXT_MAX };
	struct http_answer answer = { 0 };
	char why[HTTP_SENTENCE_SIZE];
	size_t n = strlen(at);
	int r;

	while (n > 0 && at[n - 1] == '/')
		n--;
	buf_append(&url, at, n);
	buf_str(&url, path);
	buf_char(&url, '\0');
	q.url = (const char *) url.data;
	r = url.bad ? -ENOMEM : http_client_new(&client);
	if (r >= 0)
		r = http_client_do(client, &q, &answer);
	if (r == -EPIPE && answer.status == 200 && follow)
		r = log_error_code(r, "the aggregator at %s went away", at);
	else if (r < 0)
		log_error_code(r, "cannot ask %s", at);
	else if (answer.status != 200)
		log_error("%s answers %ld: %s", at, answer.status,
			  http_answer_sentence(&answer, why));
	if (r >= 0 && answer.status != 200)
		r = -EIO;
	buf_done(&answer.text);
	return r;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "bulla-ask is run by: bulla query, tail and status --at URL\n");
		return STATUS_FAILED;
	}
	log_setup(argv[1], LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	if (check(argv[2]) < 0)
		return STATUS_FAILED;
	return get(argv[2], argv[3], argc > 4) < 0 ? STATUS_FAILED : 0;
}
