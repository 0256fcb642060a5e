/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A history takes a ledger as it was written, in whole, and nothing else: no bit changed, no record moved, left out or
 * taken from elsewhere, and no sealed nonsense either.
 */

#include "seal/history.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulla/error.h"
#include "tests/maker.h"
#include "tests/vectors.h"

Suite(history);

static const struct kes_params tiny = { 4, 1 }, flat = { 1, 4 };

static int feed(struct history *h, uint32_t type, const uint8_t *p, size_t n)
{
	uint8_t *exact = exact_copy(p, n);
	int r = type == LEDGER_HEADER ? history_header(h, exact, n)
				      : history_record(h, type, exact, n, NULL);

	free(exact);
	return r;
}

static int feed_record(struct history *h, const struct maker *m, size_t i)
{
	return feed(h, m->record[i].type, maker_bytes(m, i), m->record[i].len);
}

/* A history that has read the first n records. */
static struct history *read_up_to(const struct maker *m, size_t n)
{
	struct history *h = history_new();

	cr_assert(ne(ptr, h, NULL));
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(int, feed_record(h, m, i), 0), "record %zu", i);
	return h;
}

/* What was written is read. */

static void expect_same_history(const struct history *a, const struct history *b)
{
	struct hash x = frontier_root(history_tree(a)), y = frontier_root(history_tree(b));
	struct id boot_a = history_boot(a), boot_b = history_boot(b);

	cr_expect(eq(u64, history_size(a), history_size(b)));
	cr_expect(hash_same(&x, &y));
	cr_expect(id_equal(&boot_a, &boot_b));
	cr_expect(eq(int, history_is_up(a), history_is_up(b)));
	cr_expect(eq(u64, history_key_first(a), history_key_first(b)));
	cr_expect(eq(u64, history_time(a), history_time(b)));
	cr_assert(eq(u32, history_n_journals(a), history_n_journals(b)));
	for (uint32_t i = 0; i < history_n_journals(a); i++) {
		const struct ledger_journal *j = history_journal(a, i), *k = history_journal(b, i);

		cr_expect(id_equal(&j->id, &k->id));
		cr_expect(eq(u64, j->batches, k->batches));
		cr_expect(eq(u64, j->entries, k->entries));
		cr_expect(eq(int, j->closed, k->closed));
	}
}

Test(history, a_ledger_is_read_as_it_was_written)
{
	struct maker m;
	struct history *h;
	struct vkey pin;
	const struct ledger_journal *j;

	maker_init(&m, "reading", tiny);
	maker_story(&m);
	h = history_new();
	pin = history_vkey(m.h);
	history_pin(h, &pin);
	for (size_t i = 0; i < m.n; i++)
		cr_assert(eq(int, feed_record(h, &m, i), 0), "record %zu", i);
	expect_same_history(h, m.h);
	cr_expect(eq(u64, history_size(h), 19));
	cr_expect(eq(u64, history_key_first(h), 16));
	cr_expect(eq(int, strcmp(history_host(h), "host.example"), 0));
	cr_assert(eq(u32, history_n_journals(h), 3));
	j = history_journal(h, 0);
	cr_expect(eq(u64, j->batches, 3));
	cr_expect(eq(u64, j->entries, 3 + 70000 + 7));
	cr_expect(eq(u64, j->bytes, 100 * (3 + 70000 + 7)));
	cr_expect(eq(u64, j->opened, 1));
	cr_expect(eq(u64, j->last_commit, 6));
	cr_expect(j->closed);
	cr_expect(not(history_journal(h, 2)->closed));
	history_free(h);
	maker_done(&m);
}

Test(history, a_commit_tells_the_leaves_that_were_sealed)
{
	struct maker m;
	struct history *h;
	struct sealed_commit c;
	struct frontier batches = { 0 };
	struct hash leaf, want;
	struct id boot;

	maker_init(&m, "telling", tiny);
	maker_story(&m);
	/* The reboot, which is commit 6: its recovered batch keeps the boot of its journal. */
	h = read_up_to(&m, 0);
	for (size_t i = 0; i < m.n && history_size(h) < 7; i++)
		cr_assert(eq(int,
			     m.record[i].type == LEDGER_COMMIT
				     ? history_record(h, LEDGER_COMMIT, maker_bytes(&m, i),
						      m.record[i].len, &c)
				     : feed_record(h, &m, i),
			     0));
	cr_assert(eq(u64, c.commit.number, 6));
	cr_assert(eq(u32, c.commit.n_batches, 1));
	cr_expect(eq(u64, c.counter, 6));
	cr_expect(eq(u32, c.handles[0], 0));
	cr_expect(c.batches[0].recovered);
	cr_expect(eq(u64, c.batches[0].batch_no, 2));
	cr_expect(eq(u64, c.batches[0].first_seq, 70003));
	boot = maker_id(&m, "boot 1");
	cr_expect(id_equal(&c.batches[0].boot, &boot));
	boot = maker_id(&m, "boot 2");
	cr_expect(id_equal(&c.commit.boot, &boot));
	leaf = batch_leaf_hash(&c.batches[0]);
	frontier_push(&batches, &leaf);
	want = frontier_root(&batches);
	cr_expect(hash_same(&c.commit.batches_root, &want));
	cr_assert(eq(int, commit_leaf_hash(&c.commit, &want), 0));
	cr_expect(hash_same(&c.leaf, &want));
	want = frontier_root(history_tree(h));
	cr_expect(hash_same(&c.root, &want));
	history_free(h);
	maker_done(&m);
}

/* The bytes of a ledger with everything in it, in the tree for ever. */
Test(history, the_root_over_batches_is_the_tree_of_their_leaves)
{
	enum { MOST = 2 * BATCH_LEAVES_AT_ONCE + 9 };
	struct batch batches[MOST] = { 0 };
	struct frontier tree = { 0 };

	for (size_t n = 0; n < MOST; n++) {
		struct hash want = frontier_root(&tree), got = batches_root(batches, n), leaf;

		cr_expect(hash_same(&got, &want), "%zu batches", n);
		batches[n].batch_no = n;
		leaf = batch_leaf_hash(&batches[n]);
		frontier_push(&tree, &leaf);
	}
}

Test(history, the_ledger_of_the_first_format_is_still_written_and_read)
{
	static uint8_t want[1 << 16];
	size_t n = vectors_read(GOLDEN_DIR "/story.ledger", want, sizeof want);
	struct buf got = { 0 };
	struct maker m;

	maker_init(&m, "golden", tiny);
	maker_story(&m);
	maker_frames(&m, &got);
	cr_expect(eq(sz, got.len, n));
	cr_expect(eq(int, memcmp(got.data, want, MIN_OF(n, got.len)), 0));
	buf_done(&got);
	maker_done(&m);
}

/* Changed bytes. */

/* Flags that a reader may ignore are the one place where a bit may differ. */
static bool is_free(const struct maker *m, size_t record, size_t byte)
{
	return m->record[record].type == LEDGER_HEADER && byte >= 8 && byte < 12;
}

/* Feed a changed record; where it passes, what it changed must show in the next one. */
static bool goes_through(struct history **h, const struct maker *m, size_t i, const uint8_t *bytes,
			 size_t n)
{
	bool good;

	if (feed(*h, m->record[i].type, bytes, n) < 0)
		return false;
	good = i + 1 == m->n || feed_record(*h, m, i + 1) >= 0;
	history_free(*h);
	*h = read_up_to(m, i);
	return good;
}

static void flip_every_bit(struct kes_params params)
{
	struct maker m;

	maker_init(&m, "flipping", params);
	maker_story(&m);
	for (size_t i = 0; i < m.n; i++) {
		struct history *h = read_up_to(&m, i);
		uint8_t *bytes = exact_copy(maker_bytes(&m, i), m.record[i].len);

		for (size_t bit = 0; bit < 8 * m.record[i].len; bit++) {
			bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
			cr_expect(eq(int, goes_through(&h, &m, i, bytes, m.record[i].len),
				     is_free(&m, i, bit / 8)),
				  "record %zu of type %u, bit %zu", i, m.record[i].type, bit);
			bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
		/* What was refused left no trace. */
		cr_expect(eq(int, feed_record(h, &m, i), 0), "record %zu", i);
		free(bytes);
		history_free(h);
	}
	maker_done(&m);
}

Test(history, no_bit_of_a_record_can_be_another)
{
	flip_every_bit(tiny);
}

Test(history, no_bit_of_a_record_can_be_another_with_one_level)
{
	flip_every_bit(flat);
}

Test(history, no_record_can_be_shorter_or_longer)
{
	struct maker m;

	maker_init(&m, "cutting", tiny);
	maker_story(&m);
	for (size_t i = 0; i < m.n; i++) {
		struct history *h = read_up_to(&m, i);
		uint8_t *longer = calloc(1, m.record[i].len + 1);

		memcpy(longer, maker_bytes(&m, i), m.record[i].len);
		for (size_t n = 0; n <= m.record[i].len + 1; n++)
			if (n != m.record[i].len)
				cr_expect(not(goes_through(&h, &m, i, longer, n)),
					  "record %zu with %zu of %zu bytes", i, n,
					  m.record[i].len);
		free(longer);
		history_free(h);
	}
	maker_done(&m);
}

/* Records in another order. */

/* Feed records in the order of `place`, n of them. */
static bool order_goes_through(const struct maker *m, const size_t *place, size_t n)
{
	struct history *h = history_new();
	bool good = true;

	for (size_t i = 0; i < n && good; i++)
		good = feed_record(h, m, place[i]) >= 0;
	history_free(h);
	return good;
}

Test(history, records_left_out_doubled_or_swapped_are_missed)
{
	struct maker m;
	size_t place[MAKER_RECORDS_MAX];

	maker_init(&m, "moving", tiny);
	maker_story(&m);
	for (size_t at = 0; at < m.n; at++) {
		size_t n = 0;

		for (size_t i = 0; i < m.n; i++)
			if (i != at)
				place[n++] = i;
		cr_expect(eq(int, order_goes_through(&m, place, n), at == m.n - 1), "without %zu",
			  at);
		n = 0;
		for (size_t i = 0; i < m.n; i++) {
			place[n++] = i;
			if (i == at)
				place[n++] = i;
		}
		cr_expect(not(order_goes_through(&m, place, n)), "twice %zu", at);
		for (size_t i = 0; i < m.n; i++)
			place[i] = i;
		if (at + 1 < m.n) {
			place[at] = at + 1;
			place[at + 1] = at;
			cr_expect(not(order_goes_through(&m, place, m.n)), "%zu swapped", at);
		}
	}
	maker_done(&m);
}

Test(history, records_of_another_origin_do_not_fit)
{
	struct maker a, b;

	maker_init(&a, "one", tiny);
	maker_story(&a);
	maker_init(&b, "another", tiny);
	maker_story(&b);
	cr_assert(eq(sz, a.n, b.n));
	/* Record 1 is the key that everything else follows from. */
	for (size_t i = 2; i < a.n; i++) {
		struct history *h = read_up_to(&a, i);

		cr_expect(lt(int, feed_record(h, &b, i), 0), "record %zu", i);
		cr_expect(eq(int, feed_record(h, &a, i), 0), "record %zu", i);
		history_free(h);
	}
	maker_done(&a);
	maker_done(&b);
}

/* Pins. */

Test(history, a_ledger_under_another_key_than_the_pinned_one_is_tampering)
{
	struct maker m;
	struct vkey good, pin;

	maker_init(&m, "pinned", tiny);
	good = history_vkey(m.h);
	for (int change = 0; change <= 2; change++) {
		struct history *h = history_new();

		pin = good;
		if (change == 1)
			pin.origin.b[5] ^= 1;
		if (change == 2)
			pin.public_key[5] ^= 1;
		history_pin(h, &pin);
		cr_assert(eq(int, feed_record(h, &m, 0), 0));
		cr_assert(eq(int, feed_record(h, &m, 1), 0));
		cr_expect(eq(int, feed_record(h, &m, 2), change ? BULLA_ETAMPERED : 0));
		cr_expect(eq(u64, history_size(h), change ? 0 : 1));
		history_free(h);
	}
	maker_done(&m);
}

/* Headers. */

Test(history, headers_of_other_formats_are_refused)
{
	struct buf b = { 0 };
	struct history *h = history_new();

	history_write_header(0, &b);
	cr_assert(eq(sz, b.len, LEDGER_HEADER_SIZE));
	b.data[0] ^= 1;
	cr_expect(eq(int, feed(h, LEDGER_HEADER, b.data, b.len), BULLA_EVERSION));
	b.data[0] ^= 1;
	b.data[12] = 1;
	cr_expect(eq(int, feed(h, LEDGER_HEADER, b.data, b.len), BULLA_EVERSION));
	b.data[12] = 0;
	b.data[8] = 0xff;
	cr_expect(eq(int, feed(h, LEDGER_HEADER, b.data, b.len), 0));
	cr_expect(eq(int, history_record(h, 99, b.data, b.len, NULL), BULLA_EVERSION));
	buf_done(&b);
	history_free(h);
}

/* Sealed nonsense: what a sealer gone wrong could sign is refused before it signs. */

static struct maker m;
static uint8_t body[8][128];

static void begin_nonsense(const char *name)
{
	struct event open;
	struct batch_item item;

	maker_init(&m, name, flat);
	open = maker_open(&m, "A", body[0]);
	item = maker_item(&m, 0, 3);
	maker_commit(&m, &item, 1, &open, 1);
}

static int try_commit(struct batch_item *items, size_t n_items, const struct event *events,
		      size_t n_events)
{
	struct buf b = { 0 };
	char message[SEAL_MESSAGE_SIZE_MAX];
	ssize_t r = maker_write(&m, items, n_items, events, n_events, &b);

	if (r >= 0)
		r = history_seal_message(m.h, b.data, b.len, message);
	buf_done(&b);
	return r < 0 ? (int) r : 0;
}

static int try_item(struct batch_item item)
{
	return try_commit(&item, 1, NULL, 0);
}

static int try_event(struct event event)
{
	return try_commit(NULL, 0, &event, 1);
}

static int try_events(struct event a, struct event b)
{
	return try_commit(NULL, 0, (const struct event[]){ a, b }, 2);
}

Test(history, batches_that_cannot_be_are_refused)
{
	struct batch_item item, two[2];

	begin_nonsense("batches");
	item = maker_item(&m, 0, 1);
	cr_expect(eq(int, try_item(item), 0));
	item.handle = 1;
	cr_expect(eq(int, try_item(item), BULLA_EORDER));
	item = maker_item(&m, 0, 0);
	cr_expect(eq(int, try_item(item), BULLA_ECORRUPT));
	item = maker_item(&m, 0, 1);
	item.time_max = item.time_min - 1;
	cr_expect(eq(int, try_item(item), BULLA_ECORRUPT));
	item.time_max = item.time_min = UINT64_MAX;
	cr_expect(eq(int, try_item(item), 0));
	item.bytes = UINT64_MAX;
	cr_expect(eq(int, try_item(item), BULLA_ECORRUPT));
	item.bytes = UINT64_MAX - 300;
	cr_expect(eq(int, try_item(item), 0));
	two[0] = two[1] = maker_item(&m, 0, 1);
	cr_expect(eq(int, try_commit(two, 2, NULL, 0), BULLA_ENOTCANON));
	maker_done(&m);
}

Test(history, journals_open_once_and_end_with_their_close)
{
	struct batch_item item;
	struct event open, close, wrong;

	begin_nonsense("closes");
	open = maker_open(&m, "A", body[0]);
	cr_expect(eq(int, try_event(open), BULLA_EORDER));
	open = maker_open(&m, "B", body[0]);
	cr_expect(eq(int, try_event(open), 0));
	cr_expect(eq(int, try_events(open, open), BULLA_EORDER));
	close = maker_close(&m, 0, 0, 0, body[1]);
	cr_expect(eq(int, try_event(close), 0));
	cr_expect(eq(int, try_events(close, close), BULLA_EORDER));
	wrong = maker_close(&m, 0, 1, 0, body[2]);
	cr_expect(eq(int, try_event(wrong), BULLA_EORDER));
	wrong = maker_close(&m, 0, 0, 1, body[2]);
	cr_expect(eq(int, try_event(wrong), BULLA_EORDER));
	item = maker_item(&m, 0, 4);
	cr_expect(eq(int, try_commit(&item, 1, &close, 1), BULLA_EORDER));
	wrong = maker_close(&m, 0, 1, 4, body[2]);
	cr_expect(eq(int, try_commit(&item, 1, &wrong, 1), 0));
	wrong.len--;
	cr_expect(eq(int, try_commit(&item, 1, &wrong, 1), BULLA_ENOTCANON));
	body[1][0] ^= 1;
	cr_expect(eq(int, try_event(close), BULLA_EORDER));
	body[1][0] ^= 1;
	maker_commit(&m, NULL, 0, &close, 1);
	cr_expect(eq(int, try_event(close), BULLA_EORDER));
	cr_expect(eq(int, try_item(maker_item(&m, 0, 1)), BULLA_EORDER));
	maker_done(&m);
}

static struct event prune_event(uint32_t handle, uint64_t batches, uint8_t *to)
{
	struct event_prune prune = { history_journal(m.h, handle)->id, batches };
	struct wr w = wr_of(to, 128);

	event_prune_encode(&prune, &w);
	return (struct event){ EVENT_PRUNE, (uint16_t) w.len, to };
}

Test(history, what_is_pruned_was_there_and_was_not_pruned_before)
{
	struct event prune, close;
	struct batch_item item;
	uint64_t had;

	begin_nonsense("prunes");
	had = history_journal(m.h, 0)->batches;
	for (int i = 0; i < 3; i++) {
		item = maker_item(&m, 0, 2);
		maker_commit(&m, &item, 1, NULL, 0);
	}
	cr_expect(eq(int, try_event(prune_event(0, had + 4, body[0])), BULLA_EORDER));
	/* Nor what comes with this very commit. */
	item = maker_item(&m, 0, 2);
	prune = prune_event(0, had + 4, body[0]);
	cr_expect(eq(int, try_commit(&item, 1, &prune, 1), BULLA_EORDER));
	cr_expect(eq(int, try_event(prune_event(0, 0, body[0])), BULLA_EORDER));
	prune = prune_event(0, had + 2, body[0]);
	cr_expect(eq(int, try_events(prune, prune_event(0, had + 3, body[1])), BULLA_EORDER));
	prune.len++;
	cr_expect(eq(int, try_event(prune), BULLA_ENOTCANON));
	prune.len--;
	maker_commit(&m, NULL, 0, &prune, 1);
	cr_expect(eq(u64, history_journal(m.h, 0)->pruned_batches, had + 2));
	cr_expect(eq(int, try_event(prune), BULLA_EORDER));
	close = maker_close(&m, 0, 0, 0, body[2]);
	maker_commit(&m, NULL, 0, &close, 1);
	prune = prune_event(0, had + 3, body[0]);
	maker_commit(&m, NULL, 0, &prune, 1);
	cr_expect(eq(u64, history_journal(m.h, 0)->pruned_batches, had + 3));
	body[0][0] ^= 1;
	cr_expect(eq(int, try_event(prune), BULLA_EORDER));
	maker_done(&m);
}

Test(history, a_journal_without_batches_is_pruned_once)
{
	struct event open, prune, close;

	begin_nonsense("empty");
	open = maker_open(&m, "B", body[0]);
	maker_commit(&m, NULL, 0, &open, 1);
	prune = prune_event(1, 0, body[0]);
	cr_expect(eq(int, try_event(prune), BULLA_EORDER));
	close = maker_close(&m, 1, 0, 0, body[1]);
	maker_commit(&m, NULL, 0, &close, 1);
	maker_commit(&m, NULL, 0, &prune, 1);
	cr_expect(history_journal(m.h, 1)->pruned);
	cr_expect(eq(int, try_event(prune), BULLA_EORDER));
	maker_done(&m);
}

Test(history, a_journal_can_open_fill_and_close_in_one_commit)
{
	struct batch_item item;
	struct event events[2];
	struct event_close close = { .batches = 1, .entries = 9 };
	struct wr w = wr_of(body[1], sizeof body[1]);

	begin_nonsense("brief");
	events[0] = maker_open(&m, "brief", body[0]);
	close.journal = maker_id(&m, "brief");
	event_close_encode(&close, &w);
	events[1] = (struct event){ EVENT_CLOSE, (uint16_t) w.len, body[1] };
	item = maker_item(&m, 1, 9);
	maker_commit(&m, &item, 1, events, 2);
	cr_expect(history_journal(m.h, 1)->closed);
	cr_expect(eq(u64, history_journal(m.h, 1)->entries, 9));
	maker_done(&m);
}

Test(history, only_recovered_batches_outlive_a_boot)
{
	struct batch_item item;
	struct event up;

	begin_nonsense("boots");
	up = maker_up(&m, "another boot", body[0]);
	maker_commit(&m, NULL, 0, &up, 1);
	item = maker_item(&m, 0, 1);
	cr_expect(eq(int, try_item(item), BULLA_EORDER));
	item.recovered = true;
	cr_expect(eq(int, try_item(item), 0));
	maker_done(&m);
}

Test(history, a_life_begins_once_and_pauses_between_down_and_up)
{
	const struct event down = { EVENT_DOWN, 0, NULL }, beat = { EVENT_HEARTBEAT, 0, NULL };
	struct event up, genesis = { EVENT_GENESIS, 0, body[3] };
	struct event_genesis g = { .levels = 1, .height = 4 };
	struct wr w = wr_of(body[3], sizeof body[3]);

	begin_nonsense("life");
	event_genesis_encode(&g, &w);
	genesis.len = (uint16_t) w.len;
	cr_expect(eq(int, try_event(genesis), BULLA_EORDER));
	up = maker_up(&m, "boot", body[0]);
	cr_expect(eq(int, try_event(up), 0));
	cr_expect(eq(int, try_events(up, up), BULLA_EORDER));
	cr_expect(eq(int, try_events(up, down), BULLA_EORDER));
	cr_expect(eq(int, try_events(down, up), BULLA_EORDER));
	cr_expect(eq(int, try_events(down, down), BULLA_EORDER));
	cr_expect(eq(int, try_event((struct event){ EVENT_DOWN, 1, body[3] }), BULLA_ENOTCANON));
	/* An end that was not clean cannot be called so. */
	body[0][0] = 0;
	cr_expect(eq(int, try_event(up), BULLA_EORDER));
	maker_commit(&m, NULL, 0, &down, 1);
	cr_expect(not(history_is_up(m.h)));
	cr_expect(eq(int, try_event(beat), BULLA_EORDER));
	cr_expect(eq(int, try_event(down), BULLA_EORDER));
	cr_expect(eq(int, try_event(up), 0));
	body[0][0] = 1;
	cr_expect(eq(int, try_event(up), BULLA_EORDER));
	maker_done(&m);
}

Test(history, a_key_is_named_once_and_with_a_lawful_shape)
{
	struct event_rekey rekey = { .levels = 1, .height = 4 };
	struct wr w = wr_of(body[0], sizeof body[0]);
	struct event event;

	begin_nonsense("rekeys");
	event_rekey_encode(&rekey, &w);
	event = (struct event){ EVENT_REKEY, (uint16_t) w.len, body[0] };
	cr_expect(eq(int, try_event(event), 0));
	cr_expect(eq(int, try_events(event, event), BULLA_EORDER));
	body[0][1] = 9;
	cr_expect(eq(int, try_event(event), BULLA_ECORRUPT));
	maker_done(&m);
}

/* Genesis records of hosts with names that a terminal would act on. */
static int try_host(const char *host, size_t len)
{
	struct history *h = history_new();
	struct event_genesis g = {
		.levels = 1, .height = 4, .host = (const uint8_t *) host, .host_len = (uint16_t) len
	};
	uint8_t bytes[EVENT_SIZE_MAX];
	struct wr w = wr_of(bytes, sizeof bytes);
	struct event events[2];
	char message[SEAL_MESSAGE_SIZE_MAX];
	struct buf b = { 0 };
	ssize_t r;

	cr_assert(eq(int, feed_record(h, &m, 0), 0));
	cr_assert(eq(int, feed_record(h, &m, 1), 0));
	memcpy(g.public_key, history_public_key(h), sizeof g.public_key);
	event_genesis_encode(&g, &w);
	events[0] = (struct event){ EVENT_GENESIS, (uint16_t) w.len, bytes };
	memset(body[1], 0, sizeof body[1]);
	events[1] = (struct event){ EVENT_UP, 1 + ID_SIZE, body[1] };
	cr_assert(eq(int, history_write_commit(h, 1, NULL, 0, events, 2, &b), 0));
	r = history_seal_message(h, b.data, b.len, message);
	buf_done(&b);
	history_free(h);
	return r < 0 ? (int) r : 0;
}

Test(history, a_host_has_a_name_that_can_be_shown)
{
	char longest[HOST_NAME_MAX_LEN + 1];

	begin_nonsense("hosts");
	memset(longest, 'h', sizeof longest);
	cr_expect(eq(int, try_host("", 0), 0));
	cr_expect(eq(int, try_host("h\xc3\xb6st", 5), 0));
	cr_expect(eq(int, try_host(longest, HOST_NAME_MAX_LEN), 0));
	cr_expect(eq(int, try_host(longest, HOST_NAME_MAX_LEN + 1), BULLA_ENOTCANON));
	cr_expect(eq(int, try_host("a\0b", 3), BULLA_ENOTCANON));
	cr_expect(eq(int, try_host("\033[2J", 4), BULLA_ENOTCANON));
	cr_expect(eq(int, try_host("a\x7f", 2), BULLA_ENOTCANON));
	maker_done(&m);
}

Test(history, numbers_and_sizes_have_limits)
{
	struct event *events = calloc(EVENTS_MAX + 1, sizeof *events);
	uint8_t *bytes = calloc(1, EVENT_SIZE_MAX + 1);
	struct event big = { EVENT_HOLE, EVENT_SIZE_MAX, bytes };

	begin_nonsense("limits");
	for (size_t i = 0; i <= EVENTS_MAX; i++)
		events[i] = (struct event){ EVENT_HEARTBEAT, 0, NULL };
	cr_expect(eq(int, try_commit(NULL, 0, events, EVENTS_MAX), 0));
	cr_expect(eq(int, try_commit(NULL, 0, events, EVENTS_MAX + 1), BULLA_ELIMIT));
	cr_expect(eq(int, try_event(big), 0));
	big.len++;
	cr_expect(eq(int, try_event(big), BULLA_ECORRUPT));
	free(events);
	free(bytes);
	maker_done(&m);
}

/* Keys. */

/* A tree's root does not say how high it is: two inner nodes pass for the keys of a lower tree with the same root. */
Test(history, a_new_key_has_the_shape_that_was_named)
{
	struct event_rekey rekey = { .levels = 1, .height = 2 };
	struct wr w = wr_of(body[0], sizeof body[0]);
	struct kes *next = kes_new();
	struct buf good = { 0 }, lower = { 0 };
	struct event event;
	struct hash root;

	begin_nonsense("shapes");
	kes_generate(next, &(struct kes_params){ 1, 2 });
	kes_certify(next);
	root = kes_root(next, 0);
	memcpy(rekey.public_key, root.b, KES_PUBLIC_SIZE);
	event_rekey_encode(&rekey, &w);
	event = (struct event){ EVENT_REKEY, (uint16_t) w.len, body[0] };
	maker_commit(&m, NULL, 0, &event, 1);
	cr_expect(not(history_keys_ready(m.h)));
	history_write_keys(next, &good);
	next->params.height = 1;
	history_write_keys(next, &lower);
	cr_expect(eq(int, history_keys(m.h, lower.data, lower.len), BULLA_EORDER));
	cr_expect(eq(int, history_keys(m.h, good.data, good.len), 0));
	cr_expect(history_keys_ready(m.h));
	buf_done(&good);
	buf_done(&lower);
	kes_free(next);
	maker_done(&m);
}

Test(history, a_new_key_is_the_one_that_was_named)
{
	struct event_rekey rekey = { .levels = 1, .height = 2 };
	struct wr w = wr_of(body[0], sizeof body[0]);
	struct kes *next = kes_new();
	struct buf b = { 0 };
	struct event event;

	begin_nonsense("names");
	kes_generate(next, &(struct kes_params){ 1, 2 });
	kes_certify(next);
	event_rekey_encode(&rekey, &w);
	event = (struct event){ EVENT_REKEY, (uint16_t) w.len, body[0] };
	maker_commit(&m, NULL, 0, &event, 1);
	history_write_keys(next, &b);
	cr_expect(eq(int, history_keys(m.h, b.data, b.len), BULLA_ESIG));
	cr_expect(eq(int, try_event((struct event){ EVENT_HEARTBEAT, 0, NULL }), BULLA_EORDER));
	buf_done(&b);
	kes_free(next);
	maker_done(&m);
}

Test(history, a_loaded_key_is_filled_in_only_by_its_own_history)
{
	uint8_t state[KES_STATE_SIZE_MAX];
	struct wr w = wr_of(state, sizeof state);
	struct kes *loaded = kes_new();
	struct maker other;
	struct rd r;

	begin_nonsense("loading");
	maker_init(&other, "another", flat);
	maker_commit(&other, NULL, 0, NULL, 0);
	kes_save(m.key, &w);
	r = rd_of(state, w.len);
	cr_assert(eq(int, kes_load(loaded, &r), 0));
	cr_expect(eq(int, history_fill_key(other.h, loaded), BULLA_EORDER));
	cr_expect(eq(int, history_fill_key(m.h, loaded), 0));
	cr_expect(history_has_key(m.h, loaded));
	cr_expect(not(history_has_key(other.h, loaded)));
	kes_free(loaded);
	maker_done(&other);
	maker_done(&m);
}

/* Lookup. */

Test(history, thousands_of_journals_are_found)
{
	enum { COMMITS = 10, EACH = 300 };
	static uint8_t bodies[EACH][128];
	struct event events[EACH];
	char name[32];

	maker_init(&m, "many", flat);
	for (int c = 0; c < COMMITS; c++) {
		for (int i = 0; i < EACH; i++) {
			snprintf(name, sizeof name, "journal %d", c * EACH + i);
			events[i] = maker_open(&m, name, bodies[i]);
		}
		maker_commit(&m, NULL, 0, events, EACH);
	}
	cr_expect(eq(u32, history_n_journals(m.h), COMMITS * EACH));
	for (int i = 0; i < COMMITS * EACH; i++) {
		struct id id;

		snprintf(name, sizeof name, "journal %d", i);
		id = maker_id(&m, name);
		cr_expect(eq(i64, history_find_journal(m.h, &id), i));
		id.b[15] ^= 1;
		cr_expect(lt(i64, history_find_journal(m.h, &id), 0));
	}
	maker_done(&m);
}
