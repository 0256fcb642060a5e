/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Whoever takes the host: has a copy of the disk and of every process's memory, and looks for keys that were used.
 *
 *	intruder found STATE LEVELS HEIGHT     found an origin whose key has this shape, and leave the rest to a sealer
 *	intruder look SECRETS COPY FOUND PID...
 *
 * SECRETS are the seeds that were drawn (secrets_shim.c), COPY is a copy of the state directory made while the processes PID
 * are stopped.  Every seed of every key tree is grown from SECRETS: of leaves, whatever signs by them (seed, scalar, prefix),
 * and of inner nodes.  Halves of 16 bytes of each are searched for at every byte of every readable mapping and of every file.
 * To FOUND goes a line "NUMBER SEED" for each commit of the ledger whose seed was found; one line is printed:
 *
 *	commits N saved B memory BYTES files BYTES old M F last M F free M F open M
 *
 * saved: both slots of the key are ahead of the ledger's last record.  old, last: hits, in memory and in files, on keys used
 * by the ledger's records before the last one, and by that.  free: on those not yet used, without which the search would be
 * blind; open: those of them that lie in memory which is not locked, or which a core dump would show.
 */

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef NDEBUG
#include <assert.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "seal/keyfile.h"
#include "seal/ledger.h"
#include "seal/origin.h"
#include "store/state.h"
#include "tests/builder.h"
#include "tests/surgery.h"

enum {
	TREES_MAX = 64,
	HALF = 16,
	SLOTS = 1 << 19, /* of patterns */
	FILTER_BITS = 1 << 24,
	MAPPING_MAX = 256 << 20, /* larger are a sanitizer's shadow */
	HITS_SHOWN = 8,
};

enum class { OLD, LAST, FREE, N_CLASSES };

/* A tree that the ledger announces. */
struct tree {
	struct kes_params shape;
	unsigned level;
	uint64_t key_first, counter; /* at which it was announced */
	uint32_t used, used_before;  /* leaves, with and without the ledger's last record */
	struct hash root;
	uint8_t seed[KES_SEED_SIZE];
	bool known;
};

struct pattern {
	uint8_t half[HALF];
	uint16_t tree, node;
	uint8_t class;
	bool set;
};

static struct {
	struct tree tree[TREES_MAX + 1]; /* the last for all that are not announced */
	size_t n_trees;
	uint64_t commits;
	bool ends_with_keys;
	struct pattern slot[SLOTS];
	uint8_t filter[FILTER_BITS / 8];
	uint64_t hits[N_CLASSES][2], open, scanned[2];
	bool found[TREES_MAX][2 * KES_KEYS_MAX];
	unsigned shown;
} look;

/* What the ledger announces and has used. */

static void read_keys(const struct piece *p, uint64_t *key_first)
{
	static struct kes_public_tree public;
	struct rd r = rd_of(p->payload.data, p->payload.len);
	struct tree t = { .counter = rd_u64(&r) };
	unsigned from;

	t.shape.levels = rd_u8(&r);
	t.shape.height = rd_u8(&r);
	from = rd_u8(&r);
	if (t.counter == 0)
		*key_first = look.commits;
	t.key_first = *key_first;
	for (t.level = from; t.level < t.shape.levels; t.level++) {
		uint32_t n = 1u << t.shape.height;

		if (t.level > 0)
			rd_bytes(&r, KES_SIGMA_SIZE);
		for (uint32_t i = 0; i < n; i++)
			rd_copy(&r, public.node[n + i].b, HASH_SIZE);
		kes_public_tree_fill(&public, t.shape.height);
		t.root = public.node[1];
		assert(!r.bad && look.n_trees < TREES_MAX);
		look.tree[look.n_trees++] = t;
	}
}

/* How many leaves a tree has used: certificates of trees below it, or seals. */
static uint32_t count_used(const struct tree *t, uint64_t commits, size_t n_trees)
{
	unsigned below = t->shape.height * (t->shape.levels - 1u - t->level);
	uint64_t span = 1ull << (below + t->shape.height), n = 0;

	if (below == 0) {
		n = commits > t->key_first + t->counter ? commits - t->key_first - t->counter : 0;
		return (uint32_t) (n < span ? n : span);
	}
	for (size_t i = 0; i < n_trees; i++) {
		const struct tree *u = &look.tree[i];

		n += u->key_first == t->key_first && u->level == t->level + 1 &&
		     u->counter >= t->counter && u->counter < t->counter + span;
	}
	return (uint32_t) n;
}

static void read_ledger(const char *copy)
{
	static struct surgery s;
	char dir[4096];
	uint64_t key_first = 0;
	size_t before = 0;

	snprintf(dir, sizeof dir, "%s/ledger", copy);
	surgery_open(&s, dir, LEDGER_FILE);
	for (size_t i = 0; i < s.n; i++) {
		look.ends_with_keys = s.piece[i].type == LEDGER_KEYS;
		before = look.n_trees;
		if (look.ends_with_keys)
			read_keys(&s.piece[i], &key_first);
		look.commits += s.piece[i].type == LEDGER_COMMIT;
	}
	surgery_done(&s);
	if (!look.ends_with_keys)
		before = look.n_trees;
	for (size_t i = 0; i < look.n_trees; i++) {
		struct tree *t = &look.tree[i];

		t->used = count_used(t, look.commits, look.n_trees);
		t->used_before = count_used(t, look.commits - !look.ends_with_keys, before);
	}
}

/* Whether both slots of the key are ahead of the ledger's last record. */
static bool is_saved(const char *copy)
{
	char path[4096];
	struct keyfile f = { .fd = -1 };
	struct key_state s = { 0 };
	struct buf bytes = { 0 };
	bool saved, same;
	int r;

	snprintf(path, sizeof path, "%s/seal", copy);
	builder_load(path, "key", &bytes);
	/* The slots are the same but for nothing. */
	same = bytes.len == 8192 && memcmp(bytes.data, bytes.data + 4096, 4096) == 0;
	buf_done(&bytes);
	strcat(path, "/key");
	r = keyfile_open(&f, AT_FDCWD, path, &s);
	assert(r == 0);
	saved = same && s.key_first + s.key->counter == look.commits &&
		!(look.ends_with_keys && s.key->pending);
	/* A key that is used up gives way to its successor when the state is saved. */
	saved &= !kes_exhausted(s.key);
	key_state_done(&s);
	keyfile_close(&f);
	return saved;
}

/* What to look for. */

static uint64_t word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return w;
}

static uint32_t bit_of(uint64_t w)
{
	return (uint32_t) (w * 0x9e3779b97f4a7c15ull >> 40);
}

static void want(const uint8_t *half, size_t tree, uint32_t node, enum class class)
{
	uint64_t w = word(half);
	uint32_t i = bit_of(w) % SLOTS;

	while (look.slot[i].set)
		i = (i + 1) % SLOTS;
	look.slot[i] = (struct pattern){ .tree = (uint16_t) tree,
					 .node = (uint16_t) node,
					 .class = (uint8_t) class,
					 .set = true };
	memcpy(look.slot[i].half, half, HALF);
	look.filter[bit_of(w) / 8] |= (uint8_t) (1u << bit_of(w) % 8);
}

static void want_node(size_t tree, uint32_t node, unsigned below, const uint8_t *seed)
{
	const struct tree *t = &look.tree[tree];
	uint32_t first = (node << below) - (1u << t->shape.height);
	enum class class = first < t->used_before ? OLD : first < t->used ? LAST : FREE;
	uint8_t in[1 + KES_SEED_SIZE], child[KES_SEED_SIZE], expanded[crypto_hash_sha512_BYTES];

	want(seed, tree, node, class);
	want(seed + HALF, tree, node, class);
	if (below == 0) {
		/* The scalar, but for the bytes at its ends, where bits are set; and the prefix. */
		crypto_hash_sha512(expanded, seed, KES_SEED_SIZE);
		want(expanded + 1, tree, node, class);
		want(expanded + 15, tree, node, class);
		want(expanded + 32, tree, node, class);
		want(expanded + 48, tree, node, class);
		return;
	}
	memcpy(in + 1, seed, KES_SEED_SIZE);
	for (uint8_t side = 0; side < 2; side++) {
		in[0] = (uint8_t) (1 + side);
		crypto_generichash_blake2b(child, sizeof child, in, sizeof in, NULL, 0);
		want_node(tree, 2 * node + side, below - 1, child);
	}
}

static void match_seed(const uint8_t *seed)
{
	static struct kes_public_tree public;
	unsigned grown = 0; /* height */

	for (size_t i = 0; i < look.n_trees; i++) {
		struct tree *t = &look.tree[i];

		if (t->known)
			continue;
		if (grown != t->shape.height)
			kes_tree_grow(&public, grown = t->shape.height, seed);
		if (!hash_same(&public.node[1], &t->root))
			continue;
		memcpy(t->seed, seed, KES_SEED_SIZE);
		t->known = true;
		want_node(i, 1, t->shape.height, seed);
		return;
	}
	/* Of a tree that is to come. */
	want(seed, TREES_MAX, 1, FREE);
	want(seed + HALF, TREES_MAX, 1, FREE);
}

static void read_secrets(const char *name)
{
	struct buf bytes = { 0 };
	int r = io_read_file(AT_FDCWD, name, 1 << 24, &bytes);

	assert(r == 0 && bytes.len % KES_SEED_SIZE == 0);
	for (size_t at = 0; at < bytes.len; at += KES_SEED_SIZE)
		match_seed(bytes.data + at);
	buf_done(&bytes);
	for (size_t i = 0; i < look.n_trees; i++)
		assert(look.tree[i].known || !"a tree grew from a seed that nobody saw");
}

/* Looking. */

static void hit(const struct pattern *p, bool file, bool open, const char *where, size_t at)
{
	static const char *const names[] = { "used", "of the last record", "free" };
	const struct tree *t = &look.tree[p->tree];

	look.hits[p->class][file]++;
	look.open += !file && open && p->class == FREE;
	if (p->class != FREE)
		look.found[p->tree][p->node] = true;
	if ((p->class == OLD || (open && p->class == FREE)) && look.shown++ < HITS_SHOWN)
		fprintf(stderr, "%s: byte %zu: level %u, counter %llu, node %u: %s\n", where, at,
			t->level, (unsigned long long) t->counter, p->node, names[p->class]);
}

static void scan(const uint8_t *p, size_t n, bool file, bool open, const char *where)
{
	look.scanned[file] += n;
	for (size_t i = 0; i + HALF <= n; i++) {
		uint32_t bit = bit_of(word(p + i));

		if (!(look.filter[bit / 8] >> bit % 8 & 1))
			continue;
		for (uint32_t k = bit % SLOTS; look.slot[k].set; k = (k + 1) % SLOTS)
			if (memcmp(look.slot[k].half, p + i, HALF) == 0)
				hit(&look.slot[k], file, open, where, i);
	}
}

static void scan_file(const char *dir, const char *name)
{
	struct buf bytes = { 0 };

	builder_load(dir, name, &bytes);
	scan(bytes.data, bytes.len, true, false, name);
	buf_done(&bytes);
}

static void scan_directory(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char below[4096];

	assert(d);
	while ((e = readdir(d))) {
		snprintf(below, sizeof below, "%s/%s", path, e->d_name);
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			scan_directory(below);
		else if (e->d_type == DT_REG)
			scan_file(path, e->d_name);
	}
	closedir(d);
}

static void scan_mapping(int mem, uint64_t from, uint64_t to, bool open, const char *where)
{
	static uint8_t *room;
	ssize_t n;

	if (to - from > MAPPING_MAX)
		return;
	if (!room)
		room = malloc(MAPPING_MAX);
	assert(room);
	n = pread(mem, room, to - from, (off_t) from);
	if (n > 0)
		scan(room, (size_t) n, false, open, where);
}

/* Mappings, each with its flags: "lo" is locked, "dd" in no core dump. */
static void scan_process(const char *pid)
{
	char path[64], line[8192], where[128] = "", mode[8] = "", name[64] = "";
	unsigned long long from = 0, to = 0, a, b;
	FILE *maps;
	int mem;

	snprintf(path, sizeof path, "/proc/%s/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%s/smaps", pid);
	maps = fopen(path, "re");
	assert(mem >= 0 && maps);
	while (fgets(line, sizeof line, maps)) {
		char m[8];

		if (sscanf(line, "%llx-%llx %7s", &a, &b, m) == 3) {
			from = a;
			to = b;
			memcpy(mode, m, sizeof mode);
			name[0] = '\0';
			sscanf(line, "%*s %*s %*s %*s %*s %63s", name);
			snprintf(where, sizeof where, "process %s, %llx %s", pid, from, name);
		} else if (strncmp(line, "VmFlags:", 8) == 0 && mode[0] == 'r') {
			bool closed = strstr(line, " lo") && strstr(line, " dd");

			scan_mapping(mem, from, to, !closed, where);
		}
	}
	fclose(maps);
	close(mem);
}

/* What was found of seals. */

static void tell_leaves(FILE *to, const struct tree *t, uint32_t node, unsigned below,
			const uint8_t *seed, bool known)
{
	size_t i = (size_t) (t - look.tree);
	uint8_t in[1 + KES_SEED_SIZE], child[KES_SEED_SIZE];
	uint32_t leaf = node - (1u << t->shape.height);
	char hex[2 * KES_SEED_SIZE + 1];

	known |= look.found[i][node];
	if (below == 0) {
		text_hex(hex, seed, KES_SEED_SIZE);
		if (known && leaf < t->used)
			fprintf(to, "%llu %s\n",
				(unsigned long long) (t->key_first + t->counter + leaf), hex);
		return;
	}
	memcpy(in + 1, seed, KES_SEED_SIZE);
	for (uint8_t side = 0; side < 2; side++) {
		in[0] = (uint8_t) (1 + side);
		crypto_generichash_blake2b(child, sizeof child, in, sizeof in, NULL, 0);
		tell_leaves(to, t, 2 * node + side, below - 1, child, known);
	}
}

static void tell(const char *found, bool saved)
{
	FILE *to = fopen(found, "we");

	assert(to);
	for (size_t i = 0; i < look.n_trees; i++)
		if (look.tree[i].level + 1u == look.tree[i].shape.levels)
			tell_leaves(to, &look.tree[i], 1, look.tree[i].shape.height,
				    look.tree[i].seed, false);
	fclose(to);
	printf("commits %llu saved %d memory %llu files %llu old %llu %llu last %llu %llu free "
	       "%llu %llu "
	       "open %llu\n",
	       (unsigned long long) look.commits, saved, (unsigned long long) look.scanned[0],
	       (unsigned long long) look.scanned[1], (unsigned long long) look.hits[OLD][0],
	       (unsigned long long) look.hits[OLD][1], (unsigned long long) look.hits[LAST][0],
	       (unsigned long long) look.hits[LAST][1], (unsigned long long) look.hits[FREE][0],
	       (unsigned long long) look.hits[FREE][1], (unsigned long long) look.open);
}

/* Leave an origin that was drawn and no more: its first sealer goes on from there. */
static int found(const char *path, unsigned levels, unsigned height)
{
	struct origin_config config = {
		.host = "intruded.example",
		.params = { (uint8_t) levels, (uint8_t) height },
	};
	struct origin *o = NULL;
	struct state s;
	int r = state_open(&s, path, true);

	if (r >= 0)
		r = origin_open(&o, s.seal, s.ledger, &config);
	origin_close(o);
	return r < 0;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 2;
	if (argc == 5 && strcmp(argv[1], "found") == 0)
		return found(argv[2], (unsigned) atoi(argv[3]), (unsigned) atoi(argv[4]));
	if (argc < 6 || strcmp(argv[1], "look") != 0)
		return 2;
	read_ledger(argv[3]);
	read_secrets(argv[2]);
	scan_directory(argv[3]);
	for (int i = 5; i < argc; i++)
		scan_process(argv[i]);
	tell(argv[4], is_saved(argv[3]));
	return 0;
}
