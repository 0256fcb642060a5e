/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A tree grows from one seed, GGM style:
 *
 *	seed s  ->  left  BLAKE2b-256(01 || s)        node = BLAKE2b-256(left node || right node)
 *	            right BLAKE2b-256(02 || s)        leaf = the Ed25519 public key of the leaf seed
 *
 * The secret stack holds the seeds of the subtrees that are not yet used, leftmost on top: taking a key expands the top
 * seed leftwards, leaves the right siblings on the stack and erases what was expanded.  At no time can a seed on the stack
 * (at most height + 1) grow a key that has signed.
 */

#include "seal/kes.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"

static_assert(crypto_sign_SEEDBYTES == KES_SEED_SIZE, "seeds are Ed25519 seeds");
static_assert(crypto_sign_PUBLICKEYBYTES == KES_PUBLIC_SIZE, "leaves are Ed25519 public keys");
static_assert(crypto_sign_BYTES == KES_SIGMA_SIZE, "signatures are Ed25519 signatures");

static const char certificate_domain[] = "bulla-kes-cert/v1";

/* What libsodium leaves below our frames after hashing and signing seeds is overwritten as far as this. */
enum { STACK_USED = 16 << 10 };

/* Parameters and indices. */

bool kes_params_valid(const struct kes_params *p)
{
	return p->levels >= 1 && p->levels <= KES_LEVELS_MAX && p->height >= 1 &&
	       p->height <= KES_HEIGHT_MAX;
}

uint64_t kes_capacity(const struct kes_params *p)
{
	return 1ull << (p->levels * p->height);
}

uint32_t kes_index(const struct kes_params *p, uint64_t c, unsigned level)
{
	unsigned shift = (unsigned) p->height * (p->levels - 1u - level);

	return (uint32_t) ((c >> shift) & ((1u << p->height) - 1));
}

static size_t compact_sum_size(unsigned height)
{
	return KES_SIGMA_SIZE + KES_PUBLIC_SIZE + (size_t) height * HASH_SIZE;
}

size_t kes_signature_size(const struct kes_params *p)
{
	return p->levels * compact_sum_size(p->height);
}

/* Trees. */

static void seed_split(const uint8_t seed[KES_SEED_SIZE], uint8_t left[KES_SEED_SIZE],
		       uint8_t right[KES_SEED_SIZE])
{
	uint8_t in[1 + KES_SEED_SIZE];

	memcpy(in + 1, seed, KES_SEED_SIZE);
	in[0] = 1;
	crypto_generichash_blake2b(left, KES_SEED_SIZE, in, sizeof in, NULL, 0);
	in[0] = 2;
	crypto_generichash_blake2b(right, KES_SEED_SIZE, in, sizeof in, NULL, 0);
	sodium_memzero(in, sizeof in);
}

static struct hash node_of(const struct hash *left, const struct hash *right)
{
	uint8_t in[2 * HASH_SIZE];
	struct hash h;

	memcpy(in, left->b, HASH_SIZE);
	memcpy(in + HASH_SIZE, right->b, HASH_SIZE);
	crypto_generichash_blake2b(h.b, HASH_SIZE, in, sizeof in, NULL, 0);
	return h;
}

void kes_public_tree_fill(struct kes_public_tree *t, unsigned height)
{
	for (uint32_t i = (1u << height) - 1; i >= 1; i--)
		t->node[i] = node_of(&t->node[2 * i], &t->node[2 * i + 1]);
}

static void grow_leaves(struct kes_public_tree *t, uint32_t at, unsigned height,
			const uint8_t seed[KES_SEED_SIZE])
{
	uint8_t left[KES_SEED_SIZE], right[KES_SEED_SIZE], secret[crypto_sign_SECRETKEYBYTES];

	if (height == 0) {
		crypto_sign_seed_keypair(t->node[at].b, secret, seed);
		sodium_memzero(secret, sizeof secret);
		return;
	}
	seed_split(seed, left, right);
	grow_leaves(t, 2 * at, height - 1, left);
	grow_leaves(t, 2 * at + 1, height - 1, right);
	sodium_memzero(left, sizeof left);
	sodium_memzero(right, sizeof right);
}

void kes_tree_grow(struct kes_public_tree *t, unsigned height, const uint8_t seed[KES_SEED_SIZE])
{
	grow_leaves(t, 1, height, seed);
	sodium_stackzero(STACK_USED);
	kes_public_tree_fill(t, height);
}

void kes_secret_begin(struct kes_secret_tree *s, const uint8_t seed[KES_SEED_SIZE])
{
	sodium_memzero(s, sizeof *s);
	memcpy(s->seed[0], seed, KES_SEED_SIZE);
	s->at[0] = 1;
	s->n = 1;
}

/* Take the next leaf's seed off the stack. */
static void secret_pop(struct kes_secret_tree *s, unsigned height, uint8_t ret[KES_SEED_SIZE])
{
	uint8_t left[KES_SEED_SIZE], right[KES_SEED_SIZE];
	uint16_t top;

	assert(s->n > 0);
	for (top = (uint16_t) (s->n - 1); s->at[top] < 1u << height; top++) {
		uint16_t at = s->at[top];

		assert(top < KES_HEIGHT_MAX);
		seed_split(s->seed[top], left, right);
		memcpy(s->seed[top], right, KES_SEED_SIZE);
		s->at[top] = (uint16_t) (2 * at + 1);
		memcpy(s->seed[top + 1], left, KES_SEED_SIZE);
		s->at[top + 1] = (uint16_t) (2 * at);
	}
	sodium_memzero(left, sizeof left);
	sodium_memzero(right, sizeof right);
	memcpy(ret, s->seed[top], KES_SEED_SIZE);
	sodium_memzero(s->seed[top], KES_SEED_SIZE);
	s->n = top;
}

void kes_secret_sign(struct kes_secret_tree *s, unsigned height, const void *message, size_t n,
		     uint8_t ret[KES_SIGMA_SIZE])
{
	uint8_t seed[KES_SEED_SIZE], public[KES_PUBLIC_SIZE], secret[crypto_sign_SECRETKEYBYTES];

	secret_pop(s, height, seed);
	crypto_sign_seed_keypair(public, secret, seed);
	crypto_sign_detached(ret, NULL, message, n, secret);
	sodium_memzero(seed, sizeof seed);
	sodium_memzero(secret, sizeof secret);
	sodium_stackzero(STACK_USED);
}

/* The key. */

struct kes *kes_new(void)
{
	struct kes *k;
	int error;

	if (sodium_init() < 0)
		return NULL;
	k = sodium_malloc(sizeof *k);
	if (!k)
		return NULL;
	sodium_memzero(k, sizeof *k);
	/* sodium_malloc() tries to lock and keeps silent when it cannot. */
	k->level = sodium_mlock(k, sizeof *k) < 0 ? NULL : calloc(KES_LEVELS_MAX, sizeof *k->level);
	if (!k->level) {
		error = errno;
		sodium_free(k);
		errno = error;
		return NULL;
	}
	return k;
}

struct kes *kes_free(struct kes *k)
{
	if (k)
		free(k->level);
	sodium_free(k);
	return NULL;
}

/* Make it a key that has nothing. */
static void kes_reset(struct kes *k)
{
	struct kes_level *level = k->level;

	sodium_memzero(k, sizeof *k);
	k->level = level;
}

void kes_copy(struct kes *to, const struct kes *from)
{
	struct kes_level *level = to->level;

	memcpy(level, from->level, KES_LEVELS_MAX * sizeof *level);
	memcpy(to, from, sizeof *to);
	to->level = level;
}

void kes_generate(struct kes *k, const struct kes_params *p)
{
	assert(kes_params_valid(p));
	kes_reset(k);
	k->params = *p;
	k->renewing = 0;
	randombytes_buf(k->pending_seed, (size_t) p->levels * KES_SEED_SIZE);
	k->pending = true;
}

bool kes_exhausted(const struct kes *k)
{
	return k->counter >= kes_capacity(&k->params);
}

/* The topmost level whose tree the next seal finds used up, or `levels` when none is. */
static unsigned stale_level(const struct kes *k)
{
	unsigned level = k->params.levels;

	while (level > 0 && k->secret[level - 1].n == 0)
		level--;
	return level;
}

bool kes_needs_renewal(const struct kes *k)
{
	return k->pending || stale_level(k) < k->params.levels;
}

void kes_renew(struct kes *k)
{
	assert(!k->pending && !kes_exhausted(k));
	k->renewing = (uint8_t) stale_level(k);
	assert(k->renewing > 0 && k->renewing < k->params.levels);
	for (unsigned l = k->renewing; l < k->params.levels; l++)
		randombytes_buf(k->pending_seed[l], KES_SEED_SIZE);
	k->pending = true;
}

void kes_certify(struct kes *k)
{
	assert(k->pending);
	for (unsigned l = k->renewing; l < k->params.levels; l++) {
		struct kes_level *level = &k->level[l];
		uint8_t message[KES_CERT_MESSAGE_SIZE];

		kes_tree_grow(&level->public, k->params.height, k->pending_seed[l]);
		kes_secret_begin(&k->secret[l], k->pending_seed[l]);
		if (l > 0) {
			kes_certificate_message(l, &level->public.node[1], message);
			kes_secret_sign(&k->secret[l - 1], k->params.height, message,
					sizeof message, level->certificate);
		}
	}
	sodium_memzero(k->pending_seed, sizeof k->pending_seed);
	k->pending = false;
}

unsigned kes_renewed_from(const struct kes *k)
{
	return k->renewing;
}

void kes_sign(struct kes *k, const void *message, size_t n, uint8_t ret[KES_SIGMA_SIZE])
{
	assert(!kes_needs_renewal(k) && !kes_exhausted(k));
	kes_secret_sign(&k->secret[k->params.levels - 1], k->params.height, message, n, ret);
	k->counter++;
}

void kes_skip(struct kes *k)
{
	uint8_t seed[KES_SEED_SIZE];

	assert(!kes_needs_renewal(k) && !kes_exhausted(k));
	secret_pop(&k->secret[k->params.levels - 1], k->params.height, seed);
	sodium_memzero(seed, sizeof seed);
	sodium_stackzero(STACK_USED);
	k->counter++;
}

static int check_seeds(const struct kes *k, unsigned level, struct kes_public_tree *scratch)
{
	const struct kes_secret_tree *s = &k->secret[level];
	uint32_t n = 1u << k->params.height;

	for (unsigned i = 0; i < s->n; i++) {
		unsigned depth = 31u - (unsigned) __builtin_clz(s->at[i]),
			 below = k->params.height - depth;
		uint32_t first = (uint32_t) s->at[i] << below;

		assert(first >= n && first + (1u << below) <= 2 * n);
		grow_leaves(scratch, s->at[i], below, s->seed[i]);
		if (memcmp(&scratch->node[first], &k->level[level].public.node[first],
			   sizeof *scratch->node << below) != 0)
			return BULLA_EORDER;
	}
	return 0;
}

int kes_check_seeds(const struct kes *k)
{
	_cleanup_free_ struct kes_public_tree *scratch = calloc(1, sizeof *scratch);
	int r = 0;

	if (!scratch)
		return -ENOMEM;
	for (unsigned l = 0; l < k->params.levels && r >= 0; l++)
		r = check_seeds(k, l, scratch);
	sodium_stackzero(STACK_USED);
	return r;
}

struct hash kes_root(const struct kes *k, unsigned level)
{
	return k->level[level].public.node[1];
}

void kes_certificate_message(unsigned level, const struct hash *root,
			     uint8_t ret[KES_CERT_MESSAGE_SIZE])
{
	memset(ret, 0, KES_CERT_MESSAGE_SIZE);
	memcpy(ret, certificate_domain, STRLEN(certificate_domain));
	ret[STRLEN(certificate_domain)] = (uint8_t) level;
	memcpy(ret + 32, root->b, HASH_SIZE);
}

/* State: params, counter, per level its stack, then the pending seeds. */

void kes_save(const struct kes *k, struct wr *w)
{
	wr_u8(w, k->params.levels);
	wr_u8(w, k->params.height);
	wr_u64(w, k->counter);
	wr_u8(w, k->renewing);
	wr_u8(w, k->pending);
	for (unsigned l = 0; l < k->params.levels; l++) {
		const struct kes_secret_tree *s = &k->secret[l];

		wr_u16(w, s->n);
		for (unsigned i = 0; i < s->n; i++) {
			wr_u16(w, s->at[i]);
			wr_bytes(w, s->seed[i], KES_SEED_SIZE);
		}
	}
	if (k->pending)
		wr_bytes(w, k->pending_seed, sizeof k->pending_seed);
}

static int secret_load(struct kes_secret_tree *s, struct rd *r)
{
	s->n = rd_u16(r);
	if (s->n > ELEMENTS(s->seed))
		return BULLA_ECORRUPT;
	for (unsigned i = 0; i < s->n; i++) {
		s->at[i] = rd_u16(r);
		rd_copy(r, s->seed[i], KES_SEED_SIZE);
	}
	return 0;
}

/* Whether the stack holds the seeds of all leaves but the first `used`: they hang right of the path to the last used one. */
static bool secret_has_used(const struct kes_secret_tree *s, unsigned height, uint32_t used)
{
	unsigned n = 0;

	if (used == 0)
		return s->n == 1 && s->at[0] == 1;
	for (unsigned depth = 1; depth <= height; depth++) {
		uint32_t at = ((1u << height) + used - 1) >> (height - depth);

		if (at & 1)
			continue;
		if (n >= s->n || s->at[n] != at + 1)
			return false;
		n++;
	}
	return s->n == n;
}

/* Whether each level has used what counter `c` says; with the trees for it there (`ready`), or with those for c - 1. */
static bool levels_fit(const struct kes *k, uint64_t c, bool ready)
{
	for (unsigned l = 0; l < k->params.levels; l++) {
		uint32_t used = kes_index(&k->params, ready ? c : c - 1, l);

		/* A key with a tree below it is used up by its certificate. */
		if (!ready || l + 1u < k->params.levels)
			used++;
		if (!secret_has_used(&k->secret[l], k->params.height, used))
			return false;
	}
	return true;
}

/* Whether an honest key can have this state. */
static bool state_is_lawful(const struct kes *k)
{
	uint64_t c = k->counter;

	if (!kes_params_valid(&k->params) || k->renewing >= k->params.levels ||
	    c > kes_capacity(&k->params))
		return false;
	if (c == 0 && k->pending)
		return k->renewing == 0 && stale_level(k) == 0;
	if (k->pending)
		return !kes_exhausted(k) && levels_fit(k, c, false) &&
		       k->renewing == stale_level(k);
	if (!kes_exhausted(k) && levels_fit(k, c, true))
		return true;
	return c > 0 && kes_index(&k->params, c, k->params.levels - 1u) == 0 &&
	       levels_fit(k, c, false);
}

int kes_load(struct kes *k, struct rd *r)
{
	uint8_t pending;

	kes_reset(k);
	k->params.levels = rd_u8(r);
	k->params.height = rd_u8(r);
	k->counter = rd_u64(r);
	k->renewing = rd_u8(r);
	pending = rd_u8(r);
	if (r->bad || !kes_params_valid(&k->params) || pending > 1)
		return BULLA_ECORRUPT;
	for (unsigned l = 0; l < k->params.levels; l++)
		if (secret_load(&k->secret[l], r) < 0)
			return BULLA_ECORRUPT;
	k->pending = pending;
	if (pending)
		rd_copy(r, k->pending_seed, sizeof k->pending_seed);
	return r->bad || !state_is_lawful(k) ? BULLA_ECORRUPT : 0;
}

/* Checking. */

bool kes_check_sigma(const uint8_t sigma[KES_SIGMA_SIZE], const uint8_t public_key[KES_PUBLIC_SIZE],
		     const void *message, size_t n)
{
	return crypto_sign_verify_detached(sigma, message, n, public_key) == 0;
}

void kes_compact_sum(const struct kes_public_tree *t, unsigned height, uint32_t index,
		     const uint8_t sigma[KES_SIGMA_SIZE], struct wr *w)
{
	uint32_t at = (1u << height) + index;

	wr_bytes(w, sigma, KES_SIGMA_SIZE);
	wr_bytes(w, t->node[at].b, KES_PUBLIC_SIZE);
	for (; at > 1; at /= 2)
		wr_bytes(w, t->node[at ^ 1].b, HASH_SIZE);
}

/* The root that a CompactSum signature claims, without a look at its sigma. */
static struct hash claimed_root(const uint8_t *signature, unsigned height, uint32_t index)
{
	struct hash h, sibling;

	memcpy(h.b, signature + KES_SIGMA_SIZE, HASH_SIZE);
	for (unsigned i = 0; i < height; i++) {
		memcpy(sibling.b, signature + KES_SIGMA_SIZE + KES_PUBLIC_SIZE + i * HASH_SIZE,
		       HASH_SIZE);
		h = (index >> i) & 1 ? node_of(&sibling, &h) : node_of(&h, &sibling);
	}
	return h;
}

bool kes_check_compact_sum(struct rd *r, unsigned height, uint32_t index, const void *message,
			   size_t n, struct hash *ret_root)
{
	const uint8_t *s = rd_bytes(r, compact_sum_size(height));

	if (!s)
		return false;
	*ret_root = claimed_root(s, height, index);
	return kes_check_sigma(s, s + KES_SIGMA_SIZE, message, n);
}

bool kes_check(const struct kes_params *p, const uint8_t public_key[KES_PUBLIC_SIZE],
	       uint64_t counter, const uint8_t *signature, size_t signature_size,
	       const void *message, size_t n)
{
	size_t one = compact_sum_size(p->height);
	struct hash expected, below = { 0 };

	if (!kes_params_valid(p) || signature_size != kes_signature_size(p) ||
	    counter >= kes_capacity(p))
		return false;
	memcpy(expected.b, public_key, HASH_SIZE);
	for (unsigned l = 0; l < p->levels; l++) {
		struct rd r = rd_of(signature + l * one, one);
		uint8_t certificate[KES_CERT_MESSAGE_SIZE];
		struct hash root;
		bool good;

		if (l + 1 < p->levels) {
			below = claimed_root(signature + (l + 1) * one, p->height,
					     kes_index(p, counter, l + 1));
			kes_certificate_message(l + 1, &below, certificate);
			good = kes_check_compact_sum(&r, p->height, kes_index(p, counter, l),
						     certificate, sizeof certificate, &root);
		} else {
			good = kes_check_compact_sum(&r, p->height, kes_index(p, counter, l),
						     message, n, &root);
		}
		if (!good || memcmp(root.b, expected.b, HASH_SIZE) != 0)
			return false;
		expected = below;
	}
	return true;
}
