/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Key and ledger move in lock step.  With S the number of the next commit that the key can seal and H the size of the
 * ledger, an honest machine leaves only
 *
 *	S == H        between commits
 *	S == H - 1    the ledger was durable, the key state not yet: evolve the key once
 *
 * Everything else (a ledger shorter than its key, a key older than its ledger) is a loss or an attack and stops sealing;
 * nothing on disk is touched before that is decided.
 *
 * In memory, history and key run ahead of the disk by at most one record.  What is still to be written stands in two flags,
 * `unwritten` and `unsaved`, and settle() works them off in this order; it may fail and be called again at any time.  What
 * must be durable before something else is made of it is followed by a settle() of its own.
 */

#include "seal/origin.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

static const char key_name[] = "key";

struct origin {
	struct history *history;
	struct ledger ledger;
	struct keyfile keyfile;
	struct key_state state;
	char host[HOST_NAME_MAX_LEN + 1];
	struct id machine, boot;
	struct kes_params params;
	struct buf record; /* being built, or unwritten */
	enum ledger_record type;
	bool unwritten; /* `record` is to be appended to the ledger */
	bool unsaved;	/* `state` is to be saved, after that */
	bool announce;	/* the key has certified trees that the ledger may not have yet */
	bool pending;	/* a commit is signed and not yet durable */
};

struct origin *origin_close(struct origin *o)
{
	if (o) {
		history_free(o->history);
		ledger_close(&o->ledger);
		keyfile_close(&o->keyfile);
		key_state_done(&o->state);
		buf_done(&o->record);
		free(o);
	}
	return NULL;
}

const struct history *origin_history(const struct origin *o)
{
	return o->history;
}

/* Two states of a key and its successor are at hand when the file is read, each in a page, and a slot of it, which takes two. */
enum { PAGES_LOCKED_MAX = 6 };

uint64_t origin_locked_max(void)
{
	return PAGES_LOCKED_MAX * (uint64_t) sysconf(_SC_PAGESIZE);
}

int origin_try_locking(void)
{
	size_t size = (size_t) origin_locked_max();
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (p == MAP_FAILED)
		return -errno;
	r = mlock(p, size) < 0 ? -errno : 0;
	munmap(p, size);
	return r;
}

/* The old key has sealed its last commit, which named its successor. */
static void succeed(struct origin *o)
{
	uint64_t first = o->state.key_first + kes_capacity(&o->state.key->params);

	assert(kes_exhausted(o->state.key) && o->state.next);
	kes_free(o->state.key);
	o->state.key = TAKE_PTR(o->state.next);
	o->state.key_first = first;
}

/* A commit is in the ledger: history and key take it. */
static void commit_sealed(struct origin *o)
{
	history_commit_sealed(o->history);
	if (history_size(o->history) == 1)
		o->state.origin = history_vkey(o->history).origin;
	if (kes_exhausted(o->state.key))
		succeed(o);
}

/* Write what is to be written.  @return 0 when all of it is durable. */
static int settle(struct origin *o)
{
	int r;

	if (o->unwritten) {
		r = ledger_append(&o->ledger, o->type, o->record.data, o->record.len);
		if (r < 0)
			return r;
		o->unwritten = false;
		if (o->type == LEDGER_COMMIT)
			commit_sealed(o);
	}
	if (o->unsaved) {
		r = keyfile_save(&o->keyfile, &o->state);
		if (r < 0)
			return r;
		o->unsaved = false;
	}
	o->pending = false;
	return 0;
}

/* Bring the key to where the ledger is, by at most one seal. */
static int catch_up_key(struct origin *o)
{
	struct kes *key = o->state.key;
	uint64_t next = o->state.key_first + key->counter, size = history_size(o->history);

	if (next == size)
		return 0;
	if (next + 1 != size || kes_needs_renewal(key))
		return BULLA_EORDER;
	kes_skip(key);
	if (kes_exhausted(key)) {
		if (!o->state.next)
			return BULLA_EORDER;
		succeed(o);
	}
	if (size == 1 && sodium_is_zero(o->state.origin.b, ID_SIZE))
		o->state.origin = history_vkey(o->history).origin;
	o->unsaved = true;
	return 0;
}

/* Whether the key state is this ledger's, beyond the counts: the origin's name, and every seed that is left. */
static int match_key(struct origin *o)
{
	struct id none = { 0 }, origin = none;

	if (history_size(o->history) > 0)
		origin = history_vkey(o->history).origin;
	if (!id_equal(&origin, &o->state.origin) ||
	    o->state.key_first != history_key_first(o->history))
		return BULLA_EORDER;
	/* Of a key that was never certified nothing is known yet; prepare_key() will see. */
	if (o->state.key->pending && o->state.key->renewing == 0)
		return 0;
	return history_fill_key(o->history, o->state.key);
}

/* Whether the key is as it was drawn: then the ledger holds no more than a header, or not even that. */
static bool never_began(const struct origin *o)
{
	return history_size(o->history) == 0 && o->state.key_first == 0 &&
	       o->state.key->counter == 0 && o->state.key->pending;
}

/* Begin the ledger of a founding that was cut off. */
static int create_ledger(struct origin *o, int ledger_dirfd)
{
	int r = ledger_create(&o->ledger, ledger_dirfd);

	if (r < 0)
		return r;
	return ledger_catch_up(&o->ledger, o->history, HISTORY_SKIP_SIGNATURE, NULL, NULL,
			       &(struct ledger_scan){ 0 });
}

static int founding(struct origin *o, int key_dirfd, int ledger_dirfd)
{
	int r;

	o->state.key = kes_new();
	if (!o->state.key)
		return -errno;
	kes_generate(o->state.key, &o->params);
	/* The key comes first: a ledger is never without the state that can go on sealing it. */
	r = keyfile_create(&o->keyfile, key_dirfd, key_name, &o->state);
	return r < 0 ? r : create_ledger(o, ledger_dirfd);
}

static int reopen(struct origin *o, int ledger_dirfd)
{
	struct ledger_scan scan;
	int r;

	/* Everything is checked once: a sealer that goes on from a forged ledger would vouch for it. */
	r = ledger_open(&o->ledger, ledger_dirfd, O_RDWR, o->history, HISTORY_CHECK_ALL, NULL, NULL,
			&scan);
	if (r == -ENOENT && never_began(o))
		return create_ledger(o, ledger_dirfd);
	if (r >= 0)
		r = io_sync_dir(ledger_dirfd);
	if (r < 0)
		return r;
	if (scan.end == 0 && o->ledger.first == 0) {
		r = never_began(o) ? ledger_is_blank(&o->ledger) : 0;
		if (r <= 0)
			return r < 0 ? r : BULLA_EORDER;
		ledger_close(&o->ledger);
		if (unlinkat(ledger_dirfd, LEDGER_FILE, 0) < 0)
			return -errno;
		return create_ledger(o, ledger_dirfd);
	}
	r = catch_up_key(o);
	if (r >= 0)
		r = match_key(o);
	if (r >= 0)
		r = ledger_trim(&o->ledger);
	/* The state that was read may be in memory alone, after a sync that failed. */
	o->unsaved = true;
	return r < 0 ? r : settle(o);
}

int origin_open(struct origin **ret, int key_dirfd, int ledger_dirfd,
		const struct origin_config *config)
{
	_cleanup_(origin_closep) struct origin *o = calloc(1, sizeof *o);
	int r;

	if (!o)
		return -ENOMEM;
	o->ledger.fd = o->keyfile.fd = -1;
	o->machine = config->machine;
	o->boot = config->boot;
	o->params = config->params;
	strncpy(o->host, config->host, HOST_NAME_MAX_LEN);
	o->history = history_new();
	if (!o->history)
		return -ENOMEM;
	r = keyfile_open(&o->keyfile, key_dirfd, key_name, &o->state);
	if (r == -ENOENT) {
		/* A ledger without its key must not get a new one in silence. */
		if (faccessat(ledger_dirfd, LEDGER_FILE, F_OK, 0) == 0)
			return -ENOENT;
		r = founding(o, key_dirfd, ledger_dirfd);
	} else if (r >= 0) {
		/* Whoever founded it may not have lived to make the names durable. */
		r = io_sync_dir(key_dirfd);
		if (r >= 0)
			r = reopen(o, ledger_dirfd);
	}
	if (r < 0)
		return r;
	ledger_keep(&o->ledger, config->reserve);
	*ret = TAKE_PTR(o);
	return 0;
}

/* Tell the ledger of the trees that the key has certified. */
static int announce_trees(struct origin *o)
{
	int r;

	if (history_keys_ready(o->history)) {
		/* The same trees were announced before a crash. */
		if (!history_has_key(o->history, o->state.key))
			return BULLA_EORDER;
	} else {
		buf_clear(&o->record);
		history_write_keys(o->state.key, &o->record);
		if (o->record.bad)
			return -ENOMEM;
		r = history_keys(o->history, o->record.data, o->record.len);
		if (r < 0)
			return r;
		o->type = LEDGER_KEYS;
		o->unwritten = true;
	}
	o->announce = false;
	o->unsaved = true;
	return settle(o);
}

/* Have the trees for the next seal durable, announced in the ledger, and certified. */
static int prepare_key(struct origin *o)
{
	struct kes *key = o->state.key;
	int r;

	r = settle(o);
	if (r < 0)
		return r;
	ledger_rotate(&o->ledger, history_size(o->history));
	if (kes_needs_renewal(key)) {
		if (!key->pending) {
			kes_renew(key);
			o->unsaved = true;
		}
		r = settle(o);
		if (r < 0)
			return r;
		kes_certify(key);
		o->announce = true;
	}
	return o->announce ? announce_trees(o) : 0;
}

/* Before the last seal of a key: draw its successor, durable before its public key is named. */
static int prepare_successor(struct origin *o, struct event_rekey *ret)
{
	_cleanup_(kes_freep) struct kes *copy = NULL;
	struct hash root;
	int r;

	if (!o->state.next) {
		o->state.next = kes_new();
		if (!o->state.next)
			return -errno;
		kes_generate(o->state.next, &o->params);
		o->unsaved = true;
	}
	r = settle(o);
	if (r < 0)
		return r;
	copy = kes_new();
	if (!copy)
		return -errno;
	kes_copy(copy, o->state.next);
	kes_certify(copy);
	root = kes_root(copy, 0);
	*ret = (struct event_rekey){ .levels = copy->params.levels, .height = copy->params.height };
	memcpy(ret->public_key, root.b, KES_PUBLIC_SIZE);
	return 0;
}

bool origin_is_pending(const struct origin *o)
{
	return o->pending;
}

int origin_retry(struct origin *o)
{
	return o->pending ? settle(o) : -ENOENT;
}

static int seal(struct origin *o, uint64_t now_ns, struct batch_item *items, size_t n_items,
		const struct event *events, size_t n_events)
{
	char message[SEAL_MESSAGE_SIZE_MAX];
	uint8_t sigma[KES_SIGMA_SIZE];
	ssize_t n;
	int r;

	buf_clear(&o->record);
	r = history_write_commit(o->history, now_ns, items, n_items, events, n_events, &o->record);
	if (r < 0)
		return r;
	n = history_seal_message(o->history, o->record.data, o->record.len, message);
	if (n < 0)
		return (int) n;
	/* Room first: once the key has signed there must be no way to lose the signature. */
	if (!buf_room(&o->record, KES_SIGMA_SIZE))
		return -ENOMEM;
	kes_sign(o->state.key, message, (size_t) n, sigma);
	buf_append(&o->record, sigma, sizeof sigma);
	o->type = LEDGER_COMMIT;
	o->unwritten = o->unsaved = o->pending = true;
	return settle(o);
}

int origin_commit(struct origin *o, uint64_t now_ns, struct batch_item *items, size_t n_items,
		  const struct event *events, size_t n_events)
{
	_cleanup_free_ struct event *more = NULL;
	struct event_rekey rekey;
	uint8_t body[64];
	struct wr w = wr_of(body, sizeof body);
	int r;

	if (o->pending)
		return -EBUSY;
	/* One place is kept for the rekey event, be it due or not, so that a caller's limit does not move. */
	if (n_events >= EVENTS_MAX)
		return BULLA_ELIMIT;
	r = prepare_key(o);
	if (r < 0)
		return r;
	if (o->state.key->counter + 1 < kes_capacity(&o->state.key->params))
		return seal(o, now_ns, items, n_items, events, n_events);
	r = prepare_successor(o, &rekey);
	if (r < 0)
		return r;
	more = reallocarray(NULL, n_events + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	if (n_events > 0)
		memcpy(more, events, n_events * sizeof *more);
	event_rekey_encode(&rekey, &w);
	more[n_events] = (struct event){ EVENT_REKEY, (uint16_t) w.len, body };
	return seal(o, now_ns, items, n_items, more, n_events + 1);
}

int origin_begin(struct origin *o, uint64_t now_ns, bool *ret_unclean)
{
	uint8_t genesis_body[EVENT_SIZE_MAX], up_body[32];
	struct wr genesis = wr_of(genesis_body, sizeof genesis_body),
		  up = wr_of(up_body, sizeof up_body);
	struct event events[2];
	bool unclean = history_is_up(o->history);
	size_t n = 0;
	int r;

	if (o->pending)
		return -EBUSY;
	r = prepare_key(o);
	if (r < 0)
		return r;
	if (history_size(o->history) == 0) {
		struct event_genesis g = {
			.levels = o->state.key->params.levels,
			.height = o->state.key->params.height,
			.created_ns = now_ns,
			.machine = o->machine,
			.host = (const uint8_t *) o->host,
			.host_len = (uint16_t) strlen(o->host),
		};
		struct hash root = kes_root(o->state.key, 0);

		memcpy(g.public_key, root.b, KES_PUBLIC_SIZE);
		randombytes_buf(g.nonce.b, ID_SIZE);
		event_genesis_encode(&g, &genesis);
		events[n++] = (struct event){ EVENT_GENESIS, (uint16_t) genesis.len, genesis_body };
	}
	event_up_encode(&(struct event_up){ .unclean = unclean, .boot = o->boot }, &up);
	events[n++] = (struct event){ EVENT_UP, (uint16_t) up.len, up_body };
	r = origin_commit(o, now_ns, NULL, 0, events, n);
	if (r >= 0)
		*ret_unclean = unclean;
	return r;
}

int origin_end(struct origin *o, uint64_t now_ns)
{
	return origin_commit(o, now_ns, NULL, 0, &(struct event){ EVENT_DOWN, 0, NULL }, 1);
}
