/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Many threads at once: what needs locks must be right without luck.
 *
 *	crowd lane	several append to one lane and wait for its syncs, while objects become full
 *	crowd http	hosts log, seal and send, everything twice; others ask; one follows and is shown unsealed rows
 *
 * In the end everything is there, once and in order.  A program of its own, because Criterion does not run under
 * ThreadSanitizer, which is what this is for: CONTRIBUTING.md says how.
 */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/compactor.h"
#include "aggregator/http.h"
#include "base/cleanup.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/text.h"
#include "forwarder/live.h"
#include "forwarder/pack.h"
#include "tests/builder.h"

static char directory[512];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void) st;
	(void) type;
	(void) at;
	return remove(path);
}

static void make_directory(void)
{
	int n = snprintf(directory, sizeof directory, "%s/bulla-crowd-XXXXXX", builder_parent());

	assert(n > 0 && (size_t) n < sizeof directory && mkdtemp(directory));
}

/* A lane. */

enum { WRITERS = 4, EACH = 900 };

static const struct id origin = { { 3, 1, 2 } };

struct writer {
	struct lane *lane;
	pthread_barrier_t *all_there;
	uint64_t first;
};

static void *write_and_sync(void *arg)
{
	const struct writer *w = arg;
	_cleanup_buf_ struct buf frames = { 0 };
	uint64_t seq, offset;

	wire_frame(&frames, WIRE_COMMIT, "content", 7);
	pthread_barrier_wait(w->all_there);
	for (uint64_t i = 0; i < EACH; i++) {
		int r = lane_append(w->lane, &origin, w->first + i, frames.data, frames.len, &seq,
				    &offset);

		assert(r == 0);
		if (i % 4 == 3) {
			r = lane_sync(w->lane);
			assert(r == 0);
		}
	}
	return NULL;
}

/* Of each writer the blocks come in its order. */
static int note_order(void *arg, const struct lane *l, const struct lane_block *b)
{
	uint64_t *next = arg;

	(void) l;
	assert(!b->damaged && b->commit / 1000 < WRITERS &&
	       b->commit % 1000 == next[b->commit / 1000]);
	next[b->commit / 1000]++;
	return 0;
}

static void crowd_lane(void)
{
	uint64_t next[WRITERS] = { 0 };
	struct writer w[WRITERS];
	pthread_t thread[WRITERS];
	struct objstore store;
	pthread_barrier_t all_there;
	struct lane lane;
	int r;

	lane_object_size = 1000;
	pthread_barrier_init(&all_there, NULL, WRITERS);
	r = objstore_open(&store, directory);
	assert(r == 0);
	r = lane_open(&lane, &store, 3, note_order, next);
	assert(r == 0);
	for (size_t i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ &lane, &all_there, 1000 * i };
		r = pthread_create(&thread[i], NULL, write_and_sync, &w[i]);
		assert(r == 0);
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&all_there);
	assert(lane.synced == lane.written && lane.seq > 10);
	lane_close(&lane);
	r = lane_open(&lane, &store, 3, note_order, next);
	assert(r == 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert(next[i] == EACH);
	lane_close(&lane);
	objstore_close(&store);
}

/* An aggregator. */

enum { HOSTS = 3, ASKERS = 3, ROUNDS = 150, ENTRIES = HOSTS * ROUNDS * 2 };

struct host {
	struct builder b;
	struct packer *packer;
	struct id origin;
	struct live *live;
};

static char base[64];
static atomic_bool over;

/* @return the status; the text is taken. */
static long exchange(struct http_client *c, const char *method, const char *path,
		     const struct buf *body, http_body_fn write, void *arg)
{
	char url[256];
	struct http_request q = { .method = method,
				  .url = url,
				  .timeout_s = 60,
				  .text_max = 1 << 20,
				  .write = write,
				  .arg = arg };
	struct http_answer a;
	int r;

	snprintf(url, sizeof url, "%s%s", base, path);
	if (body) {
		q.body = body->data;
		q.body_size = body->len;
	}
	r = http_client_do(c, &q, &a);
	buf_done(&a.text);
	return r < 0 ? r : a.status;
}

static struct http_client *new_client(void)
{
	struct http_client *c;
	int r = http_client_new(&c);

	assert(r == 0);
	return c;
}

static void put(struct http_client *c, struct host *h, uint64_t from, uint64_t to)
{
	_cleanup_buf_ struct buf body = { 0 };
	char hex[2 * ID_SIZE + 1], path[128];
	int r = packer_seek(h->packer, from);

	assert(r == 0);
	for (uint64_t i = from; i <= to; i++) {
		r = packer_next(h->packer, &(struct pack_options){ 0 }, &body);
		assert(r == 1);
	}
	text_hex(hex, h->origin.b, ID_SIZE);
	snprintf(path, sizeof path, "/v1/origins/%s/commits/%u-%u", hex, (unsigned) from,
		 (unsigned) to);
	assert(exchange(c, "PUT", path, &body, NULL, NULL) == 201);
}

static void *log_and_send(void *arg)
{
	struct host *h = arg;
	struct http_client *c = new_client();
	uint64_t from = 0, size;

	for (unsigned i = 0; i < ROUNDS; i++) {
		int r;

		builder_log(&h->b, 0, "a");
		builder_flush(&h->b, 0);
		builder_log(&h->b, 0, "ab");
		builder_commit(&h->b);
		r = packer_size(h->packer, &size);
		assert(r == 0);
		for (int again = 0; again < 2; again++)
			put(c, h, from, size - 1);
		from = size;
	}
	http_client_free(c);
	return NULL;
}

static void *ask_on(void *arg)
{
	static const char *const paths[] = {
		"/v1/query?output=json", "/v1/status",	       "/v1/key",
		"/v1/query?names=1",	 "/v1/query?unit=web", "/v1/prove?match=container%3Dweb"
	};
	struct http_client *c = new_client();

	(void) arg;
	for (size_t i = 0; !atomic_load(&over); i++)
		assert(exchange(c, "GET", paths[i % ELEMENTS(paths)], NULL, NULL, NULL) == 200);
	http_client_free(c);
	return NULL;
}

static int count_lines(void *arg, const void *data, size_t n)
{
	size_t *lines = arg;

	for (size_t i = 0; i < n; i++)
		*lines += ((const char *) data)[i] == '\n';
	return 0;
}

static int count_to_the_end(void *arg, const void *data, size_t n)
{
	(void) !count_lines(arg, data, n);
	return *(const size_t *) arg < ENTRIES ? 0 : -EPIPE;
}

/* Begun before anything came, it is shown everything. */
static void *follow(void *arg)
{
	struct http_client *c = new_client();

	assert(exchange(c, "GET", "/v1/tail?output=json", NULL, count_to_the_end, arg) == -EPIPE);
	http_client_free(c);
	return NULL;
}

static void found(struct host *h, size_t i)
{
	char path[600];
	uint64_t size;
	int r;

	*h = (struct host){ 0 };
	snprintf(path, sizeof path, "%s/host-%zu", directory, i);
	builder_init(&h->b, path, (struct kes_params){ 3, 3 });
	builder_open(&h->b, "web");
	r = packer_new(&h->packer, &h->b.state);
	assert(r == 0);
	r = packer_size(h->packer, &size);
	assert(r == 0);
	r = packer_origin(h->packer, &h->origin);
	assert(r == 0);
	r = live_start(&h->live, &h->b.state, base, &h->origin);
	assert(r == 0);
}

static void lose(struct host *h)
{
	live_stop(h->live);
	packer_free(h->packer);
	builder_done(&h->b);
}

static void run_crowd(struct archive *a)
{
	pthread_t sender[HOSTS], asker[ASKERS], follower;
	static struct host hosts[HOSTS];
	size_t followed = 0, asked = 0;
	struct http_client *c = new_client();
	int r;

	for (size_t i = 0; i < HOSTS; i++)
		found(&hosts[i], i);
	r = pthread_create(&follower, NULL, follow, &followed);
	assert(r == 0);
	while (!archive_wait_interest(a, 1000))
		;
	for (size_t i = 0; i < ASKERS; i++) {
		r = pthread_create(&asker[i], NULL, ask_on, NULL);
		assert(r == 0);
	}
	for (size_t i = 0; i < HOSTS; i++) {
		r = pthread_create(&sender[i], NULL, log_and_send, &hosts[i]);
		assert(r == 0);
	}
	for (size_t i = 0; i < HOSTS; i++)
		pthread_join(sender[i], NULL);
	atomic_store(&over, true);
	for (size_t i = 0; i < ASKERS; i++)
		pthread_join(asker[i], NULL);
	pthread_join(follower, NULL);
	assert(exchange(c, "GET", "/v1/query?output=json", NULL, count_lines, &asked) == 200);
	assert(followed == ENTRIES && asked == ENTRIES);
	for (size_t i = 0; i < HOSTS; i++)
		lose(&hosts[i]);
	http_client_free(c);
}

static void crowd_http(void)
{
	static const struct compactor_options o = { .age_ns = 0, .level = 1 };
	struct http_server *server;
	struct compactor *compactor;
	struct archive *a;
	char path[600];
	uint16_t port;
	int r;

	lane_object_size = 4000;
	snprintf(path, sizeof path, "%s/store", directory);
	r = archive_open(&a, path, "central");
	assert(r == 0);
	r = http_server_start(&server, a, "127.0.0.1:0", &port);
	assert(r == 0);
	snprintf(base, sizeof base, "http://127.0.0.1:%u", port);
	r = compactor_start(&compactor, a, &o);
	assert(r == 0);
	run_crowd(a);
	compactor_stop(compactor);
	assert(!http_server_broken(server));
	http_server_stop(server);
	archive_close(a);
}

int main(int argc, char **argv)
{
	log_setup("crowd", LOG_LEVEL_ERR);
	if (argc != 2)
		return 2;
	make_directory();
	if (strcmp(argv[1], "lane") == 0)
		crowd_lane();
	else
		crowd_http();
	return nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0;
}
