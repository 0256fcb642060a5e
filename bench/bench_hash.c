/* SPDX-License-Identifier: Apache-2.0 */

/** hash-share: what hashing costs, of the whole and beside other code for the same hash. */

#include <nettle/sha2.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ingest.h"

enum { BATCH_ENTRIES = 4096, LEAVES_MAX = 1 << 17 };

static struct entry entry_of(const struct bench *b, size_t i)
{
	return (struct entry){ .time_ns = b->lines[i].time_ns,
			       .received_ns = b->lines[i].time_ns,
			       .message = b->lines[i].p,
			       .message_len = b->lines[i].n,
			       .priority = 6 };
}

static double roots_ns(const struct bench *b)
{
	const uint8_t seed[SEED_SIZE] = { 1 };
	struct batchroot root = { 0 };
	uint64_t batch_no = 0, cpu = bench_cpu_ns();

	for (size_t i = 0; i < b->n; i++) {
		struct entry e = entry_of(b, i);

		if (i % BATCH_ENTRIES == 0) {
			if (i > 0)
				batchroot_get(&root);
			batchroot_begin(&root, seed, batch_no++, false);
		}
		must(batchroot_add(&root, &e), "root");
	}
	batchroot_get(&root);
	cpu = bench_cpu_ns() - cpu;
	batchroot_done(&root);
	return (double) cpu / (double) b->n;
}

static void share_of_ingest(const struct bench *b)
{
	struct samples roots = { 0 }, whole = { 0 };

	for (unsigned i = 0; i <= b->runs; i++) {
		double ns = roots_ns(b);
		struct ingest_cost cost = ingest_all(b);

		if (i == 0)
			continue;
		samples_add(&roots, ns);
		samples_add(&whole, (double) cost.cpu_ns / (double) b->n);
	}
	bench_print(b,
		    &(struct result){ "hash-share", "salts, leaves and root of an entry",
				      samples_median(&roots), "CPU-ns/entry",
				      samples_median(&whole), "whole store ingest", false, NULL });
	samples_done(&roots);
	samples_done(&whole);
}

/* The leaves of the first entries, as they are hashed. */
struct leaves {
	struct buf bytes;
	struct span *at;
	struct hash *hash;
	size_t n;
};

static void leaves_make(struct leaves *l, const struct bench *b)
{
	const uint8_t salt[SALT_SIZE] = { 1 };
	size_t at = 0;

	l->n = MIN_OF(b->n, (size_t) LEAVES_MAX);
	l->at = calloc(l->n, sizeof *l->at);
	l->hash = calloc(l->n, sizeof *l->hash);
	for (size_t i = 0; i < l->n; i++) {
		struct entry e = entry_of(b, i);
		size_t size = 1 + entry_leaf_size(&e);
		uint8_t *to = buf_room(&l->bytes, size);
		struct wr w;

		must(to && l->at && l->hash ? 0 : -1, "leaves");
		w = wr_of(to, size);
		wr_u8(&w, 0);
		entry_encode(&e, salt, &w);
		buf_add(&l->bytes, w.len);
		l->at[i].n = w.len;
	}
	for (size_t i = 0; i < l->n; at += l->at[i++].n)
		l->at[i].p = l->bytes.data + at;
}

static double many_ns(struct leaves *l)
{
	uint64_t cpu = bench_cpu_ns();

	for (size_t i = 0; i < l->n; i += LEAVES_AT_ONCE)
		sha256_many(l->hash + i, l->at + i, MIN_OF(l->n - i, (size_t) LEAVES_AT_ONCE));
	return (double) (bench_cpu_ns() - cpu) / (double) l->n;
}

static double sodium_ns(struct leaves *l)
{
	uint64_t cpu = bench_cpu_ns();

	for (size_t i = 0; i < l->n; i++)
		crypto_hash_sha256(l->hash[i].b, l->at[i].p, l->at[i].n);
	return (double) (bench_cpu_ns() - cpu) / (double) l->n;
}

/* All leaves as one message: the compression function alone. */
static double bulk_ns(struct leaves *l)
{
	uint64_t cpu = bench_cpu_ns();
	struct sha256_ctx c;

	sha256_init(&c);
	sha256_update(&c, l->bytes.len, l->bytes.data);
	sha256_digest(&c, HASH_SIZE, l->hash[0].b);
	return (double) (bench_cpu_ns() - cpu) / (double) l->n;
}

static void leaf_hash(const struct bench *b)
{
	struct samples ours = { 0 }, sodium = { 0 }, bulk = { 0 };
	struct leaves l = { 0 };
	char more[96];

	leaves_make(&l, b);
	for (unsigned i = 0; i <= b->runs; i++) {
		double a = many_ns(&l), s = sodium_ns(&l), k = bulk_ns(&l);

		if (i == 0)
			continue;
		samples_add(&ours, a);
		samples_add(&sodium, s);
		samples_add(&bulk, k);
	}
	snprintf(more, sizeof more, ", \"leaf_bytes\": %.1f", (double) l.bytes.len / (double) l.n);
	bench_print(b,
		    &(struct result){ "hash-share", "sha256_many() of a leaf",
				      samples_median(&ours), "CPU-ns/leaf", samples_median(&sodium),
				      "libsodium crypto_hash_sha256", false, more });
	bench_print(b,
		    &(struct result){ "hash-share", "sha256_many() of a leaf",
				      samples_median(&ours), "CPU-ns/leaf", samples_median(&bulk),
				      "nettle, all leaves as one message", false, more });
	samples_done(&ours);
	samples_done(&sodium);
	samples_done(&bulk);
	buf_done(&l.bytes);
	free(l.at);
	free(l.hash);
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_begin(&b, argc, argv);
	share_of_ingest(&b);
	leaf_hash(&b);
	return 0;
}
