/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A key's file gives back the newest state that was saved whole, whatever a crash tore, and no seed that a saved state had
 * used up.
 */

#include "seal/keyfile.h"

#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "bulla/error.h"

Suite(keyfile);

enum { SLOT = 4096, FILE_SIZE = 2 * SLOT, KEY_AT = 8 + 8 + ID_SIZE + 8 };

static int dir;

static void open_dir(void)
{
	dir = open(tempdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ge(int, dir, 0));
}

static struct key_state new_state(bool with_next)
{
	struct key_state s = { .origin = { "origin" }, .key_first = 77, .key = kes_new() };

	cr_assert(ne(ptr, s.key, NULL));
	kes_generate(s.key, &(struct kes_params){ 2, 2 });
	kes_certify(s.key);
	if (with_next) {
		s.next = kes_new();
		kes_generate(s.next, &(struct kes_params){ 4, 8 });
	}
	return s;
}

static void get_bytes(uint8_t bytes[FILE_SIZE])
{
	_cleanup_close_ int fd = openat(dir, "key", O_RDONLY | O_CLOEXEC);

	cr_assert(eq(i64, io_pread(fd, bytes, FILE_SIZE, 0), FILE_SIZE));
}

static void put_bytes(const uint8_t *bytes, size_t n)
{
	_cleanup_close_ int fd = openat(dir, "key", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert(eq(int, io_write(fd, bytes, n), 0));
}

static int reopen(uint64_t *ret_counter)
{
	struct keyfile f = { .fd = -1 };
	struct key_state s = { 0 };
	int r = keyfile_open(&f, dir, "key", &s);

	if (r == 0) {
		*ret_counter = s.key->counter;
		keyfile_close(&f);
	}
	key_state_done(&s);
	return r;
}

static void expect_same_key(const struct kes *a, const struct kes *b)
{
	uint8_t x[KES_STATE_SIZE_MAX], y[KES_STATE_SIZE_MAX];
	struct wr wx = wr_of(x, sizeof x), wy = wr_of(y, sizeof y);

	kes_save(a, &wx);
	kes_save(b, &wy);
	cr_expect(eq(sz, wx.len, wy.len));
	cr_expect(eq(int, memcmp(x, y, wx.len), 0));
}

/* Make the sums of a slot right again. */
static void mend(uint8_t slot[SLOT])
{
	struct hash sum = sha256(slot, SLOT - HASH_SIZE);

	memcpy(slot + SLOT - HASH_SIZE, sum.b, HASH_SIZE);
}

Test(keyfile, what_is_saved_is_read_back)
{
	for (int with_next = 0; with_next <= 1; with_next++) {
		struct key_state in = new_state(with_next), out = { 0 };
		struct keyfile f;

		open_dir();
		cr_assert(eq(int, keyfile_create(&f, dir, "key", &in), 0));
		keyfile_close(&f);
		cr_assert(eq(int, keyfile_open(&f, dir, "key", &out), 0));
		cr_expect(eq(u64, f.sequence, 1));
		cr_expect(id_equal(&out.origin, &in.origin));
		cr_expect(eq(u64, out.key_first, 77));
		expect_same_key(in.key, out.key);
		cr_assert(eq(int, out.next != NULL, with_next));
		if (with_next)
			expect_same_key(in.next, out.next);
		keyfile_close(&f);
		key_state_done(&in);
		key_state_done(&out);
		close(dir);
	}
}

/* A seal between two saves: the bytes of the file before and after. */
static void two_saves(uint8_t before[FILE_SIZE], uint8_t after[FILE_SIZE])
{
	struct key_state s = new_state(false);
	uint8_t sigma[KES_SIGMA_SIZE];
	struct keyfile f;

	open_dir();
	cr_assert(eq(int, keyfile_create(&f, dir, "key", &s), 0));
	get_bytes(before);
	kes_sign(s.key, "", 0, sigma);
	cr_assert(eq(int, keyfile_save(&f, &s), 0));
	get_bytes(after);
	keyfile_close(&f);
	key_state_done(&s);
}

Test(keyfile, both_slots_hold_the_newest_state_and_no_older_seed)
{
	static uint8_t before[FILE_SIZE], after[FILE_SIZE];
	struct kes *k = kes_new();
	struct rd r;
	const struct kes_secret_tree *s;

	two_saves(before, after);
	cr_expect(eq(int, memcmp(before, before + SLOT, SLOT), 0));
	cr_expect(eq(int, memcmp(after, after + SLOT, SLOT), 0));
	r = rd_of(before + KEY_AT, SLOT - KEY_AT);
	cr_assert(eq(int, kes_load(k, &r), 0));
	s = &k->secret[1];
	cr_expect(ne(ptr, memmem(before, FILE_SIZE, s->seed[s->n - 1], KES_SEED_SIZE), NULL));
	cr_expect(eq(ptr, memmem(after, FILE_SIZE, s->seed[s->n - 1], KES_SEED_SIZE), NULL));
	kes_free(k);
	close(dir);
}

Test(keyfile, a_slot_torn_at_any_byte_costs_no_state)
{
	static uint8_t before[FILE_SIZE], after[FILE_SIZE], torn[FILE_SIZE];
	uint64_t counter;

	two_saves(before, after);
	/* Save 2 writes slot 0 first, then slot 1; a tear leaves either end of the write. */
	for (size_t cut = 0; cut <= SLOT; cut += cut < 200 || cut > SLOT - 40 ? 1 : 37) {
		bool is_new = cut == SLOT;

		memcpy(torn, before, FILE_SIZE);
		memcpy(torn, after, cut);
		put_bytes(torn, FILE_SIZE);
		cr_assert(eq(int, reopen(&counter), 0), "slot 0 to %zu", cut);
		is_new |= memcmp(torn, after, SLOT) == 0;
		cr_expect(eq(u64, counter, is_new), "slot 0 to %zu", cut);
		memcpy(torn, before, FILE_SIZE);
		memcpy(torn + cut, after + cut, SLOT - cut);
		put_bytes(torn, FILE_SIZE);
		is_new = memcmp(torn, after, SLOT) == 0;
		cr_assert(eq(int, reopen(&counter), 0), "slot 0 from %zu", cut);
		cr_expect(eq(u64, counter, is_new), "slot 0 from %zu", cut);
		memcpy(torn, after, SLOT);
		memcpy(torn + SLOT, before + SLOT, SLOT);
		memcpy(torn + SLOT, after + SLOT, cut);
		put_bytes(torn, FILE_SIZE);
		cr_assert(eq(int, reopen(&counter), 0), "slot 1 to %zu", cut);
		cr_expect(eq(u64, counter, 1), "slot 1 to %zu", cut);
	}
	close(dir);
}

Test(keyfile, a_save_after_a_tear_heals_both_slots)
{
	static uint8_t before[FILE_SIZE], after[FILE_SIZE];
	struct keyfile f;
	struct key_state s;
	uint8_t sigma[KES_SIGMA_SIZE];

	two_saves(before, after);
	memcpy(after + SLOT, before + SLOT, 1000);
	put_bytes(after, FILE_SIZE);
	cr_assert(eq(int, keyfile_open(&f, dir, "key", &s), 0));
	kes_sign(s.key, "", 0, sigma);
	cr_assert(eq(int, keyfile_save(&f, &s), 0));
	get_bytes(after);
	cr_expect(eq(int, memcmp(after, after + SLOT, SLOT), 0));
	keyfile_close(&f);
	key_state_done(&s);
	close(dir);
}

Test(keyfile, no_bit_of_a_slot_can_be_another)
{
	static uint8_t before[FILE_SIZE], after[FILE_SIZE];
	uint64_t counter;

	two_saves(before, after);
	for (size_t bit = 0; bit < 8 * SLOT; bit += bit < 8 * 300 ? 1 : 61) {
		after[bit / 8] ^= (uint8_t) (1 << bit % 8);
		after[SLOT + bit / 8] ^= (uint8_t) (1 << bit % 8);
		put_bytes(after, FILE_SIZE);
		cr_expect(eq(int, reopen(&counter), BULLA_ECORRUPT), "bit %zu", bit);
		after[bit / 8] ^= (uint8_t) (1 << bit % 8);
		after[SLOT + bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	close(dir);
}

Test(keyfile, whole_slots_with_unlawful_content_are_refused)
{
	static uint8_t before[FILE_SIZE], bytes[FILE_SIZE];
	uint64_t counter;
	struct kes *k = kes_new();
	struct rd r;
	size_t successor;

	two_saves(before, bytes);
	/* Behind the key stands the byte that says whether there is a successor. */
	r = rd_of(bytes + KEY_AT, SLOT - KEY_AT);
	cr_assert(eq(int, kes_load(k, &r), 0));
	kes_free(k);
	successor = (size_t) (r.p - bytes);
	cr_assert(eq(u8, bytes[successor], 0));
	const struct {
		size_t at;
		uint8_t value;
		int want;
	} rows[] = {
		{ 7, '2', BULLA_EVERSION },
		{ KEY_AT, 5, BULLA_ECORRUPT },
		{ KEY_AT + 1, 9, BULLA_ECORRUPT },
		{ KEY_AT + 2, 2, BULLA_ECORRUPT },
		{ successor, 2, BULLA_ECORRUPT },
		{ successor, 1, BULLA_ECORRUPT },
		{ SLOT - HASH_SIZE - 1, 1, BULLA_ECORRUPT },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		memcpy(before, bytes, FILE_SIZE);
		before[rows[i].at] = rows[i].value;
		mend(before);
		memcpy(before + SLOT, before, SLOT);
		put_bytes(before, FILE_SIZE);
		cr_expect(eq(int, reopen(&counter), rows[i].want), "row %zu", i);
	}
	close(dir);
}

Test(keyfile, files_of_other_sizes_are_refused)
{
	static uint8_t before[FILE_SIZE], after[FILE_SIZE];
	uint64_t counter;

	two_saves(before, after);
	put_bytes(after, 0);
	cr_expect(eq(int, reopen(&counter), BULLA_ECORRUPT));
	put_bytes(after, SLOT - 1);
	cr_expect(eq(int, reopen(&counter), BULLA_ECORRUPT));
	put_bytes(after, SLOT);
	cr_expect(eq(int, reopen(&counter), 0));
	unlinkat(dir, "key", 0);
	cr_expect(eq(int, reopen(&counter), -ENOENT));
	close(dir);
}

Test(keyfile, one_process_at_a_time_has_it)
{
	struct key_state s = new_state(false), second = { 0 };
	struct keyfile f, g;

	open_dir();
	cr_assert(eq(int, keyfile_create(&f, dir, "key", &s), 0));
	cr_expect(eq(int, keyfile_open(&g, dir, "key", &second), -EBUSY));
	keyfile_close(&f);
	cr_assert(eq(int, keyfile_open(&g, dir, "key", &second), 0));
	cr_expect(eq(int, keyfile_open(&f, dir, "key", &s), -EBUSY));
	keyfile_close(&g);
	key_state_done(&s);
	key_state_done(&second);
	close(dir);
}

Test(keyfile, a_file_that_is_there_is_not_created_again)
{
	struct key_state s = new_state(false), other = new_state(false), out = { 0 };
	struct keyfile f, g;

	open_dir();
	cr_assert(eq(int, keyfile_create(&f, dir, "key", &s), 0));
	keyfile_close(&f);
	cr_expect(eq(int, keyfile_create(&g, dir, "key", &other), -EEXIST));
	cr_assert(eq(int, keyfile_open(&f, dir, "key", &out), 0));
	expect_same_key(out.key, s.key);
	keyfile_close(&f);
	/* What that attempt left is no hindrance. */
	unlinkat(dir, "key", 0);
	cr_expect(eq(int, keyfile_create(&g, dir, "key", &other), 0));
	cr_expect(eq(int, faccessat(dir, ".key.new", F_OK, 0), -1));
	keyfile_close(&g);
	key_state_done(&s);
	key_state_done(&other);
	key_state_done(&out);
	close(dir);
}

/* AddressSanitizer lets nobody lock memory. */
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if !defined __SANITIZE_ADDRESS__ && !HAS_FEATURE(address_sanitizer)
Test(keyfile, a_slot_that_cannot_be_locked_is_neither_written_nor_read)
{
	struct keyfile f = { .fd = -1 };
	struct key_state s, read = { 0 };
	const struct rlimit none = { 0, 0 };
	uint8_t before[FILE_SIZE], after[FILE_SIZE];

	open_dir();
	s = new_state(false);
	cr_assert(eq(int, keyfile_create(&f, dir, "key", &s), 0));
	get_bytes(before);
	cr_assert(eq(int, fchmod(dir, 0711), 0));
	cr_assert(eq(int, fchmodat(dir, "key", 0666, 0), 0));
	/* The key in memory stays locked. */
	cr_assert(eq(int, setrlimit(RLIMIT_MEMLOCK, &none), 0));
	if (getuid() == 0)
		cr_assert(eq(int, seteuid(65534), 0));
	cr_expect(eq(int, keyfile_save(&f, &s), -ENOMEM));
	get_bytes(after);
	cr_expect(zero(int, memcmp(before, after, FILE_SIZE)));
	keyfile_close(&f);
	cr_expect(eq(int, keyfile_open(&f, dir, "key", &read), -ENOMEM));
	if (getuid() == 0)
		cr_assert(eq(int, seteuid(0), 0));
	key_state_done(&s);
}
#endif
