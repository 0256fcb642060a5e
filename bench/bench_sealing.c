/* SPDX-License-Identifier: Apache-2.0 */

/**
 * sealing: what a seal costs, apart from the disk.  An entry of 206 bytes in its batch's tree; a commit, its files in memory if
 * --dir is; bytes of the ledger for each entry; and what checking a seal costs who verifies.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/measure.h"
#include "seal/ledger.h"
#include "seal/origin.h"
#include "store/batchroot.h"

enum {
	ENTRY_SIZE = 206,
	ENTRIES = 200000,
	BATCH_ENTRIES = 4096,
	JOURNALS = 4096,
	COMMITS = 2000,
	FULL_BATCH = 20000, /* entries of 206 bytes that a batch holds */
};

/* Entries. */

static double entry_ns(const uint8_t *message, size_t n)
{
	const uint8_t seed[SEED_SIZE] = { 1 };
	struct batchroot root = { 0 };
	uint64_t cpu = bench_cpu_ns();

	for (size_t i = 0; i < n; i++) {
		struct entry e = { .time_ns = 1763884800000000000u + i,
				   .received_ns = 1763884800000000000u + i,
				   .message = message + i % 64,
				   .message_len = ENTRY_SIZE,
				   .priority = 6 };

		if (i % BATCH_ENTRIES == 0) {
			if (i > 0)
				batchroot_get(&root);
			batchroot_begin(&root, seed, i / BATCH_ENTRIES, false);
		}
		must(batchroot_add(&root, &e), "root");
	}
	batchroot_get(&root);
	cpu = bench_cpu_ns() - cpu;
	batchroot_done(&root);
	return (double) cpu / (double) n;
}

static double hash_ns(const uint8_t *message, size_t n)
{
	uint8_t hash[HASH_SIZE];
	uint64_t cpu = bench_cpu_ns();

	for (size_t i = 0; i < n; i++)
		crypto_hash_sha256(hash, message + i % 64, ENTRY_SIZE);
	return (double) (bench_cpu_ns() - cpu) / (double) n;
}

static void entries(const struct bench *b)
{
	size_t n = b->tiny ? 2000 : ENTRIES;
	struct samples ours = { 0 }, plain = { 0 };
	uint8_t message[ENTRY_SIZE + 64];

	for (size_t i = 0; i < sizeof message; i++)
		message[i] = (uint8_t) ('a' + i * 7 % 26);
	for (unsigned i = 0; i <= b->runs; i++) {
		double a = entry_ns(message, n), h = hash_ns(message, n);

		if (i == 0)
			continue;
		samples_add(&ours, a);
		samples_add(&plain, h);
	}
	bench_print(b,
		    &(struct result){ "sealing", "salt, leaf and tree of an entry of 206 bytes",
				      samples_median(&ours), "CPU-ns/entry", samples_median(&plain),
				      "crypto_hash_sha256 of its bytes", false, ", \"bar\": 400" });
	samples_done(&ours);
	samples_done(&plain);
}

/* Commits. */

struct sealing {
	struct origin *origin;
	int ledger;
	uint64_t now_ns;
};

static void open_journals(struct sealing *s, uint32_t n)
{
	static uint8_t body[EVENTS_MAX][EVENT_SIZE_MAX];
	static struct event events[EVENTS_MAX];

	for (uint32_t i = 0; i < n; i++) {
		struct event_open open = { .journal = bench_journal_id(i) };
		struct wr w = wr_of(body[i], sizeof body[i]);

		event_open_encode(&open, &w);
		events[i] = (struct event){ EVENT_OPEN, (uint16_t) w.len, body[i] };
	}
	must(origin_commit(s->origin, s->now_ns, NULL, 0, events, n), "open journals");
}

static void sealing_begin(struct sealing *s, const struct bench *b, uint32_t journals)
{
	struct origin_config config = { .host = "bench",
					.boot = { { 1 } },
					.params = { .levels = 4, .height = 8 } };
	bool unclean;

	*s = (struct sealing){ .now_ns = 1763884800000000000ull };
	s->ledger = bench_fresh_dir(b, "ledger");
	/* One file, for its size to be known. */
	ledger_file_size = UINT64_MAX;
	must(origin_open(&s->origin, bench_fresh_dir(b, "key"), s->ledger, &config), "origin");
	must(origin_begin(s->origin, s->now_ns, &unclean), "begin");
	open_journals(s, journals);
}

/* @return CPU time of the commit. */
static uint64_t commit(struct sealing *s, struct batch_item *items, size_t n)
{
	uint64_t cpu;

	s->now_ns += 1000000000;
	for (size_t i = 0; i < n; i++) {
		items[i].time_min = s->now_ns - 900000000;
		items[i].time_max = s->now_ns - 1000000;
		items[i].mono_offset = -1234567890123;
		randombytes_buf(&items[i].root, sizeof items[i].root);
	}
	cpu = bench_cpu_ns();
	must(origin_commit(s->origin, s->now_ns, items, n, NULL, 0), "commit");
	return bench_cpu_ns() - cpu;
}

/* Not the median: once in 256 commits the key grows a new tree, and that is part of the price. */
static double mean(const struct samples *s)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += s->at[i];
	return sum / (double) s->n;
}

/* Read the ledger to its end.  @return its size, and what checking a commit took. */
static uint64_t read_ledger(const struct sealing *s, enum history_check check, double *ret_us)
{
	struct history *h = history_new();
	uint64_t cpu = bench_cpu_ns();
	struct ledger_scan scan;
	struct ledger l;

	must(h ? 0 : -1, "history");
	must(ledger_open(&l, s->ledger, O_RDONLY, h, check, NULL, NULL, &scan), "ledger");
	*ret_us = (double) (bench_cpu_ns() - cpu) / 1000.0 / (double) history_size(h);
	ledger_close(&l);
	history_free(h);
	return scan.end;
}

/* The least that a one-time key can cost: made, used once. */
static double key_us(void)
{
	uint8_t seed[crypto_sign_SEEDBYTES] = { 1 }, pk[crypto_sign_PUBLICKEYBYTES],
		sk[crypto_sign_SECRETKEYBYTES], signature[crypto_sign_BYTES];
	uint64_t cpu = bench_cpu_ns();

	for (unsigned i = 0; i < 200; i++) {
		seed[1] = (uint8_t) i;
		crypto_sign_seed_keypair(pk, sk, seed);
		crypto_sign_detached(signature, NULL, seed, sizeof seed, sk);
	}
	return (double) (bench_cpu_ns() - cpu) / 1000.0 / 200;
}

static double check_us(void)
{
	uint8_t seed[crypto_sign_SEEDBYTES] = { 1 }, pk[crypto_sign_PUBLICKEYBYTES],
		sk[crypto_sign_SECRETKEYBYTES], signature[crypto_sign_BYTES];
	uint64_t cpu;

	crypto_sign_seed_keypair(pk, sk, seed);
	crypto_sign_detached(signature, NULL, seed, sizeof seed, sk);
	cpu = bench_cpu_ns();
	for (unsigned i = 0; i < 200; i++)
		must(crypto_sign_verify_detached(signature, seed, sizeof seed, pk), "verify");
	return (double) (bench_cpu_ns() - cpu) / 1000.0 / 200;
}

static void print_bytes(const struct bench *b, const char *what, uint64_t bytes, uint64_t n)
{
	bench_print(b, &(struct result){ "sealing", what, (double) bytes / (double) n,
					 "ledger bytes/entry", crypto_sign_BYTES,
					 "a signature of each entry", false, NULL });
}

/* One source at full speed: a batch that is full in each commit. */
static void commits(const struct bench *b)
{
	unsigned n = b->tiny ? 20 : COMMITS;
	struct samples ours = { 0 }, keys = { 0 };
	struct sealing s;
	double us, unsigned_us;
	uint64_t bytes;

	sealing_begin(&s, b, 1);
	for (unsigned i = 0; i < n; i++) {
		struct batch_item item = { .entries = FULL_BATCH,
					   .bytes = FULL_BATCH * ENTRY_SIZE };

		samples_add(&ours, (double) commit(&s, &item, 1) / 1000.0);
		if (i % 100 == 0)
			samples_add(&keys, key_us());
	}
	bench_print(b, &(struct result){ "sealing", "commit of 1 batch", mean(&ours),
					 "CPU-us/commit", samples_median(&keys),
					 "Ed25519 key made and used", false, ", \"bar\": 100" });
	bytes = read_ledger(&s, HISTORY_SKIP_SIGNATURE, &unsigned_us);
	read_ledger(&s, HISTORY_CHECK_ALL, &us);
	bench_print(b,
		    &(struct result){ "sealing", "check a commit and its seal", us, "CPU-us/commit",
				      check_us(), "Ed25519 verified", false, NULL });
	print_bytes(b, "full speed, one source", bytes, (uint64_t) n * FULL_BATCH);
	origin_close(s.origin);
	samples_done(&ours);
	samples_done(&keys);
}

/* The lines at the pace of their times: a commit a second, with a batch of each source that wrote. */
static void at_log_pace(const struct bench *b)
{
	static struct batch_item items[JOURNALS];
	static int64_t of[JOURNALS];
	uint32_t sources = MIN_OF(b->sources, (uint32_t) JOURNALS);
	struct samples ours = { 0 };
	struct sealing s;
	uint64_t entries = 0;
	double us;

	sealing_begin(&s, b, sources);
	for (size_t i = 0; i < b->n;) {
		uint64_t second = b->lines[i].time_ns / 1000000000;
		size_t n = 0;

		memset(of, 0xff, sizeof of);
		for (; i < b->n && b->lines[i].time_ns / 1000000000 == second; i++) {
			uint32_t source = b->lines[i].source % sources;

			if (of[source] < 0) {
				of[source] = (int64_t) n;
				items[n++] = (struct batch_item){ .handle = source };
			}
			items[of[source]].entries++;
			items[of[source]].bytes += b->lines[i].n;
			entries++;
		}
		samples_add(&ours, (double) commit(&s, items, n) / 1000.0);
	}
	print_bytes(b, "log pace, all sources", read_ledger(&s, HISTORY_SKIP_SIGNATURE, &us),
		    entries);
	bench_print(b, &(struct result){ "sealing", "commit of a second at log pace", mean(&ours),
					 "CPU-us/commit", key_us(), "Ed25519 key made and used",
					 false, NULL });
	origin_close(s.origin);
	samples_done(&ours);
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_begin(&b, argc, argv);
	entries(&b);
	commits(&b);
	at_log_pace(&b);
	return 0;
}
