/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-forward: ship commits to an aggregator.
 *
 * It has the network and reads only.  The session (send.h) decides, this file does: asks for the head, packs, puts, waits.
 * What the aggregator acknowledges is kept as a receipt beside the logs.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "forwarder/live.h"
#include "forwarder/pack.h"
#include "forwarder/send.h"
#include "seal/cosign.h"
#include "store/receipts.h"

enum {
	PUT_SIZE_TARGET = 4 << 20,
	PUT_TIMEOUT_S = 120,
	ASK_TIMEOUT_S = 30,
	ANSWER_MAX = 64 << 10,
	IDLE_MS = 1000,
	RETRY_AFTER_MAX_S = 300,
};

struct forwarder {
	struct state state;
	struct packer *packer;
	struct http_client *client;
	struct sender sender;
	struct id origin;
	char base[DESTINATION_SIZE_MAX]; /* URL without a trailing slash */
	char url[DESTINATION_SIZE_MAX + 128];
	struct buf body;
	struct pack_options packed_as;
	uint64_t body_from, body_to; /* commits in `body`; from > to: none */
	struct hash body_root;	     /* before them */
	uint64_t forked_at;    /* commits over which the aggregator's root is not ours; 0: none */
	uint64_t acknowledged; /* commits the destination has said it has */
	struct cosigner aggregator; /* who has to sign receipts; no name: who it says it is */
	bool lacks_receipt;	    /* the last one could not be kept */
	int inotify;
	struct live *live;
};

static volatile sig_atomic_t told_to_stop;
static struct http_client *to_break_off; /* what may be under way when a signal comes */

static void on_stop(int signal_number)
{
	(void) signal_number;
	told_to_stop = 1;
	if (to_break_off)
		http_client_stop(to_break_off);
}

static void set_url(struct forwarder *f, const char *format, uint64_t from, uint64_t to)
{
	char origin[2 * ID_SIZE + 1];
	int n;

	text_hex(origin, f->origin.b, ID_SIZE);
	n = snprintf(f->url, sizeof f->url, "%s/v1/origins/%s", f->base, origin);
	if (strcmp(format, "commits") == 0)
		snprintf(f->url + n, sizeof f->url - (size_t) n, "/commits/%" PRIu64 "-%" PRIu64,
			 from, to);
}

/* Keep what the aggregator has signed, once the signature and the root are found right. */
static int keep_receipt(struct forwarder *f, const struct wire_head *h)
{
	struct receipt receipt = { .size = h->durable,
				   .root = h->root,
				   .time_ns = clock_realtime_ns() };
	struct cosigner who;
	uint64_t time_s;
	int r;

	if (h->durable == 0 || (!*h->receipt && !*f->aggregator.name))
		return 0;
	who = f->aggregator;
	r = *who.name ? 0 : cosigner_parse(h->key, &who);
	if (r >= 0)
		r = cosign_check(&who, h->receipt, strlen(h->receipt), &f->origin, h->durable,
				 &h->root, &time_s);
	if (r < 0)
		return log_error_code(r, "%s sent a receipt that does not verify", f->base);
	strcpy(receipt.destination, f->base);
	r = receipts_keep(&f->state, &receipt, h->receipt, strlen(h->receipt));
	/* Nobody stops shipping because the disk is full here: the aggregator has it, and the next receipt says so again. */
	if (r < 0 && !f->lacks_receipt)
		log_error_code(r, "a receipt of %s cannot be kept", f->base);
	f->lacks_receipt = r < 0;
	return 0;
}

static int note_acknowledged(void *arg, const struct receipt *r)
{
	struct forwarder *f = arg;

	if (strcmp(r->destination, f->base) == 0)
		f->acknowledged = r->size;
	return 0;
}

/* What it acknowledged it may have lost, or it was put back to an older copy: all is sent again, and people are to know. */
static void tell_loss(struct forwarder *f, const struct wire_head *h)
{
	if (h->durable < f->acknowledged)
		log_error("LOST: %s had acknowledged %" PRIu64 " commits and has %" PRIu64
			  " now; what it lost is sent again, if it is here still",
			  f->base, f->acknowledged, h->durable);
	f->acknowledged = h->durable;
}

/* The root of the first `size` commits here.  Going back is expensive, and rarely needed: the usual answers are to a PUT. */
static int root_at(struct forwarder *f, uint64_t size, struct hash *ret)
{
	int r = 0;

	if (f->body_from <= f->body_to && size == f->body_from) {
		*ret = f->body_root;
		return 0;
	}
	if (size != packer_position(f->packer))
		r = packer_seek(f->packer, size);
	if (r >= 0)
		*ret = packer_root(f->packer);
	return r;
}

/* An answer with a head in it.  The root must be ours: else one of the two histories is not what was sealed here. */
static int take_head(struct forwarder *f, const struct http_answer *a, struct send_input *in)
{
	struct wire_head h;
	struct hash ours;
	int r;

	r = wire_head_parse((const char *) a->text.data, a->text.len, &h);
	if (r < 0)
		return log_error_code(r, "%s answers what is no head", f->base);
	in->head = h.received;
	/* Another forwarder of the same directory may have been ahead of us. */
	if (h.received > f->sender.size) {
		r = packer_size(f->packer, &f->sender.size);
		if (r < 0 || h.received > f->sender.size)
			return r;
	}
	r = root_at(f, h.durable, &ours);
	if (r < 0)
		return r;
	if (h.durable > 0 && !hash_same(&ours, &h.root)) {
		f->forked_at = h.durable;
		in->event = SEND_FORK;
		return 0;
	}
	tell_loss(f, &h);
	return keep_receipt(f, &h);
}

static int on_answer(struct forwarder *f, int r, const struct http_answer *a, struct send_input *in)
{
	char why[TEXT_SENTENCE_SIZE];

	/* Who wants it done once is not kept waiting for a name that may never be known. */
	if (r == BULLA_EHOST && f->sender.once)
		return log_error_code(r, "cannot reach %s", f->base);
	if (r < 0) {
		if (f->sender.backoff_ms == 0 && !told_to_stop)
			log_error_code(r, "cannot reach %s; trying on", f->base);
		in->event = SEND_LOST;
		return 0;
	}
	switch (a->status) {
	case 200:
		in->event = SEND_HEAD;
		return take_head(f, a, in);
	case 201:
		in->event = SEND_ACCEPTED;
		return take_head(f, a, in);
	case 409:
		in->event = SEND_FORK;
		return 0;
	case 412:
		in->event = SEND_REWIND;
		return 0;
	case 422:
		log_warning("%s refuses commits %" PRIu64 " to %" PRIu64 ": %s", f->base,
			    f->body_from, f->body_to, http_answer_sentence(a, why));
		in->event = SEND_REFUSED;
		return 0;
	case 424:
		in->event = SEND_CONTEXTS;
		return 0;
	case 503:
		if (f->sender.backoff_ms == 0)
			log_warning("%s takes nothing now: %s", f->base,
				    http_answer_sentence(a, why));
		in->event = SEND_OVERLOAD;
		in->retry_ms = (uint32_t) MIN_OF(a->retry_after_s, (long) RETRY_AFTER_MAX_S) * 1000;
		return 0;
	default:
		log_warning("%s answers %ld", f->base, a->status);
		in->event = SEND_LOST;
		return 0;
	}
}

static int ask(struct forwarder *f, struct send_input *in)
{
	struct http_request q = {
		.method = "GET",
		.url = f->url,
		.timeout_s = ASK_TIMEOUT_S,
		.text_max = ANSWER_MAX,
	};
	struct http_answer a;
	int r;

	set_url(f, "", 0, 0);
	r = on_answer(f, http_client_do(f->client, &q, &a), &a, in);
	buf_done(&a.text);
	return r;
}

static bool same_options(const struct pack_options *a, const struct pack_options *b)
{
	return a->full == b->full && a->careful == b->careful;
}

/* Build the body from commit `next` on; the one at hand is sent again as it is if it begins there. */
static int pack(struct forwarder *f)
{
	struct pack_options o = { .full = f->sender.full, .careful = f->sender.careful };
	int r;

	if (f->body_from == f->sender.next && f->body_to >= f->body_from &&
	    same_options(&o, &f->packed_as))
		return 0;
	f->body_to = 0;
	f->body_from = 1;
	buf_clear(&f->body);
	r = packer_seek(f->packer, f->sender.next);
	f->body_root = packer_root(f->packer);
	for (uint64_t n = 0; r >= 0 && n < WIRE_COMMITS_MAX && f->sender.next + n < f->sender.size;
	     n++) {
		size_t before = f->body.len;

		r = packer_next(f->packer, &o, &f->body);
		/* What only a newer version can read stops us behind what is before it. */
		if (r == BULLA_EVERSION && n > 0) {
			f->body.len = before;
			r = 0;
		}
		if (r <= 0)
			break;
		f->body_from = f->sender.next;
		f->body_to = f->sender.next + n;
		/* What has to be told again or left out concerns one commit; the ones after it are as usual. */
		if (f->body.len >= PUT_SIZE_TARGET || o.full || o.careful)
			break;
	}
	f->packed_as = o;
	if (r < 0)
		return r;
	return f->body_to < f->body_from ? -EAGAIN : 0;
}

static int put(struct forwarder *f, struct send_input *in)
{
	struct http_request q = {
		.method = "PUT",
		.url = f->url,
		.content_type = "application/vnd.bulla.commits",
		.timeout_s = PUT_TIMEOUT_S,
		.text_max = ANSWER_MAX,
	};
	struct http_answer a;
	int r;

	r = pack(f);
	if (r < 0)
		return r;
	set_url(f, "commits", f->body_from, f->body_to);
	q.body = f->body.data;
	q.body_size = f->body.len;
	r = on_answer(f, http_client_do(f->client, &q, &a), &a, in);
	buf_done(&a.text);
	return r;
}

/*
 * Show the aggregator our commit where its own is another: its people are to know as well, and it keeps what it is shown.
 * A seal covers all that was before it, so the last common number will do.
 */
static void show_fork(struct forwarder *f)
{
	struct pack_options o = { 0 };
	struct http_answer a = { 0 };
	struct http_request q = {
		.method = "PUT",
		.url = f->url,
		.content_type = "application/vnd.bulla.commits",
		.timeout_s = ASK_TIMEOUT_S,
		.text_max = ANSWER_MAX,
	};
	uint64_t number = f->forked_at - 1;

	if (f->forked_at == 0)
		return;
	buf_clear(&f->body);
	if (packer_seek(f->packer, number) < 0 || packer_next(f->packer, &o, &f->body) != 1)
		return;
	set_url(f, "commits", number, number);
	q.body = f->body.data;
	q.body_size = f->body.len;
	if (http_client_do(f->client, &q, &a) < 0)
		log_warning("%s could not be shown the other history", f->base);
	buf_done(&a.text);
}

/* Wait for the ledger to grow, or for a time; a signal ends it. */
static int wait_for(struct forwarder *f, int timeout_ms)
{
	struct pollfd p = { .fd = f->inotify, .events = POLLIN };
	char events[4096];

	if (poll(&p, 1, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	while (read(f->inotify, events, sizeof events) > 0)
		;
	return 0;
}

static int wait_whole(uint32_t ms)
{
	for (uint32_t waited = 0; waited < ms && !told_to_stop; waited += 50)
		usleep(50 * 1000);
	return 0;
}

/* Do one thing.  @return 1 to go on, 0 at the end, an error. */
static int act(struct forwarder *f, enum send_action action, struct send_input *in)
{
	int r = 0;

	switch (action) {
	case SEND_DO_ASK:
		r = ask(f, in);
		break;
	case SEND_DO_PUT:
		r = put(f, in);
		/* What was counted can be read: only damage in between keeps it from being packed. */
		if (r == -EAGAIN)
			r = log_error_code(BULLA_ECORRUPT, "commit %" PRIu64 " of %s",
					   f->sender.next, f->state.path);
		else if (r == BULLA_EVERSION)
			log_error_code(r, "commit %" PRIu64 " of %s: a segment that may have it",
				       f->sender.next, f->state.path);
		break;
	case SEND_DO_WAIT:
		r = wait_whole(f->sender.wait_ms);
		in->event = SEND_WAITED;
		break;
	case SEND_DO_IDLE:
		r = wait_for(f, IDLE_MS);
		if (r >= 0)
			r = packer_size(f->packer, &in->size);
		in->event = SEND_MORE;
		break;
	case SEND_DO_FINISH:
		return 0;
	case SEND_DO_STOP:
		show_fork(f);
		log_error("FORK: %s holds another history of this origin; one of the two is not "
			  "what this host "
			  "sealed.  Nothing more is sent; run bulla verify on both ends",
			  f->base);
		return BULLA_EFORK;
	case SEND_DO_BEHIND:
		log_error("REWIND: %s holds more commits (%" PRIu64
			  ") of this origin than are here (%" PRIu64 "): "
			  "the end of this ledger was lost or cut off",
			  f->base, f->sender.next, f->sender.size);
		return BULLA_EFORK;
	}
	return r < 0 ? r : 1;
}

static int ship(struct forwarder *f)
{
	struct send_input in = { .event = SEND_START };
	int r = 1;

	while (r > 0 && !told_to_stop) {
		enum send_action action = sender_step(&f->sender, &in);

		in = (struct send_input){ 0 };
		r = act(f, action, &in);
	}
	return r;
}

/* A host that has not yet logged anything has no ledger: wait for it. */
static int open_packer(struct forwarder *f, bool once)
{
	for (;;) {
		int r = packer_new(&f->packer, &f->state);

		if (r >= 0)
			r = packer_size(f->packer, &f->sender.size);
		if (r >= 0)
			r = packer_origin(f->packer, &f->origin);
		if (r != -ENOENT || once || told_to_stop)
			return r;
		f->packer = packer_free(f->packer);
		usleep(200 * 1000);
	}
}

static int run(struct forwarder *f)
{
	char path[64];
	int r;

	f->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(path, sizeof path, "/proc/self/fd/%d", f->state.ledger);
	if (f->inotify < 0 || inotify_add_watch(f->inotify, path, IN_MODIFY | IN_CREATE) < 0)
		return -errno;
	r = http_client_new(&f->client);
	to_break_off = f->client;
	if (r >= 0)
		r = open_packer(f, f->sender.once);
	if (r >= 0)
		r = receipts_each(&f->state, note_acknowledged, f);
	if (r >= 0 && !f->sender.once)
		r = live_start(&f->live, &f->state, f->base, &f->origin);
	if (r < 0)
		return log_error_code(r, "%s", f->state.path);
	sd_notify(0, "READY=1");
	return ship(f);
}

/* Started before anything was ever logged, as at the boot of a new host: there is nothing to ship yet. */
static int open_state(struct forwarder *f, const char *path)
{
	int r;

	while ((r = state_open(&f->state, path, false)) == -ENOENT && !f->sender.once &&
	       !told_to_stop)
		usleep(200 * 1000);
	return r;
}

static void usage(FILE *to)
{
	fputs("usage: bulla forward --to URL [OPTION]...\n"
	      "\n"
	      "Ship sealed commits to an aggregator and keep its receipts; goes on until it is "
	      "stopped.\n"
	      "\n"
	      "      --to URL     the aggregator, as http://127.0.0.1:7780\n"
	      "      --aggregator KEY\n"
	      "                   the key that its receipts must be signed with\n"
	      "      --once       end when all that is sealed now has been acknowledged\n"
	      "      --state DIR  state directory (default: $BULLA_STATE or /var/lib/bulla)\n"
	      "  -h, --help       show this\n"
	      "\n"
	      "Exit status: 0 done or stopped; 1 the aggregator has another history of this "
	      "origin; 2 failure.\n",
	      to);
}

/* Refused here and now: one that no request can be made to would be tried for ever. */
static int set_destination(struct forwarder *f, const char *to)
{
	const char *why = "too long, or with spaces in it";
	size_t n = strlen(to);
	int r = -EINVAL;

	while (n > 0 && to[n - 1] == '/')
		n--;
	if (n < sizeof f->base && !strpbrk(to, " \n"))
		r = http_client_check_url(to, &why);
	if (r == -EINVAL)
		log_usage("--to %s: %s", to, why);
	else if (r < 0)
		return log_error_code(r, "--to %s", to);
	else
		snprintf(f->base, sizeof f->base, "%.*s", (int) n, to);
	return r;
}

static int parse(struct forwarder *f, int argc, char **argv, const char **state, bool *help)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 't' },
		{ "aggregator", required_argument, NULL, 'g' },
		{ "once", no_argument, NULL, '1' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 't' && set_destination(f, optarg) < 0)
			return -EINVAL;
		else if (c == 'g' && cosigner_parse(optarg, &f->aggregator) < 0)
			return log_usage(
				"--aggregator %s: not a key as `bulla status --at` prints it",
				optarg);
		else if (c == '1')
			f->sender.once = true;
		else if (c == 's')
			*state = optarg;
		else if (c == 'h')
			*help = true;
		else if (c != 't' && c != 'g')
			return log_bad_option(c, argv);
	}
	if (*help)
		return 0;
	if (optind != argc)
		return log_usage("%s is too much", argv[optind]);
	return *f->base ? 0 : log_usage("--to URL is wanted");
}

int main(int argc, char **argv)
{
	struct forwarder f = { .inotify = -1, .body_from = 1 };
	const char *state = NULL;
	bool help = false;
	char path[4096];
	int r;

	log_setup("bulla forward", LOG_LEVEL_INFO);
	if (sodium_init() < 0 || parse(&f, argc, argv, &state, &help) < 0)
		return 2;
	if (help) {
		usage(stdout);
		return 0;
	}
	signal(SIGTERM, on_stop);
	signal(SIGINT, on_stop);
	signal(SIGPIPE, SIG_IGN);
	f.sender.jitter = randombytes_random();
	r = state_path(state, path);
	if (r >= 0)
		r = open_state(&f, path);
	if (r < 0) {
		log_error_code(r, "cannot open %s", path);
		return 2;
	}
	r = run(&f);
	f.live = live_stop(f.live);
	packer_free(f.packer);
	to_break_off = NULL;
	http_client_free(f.client);
	buf_done(&f.body);
	close_fd(&f.inotify);
	state_close(&f.state);
	if (r == BULLA_EFORK)
		return 1;
	return r < 0 ? 2 : 0;
}
