/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/maker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/frame.h"
#include "bulla/error.h"

static struct hash named(const struct maker *m, const char *text)
{
	const struct span parts[] = { { (const uint8_t *) m->name, strlen(m->name) + 1 },
				      { (const uint8_t *) text, strlen(text) } };

	return sha256_concat(parts, ELEMENTS(parts));
}

struct id maker_id(const struct maker *m, const char *text)
{
	struct hash h = named(m, text);
	struct id id;

	memcpy(id.b, h.b, ID_SIZE);
	return id;
}

/* Keys. */

static void fix_seeds(const struct maker *m, struct kes *k, uint64_t key_first)
{
	for (unsigned l = k->renewing; l < k->params.levels; l++) {
		char text[96];
		struct hash h;

		snprintf(text, sizeof text, "key %llu counter %llu level %u",
			 (unsigned long long) key_first, (unsigned long long) k->counter, l);
		h = named(m, text);
		memcpy(k->pending_seed[l], h.b, KES_SEED_SIZE);
	}
}

static struct kes *new_key(const struct maker *m, uint64_t key_first)
{
	struct kes *k = kes_new();

	assert(k);
	kes_generate(k, &m->params);
	fix_seeds(m, k, key_first);
	kes_certify(k);
	return k;
}

static struct buf *record_begin(struct maker *m, uint32_t type)
{
	assert(m->n < MAKER_RECORDS_MAX);
	m->record[m->n] = (struct maker_record){ type, m->bytes.len, 0 };
	return &m->bytes;
}

static void record_end(struct maker *m)
{
	assert(!m->bytes.bad);
	m->record[m->n].len = m->bytes.len - m->record[m->n].at;
	m->n++;
}

static void announce(struct maker *m)
{
	int r;

	history_write_keys(m->key, record_begin(m, LEDGER_KEYS));
	record_end(m);
	r = history_keys(m->h, maker_bytes(m, m->n - 1), m->record[m->n - 1].len);
	assert(r == 0);
}

static void ready_key(struct maker *m)
{
	if (kes_needs_renewal(m->key)) {
		kes_renew(m->key);
		fix_seeds(m, m->key, history_key_first(m->h));
		kes_certify(m->key);
	}
	if (!history_keys_ready(m->h))
		announce(m);
}

/* Commits. */

int maker_write(struct maker *m, struct batch_item *items, size_t n_items,
		const struct event *events, size_t n_events, struct buf *to)
{
	return history_write_commit(m->h, m->time_ns, items, n_items, events, n_events, to);
}

static void seal(struct maker *m, struct batch_item *items, size_t n_items,
		 const struct event *events, size_t n_events)
{
	struct maker_record *record = &m->record[m->n];
	char message[SEAL_MESSAGE_SIZE_MAX];
	uint8_t sigma[KES_SIGMA_SIZE];
	ssize_t n;
	int r;

	m->time_ns += NS_PER_S;
	r = maker_write(m, items, n_items, events, n_events, record_begin(m, LEDGER_COMMIT));
	assert(r == 0);
	n = history_seal_message(m->h, m->bytes.data + record->at, m->bytes.len - record->at,
				 message);
	assert(n > 0);
	kes_sign(m->key, message, (size_t) n, sigma);
	buf_append(&m->bytes, sigma, sizeof sigma);
	record_end(m);
	/* Checked in full, although it is our own: what a sealer writes, everybody must take. */
	r = history_commit(m->h, m->bytes.data + record->at, record->len, HISTORY_CHECK_ALL, NULL);
	assert(r == 0);
}

void maker_commit(struct maker *m, struct batch_item *items, size_t n_items,
		  const struct event *events, size_t n_events)
{
	struct event more[16];
	struct event_rekey rekey;
	struct kes *next;
	struct hash root;
	uint8_t body[64];
	struct wr w = wr_of(body, sizeof body);

	ready_key(m);
	if (m->key->counter + 1 < kes_capacity(&m->key->params)) {
		seal(m, items, n_items, events, n_events);
		return;
	}
	assert(n_events < ELEMENTS(more));
	if (n_events > 0)
		memcpy(more, events, n_events * sizeof *more);
	next = new_key(m, history_size(m->h) + 1);
	root = kes_root(next, 0);
	rekey = (struct event_rekey){ .levels = m->params.levels, .height = m->params.height };
	memcpy(rekey.public_key, root.b, KES_PUBLIC_SIZE);
	event_rekey_encode(&rekey, &w);
	more[n_events] = (struct event){ EVENT_REKEY, (uint16_t) w.len, body };
	seal(m, items, n_items, more, n_events + 1);
	kes_free(m->key);
	m->key = next;
}

struct batch_item maker_item(const struct maker *m, uint32_t handle, uint32_t entries)
{
	char text[64];

	snprintf(text, sizeof text, "root %u of %llu", handle,
		 (unsigned long long) history_size(m->h));
	return (struct batch_item){
		.handle = handle,
		.entries = entries,
		.bytes = 100ull * entries,
		.time_min = m->time_ns - NS_PER_S / 2 * handle,
		.time_max = m->time_ns + 2 * NS_PER_S,
		.mono_offset = -1000 - (int64_t) history_size(m->h),
		.root = named(m, text),
	};
}

struct event maker_open(const struct maker *m, const char *journal, uint8_t body[128])
{
	struct wr w = wr_of(body, 128);
	uint8_t seed[SEED_SIZE] = "seed";
	struct event_open open = {
		.journal = maker_id(m, journal),
		.identity = named(m, "identity"),
	};

	open.seed_commitment = seed_commitment(&open.journal, seed);
	event_open_encode(&open, &w);
	return (struct event){ EVENT_OPEN, (uint16_t) w.len, body };
}

struct event maker_close(const struct maker *m, uint32_t handle, uint64_t more_batches,
			 uint64_t more_entries, uint8_t body[128])
{
	const struct ledger_journal *j = history_journal(m->h, handle);
	struct event_close close = { j->id, j->batches + more_batches, j->entries + more_entries };
	struct wr w = wr_of(body, 128);

	event_close_encode(&close, &w);
	return (struct event){ EVENT_CLOSE, (uint16_t) w.len, body };
}

struct event maker_up(struct maker *m, const char *boot, uint8_t body[128])
{
	struct wr w = wr_of(body, 128);

	m->boot = maker_id(m, boot);
	event_up_encode(&(struct event_up){ .unclean = history_is_up(m->h), .boot = m->boot }, &w);
	return (struct event){ EVENT_UP, (uint16_t) w.len, body };
}

/* Ledgers. */

void maker_init(struct maker *m, const char *name, struct kes_params params)
{
	static const char host[] = "host.example";
	uint8_t genesis_body[256], up_body[128];
	struct wr w = wr_of(genesis_body, sizeof genesis_body);
	struct event_genesis genesis = { .levels = params.levels,
					 .height = params.height,
					 .host = (const uint8_t *) host,
					 .host_len = STRLEN(host) };
	struct event events[2];
	struct hash root;
	int r;

	*m = (struct maker){ .name = name, .params = params, .time_ns = 1700000000 * NS_PER_S };
	m->h = history_new();
	assert(m->h);
	m->key = new_key(m, 0);
	history_write_header(0, record_begin(m, LEDGER_HEADER));
	record_end(m);
	r = history_header(m->h, maker_bytes(m, 0), m->record[0].len);
	assert(r == 0);
	announce(m);
	root = kes_root(m->key, 0);
	memcpy(genesis.public_key, root.b, KES_PUBLIC_SIZE);
	genesis.created_ns = m->time_ns;
	genesis.nonce = maker_id(m, "nonce");
	genesis.machine = maker_id(m, "machine");
	event_genesis_encode(&genesis, &w);
	events[0] = (struct event){ EVENT_GENESIS, (uint16_t) w.len, genesis_body };
	events[1] = maker_up(m, "boot 1", up_body);
	maker_commit(m, NULL, 0, events, 2);
}

void maker_done(struct maker *m)
{
	history_free(m->h);
	kes_free(m->key);
	buf_done(&m->bytes);
	*m = (struct maker){ 0 };
}

static void story_of_two_journals(struct maker *m)
{
	uint8_t body[2][128];
	struct batch_item items[2];
	struct event events[2] = { maker_open(m, "A", body[0]), maker_open(m, "B", body[1]) };

	items[0] = maker_item(m, 0, 3);
	items[1] = maker_item(m, 1, 1);
	maker_commit(m, items, 2, events, 2);
	events[0] = (struct event){ EVENT_HEARTBEAT, 0, NULL };
	maker_commit(m, NULL, 0, events, 1);
	items[0] = maker_item(m, 0, 70000);
	items[1] = maker_item(m, 1, 2);
	maker_commit(m, items, 2, NULL, 0);
	items[0] = maker_item(m, 1, 5);
	events[0] = maker_close(m, 1, 1, 5, body[0]);
	maker_commit(m, items, 1, events, 1);
}

void maker_story(struct maker *m)
{
	uint8_t body[3][128];
	struct batch_item item;
	struct event events[3];

	story_of_two_journals(m);
	maker_commit(m, NULL, 0, &(struct event){ EVENT_DOWN, 0, NULL }, 1);
	item = maker_item(m, 0, 7);
	item.recovered = true;
	events[0] = maker_up(m, "boot 2", body[0]);
	events[1] = maker_close(m, 0, 1, 7, body[1]);
	events[2] = maker_open(m, "C", body[2]);
	maker_commit(m, &item, 1, events, 3);
	events[0] = (struct event){ 77, 5, (const uint8_t *) "what?" };
	events[1] = (struct event){ EVENT_HOLE, 4, (const uint8_t *) "hole" };
	maker_commit(m, NULL, 0, events, 2);
	for (int i = 0; i < 10; i++) {
		item = maker_item(m, 2, 1 + (uint32_t) i);
		maker_commit(m, &item, 1, NULL, 0);
	}
	/* Nobody said goodbye. */
	events[0] = maker_up(m, "boot 3", body[0]);
	maker_commit(m, NULL, 0, events, 1);
}

void maker_frames(const struct maker *m, struct buf *to)
{
	for (size_t i = 0; i < m->n; i++) {
		uint8_t *at = buf_room(to, frame_space(m->record[i].len));

		assert(at);
		memcpy(at + FRAME_HEADER_SIZE, maker_bytes(m, i), m->record[i].len);
		buf_add(to, frame_finish(at, m->record[i].type, (uint32_t) m->record[i].len));
	}
}
