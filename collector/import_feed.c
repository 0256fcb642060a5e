/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_feed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "bulla/error.h"
#include "collector/confine.h"
#include "collector/import_json.h"

enum {
	PIPE_SIZE = 1 << 20,
	READ_SIZE = 256 << 10,
	WRITE_SIZE = 256 << 10,
	MEMORY_MAX = 1 << 30, /* of a reader: its tables and what it maps */
	RECORD_SEPARATOR = 0x1e,
};

enum import_format import_recognise(const uint8_t *p, size_t n)
{
	static const char magic[] = "LPKSHHRH";

	if (n >= STRLEN(magic) && memcmp(p, magic, STRLEN(magic)) == 0)
		return IMPORT_JOURNAL;
	while (n > 0 && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
		p++;
		n--;
	}
	if (n > 0 && (*p == '{' || *p == '[' || *p == RECORD_SEPARATOR))
		return IMPORT_JSON;
	return n >= 5 && memcmp(p, "data:", 5) == 0 ? IMPORT_JSON : IMPORT_EXPORT;
}

/* The child. */

static int put(struct buf *text)
{
	int r = io_write(STDOUT_FILENO, text->data, text->len);

	buf_clear(text);
	return r;
}

/* What can be read beyond `in`, behind what is there.  @return bytes; 0 at the end. */
static ssize_t get(struct buf *in)
{
	uint8_t *room = buf_room(in, READ_SIZE);
	ssize_t n;

	if (!room)
		return -ENOMEM;
	while ((n = read(STDIN_FILENO, room, READ_SIZE)) < 0) {
		struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

		if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR)
			break;
	}
	if (n < 0)
		return -errno;
	buf_add(in, (size_t) n);
	return n;
}

struct json_reader {
	const char *name;
	struct import_json *json;
	struct buf in, out;
	size_t scanned; /* of `in`, without a newline */
	uint64_t line;
	bool ended;
};

static int refuse_line(const struct json_reader *j, const char *why)
{
	log_error("%s: line %llu: %s", j->name, (unsigned long long) j->line, why);
	return BULLA_EPARSE;
}

/* Turn all lines that are whole.  Whoever follows a stream sees them at once. */
static int turn_lines(struct json_reader *j)
{
	char error[160];
	size_t at = 0;
	int r = 0;

	while (r >= 0 && at < j->in.len) {
		const uint8_t *line = j->in.data + at, *end;
		size_t left = j->in.len - at, n;

		end = memchr(line + j->scanned, '\n', left - j->scanned);
		if (!end && !j->ended) {
			j->scanned = left;
			break;
		}
		n = end ? (size_t) (end - line) : left;
		j->scanned = 0;
		j->line++;
		r = import_json_line(j->json, line, n, &j->out, error);
		if (r == BULLA_EPARSE)
			refuse_line(j, error);
		at += n + (end != NULL);
		if (j->out.len >= WRITE_SIZE && put(&j->out) < 0)
			return -EPIPE;
	}
	memmove(j->in.data, j->in.data + at, j->in.len - at);
	j->in.len -= at;
	return j->out.len > 0 && put(&j->out) < 0 ? -EPIPE : r;
}

int import_read_json(const char *name, const uint8_t *head, size_t n)
{
	struct json_reader j = { .name = name, .json = import_json_new(true) };
	int r;

	if (!j.json) {
		log_error_code(-ENOMEM, "%s", name);
		return 1;
	}
	buf_append(&j.in, head, n);
	do {
		ssize_t got = get(&j.in);

		if (got < 0) {
			log_error_code((int) got, "%s", name);
			return 1;
		}
		j.ended = got == 0;
		r = turn_lines(&j);
		if (r >= 0 && j.in.len > IMPORT_JSON_LINE_MAX) {
			j.line++;
			r = refuse_line(&j, "longer than 24 MiB");
		}
	} while (r >= 0 && !j.ended);
	if (r < 0 && r != BULLA_EPARSE && r != -EPIPE)
		log_error_code(r, "%s: line %llu", name, (unsigned long long) j.line);
	import_json_free(j.json);
	buf_done(&j.in);
	buf_done(&j.out);
	return r < 0;
}

_noreturn_ static void be_reader(enum import_format format, int in, int out, const char *name,
				 const uint8_t *head, size_t n)
{
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX }, none = { 0, 0 };

	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    close_range(3, ~0u, 0) < 0)
		_exit(1);
	signal(SIGPIPE, SIG_DFL);
	/* The terminal's signals are the import's to act upon: it stops reading, and this ends with the pipe. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		_exit(1);
	/* A sanitizer reserves more address space than any machine has. */
	if (confine_is_on() && setrlimit(RLIMIT_AS, &memory) < 0)
		_exit(1);
	if (format == IMPORT_JOURNAL)
		_exit(import_read_journal(name));
	_exit(confine_reader() < 0 ? 1 : import_read_json(name, head, n));
}

/* The parent. */

static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int import_feed_open(struct import_feed *f, enum import_format format, int fd, const char *name,
		     const uint8_t *head, size_t n)
{
	_cleanup_close_ int in = fd;
	int pair[2];
	pid_t pid;

	*f = (struct import_feed){ .fd = -1, .name = name, .file = is_file(in) };
	if (format == IMPORT_EXPORT) {
		f->fd = TAKE_FD(in);
		return 0;
	}
	if (format == IMPORT_JOURNAL && !f->file)
		return -ESPIPE;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	/* Fewer changes between the two of them; without it, it works as well. */
	if (fcntl(pair[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
		log_debug("the pipe stays as small as it is");
	pid = fork();
	if (pid == 0)
		be_reader(format, in, pair[1], name, head, n);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -errno;
	}
	f->fd = pair[0];
	f->pid = pid;
	f->framed = format == IMPORT_JSON;
	return 0;
}

void import_feed_give_up(struct import_feed *f)
{
	f->late = true;
	if (f->pid > 0)
		kill(f->pid, SIGKILL);
}

int import_feed_close(struct import_feed *f)
{
	int status;

	close_fd(&f->fd);
	if (f->pid == 0)
		return 0;
	if (!f->ended)
		kill(f->pid, SIGKILL);
	while (waitpid(f->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	f->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (f->late)
		log_error("%s: reading it comes to no end", f->name);
	else if (f->ended && WIFSIGNALED(status))
		log_error("%s: reading it ended by signal %d; it may be damaged", f->name,
			  WTERMSIG(status));
	return f->ended || f->late ? BULLA_EPARSE : 0;
}
