/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-import: logs that another program has kept into sealed journals.
 *
 * Everything arrives as a stream in the Journal Export Format (import_feed.h), is taken apart (import_stream.h), sorted by source
 * and field (import_split.h), and kept and sealed (import_journals.h).
 *
 * It is a collector whose source is a file, and whose identity is somebody's claim: _ATTRIBUTION=import.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "bulla/error.h"
#include "collector/import_feed.h"
#include "collector/import_journals.h"
#include "collector/import_stream.h"
#include "store/state.h"
#include "store/tenant.h"

enum {
	STATUS_BAD_INPUT = 1,
	STATUS_FAILED = 2,
	IDLE_MS = 200,	    /* of silence, then what there is is sealed */
	SILENCE_MS = 10000, /* of the reader of a file, then it is given up */
};

struct import {
	enum import_format format;
	const char *state_option;
	struct tenant tenant; /* of the journals */
	bool help;
	struct state state;
	struct import_journals *journals;
	struct import_stream *stream; /* of the file at hand */
	bool bad_input;
};

static volatile sig_atomic_t told_to_stop; /* so often */

static void on_stop(int signal_number)
{
	(void) signal_number;
	if (told_to_stop < 2)
		told_to_stop++;
}

/* One file. */

/* @return 0; BULLA_EPARSE, which was said; -ECANCELED; an error that ends the import. */
static int take_entries(struct import *u, const struct import_feed *f)
{
	struct import_stream *s = u->stream;
	struct import_entry e;
	int r;

	while ((r = import_stream_next(s, &e)) > 0) {
		r = import_journals_add(u->journals, &e);
		if (r < 0)
			return r == -ECANCELED ? r : log_error_code(r, "cannot keep an entry");
	}
	if (r < 0)
		log_error("%s: byte %" PRIu64 ": %s", f->name, s->error_at, s->error);
	return r;
}

/* Wait for more of it.  @return 1; 0 when it was silent for a while; an error. */
static int wait_for_more(struct import *u, struct import_feed *f)
{
	struct pollfd p[] = {
		{ .fd = f->fd, .events = POLLIN },
		{ .fd = import_journals_fd(u->journals), .events = POLLIN },
	};
	int r = poll(p, ELEMENTS(p), IDLE_MS);

	if (r < 0 && errno != EINTR)
		return -errno;
	if (r > 0 && p[0].revents) {
		f->silent_ms = 0;
		return 1;
	}
	/* Counted, not measured: a machine that was suspended has not been waiting. */
	if (r == 0)
		f->silent_ms += IDLE_MS;
	if (f->pid > 0 && f->file && f->silent_ms > SILENCE_MS)
		import_feed_give_up(f);
	return 0;
}

/* @return 1; 0 at the end. */
static int take_more(struct import *u, struct import_feed *f)
{
	size_t room;
	uint8_t *to = import_stream_room(u->stream, &room);
	ssize_t n;

	if (!to)
		return log_error_code(-ENOMEM, "%s", f->name);
	n = read(f->fd, to, room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n < 0) {
		log_error_code(-errno, "%s", f->name);
		return BULLA_EPARSE;
	}
	import_stream_fed(u->stream, (size_t) n);
	f->ended = n == 0;
	return n > 0;
}

static int take_all(struct import *u, struct import_feed *f)
{
	int r, more;

	while (!told_to_stop) {
		r = take_entries(u, f);
		if (r < 0)
			return r;
		r = more = wait_for_more(u, f);
		if (r > 0) {
			r = take_more(u, f);
			if (r <= 0)
				return r;
		}
		if (r >= 0)
			r = import_journals_step(u->journals, more == 0);
		if (r < 0)
			return r == -ECANCELED ? r : log_error_code(r, "cannot go on");
	}
	return 0;
}

/* The beginning of a file, which says what it is.  @return bytes. */
static ssize_t look(int fd, uint8_t head[IMPORT_LOOK])
{
	ssize_t n = 0, got;

	while (n < IMPORT_LOOK && !told_to_stop) {
		got = read(fd, head + n, (size_t) (IMPORT_LOOK - n));
		if (got < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += got;
	}
	return n;
}

static int open_file(const struct import *u, const char *path, struct import_feed *ret)
{
	bool is_stdin = strcmp(path, "-") == 0;
	_cleanup_close_ int fd =
		is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	enum import_format format = u->format;
	uint8_t head[IMPORT_LOOK], *room;
	size_t space;
	ssize_t n;
	int r;

	n = fd < 0 ? -errno : look(fd, head);
	if (n < 0)
		return log_error_code((int) n, "%s", path);
	if (format == IMPORT_AUTO)
		format = import_recognise(head, (size_t) n);
	r = import_feed_open(ret, format, TAKE_FD(fd), path, head, (size_t) n);
	if (r == -ESPIPE)
		log_error("%s: a journal file cannot be read from a pipe", path);
	else if (r < 0)
		log_error_code(r, "%s", path);
	if (r < 0 || format != IMPORT_EXPORT)
		return r;
	room = import_stream_room(u->stream, &space);
	if (!room)
		return log_error_code(-ENOMEM, "%s", path);
	memcpy(room, head, (size_t) n);
	import_stream_fed(u->stream, (size_t) n);
	return 0;
}

/* @return 0, also after what was wrong with the file was said; -ECANCELED; an error that ends the import. */
static int import_file(struct import *u, const char *path)
{
	struct import_feed f = { .fd = -1 };
	int r, c;

	u->stream = calloc(1, sizeof *u->stream);
	if (!u->stream)
		return log_error_code(-ENOMEM, "%s", path);
	r = open_file(u, path, &f);
	if (r < 0) {
		r = BULLA_EPARSE;
	} else {
		u->stream->framed = f.framed;
		import_journals_from(u->journals, path);
		r = take_all(u, &f);
		c = import_feed_close(&f);
		/* What a reader that failed left half said is no more than that. */
		if (r >= 0 && c >= 0 && !told_to_stop && import_stream_end(u->stream) < 0) {
			log_error("%s: byte %" PRIu64 ": %s", path, u->stream->error_at,
				  u->stream->error);
			c = BULLA_EPARSE;
		}
		r = r < 0 ? r : c;
	}
	import_stream_done(u->stream);
	free(TAKE_PTR(u->stream));
	u->bad_input |= r == BULLA_EPARSE;
	return r == BULLA_EPARSE ? 0 : r;
}

/* All of them. */

/* 1234567 as 1,234,567. */
static const char *grouped(uint64_t n, char to[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
	char *w = to;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*w++ = ',';
		*w++ = digits[i];
	}
	*w = '\0';
	return to;
}

static void summarise(const struct import *u)
{
	uint64_t entries = import_journals_entries(u->journals),
		 omitted = import_journals_omitted(u->journals);
	uint32_t n = import_journals_count(u->journals);
	char text[32];

	if (import_journals_shared(u->journals))
		log_warning("more than %u sources: those behind that share one journal", n - 1);
	if (omitted > 0)
		log_warning("%s field%s beyond the limits of an entry and left out; "
			    "_IMPORT_OMITTED in the entries tells",
			    grouped(omitted, text), omitted == 1 ? " is" : "s are");
	log_info("imported %s entr%s of %u source%s", grouped(entries, text),
		 entries == 1 ? "y" : "ies", n, n == 1 ? "" : "s");
}

static int import_all(struct import *u, char *const *files)
{
	int r, closed;

	r = import_journals_new(&u->journals, &u->state, &u->tenant, &told_to_stop);
	if (r < 0)
		return r;
	for (; *files && r >= 0 && !told_to_stop; files++)
		r = import_file(u, *files);
	if (told_to_stop)
		log_warning("stopped by a signal; what was read before is kept");
	if (r < 0 && r != -ECANCELED)
		log_error("not all of it could be kept; what is not sealed yet the next sealer "
			  "seals");
	closed = import_journals_finish(u->journals);
	if (closed < 0 && closed != -ECANCELED)
		log_error_code(closed, "cannot have all of it sealed");
	else if (closed == -ECANCELED)
		log_warning("stopped again; what is not sealed yet the next sealer seals");
	else
		summarise(u);
	return r < 0 ? r : closed;
}

/* The command line. */

static void usage(FILE *to)
{
	fputs("usage: bulla import [OPTION]... FILE|-...\n"
	      "\n"
	      "Keep what another program has logged in sealed journals, one for each container or "
	      "unit.\n"
	      "\n"
	      "      --format FORMAT  export, json (of journalctl -o), journal (a file of "
	      "journald's)\n"
	      "                       or auto, which looks (default)\n"
	      "      --tenant NAME    whose logs these are from now on (_TENANT; default: "
	      "default)\n"
	      "      --state DIR      state directory (default: $BULLA_STATE or "
	      "/var/lib/bulla)\n"
	      "  -h, --help           show this\n"
	      "\n"
	      "The exit status is 1 when something in the files could not be read, 2 for "
	      "failures.\n",
	      to);
}

static int parse_format(struct import *u, const char *text)
{
	static const char *const names[] = {
		[IMPORT_AUTO] = "auto",
		[IMPORT_EXPORT] = "export",
		[IMPORT_JSON] = "json",
		[IMPORT_JOURNAL] = "journal",
	};

	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (strcmp(names[i], text) == 0) {
			u->format = (enum import_format) i;
			return 0;
		}
	return log_usage("--format %s: export, json, journal or auto is wanted", text);
}

static int parse_tenant(struct import *u, const char *text)
{
	if (tenant_parse(text, strlen(text), &u->tenant) >= 0)
		return 0;
	return log_usage("--tenant %s: " TENANT_WANTED, text);
}

static int parse(struct import *u, int argc, char **argv)
{
	static const struct option options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "tenant", required_argument, NULL, 'T' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	opterr = 0;
	while (r >= 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'f')
			r = parse_format(u, optarg);
		else if (c == 'T')
			r = parse_tenant(u, optarg);
		else if (c == 's')
			u->state_option = optarg;
		else if (c == 'h')
			u->help = true;
		else
			r = log_bad_option(c, argv);
	}
	if (r >= 0 && !u->help && optind == argc)
		r = log_usage("a file is wanted, or - for standard input");
	return r;
}

/* By a path that means the same to a sealer that has another working directory. */
static int open_state(struct import *u)
{
	char path[4096];
	int r = state_path(u->state_option, path);

	if (r < 0)
		return log_error_code(r, "no state directory: use --state or BULLA_STATE");
	r = state_open(&u->state, path, true);
	if (r >= 0)
		r = state_make_absolute(&u->state);
	return r < 0 ? log_error_code(r, "cannot open %s", path) : 0;
}

int main(int argc, char **argv)
{
	struct import u = { .tenant = { TENANT_DEFAULT },
			    .state = { .root = -1, .seal = -1, .ledger = -1, .journals = -1 } };
	struct sigaction stop = { .sa_handler = on_stop };
	int r;

	log_setup("bulla import", LOG_LEVEL_INFO);
	r = parse(&u, argc, argv);
	if (r < 0)
		return STATUS_FAILED;
	if (u.help) {
		usage(stdout);
		return 0;
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	r = sodium_init() < 0 ? -EIO : open_state(&u);
	if (r >= 0)
		r = import_all(&u, argv + optind);
	import_journals_free(u.journals);
	state_close(&u.state);
	if (r < 0 && r != -ECANCELED)
		return STATUS_FAILED;
	return u.bad_input || told_to_stop ? STATUS_BAD_INPUT : 0;
}
