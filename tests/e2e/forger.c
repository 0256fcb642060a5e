/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Whoever has taken the host writes its history anew, as well as the keys at hand allow.
 *
 *	forger COPY FOUND OUT
 *
 * COPY is a copy of the state directory, FOUND what intruder.c found of used seeds.  Each attempt is a whole state directory
 * OUT/KIND-COMMIT: an entry of that commit is changed (or its time, where it has none), the roots of batch, commit and tree
 * are made anew, and that commit and all that follow are sealed again.  Printed is a line "KIND-COMMIT LEDGER SEED": whether
 * the ledger was touched, and whether the used seed of this very commit was at hand: where nothing of the key state is saved
 * yet, that is the next key, too.
 *
 *	content   the entry alone; the ledger stays
 *	kept      with the signatures that were there
 *	next      by the next key that is not used yet
 *	cut       the same, and nothing follows
 *	own       by a key of the forger's
 *	trees     by a tree of the forger's, which the next key of the level above certifies
 *	found     by the used seeds that were found, and the next key where there are none
 *	anew      all from the genesis on, under a new key of the same shape
 */

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "seal/history.h"
#include "seal/keyfile.h"
#include "seal/ledger.h"
#include "store/batchroot.h"
#include "store/row.h"
#include "store/tail_reader.h"
#include "tests/builder.h"
#include "tests/surgery.h"

enum kind { CONTENT, KEPT, NEXT, CUT, OWN, TREES, FOUND, ANEW, N_KINDS };

static const char *const kind_name[] = { "content", "kept",  "next",  "cut",
					 "own",	    "trees", "found", "anew" };

enum { FOUND_MAX = 1 << 16, TARGETS_MAX = 8 };

static struct surgery ledger, tail; /* large */

static struct {
	const char *copy, *out;
	struct key_state state;
	struct {
		uint64_t commit;
		uint8_t seed[KES_SEED_SIZE];
	} found[FOUND_MAX];
	size_t n_found;
	/* The attempt at hand. */
	enum kind kind;
	uint64_t target;
	char path[4096];
	struct history *h;
	struct kes *key, *next; /* the forger's own, for ANEW */
	struct kes_public_tree tree;
	struct kes_secret_tree leaves; /* the forger's tree, for TREES */
	unsigned height;	       /* of it */
	uint64_t tree_first, tree_end; /* commits that it seals */
	struct hash was;	       /* the public key that the origin began with */
	uint64_t from;		       /* the first commit that is sealed again */
} forge;

/* Content. */

static void add_rows(struct batchroot *root, const struct contexts *contexts,
		     const struct tail_rows *rows)
{
	static struct field fields[FIELDS_MAX];
	struct row_state state = { 0 };
	struct buf raw = { 0 };
	struct entry e;
	uint32_t context;
	struct rd rd;
	int r = tail_rows_unpack(rows, &raw);

	assert(r == 0);
	rd = rd_of(raw.data, raw.len);
	while (row_decode(&state, &rd, fields, &e, &context) > 0) {
		assert(context < contexts->n);
		e.context = contexts->at[context].hash;
		r = batchroot_add(root, &e);
		assert(r == 0);
	}
	buf_done(&raw);
}

static struct hash root_of(const char *dir, const char *name, uint64_t batch_no, bool recovered)
{
	struct tail_reader t = { .fd = -1 };
	struct batchroot root = { 0 };
	struct tail_item item;
	struct hash h = { 0 };
	uint64_t batch = 0;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = tail_reader_open(&t, fd, name);
	bool begun = false;

	assert(r == 0);
	while (batch <= batch_no && tail_reader_next(&t, &item) > 0) {
		if (item.type == TAIL_BATCH) {
			batch++;
		} else if (item.type == TAIL_ROWS && batch == batch_no) {
			const uint8_t *seed = seeds_of(&t.seeds, batch_no);

			assert(seed);
			if (!begun)
				batchroot_begin(&root, seed, batch_no, recovered);
			begun = true;
			add_rows(&root, &t.contexts, &item.rows);
		}
	}
	assert(begun);
	h = batchroot_get(&root);
	batchroot_done(&root);
	tail_reader_close(&t);
	close_fd(&fd);
	return h;
}

/* Another first byte for the first message of the batch that has one. */
static size_t change_message(uint64_t batch_no)
{
	static struct field fields[FIELDS_MAX];
	uint64_t batch = 0;

	for (size_t i = 0; i < tail.n; i++) {
		struct row_state state = { 0 };
		struct tail_rows head;
		struct buf raw = { 0 };
		struct entry e;
		uint32_t context;
		struct rd rd;
		bool changed = false;

		batch += tail.piece[i].type == TAIL_BATCH;
		if (tail.piece[i].type != TAIL_ROWS || batch != batch_no)
			continue;
		surgery_rows(&tail, i, &head, &raw);
		rd = rd_of(raw.data, raw.len);
		while (!changed && row_decode(&state, &rd, fields, &e, &context) > 0)
			if ((changed = e.message_len > 0))
				raw.data[e.message - raw.data] ^= 1;
		if (changed)
			surgery_set_rows(&tail, i, &head, &raw);
		buf_done(&raw);
		if (changed)
			return i;
	}
	assert(!"no entry to change");
	return 0;
}

/* Change an entry and what the tail says of its batch.  @return the batch's new root. */
static struct hash change_entry(const struct id *journal, uint64_t batch_no, bool recovered)
{
	char dir[4200], name[TAIL_NAME_SIZE];
	struct tail_batch b;
	struct hash root;
	size_t at;
	int r;

	snprintf(dir, sizeof dir, "%s/journals", forge.path);
	tail_name(journal, name);
	surgery_open(&tail, dir, name);
	change_message(batch_no);
	surgery_close(&tail);
	root = root_of(dir, name, batch_no, recovered);
	if (recovered)
		return root;
	surgery_open(&tail, dir, name);
	at = surgery_find(&tail, TAIL_BATCH, batch_no);
	r = tail_batch_decode(tail.piece[at].payload.data, tail.piece[at].payload.len, &b);
	assert(r == 0);
	b.root = root;
	buf_clear(&tail.piece[at].payload);
	buf_room(&tail.piece[at].payload, 256);
	struct wr w = wr_of(tail.piece[at].payload.data, 256);
	tail_batch_encode(&b, &w);
	buf_add(&tail.piece[at].payload, w.len);
	surgery_close(&tail);
	return root;
}

/* The commit that is the target says what the forger wants. */
static void change_commit(struct buf *record)
{
	struct rd r = rd_of(record->data, record->len);
	uint64_t handle, time;
	const struct ledger_journal *j;
	struct hash root;
	uint8_t flags, *at;

	rd_varint(&r);
	at = record->data + (r.p - record->data);
	time = rd_u64(&r);
	if (rd_varint(&r) == 0) {
		/* Dated back. */
		struct wr w = wr_of(at, sizeof time);

		wr_u64(&w, time - 3600 * NS_PER_S);
		return;
	}
	handle = rd_varint(&r);
	flags = rd_u8(&r);
	for (unsigned i = 0; i < 5; i++)
		rd_varint(&r);
	assert(!r.bad && handle < history_n_journals(forge.h));
	j = history_journal(forge.h, (uint32_t) handle);
	root = change_entry(&j->id, j->batches, flags & 1);
	if (forge.kind != CONTENT)
		memcpy(record->data + (r.p - record->data), root.b, HASH_SIZE);
}

/* Keys. */

static struct hash first_root(const struct piece *keys)
{
	static struct kes_public_tree public;
	struct rd r = rd_of(keys->payload.data, keys->payload.len);
	uint8_t height;

	rd_u64(&r);
	rd_u8(&r);
	height = rd_u8(&r);
	rd_u8(&r);
	for (uint32_t i = 0; i < 1u << height; i++)
		rd_copy(&r, public.node[(1u << height) + i].b, HASH_SIZE);
	assert(!r.bad);
	kes_public_tree_fill(&public, height);
	return public.node[1];
}

/* Put the forger's tree in the place of the last one of a keys record. */
static void replace_tree(struct buf *record)
{
	const struct kes_params *p = &forge.state.key->params;
	size_t keys = (size_t) KES_PUBLIC_SIZE << record->data[9];
	uint8_t seed[KES_SEED_SIZE], message[KES_CERT_MESSAGE_SIZE], *at;
	struct kes_secret_tree above;
	unsigned level;

	if (record->data[8] < 2)
		return;
	level = record->data[8] - 1u;
	randombytes_buf(seed, sizeof seed);
	forge.height = record->data[9];
	kes_tree_grow(&forge.tree, forge.height, seed);
	kes_secret_begin(&forge.leaves, seed);
	at = record->data + record->len - keys;
	memcpy(at, forge.tree.node[1u << record->data[9]].b, keys);
	kes_certificate_message(level, &forge.tree.node[1], message);
	above = forge.state.key->secret[level - 1 < p->levels ? level - 1 : 0];
	if (above.n > 0)
		kes_secret_sign(&above, p->height, message, sizeof message, at - KES_SIGMA_SIZE);
}

static void on_keys(struct piece *p)
{
	uint64_t first = history_size(forge.h);
	uint8_t height = p->payload.data[9];
	int r;

	if (first == 0)
		forge.was = first_root(p);
	if (forge.kind == ANEW) {
		if (forge.key->pending)
			kes_certify(forge.key);
		buf_clear(&p->payload);
		history_write_keys(forge.key, &p->payload);
	}
	r = history_keys(forge.h, p->payload.data, p->payload.len);
	assert(r == 0);
	if (forge.kind == TREES && forge.target >= first && forge.target < first + (1u << height)) {
		forge.tree_first = first;
		forge.tree_end = first + (1u << height);
		forge.from = first;
		replace_tree(&p->payload);
	}
}

/* Sign with the next key that is there, which an attacker need not erase; with any where there is none. */
static void sign_next(const char *message, size_t n, uint8_t *ret)
{
	const struct kes *k = forge.state.key;
	struct kes_secret_tree bottom = k->secret[k->params.levels - 1];
	uint8_t public[KES_PUBLIC_SIZE], secret[crypto_sign_SECRETKEYBYTES];

	if (bottom.n > 0) {
		kes_secret_sign(&bottom, k->params.height, message, n, ret);
		return;
	}
	crypto_sign_keypair(public, secret);
	crypto_sign_detached(ret, NULL, (const uint8_t *) message, n, secret);
}

static bool sign_found(uint64_t commit, const char *message, size_t n, uint8_t *ret)
{
	uint8_t public[KES_PUBLIC_SIZE], secret[crypto_sign_SECRETKEYBYTES];

	for (size_t i = 0; i < forge.n_found; i++) {
		if (forge.found[i].commit != commit)
			continue;
		crypto_sign_seed_keypair(public, secret, forge.found[i].seed);
		crypto_sign_detached(ret, NULL, (const uint8_t *) message, n, secret);
		return true;
	}
	return false;
}

static void sign(uint64_t commit, const char *message, size_t n, uint8_t *ret)
{
	uint8_t public[KES_PUBLIC_SIZE], secret[crypto_sign_SECRETKEYBYTES];

	if (forge.kind == KEPT)
		return;
	if (forge.kind == ANEW) {
		kes_sign(forge.key, message, n, ret);
	} else if (forge.kind == OWN) {
		crypto_sign_keypair(public, secret);
		crypto_sign_detached(ret, NULL, (const uint8_t *) message, n, secret);
	} else if (forge.kind == TREES && commit >= forge.tree_first && commit < forge.tree_end &&
		   forge.leaves.n > 0) {
		kes_secret_sign(&forge.leaves, forge.height, message, n, ret);
	} else if (forge.kind != FOUND || !sign_found(commit, message, n, ret)) {
		sign_next(message, n, ret);
	}
}

/* The forger's own key has to be named, and in its turn the one that follows it. */
static void name_own_keys(size_t i)
{
	struct buf *record = &ledger.piece[i].payload;
	struct hash was = forge.was, own = kes_root(forge.key, 0);
	bool rekeys = i + 1 < ledger.n && ledger.piece[i + 1].type == LEDGER_KEYS &&
		      ledger.piece[i + 1].payload.data[10] == 0;
	uint8_t *at;

	if (history_size(forge.h) > 0 && !rekeys)
		return;
	if (rekeys) {
		struct kes *copy = kes_new();

		was = first_root(&ledger.piece[i + 1]);
		forge.next = kes_new();
		assert(forge.next && copy);
		kes_generate(forge.next, &(struct kes_params){ 4, 8 });
		kes_copy(copy, forge.next);
		kes_certify(copy);
		own = kes_root(copy, 0);
		kes_free(copy);
	}
	at = memmem(record->data, record->len, was.b, HASH_SIZE);
	assert(at);
	memcpy(at, own.b, HASH_SIZE);
}

static void on_commit(size_t i)
{
	struct buf *p = &ledger.piece[i].payload;
	uint64_t number = history_size(forge.h);
	char message[SEAL_MESSAGE_SIZE_MAX];
	ssize_t n;
	int r;

	if (number == forge.target)
		change_commit(p);
	if (forge.kind == ANEW)
		name_own_keys(i);
	if (forge.kind == ANEW || (number >= forge.from && forge.kind != CONTENT)) {
		n = history_seal_message(forge.h, p->data, p->len - KES_SIGMA_SIZE, message);
		assert(n > 0);
		sign(number, message, (size_t) n, p->data + p->len - KES_SIGMA_SIZE);
	}
	r = history_commit(forge.h, p->data, p->len, HISTORY_SKIP_SIGNATURE, NULL);
	assert(r == 0);
	if (forge.kind == ANEW && kes_exhausted(forge.key)) {
		kes_free(forge.key);
		forge.key = TAKE_PTR(forge.next);
	} else if (forge.kind == ANEW && kes_needs_renewal(forge.key)) {
		kes_renew(forge.key);
	}
}

static void attempt(enum kind kind, uint64_t target)
{
	char dir[4200];
	uint64_t next = forge.state.key_first + forge.state.key->counter;
	bool seed = false;

	forge.kind = kind;
	forge.target = forge.from = target;
	forge.tree_first = forge.tree_end = 0;
	snprintf(forge.path, sizeof forge.path, "%s/%s-%llu", forge.out, kind_name[kind],
		 (unsigned long long) target);
	builder_copy(forge.copy, forge.path);
	snprintf(dir, sizeof dir, "%s/ledger", forge.path);
	surgery_open(&ledger, dir, LEDGER_FILE);
	forge.h = history_new();
	forge.key = kes_new();
	assert(forge.h && forge.key);
	kes_generate(forge.key, &(struct kes_params){ ledger.piece[1].payload.data[8],
						      ledger.piece[1].payload.data[9] });
	for (size_t i = 0; i < ledger.n; i++) {
		if (ledger.piece[i].type == LEDGER_HEADER) {
			int r = history_header(forge.h, ledger.piece[i].payload.data,
					       ledger.piece[i].payload.len);

			assert(r == 0);
		} else if (ledger.piece[i].type == LEDGER_KEYS) {
			on_keys(&ledger.piece[i]);
		} else {
			on_commit(i);
		}
		if (kind == CUT && history_size(forge.h) == target + 1)
			while (ledger.n > i + 1)
				surgery_remove(&ledger, ledger.n - 1);
	}
	surgery_close(&ledger);
	history_free(forge.h);
	kes_free(forge.key);
	forge.key = NULL;
	for (size_t i = 0; i < forge.n_found; i++)
		seed |= forge.found[i].commit == target &&
			(kind == FOUND || ((kind == NEXT || kind == CUT) && next == target));
	printf("%s-%llu %d %d\n", kind_name[kind], (unsigned long long) target, kind != CONTENT,
	       seed);
}

/* Commits, and which of them have a batch. */
static uint64_t read_commits(uint64_t *ret_last_batch, uint64_t *ret_first_batch)
{
	char dir[4200];
	uint64_t n = 0;

	snprintf(dir, sizeof dir, "%s/ledger", forge.copy);
	surgery_open(&ledger, dir, LEDGER_FILE);
	*ret_last_batch = *ret_first_batch = 0;
	for (size_t i = 0; i < ledger.n; i++) {
		struct rd r = rd_of(ledger.piece[i].payload.data, ledger.piece[i].payload.len);

		if (ledger.piece[i].type != LEDGER_COMMIT)
			continue;
		rd_varint(&r);
		rd_u64(&r);
		if (rd_varint(&r) > 0) {
			*ret_last_batch = n;
			*ret_first_batch = *ret_first_batch ? *ret_first_batch : n;
		}
		n++;
	}
	surgery_done(&ledger);
	return n;
}

static bool has_batch(uint64_t target, uint64_t first, uint64_t last)
{
	return target == first || target == last;
}

static void load(const char *found)
{
	char path[4200], hex[65];
	unsigned long long commit;
	struct keyfile f = { .fd = -1 };
	FILE *from = fopen(found, "re");
	int r;

	snprintf(path, sizeof path, "%s/seal/key", forge.copy);
	r = keyfile_open(&f, AT_FDCWD, path, &forge.state);
	assert(r == 0 && from);
	keyfile_close(&f);
	while (fscanf(from, "%llu %64s", &commit, hex) == 2) {
		assert(forge.n_found < FOUND_MAX);
		r = text_unhex(hex, 64, forge.found[forge.n_found].seed, KES_SEED_SIZE);
		assert(r == 0);
		forge.found[forge.n_found++].commit = commit;
	}
	fclose(from);
}

int main(int argc, char **argv)
{
	uint64_t commits, first, last, targets[TARGETS_MAX];
	size_t n = 0;

	if (argc != 4 || sodium_init() < 0)
		return 2;
	forge.copy = argv[1];
	forge.out = argv[3];
	load(argv[2]);
	commits = read_commits(&last, &first);
	assert(commits > 3 && first > 0);
	targets[n++] = 0;
	targets[n++] = first;
	targets[n++] = commits / 2;
	targets[n++] = last;
	targets[n++] = commits - 2;
	targets[n++] = commits - 1;
	for (size_t i = 0; i < n; i++) {
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= targets[k] == targets[i];
		for (enum kind kind = 0; !again && kind < N_KINDS; kind++)
			if (kind != CONTENT || has_batch(targets[i], first, last))
				attempt(kind, targets[i]);
	}
	key_state_done(&forge.state);
	return 0;
}
