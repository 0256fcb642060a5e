/* SPDX-License-Identifier: Apache-2.0 */

/**
 * make_ledger DIRECTORY: seal a short life with keys of 16 seals, for others to check.
 *
 * Writes, below the directory, the ledger as a sealer leaves it (with its reserve, through a restart and a change of keys),
 * `vkey`, and `trees`: the tree over its commits, one statement a line, hashes in hex.
 *
 *	leaf HASH                    in order
 *	root SIZE HASH               for every size
 *	record SIZE INDEX HASH...    inclusion proofs, all of them
 *	tree SIZE OLD HASH...        consistency proofs, all of them
 *	checkpoint SIZE TEXT         with \n for newlines
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "bulla/error.h"
#include "seal/origin.h"

enum { LEAVES_MAX = 64 };

static struct hash leaves[LEAVES_MAX];
static size_t n_leaves;
static uint64_t now_ns = 1700000000 * NS_PER_S;

static void need(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, bulla_strerror(r));
		exit(1);
	}
}

static int open_dir(int dir, const char *name)
{
	int fd;

	need(mkdirat(dir, name, 0700) < 0 && errno != EEXIST ? -errno : 0, name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(fd < 0 ? -errno : 0, name);
	return fd;
}

/* Open a journal, close the one before, and have batches of both. */
static void commit(struct origin *o, uint64_t i)
{
	const struct history *h = origin_history(o);
	uint8_t body[2][128];
	struct wr w = wr_of(body[0], sizeof body[0]), x = wr_of(body[1], sizeof body[1]);
	struct batch_item items[2];
	struct event events[2];
	size_t n = 0, n_events = 1;
	struct event_open open = { .journal = { { (uint8_t) (7 * i), 0x42 } } };

	event_open_encode(&open, &w);
	events[0] = (struct event){ EVENT_OPEN, (uint16_t) w.len, body[0] };
	for (uint32_t handle = history_n_journals(h); n < 2 && handle + 1 > n; n++)
		items[n] = (struct batch_item){ .handle = handle - (uint32_t) n,
						.entries = (uint32_t) (1 + i),
						.bytes = 1000 * i,
						.time_min = now_ns - i * NS_PER_S,
						.time_max = now_ns + i,
						.mono_offset = -(int64_t) i,
						.root = tree_leaf(&i, sizeof i),
						.recovered = i % 3 == 0 };
	if (n == 2) {
		const struct ledger_journal *j = history_journal(h, items[1].handle);
		struct event_close close = { j->id, j->batches + 1, j->entries + 1 + i };

		event_close_encode(&close, &x);
		events[n_events++] = (struct event){ EVENT_CLOSE, (uint16_t) x.len, body[1] };
	}
	now_ns += NS_PER_S;
	need(origin_commit(o, now_ns, items, n, events, n_events), "commit");
}

/* One run of the sealer; the last commits of the first run find no `down`. */
static void run(int dir, int ledger, uint64_t from, uint64_t to, bool clean)
{
	const struct origin_config config = { .host = "interop.example",
					      .boot = { "one boot" },
					      .params = { 4, 1 } };
	struct origin *o;
	bool unclean;

	need(origin_open(&o, dir, ledger, &config), "open");
	need(origin_begin(o, now_ns, &unclean), "begin");
	for (uint64_t i = from; i < to; i++)
		commit(o, i);
	if (clean)
		need(origin_end(o, now_ns), "end");
	origin_close(o);
}

static int keep_leaf(void *arg, const struct sealed_commit *c)
{
	(void) arg;
	if (n_leaves == LEAVES_MAX)
		return -E2BIG;
	leaves[n_leaves++] = c->leaf;
	return 0;
}

static void print_hash(FILE *f, const struct hash *h)
{
	fputc(' ', f);
	for (size_t i = 0; i < HASH_SIZE; i++)
		fprintf(f, "%02x", h->b[i]);
}

static void print_proof(FILE *f, const struct proof *p)
{
	for (size_t i = 0; i < p->n; i++)
		print_hash(f, &p->h[i]);
	fputc('\n', f);
}

static void print_size(FILE *f, const struct id *origin, size_t size)
{
	struct hash root = tree_root(leaves, size);
	char checkpoint[CHECKPOINT_SIZE_MAX];
	struct proof p;

	fprintf(f, "root %zu", size);
	print_hash(f, &root);
	checkpoint_write(origin, size, &root, checkpoint);
	fprintf(f, "\ncheckpoint %zu ", size);
	for (const char *c = checkpoint; *c; c++)
		fputs(*c == '\n' ? "\\n" : (char[]){ *c, 0 }, f);
	fputc('\n', f);
	for (size_t i = 0; i < size; i++) {
		tree_prove_inclusion(leaves, size, i, &p);
		fprintf(f, "record %zu %zu", size, i);
		print_proof(f, &p);
		tree_prove_consistency(leaves, size, i + 1, &p);
		fprintf(f, "tree %zu %zu", size, i + 1);
		print_proof(f, &p);
	}
}

static FILE *create(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	need(f ? 0 : -errno, name);
	return f;
}

static void print_all(int dir, int ledger)
{
	struct history *h = history_new();
	struct ledger l;
	struct ledger_scan scan;
	struct vkey key;
	char text[VKEY_SIZE];
	FILE *f;

	need(h ? 0 : -ENOMEM, "history");
	need(ledger_open(&l, ledger, O_RDONLY, h, HISTORY_CHECK_ALL, keep_leaf, NULL, &scan),
	     "read");
	key = history_vkey(h);
	vkey_write(&key, text);
	f = create(dir, "vkey");
	fprintf(f, "%s\n", text);
	fclose(f);
	f = create(dir, "trees");
	for (size_t i = 0; i < n_leaves; i++) {
		fputs("leaf", f);
		print_hash(f, &leaves[i]);
		fputc('\n', f);
	}
	for (size_t size = 1; size <= n_leaves; size++)
		print_size(f, &key.origin, size);
	fclose(f);
	ledger_close(&l);
	history_free(h);
}

int main(int argc, char **argv)
{
	int dir, ledger;

	if (argc != 2)
		return 2;
	dir = open_dir(AT_FDCWD, argv[1]);
	ledger = open_dir(dir, "ledger");
	run(dir, ledger, 0, 7, false);
	run(dir, ledger, 7, 21, true);
	print_all(dir, ledger);
	return 0;
}
