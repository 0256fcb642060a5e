/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A key signs each counter once, and what has signed is gone.  One level is Cardano's CompactSum, bit for bit; the
 * product's four levels are frozen in golden/kes-4x8.txt.
 */

#include "seal/kes.h"

#include "tests/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include "bulla/error.h"
#include "tests/vectors.h"

Suite(kes);

static const char text[] = "what is sealed";

enum { SIGNATURE_MAX = KES_LEVELS_MAX * (KES_SIGMA_SIZE + KES_PUBLIC_SIZE + 8 * HASH_SIZE) };

/* A key whose seeds follow from where they stand, so that it is the same key every time. */

static void fix_seeds(struct kes *k)
{
	for (unsigned l = k->renewing; l < k->params.levels; l++) {
		char name[64];
		int n = snprintf(name, sizeof name, "test seed %llu %u",
				 (unsigned long long) k->counter, l);
		struct hash h = sha256(name, (size_t) n);

		memcpy(k->pending_seed[l], h.b, KES_SEED_SIZE);
	}
}

static struct kes *fixed_key(struct kes_params p)
{
	struct kes *k = kes_new();

	cr_assert(ne(ptr, k, NULL));
	kes_generate(k, &p);
	fix_seeds(k);
	kes_certify(k);
	return k;
}

static void renew(struct kes *k)
{
	if (kes_needs_renewal(k) && !kes_exhausted(k)) {
		kes_renew(k);
		fix_seeds(k);
		kes_certify(k);
	}
}

/* The whole signature of the counter that was signed last. */
static size_t assemble(const struct kes *k, const uint8_t sigma[KES_SIGMA_SIZE],
		       uint8_t ret[SIGNATURE_MAX])
{
	struct wr w = wr_of(ret, SIGNATURE_MAX);
	uint64_t c = k->counter - 1;

	for (unsigned l = 0; l < k->params.levels; l++)
		kes_compact_sum(&k->level[l].public, k->params.height, kes_index(&k->params, c, l),
				l + 1u < k->params.levels ? k->level[l + 1].certificate : sigma,
				&w);
	cr_assert(not(w.bad));
	cr_assert(eq(sz, w.len, kes_signature_size(&k->params)));
	return w.len;
}

static size_t sign_next(struct kes *k, uint8_t ret[SIGNATURE_MAX])
{
	uint8_t sigma[KES_SIGMA_SIZE];

	renew(k);
	kes_sign(k, text, STRLEN(text), sigma);
	return assemble(k, sigma, ret);
}

static bool check(const struct kes_params *p, const struct hash *public_key, uint64_t counter,
		  const uint8_t *signature, size_t n)
{
	uint8_t *exact = exact_copy(signature, n);
	bool good = kes_check(p, public_key->b, counter, exact, n, text, STRLEN(text));

	free(exact);
	return good;
}

/* One level. */

static void expect_file(const char *name, const uint8_t *bytes, size_t n)
{
	char path[256];
	uint8_t want[1024];

	snprintf(path, sizeof path, "secure-data/kes-sum-ed25519/%s", name);
	cr_assert(eq(sz, vectors_read(vectors_path(path), want, sizeof want), n));
	cr_expect(eq(int, memcmp(bytes, want, n), 0), "%s", name);
}

Test(kes, one_level_is_the_compact_sum_of_cardano)
{
	static const char seed[] = "test string of 32 byte of lenght", message[] = "test message";
	struct kes_public_tree *t = calloc(1, sizeof *t);
	struct kes_secret_tree s;
	uint8_t sigma[KES_SIGMA_SIZE], signature[SIGNATURE_MAX];

	cr_assert(ne(ptr, t, NULL));
	kes_tree_grow(t, 6, (const uint8_t *) seed);
	kes_secret_begin(&s, (const uint8_t *) seed);
	for (uint32_t i = 0; i <= 5; i++) {
		struct wr w = wr_of(signature, sizeof signature);
		struct rd r;
		struct hash root;

		kes_secret_sign(&s, 6, message, STRLEN(message), sigma);
		kes_compact_sum(t, 6, i, sigma, &w);
		if (i == 0)
			expect_file("compactkey6Sig.bin", signature, w.len);
		if (i == 5)
			expect_file("compactkey6Sig5.bin", signature, w.len);
		r = rd_of(signature, w.len);
		cr_expect(kes_check_compact_sum(&r, 6, i, message, STRLEN(message), &root));
		cr_expect(eq(int, memcmp(root.b, t->node[1].b, HASH_SIZE), 0));
	}
	free(t);
}

/* The product's shape. */

static void write_golden(FILE *to)
{
	static const uint64_t counters[] = { 0, 1, 255, 256, 65535, 65536 };
	const struct kes_params p = { 4, 8 };
	struct kes *k = fixed_key(p);
	struct hash public_key = kes_root(k, 0);
	uint8_t signature[SIGNATURE_MAX];

	for (size_t i = 0; i < HASH_SIZE; i++)
		fprintf(to, "%02x", public_key.b[i]);
	fputc('\n', to);
	for (size_t i = 0; i < ELEMENTS(counters); i++) {
		size_t n;

		while (k->counter < counters[i]) {
			renew(k);
			kes_skip(k);
		}
		n = sign_next(k, signature);
		cr_expect(check(&p, &public_key, counters[i], signature, n));
		fprintf(to, "%llu ", (unsigned long long) counters[i]);
		for (size_t b = 0; b < n; b++)
			fprintf(to, "%02x", signature[b]);
		fputc('\n', to);
	}
	kes_free(k);
}

Test(kes, seals_of_the_product_are_what_they_were)
{
	static char want[1 << 16];
	char *got = NULL;
	size_t got_size = 0, want_size = vectors_read(GOLDEN_DIR "/kes-4x8.txt", want, sizeof want);
	FILE *f = open_memstream(&got, &got_size);

	write_golden(f);
	fclose(f);
	cr_expect(eq(sz, got_size, want_size));
	cr_expect(eq(int, memcmp(got, want, MIN_OF(got_size, want_size)), 0));
	free(got);
}

/* Tiny shapes, from the first seal to the last. */

static void expect_same_key(const struct kes *a, const struct kes *b, const char *why)
{
	uint8_t x[KES_STATE_SIZE_MAX], y[KES_STATE_SIZE_MAX];
	struct wr wx = wr_of(x, sizeof x), wy = wr_of(y, sizeof y);

	kes_save(a, &wx);
	kes_save(b, &wy);
	cr_assert(not(wx.bad));
	cr_expect(eq(sz, wx.len, wy.len), "%s", why);
	cr_expect(eq(int, memcmp(x, y, wx.len), 0), "%s at counter %llu", why,
		  (unsigned long long) a->counter);
}

/* Saved and loaded, then given its public halves back. */
static struct kes *reloaded(const struct kes *k)
{
	uint8_t state[KES_STATE_SIZE_MAX];
	struct wr w = wr_of(state, sizeof state);
	struct kes *copy = kes_new();
	struct rd r;

	kes_save(k, &w);
	cr_assert(not(w.bad));
	r = rd_of(state, w.len);
	cr_assert(ne(ptr, copy, NULL));
	cr_assert(eq(int, kes_load(copy, &r), 0), "counter %llu", (unsigned long long) k->counter);
	cr_assert(eq(sz, r.left, 0));
	memcpy(copy->level, k->level, KES_LEVELS_MAX * sizeof *k->level);
	expect_same_key(k, copy, "reloaded");
	return copy;
}

static void live(struct kes_params p)
{
	struct kes *k = fixed_key(p);
	struct hash public_key = kes_root(k, 0);
	uint8_t signature[SIGNATURE_MAX];
	uint64_t capacity = kes_capacity(&p);

	for (uint64_t c = 0; c < capacity; c++) {
		struct kes *again;
		size_t n;

		cr_expect(not(kes_exhausted(k)));
		cr_expect(eq(u64, k->counter, c));
		if (kes_needs_renewal(k)) {
			kes_free(reloaded(k));
			kes_renew(k);
			fix_seeds(k);
			again = reloaded(k);
			kes_certify(k);
			kes_certify(again);
			expect_same_key(k, again, "certified again");
			cr_expect(eq(
				int,
				memcmp(k->level, again->level, KES_LEVELS_MAX * sizeof *k->level),
				0));
			kes_free(again);
		}
		again = reloaded(k);
		cr_expect(eq(int, kes_check_seeds(again), 0));
		n = sign_next(k, signature);
		kes_skip(again);
		expect_same_key(k, again, "skipped");
		kes_free(again);
		for (uint64_t other = 0; other <= capacity; other++)
			cr_expect(eq(int, check(&p, &public_key, other, signature, n), other == c),
				  "%ux%u: %llu as %llu", p.levels, p.height, (unsigned long long) c,
				  (unsigned long long) other);
	}
	cr_expect(kes_exhausted(k));
	kes_free(reloaded(k));
	kes_free(k);
}

Test(kes, tiny_keys_sign_each_counter_once)
{
	for (uint8_t levels = 1; levels <= KES_LEVELS_MAX; levels++)
		for (uint8_t height = 1; levels * height <= 4; height++)
			live((struct kes_params){ levels, height });
}

Test(kes, shapes_out_of_bounds_are_no_shapes)
{
	for (unsigned levels = 0; levels < 256; levels++)
		for (unsigned height = 0; height < 256; height++)
			cr_expect(eq(int,
				     kes_params_valid(&(struct kes_params){ (uint8_t) levels,
									    (uint8_t) height }),
				     levels >= 1 && levels <= 4 && height >= 1 && height <= 8));
}

/* What is refused. */

Test(kes, no_byte_of_a_signature_can_be_another)
{
	const struct kes_params p = { 3, 2 };
	struct kes *k = fixed_key(p);
	struct hash public_key = kes_root(k, 0);
	uint8_t signature[SIGNATURE_MAX + 1];
	size_t n = 0;

	for (int i = 0; i < 23; i++)
		n = sign_next(k, signature);
	cr_expect(check(&p, &public_key, 22, signature, n));
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			signature[i] ^= (uint8_t) (1 << bit);
			cr_expect(not(check(&p, &public_key, 22, signature, n)),
				  "bit %u of byte %zu", bit, i);
			signature[i] ^= (uint8_t) (1 << bit);
		}
	for (size_t cut = 0; cut < n; cut++)
		cr_expect(not(check(&p, &public_key, 22, signature, cut)), "cut to %zu", cut);
	signature[n] = 0;
	cr_expect(not(check(&p, &public_key, 22, signature, n + 1)));
	kes_free(k);
}

Test(kes, a_signature_belongs_to_one_key_shape_and_message)
{
	const struct kes_params p = { 2, 2 }, flat = { 1, 4 };
	struct kes *k = fixed_key(p);
	struct hash public_key = kes_root(k, 0), other = kes_root(k, 1);
	uint8_t signature[SIGNATURE_MAX];
	size_t n = sign_next(k, signature);

	cr_expect(check(&p, &public_key, 0, signature, n));
	cr_expect(not(check(&p, &other, 0, signature, n)));
	cr_expect(not(check(&flat, &public_key, 0, signature, n)));
	cr_expect(not(kes_check(&p, public_key.b, 0, signature, n, text, STRLEN(text) - 1)));
	cr_expect(
		not(kes_check(&(struct kes_params){ 0, 0 }, public_key.b, 0, signature, 0, "", 0)));
	kes_free(k);
}

Test(kes, a_seed_that_did_not_grow_the_tree_is_noticed)
{
	struct kes *k = fixed_key((struct kes_params){ 3, 3 });
	uint8_t signature[SIGNATURE_MAX];

	for (int i = 0; i < 11; i++)
		sign_next(k, signature);
	cr_expect(eq(int, kes_check_seeds(k), 0));
	for (unsigned l = 0; l < 3; l++)
		for (unsigned i = 0; i < k->secret[l].n; i++) {
			k->secret[l].seed[i][7] ^= 4;
			cr_expect(eq(int, kes_check_seeds(k), BULLA_EORDER), "level %u, seed %u", l,
				  i);
			k->secret[l].seed[i][7] ^= 4;
		}
	kes_free(k);
}

/* Whether a state is refused, or does not end where its bytes end, which the file of it refuses. */
static bool refused(struct kes *scratch, const uint8_t *state, size_t n)
{
	uint8_t *exact = exact_copy(state, n);
	struct rd r = rd_of(exact, n);
	int k = kes_load(scratch, &r);

	free(exact);
	cr_expect(k == 0 || k == BULLA_ECORRUPT);
	return k < 0 || r.left > 0;
}

static bool refused_with_flip(struct kes *scratch, uint8_t *state, size_t n, size_t bit)
{
	bool r;

	state[bit / 8] ^= (uint8_t) (1 << bit % 8);
	r = refused(scratch, state, n);
	state[bit / 8] ^= (uint8_t) (1 << bit % 8);
	return r;
}

/* A state that an honest key cannot have, for all that is not a seed. */
static void expect_unlawful_changes_refused(const struct kes *k, struct kes *scratch)
{
	enum { LEVELS, HEIGHT, COUNTER, RENEWING = 10, PENDING, STACKS };
	uint8_t state[KES_STATE_SIZE_MAX];
	struct wr w = wr_of(state, sizeof state);
	size_t at = STACKS;

	kes_save(k, &w);
	for (size_t n = 0; n < w.len; n++)
		cr_expect(refused(scratch, state, n), "cut to %zu", n);
	for (size_t i = 0; i < STACKS; i++) {
		/* What was renewed last is history, and how high a key will be that nothing was made of anybody's guess. */
		if ((i == RENEWING && !k->pending) ||
		    (i == HEIGHT && k->counter == 0 && k->pending))
			continue;
		for (unsigned bit = 0; bit < 8; bit++)
			cr_expect(refused_with_flip(scratch, state, w.len, 8 * i + bit),
				  "counter %llu: bit %u of byte %zu",
				  (unsigned long long) k->counter, bit, i);
	}
	for (unsigned l = 0; l < k->params.levels; l++) {
		for (unsigned bit = 0; bit < 16; bit++)
			cr_expect(refused_with_flip(scratch, state, w.len, 8 * at + bit),
				  "number of seeds of level %u", l);
		at += 2;
		for (unsigned i = 0; i < k->secret[l].n; i++, at += 2 + KES_SEED_SIZE)
			for (unsigned bit = 0; bit < 16; bit++)
				cr_expect(refused_with_flip(scratch, state, w.len, 8 * at + bit),
					  "place of a seed of level %u", l);
	}
}

Test(kes, a_state_that_no_honest_key_has_is_corrupt)
{
	struct kes *k = kes_new(), *scratch = kes_new();
	uint8_t signature[SIGNATURE_MAX];

	cr_assert(ne(ptr, k, NULL));
	cr_assert(ne(ptr, scratch, NULL));
	kes_generate(k, &(struct kes_params){ 2, 2 });
	expect_unlawful_changes_refused(k, scratch);
	kes_certify(k);
	while (!kes_exhausted(k)) {
		expect_unlawful_changes_refused(k, scratch);
		if (kes_needs_renewal(k)) {
			kes_renew(k);
			expect_unlawful_changes_refused(k, scratch);
			kes_certify(k);
			expect_unlawful_changes_refused(k, scratch);
		}
		sign_next(k, signature);
	}
	expect_unlawful_changes_refused(k, scratch);
	kes_free(k);
	kes_free(scratch);
}

/* What is gone. */

/* The seeds of a whole tree, in heap order, by the definition in docs/format.md. */
static void all_seeds(uint8_t seeds[][KES_SEED_SIZE], unsigned height)
{
	for (uint32_t at = 1; at < 1u << height; at++) {
		uint8_t in[1 + KES_SEED_SIZE];

		memcpy(in + 1, seeds[at], KES_SEED_SIZE);
		for (uint8_t side = 0; side < 2; side++) {
			in[0] = (uint8_t) (1 + side);
			crypto_generichash_blake2b(seeds[2 * at + side], KES_SEED_SIZE, in,
						   sizeof in, NULL, 0);
		}
	}
}

static bool contains(const void *bytes, size_t n, const uint8_t seed[KES_SEED_SIZE])
{
	return memmem(bytes, n, seed, KES_SEED_SIZE) != NULL;
}

Test(kes, used_seeds_and_those_above_them_are_gone)
{
	enum { HEIGHT = 4 };
	static uint8_t seeds[2 << HEIGHT][KES_SEED_SIZE];
	struct kes *k = kes_new();
	uint8_t sigma[KES_SIGMA_SIZE];

	cr_assert(ne(ptr, k, NULL));
	kes_generate(k, &(struct kes_params){ 1, HEIGHT });
	memcpy(seeds[1], k->pending_seed[0], KES_SEED_SIZE);
	all_seeds(seeds, HEIGHT);
	cr_expect(contains(k, sizeof *k, seeds[1]));
	kes_certify(k);
	for (uint32_t c = 0; c < 1 << HEIGHT; c++) {
		kes_sign(k, text, STRLEN(text), sigma);
		for (uint32_t at = 1; at < 2 << HEIGHT; at++) {
			unsigned below = HEIGHT - (31 - (unsigned) __builtin_clz(at));
			uint32_t first_leaf = (at << below) - (1 << HEIGHT);

			if (first_leaf <= c)
				cr_expect(not(contains(k, sizeof *k, seeds[at])),
					  "seed %u after %u", at, c);
		}
		/* The next one is there, or grows from what is. */
		cr_expect(eq(int, kes_check_seeds(k), 0));
	}
	kes_free(k);
}

Test(kes, certifying_leaves_no_pending_seed)
{
	struct kes *k = kes_new();
	uint8_t pending[KES_LEVELS_MAX][KES_SEED_SIZE];

	cr_assert(ne(ptr, k, NULL));
	kes_generate(k, &(struct kes_params){ 3, 2 });
	memcpy(pending, k->pending_seed, sizeof pending);
	kes_certify(k);
	for (unsigned l = 0; l < 2; l++)
		cr_expect(not(contains(k, sizeof *k, pending[l])), "level %u", l);
	kes_free(k);
}

/* AddressSanitizer has its own stacks, and lets nobody lock memory. */
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

#if !defined __SANITIZE_ADDRESS__ && !HAS_FEATURE(address_sanitizer)
/* On a stack of our own, which can be looked at afterwards. */

static ucontext_t there, back;
static struct kes *stack_key;
static uint8_t stack_sigma[KES_SIGMA_SIZE];

static void sign_there(void)
{
	kes_sign(stack_key, text, STRLEN(text), stack_sigma);
}

/* What a careless signer would do. */
static void spill_there(void)
{
	volatile uint8_t copy[KES_SEED_SIZE];

	for (size_t i = 0; i < sizeof copy; i++)
		copy[i] = stack_key->secret[0].seed[0][i];
}

static void run_there(void (*f)(void), void *stack, size_t size)
{
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = size;
	there.uc_link = &back;
	makecontext(&there, f, 0);
	swapcontext(&back, &there);
}

Test(kes, signing_leaves_no_seed_on_the_stack)
{
	enum { HEIGHT = 3, STACK_SIZE = 256 << 10 };
	static uint8_t seeds[2 << HEIGHT][KES_SEED_SIZE], stack[STACK_SIZE];

	stack_key = kes_new();
	cr_assert(ne(ptr, stack_key, NULL));
	kes_generate(stack_key, &(struct kes_params){ 1, HEIGHT });
	memcpy(seeds[1], stack_key->pending_seed[0], KES_SEED_SIZE);
	all_seeds(seeds, HEIGHT);
	kes_certify(stack_key);
	for (uint32_t c = 0; c < 1 << HEIGHT; c++) {
		uint8_t secret[64];

		run_there(sign_there, stack, sizeof stack);
		for (uint32_t at = 1; at < 2 << HEIGHT; at++)
			cr_expect(not(contains(stack, sizeof stack, seeds[at])), "seed %u after %u",
				  at, c);
		/* Nor what Ed25519 makes of it: the clamped scalar, and the prefix of the nonce. */
		crypto_hash_sha512(secret, seeds[(1 << HEIGHT) + c], KES_SEED_SIZE);
		secret[0] &= 248;
		secret[31] &= 127;
		secret[31] |= 64;
		cr_expect(not(contains(stack, sizeof stack, secret)), "scalar %u", c);
		cr_expect(not(contains(stack, sizeof stack, secret + 32)), "prefix %u", c);
	}
	/* The search would find something. */
	memcpy(stack_key->secret[0].seed[0], seeds[1], KES_SEED_SIZE);
	run_there(spill_there, stack, sizeof stack);
	cr_expect(contains(stack, sizeof stack, seeds[1]));
	kes_free(stack_key);
}

Test(kes, memory_that_cannot_be_locked_is_no_place_for_a_key)
{
	const struct rlimit none = { 0, 0 };
	struct kes *k;

	cr_assert(eq(int, setrlimit(RLIMIT_MEMLOCK, &none), 0));
	if (geteuid() == 0)
		cr_assert(eq(int, setresuid(65534, 65534, 65534), 0));
	errno = 0;
	k = kes_new();
	cr_expect(eq(ptr, k, NULL));
	cr_expect(ne(int, errno, 0));
	kes_free(k);
}
#endif

/* Bare Ed25519, as libsodium is strict about it. */

Test(kes, wycheproof_signatures_are_judged_right)
{
	json_t *root = vectors_load(vectors_path("secure-data/wycheproof/ed25519_test.json"));
	const json_t *groups = json_object_get(root, "testGroups"), *group, *test;
	size_t i, j, n = 0;

	json_array_foreach(groups, i, group)
	{
		uint8_t public_key[KES_PUBLIC_SIZE];

		vectors_unhex(vectors_str(json_object_get(group, "publicKey"), "pk"), public_key,
			      sizeof public_key);
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			uint8_t message[4096], sigma[256];
			size_t message_len = vectors_unhex(vectors_str(test, "msg"), message,
							   sizeof message),
			       sigma_len =
				       vectors_unhex(vectors_str(test, "sig"), sigma, sizeof sigma);
			bool want = strcmp(vectors_str(test, "result"), "valid") == 0;

			/* Others cannot be said to a function that takes 64 bytes. */
			if (sigma_len != KES_SIGMA_SIZE) {
				cr_expect(not(want));
				continue;
			}
			n++;
			cr_expect(eq(int, kes_check_sigma(sigma, public_key, message, message_len),
				     want),
				  "tcId %llu", (unsigned long long) vectors_u64(test, "tcId"));
		}
	}
	cr_expect(ge(sz, n, 100));
	json_decref(root);
}

/* Points of mixed order are let pass where the equation holds without the cofactor; nothing else odd is. */
static bool is_tolerated(const json_t *flags)
{
	const json_t *flag;
	size_t i;

	json_array_foreach(flags, i, flag)
	{
		const char *name = json_string_value(flag);

		if (strcmp(name, "low_order_component_A") != 0 &&
		    strcmp(name, "low_order_component_R") != 0)
			return false;
	}
	return true;
}

Test(kes, odd_points_are_judged_strictly)
{
	json_t *root = vectors_load(vectors_path("secure-data/cctv-ed25519/ed25519vectors.json"));
	const json_t *test;
	size_t i, good = 0;

	json_array_foreach(root, i, test)
	{
		uint8_t public_key[KES_PUBLIC_SIZE], sigma[KES_SIGMA_SIZE];
		const char *message = vectors_str(test, "msg");
		bool want = is_tolerated(json_object_get(test, "flags"));

		vectors_unhex(vectors_str(test, "key"), public_key, sizeof public_key);
		vectors_unhex(vectors_str(test, "sig"), sigma, sizeof sigma);
		good += want;
		cr_expect(
			eq(int, kes_check_sigma(sigma, public_key, message, strlen(message)), want),
			"number %zu", i);
	}
	cr_expect(gt(sz, i, 900));
	cr_expect(gt(sz, good, 0));
	json_decref(root);
}
