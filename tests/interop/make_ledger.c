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
 *
 * and below `packed` the same ledger in two files, of which the first is packed.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "bulla/error.h"
#include "seal/origin.h"
#include "seal/packed.h"

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

/* A copy of the ledger in two files: the first packed, without any root of a batch; the second as it was sealed. */

enum { PACKED = 10, JOURNALS_PACKED_MAX = 64 };

struct packing {
	struct commit_record c[PACKED];
	struct ledger_items items[PACKED];
	struct buf payload[PACKED]; /* what they point to */
	struct hash root[PACKED];
	size_t n;
	struct buf file;
	int dir;
};

static void put_frame(struct buf *to, uint32_t type, const void *payload, size_t n)
{
	uint8_t *at = buf_room(to, frame_space(n));

	need(at ? 0 : -ENOMEM, "memory");
	memcpy(at + FRAME_HEADER_SIZE, payload, n);
	buf_add(to, frame_finish(at, type, (uint32_t) n));
}

static void begin_file(struct packing *p, uint64_t first)
{
	struct buf header = { 0 };

	history_write_header(first, &header);
	buf_clear(&p->file);
	put_frame(&p->file, LEDGER_HEADER, header.data, header.len);
	buf_done(&header);
}

static void end_file(struct packing *p, uint64_t first)
{
	char name[LEDGER_NAME_SIZE];

	ledger_name(first, name);
	need(io_replace_file(p->dir, name, p->file.data, p->file.len, 0600), name);
}

static int compare_ids(const void *a, const void *b, void *h)
{
	return id_compare(&history_journal(h, (uint32_t) * (const uint64_t *) a)->id,
			  &history_journal(h, (uint32_t) * (const uint64_t *) b)->id);
}

static void put_block(struct packing *p, struct history *h)
{
	struct buf record = { 0 };
	uint64_t handles[JOURNALS_PACKED_MAX];
	size_t n = history_n_journals(h);

	need(n <= JOURNALS_PACKED_MAX ? 0 : -E2BIG, "journals");
	for (size_t i = 0; i < n; i++)
		handles[i] = i;
	if (p->n > 0) {
		qsort_r(handles, n, sizeof *handles, compare_ids, h);
		need(packed_write(p->c, p->n, handles, n, &record), "pack");
		put_frame(&p->file, LEDGER_PACKED, record.data, record.len);
	}
	buf_done(&record);
	p->n = 0;
}

static void take_commit(struct packing *p, const struct ledger_read *r)
{
	struct commit_record *c = &p->c[p->n];
	struct buf *payload = &p->payload[p->n];

	buf_clear(payload);
	buf_append(payload, r->payload, r->size);
	need(commit_record_read(payload->data, payload->len, true, &p->items[p->n], c),
	     "take apart");
	for (size_t i = 0; i < c->n_items; i++)
		p->items[p->n].at[i].root = (struct hash){ 0 };
	p->root[p->n] = r->commit.commit.batches_root;
	c->batches_root = c->n_items > 0 ? p->root[p->n].b : NULL;
	p->n++;
}

static void take_record(struct packing *p, struct history *h, const struct ledger_read *r)
{
	bool packed = r->type == LEDGER_COMMIT && history_size(h) < PACKED;

	if (packed)
		take_commit(p, r);
	else
		put_block(p, h);
	if (r->type == LEDGER_COMMIT && history_size(h) == PACKED) {
		end_file(p, 0);
		begin_file(p, PACKED);
	}
	if (!packed)
		put_frame(&p->file, r->type, r->payload, r->size);
	if (r->type == LEDGER_COMMIT)
		history_commit_sealed(h);
}

static void pack(int dir, int ledger)
{
	struct history *h = history_new();
	struct packing p = { .dir = dir };
	struct ledger_scan scan = { 0 };
	struct ledger_read r;
	struct ledger l;
	int k;

	begin_file(&p, 0);
	need(ledger_begin(&l, ledger, O_RDONLY), "read");
	while ((k = ledger_next(&l, h, HISTORY_CHECK_ALL, &scan, &r)) > 0)
		take_record(&p, h, &r);
	need(k, "read");
	end_file(&p, PACKED);
	ledger_close(&l);
	history_free(h);
	buf_done(&p.file);
	for (size_t i = 0; i < PACKED; i++) {
		ledger_items_done(&p.items[i]);
		buf_done(&p.payload[i]);
	}
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
	pack(open_dir(dir, "packed"), ledger);
	return 0;
}
