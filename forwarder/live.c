/* SPDX-License-Identifier: Apache-2.0 */

#include "forwarder/live.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/text.h"
#include "bulla/error.h"
#include "forwarder/wire.h"
#include "store/tail_index.h"

enum {
	ASK_WAIT_MS = 20000, /* how long the aggregator may think about it */
	RETRY_MS = 1000,
	RENEW_MS = 1000, /* between two looks whether somebody still follows */
	PIECE_MAX = 4 << 20,
};

/* A tail that is being watched. */
struct watched {
	struct id journal;
	struct tail_reader tail; /* its fd is closed between uses */
};

struct live {
	const struct state *state;
	const char *base;
	char url[1024];
	struct id origin;
	pthread_t thread;
	int stop; /* eventfd */
	int inotify;
	struct http_client *client;
	struct watched *watched;
	size_t n, cap;
	struct buf body;
	atomic_bool stopping;
};

static void set_url(struct live *l, const char *what, unsigned wait_ms)
{
	char origin[2 * ID_SIZE + 1];

	text_hex(origin, l->origin.b, ID_SIZE);
	snprintf(l->url, sizeof l->url, "%s/v1/origins/%s/%s?wait=%u", l->base, origin, what,
		 wait_ms);
}

static bool says_yes(const struct http_answer *a)
{
	static const char yes[] = "\"interest\":true";

	return a->status == 200 && a->text.len >= STRLEN(yes) &&
	       memmem(a->text.data, a->text.len, yes, STRLEN(yes)) != NULL;
}

/* @return 1: somebody follows; 0: nobody; < 0: no answer. */
static int ask(struct live *l, unsigned wait_ms)
{
	struct http_request q = {
		.method = "GET", .url = l->url, .timeout_s = 30, .text_max = 1024
	};
	struct http_answer a;
	int r;

	set_url(l, "interest", wait_ms);
	r = http_client_do(l->client, &q, &a);
	if (r >= 0)
		r = says_yes(&a);
	buf_done(&a.text);
	return r;
}

static int send_body(struct live *l)
{
	struct http_request q = {
		.method = "POST", .url = l->url, .timeout_s = 30, .text_max = 1024
	};
	struct http_answer a;
	int r;

	if (l->body.bad)
		return -ENOMEM;
	if (l->body.len == 0)
		return 1;
	q.body = l->body.data;
	q.body_size = l->body.len;
	set_url(l, "live", 0);
	r = http_client_do(l->client, &q, &a);
	if (r >= 0)
		r = says_yes(&a);
	buf_done(&a.text);
	buf_clear(&l->body);
	return r;
}

/* Tails. */

static void forget_tails(struct live *l)
{
	for (size_t i = 0; i < l->n; i++)
		tail_reader_close(&l->watched[i].tail);
	l->n = 0;
	close_fd(&l->inotify);
}

/* Watch a tail from its end on, or, for one that is new, from its beginning. */
static int watch(struct live *l, const struct id *journal, const char *name, bool from_start)
{
	struct rows_index index = { 0 };
	struct watched *w;
	int r;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct watched *more = reallocarray(l->watched, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		l->watched = more;
		l->cap = cap;
	}
	w = &l->watched[l->n];
	w->journal = *journal;
	r = tail_reader_open(&w->tail, l->state->journals, name);
	if (r < 0)
		return r;
	if (!from_start) {
		r = rows_index_build(&index, &w->tail);
		rows_index_done(&index);
	}
	if (r < 0) {
		tail_reader_close(&w->tail);
		return r;
	}
	close_fd(&w->tail.fd);
	frame_reader_seek(&w->tail.frames, w->tail.frames.offset);
	l->n++;
	return 0;
}

static int watch_each(void *arg, const struct id *journal, const char *name)
{
	int r = watch(arg, journal, name, false);

	/* What cannot be read is nothing to show. */
	return r == -ENOMEM ? r : 0;
}

static void add_contexts(struct live *l, const struct watched *w)
{
	struct wire_batch head = { .journal = w->journal, .flags = WIRE_BATCH_ALL };
	uint8_t bytes[WIRE_BATCH_SIZE];
	struct wr wr = wr_of(bytes, sizeof bytes);

	wire_batch_encode(&head, &wr);
	wire_frame(&l->body, WIRE_BATCH, bytes, wr.len);
	for (uint32_t i = 0; i < w->tail.contexts.n; i++)
		wire_frame(&l->body, TAIL_CONTEXT, w->tail.contexts.at[i].leaf,
			   w->tail.contexts.at[i].leaf_size);
}

/* Read a tail on to its end, and gather its rows. */
static int gather(struct live *l, struct watched *w, const char *name)
{
	struct tail_reader *t = &w->tail;
	bool any = false;
	struct frame f;
	int r;

	t->fd = openat(l->state->journals, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (t->fd < 0)
		return 0;
	t->frames.fd = t->fd;
	frame_reader_seek(&t->frames, t->frames.offset);
	while (l->body.len < PIECE_MAX && (r = frame_reader_next(&t->frames, &f, NULL)) > 0) {
		if (f.type == TAIL_CONTEXT && contexts_add(&t->contexts, f.payload, f.size) < 0)
			break;
		any &= f.type != TAIL_CONTEXT;
		if (f.type != TAIL_ROWS)
			continue;
		if (!any)
			add_contexts(l, w);
		any = true;
		wire_frame(&l->body, f.type, f.payload, f.size);
	}
	close_fd(&t->fd);
	frame_reader_done(&t->frames);
	return 0;
}

static int on_file(struct live *l, const char *name)
{
	struct id id;
	int r;

	if (tail_name_parse(name, &id) < 0)
		return 0;
	for (size_t i = 0; i < l->n; i++)
		if (id_equal(&l->watched[i].journal, &id))
			return gather(l, &l->watched[i], name);
	r = watch(l, &id, name, true);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return gather(l, &l->watched[l->n - 1], name);
}

static int gather_all(struct live *l)
{
	union {
		struct inotify_event event;
		char bytes[16 << 10];
	} u;
	ssize_t n;

	while ((n = read(l->inotify, u.bytes, sizeof u.bytes)) > 0) {
		char last[NAME_MAX + 1] = "";

		for (char *p = u.bytes; p < u.bytes + n;) {
			const struct inotify_event *e = (const struct inotify_event *) (void *) p;
			int r;

			p += sizeof *e + e->len;
			if (e->mask & IN_Q_OVERFLOW)
				return -EOVERFLOW; /* begin again */
			if (e->len == 0 || strcmp(e->name, last) == 0)
				continue;
			strncpy(last, e->name, sizeof last - 1);
			r = on_file(l, e->name);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int begin_watching(struct live *l)
{
	char path[64];

	l->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(path, sizeof path, "/proc/self/fd/%d", l->state->journals);
	if (l->inotify < 0 || inotify_add_watch(l->inotify, path, IN_MODIFY | IN_CREATE) < 0)
		return -errno;
	return state_each_journal(l->state, watch_each, l);
}

/* Send rows as they come, for as long as somebody follows. */
static int send_rows(struct live *l)
{
	int r = begin_watching(l);

	while (r >= 0 && !l->stopping) {
		struct pollfd p[] = {
			{ .fd = l->inotify, .events = POLLIN },
			{ .fd = l->stop, .events = POLLIN },
		};
		int n = poll(p, ELEMENTS(p), RENEW_MS);

		if (n < 0 && errno != EINTR)
			r = -errno;
		if (r >= 0 && n > 0)
			r = gather_all(l);
		if (r >= 0)
			r = l->body.len > 0 ? send_body(l) : n == 0 ? ask(l, 0) : 1;
		if (r == 0)
			break; /* nobody any more */
	}
	forget_tails(l);
	return MIN_OF(r, 0);
}

static void pause_for(struct live *l, int ms)
{
	struct pollfd p = { .fd = l->stop, .events = POLLIN };

	if (poll(&p, 1, ms) < 0)
		return;
}

static void *run(void *arg)
{
	struct live *l = arg;

	while (!l->stopping) {
		int r = ask(l, ASK_WAIT_MS);

		if (r > 0)
			r = send_rows(l);
		if (r < 0)
			pause_for(l, RETRY_MS);
	}
	return NULL;
}

int live_start(struct live **ret, const struct state *s, const char *base, const struct id *origin)
{
	struct live *l = calloc(1, sizeof *l);
	int r;

	if (!l)
		return -ENOMEM;
	l->state = s;
	l->base = base;
	l->origin = *origin;
	l->inotify = -1;
	l->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = l->stop < 0 ? -errno : http_client_new(&l->client);
	if (r >= 0)
		r = -pthread_create(&l->thread, NULL, run, l);
	if (r < 0) {
		http_client_free(l->client);
		close_fd(&l->stop);
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

struct live *live_stop(struct live *l)
{
	uint64_t one = 1;

	if (!l)
		return NULL;
	l->stopping = true;
	if (write(l->stop, &one, sizeof one) != sizeof one)
		abort();
	http_client_stop(l->client);
	pthread_join(l->thread, NULL);
	http_client_free(l->client);
	free(l->watched);
	buf_done(&l->body);
	close_fd(&l->stop);
	free(l);
	return NULL;
}
