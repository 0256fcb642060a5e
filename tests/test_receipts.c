/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Receipts are kept whole, one for each destination, however many forwarders keep one at once; and only those that a known
 * aggregator has signed are good.
 */

#include "store/receipts.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "tests/harness.h"

Suite(receipts);

static void begin(struct state *s)
{
	cr_assert(eq(int, state_open(s, tempdir(), true), 0));
}

/* A receipt for `size` commits, that nobody has signed. */
static int keep(const struct state *s, const char *destination, uint64_t size)
{
	_cleanup_buf_ struct buf note = { 0 };
	struct receipt r = { .size = size, .time_ns = size };
	struct id origin = { { 1 } };
	char text[CHECKPOINT_SIZE_MAX];

	memset(r.root.b, (int) size, sizeof r.root.b);
	strcpy(r.destination, destination);
	buf_append(&note, text, checkpoint_write(&origin, size, &r.root, text));
	/* Long, so that it takes a while. */
	for (uint64_t i = 0; i < size % 40; i++)
		buf_str(&note, "\nsomebody's line\n");
	return receipts_keep(s, &r, (const char *) note.data, note.len);
}

struct found {
	unsigned n;
	uint64_t size;
	bool torn;
};

static int look(void *arg, const struct receipt *r)
{
	struct found *f = arg;

	f->n++;
	f->size = MAX_OF(f->size, r->size);
	f->torn |= r->root.b[0] != (uint8_t) r->size || r->time_ns != r->size;
	return 0;
}

Test(receipts, each_destination_has_its_last)
{
	struct found found = { 0 };
	struct state s;

	begin(&s);
	cr_assert(eq(int, keep(&s, "http://a", 3), 0));
	cr_assert(eq(int, keep(&s, "http://b", 9), 0));
	/* Also one for less: what an aggregator says that has lost its store. */
	cr_assert(eq(int, keep(&s, "http://b", 2), 0));
	cr_assert(eq(int, receipts_each(&s, look, &found), 0));
	cr_expect(eq(u32, found.n, 2));
	cr_expect(eq(u64, found.size, 3));
	state_close(&s);
}

Test(receipts, several_may_keep_one_at_once)
{
	enum { KEEPERS = 4, TIMES = 60 };
	struct found found = { 0 };
	struct state s;
	pid_t pid[KEEPERS];

	begin(&s);
	for (int k = 0; k < KEEPERS; k++) {
		pid[k] = fork();
		cr_assert(ge(int, pid[k], 0));
		for (uint64_t i = 1; pid[k] == 0 && i <= TIMES; i++)
			if (keep(&s, "http://a", i) < 0)
				_exit(1);
		if (pid[k] == 0)
			_exit(0);
	}
	for (int k = 0; k < KEEPERS; k++) {
		int status;

		cr_assert(eq(int, waitpid(pid[k], &status, 0), pid[k]));
		cr_expect(eq(int, status, 0), "keeper %d", k);
	}
	cr_assert(eq(int, receipts_each(&s, look, &found), 0));
	cr_expect(eq(u32, found.n, 1));
	cr_expect(eq(u64, found.size, TIMES));
	cr_expect(not(found.torn));
	state_close(&s);
}

/* Receipts that are signed. */

struct signer {
	struct cosigner who;
	uint8_t secret[COSIGN_SECRET_SIZE];
};

static void make_signer(struct signer *s, uint8_t byte)
{
	uint8_t seed[crypto_sign_SEEDBYTES];

	memset(seed, byte, sizeof seed);
	strcpy(s->who.name, "central");
	crypto_sign_seed_keypair(s->who.public_key, s->secret, seed);
}

struct checking {
	struct id origin;
	const struct cosigner *keys;
	size_t n;
	int got;
};

static int check(void *arg, const struct receipt *r)
{
	struct checking *c = arg;

	c->got = receipt_check(r, &c->origin, c->keys, c->n);
	return 0;
}

static int checked(const struct state *s, const struct id *origin, const struct cosigner *keys,
		   size_t n)
{
	struct checking c = { .origin = *origin, .keys = keys, .n = n, .got = 1 };

	cr_assert(eq(int, receipts_each(s, check, &c), 0));
	return c.got;
}

Test(receipts, what_no_known_aggregator_has_signed_is_none)
{
	_cleanup_buf_ struct buf note = { 0 };
	struct receipt r = { .destination = "http://a", .size = 12, .time_ns = 5 };
	struct id origin = { { 1 } }, other = { { 2 } };
	struct signer far, near;
	struct cosigner keys[2];
	struct state s;

	begin(&s);
	make_signer(&far, 1);
	make_signer(&near, 2);
	cosign_note(&far.who, far.secret, &origin, r.size, &r.root, 99, &note);
	cr_assert(eq(int, receipts_keep(&s, &r, (const char *) note.data, note.len), 0));
	keys[0] = near.who;
	keys[1] = far.who;
	cr_expect(eq(int, checked(&s, &origin, keys, 2), 0));
	cr_expect(eq(int, checked(&s, &origin, &far.who, 1), 0));
	cr_expect(eq(int, checked(&s, &origin, &near.who, 1), BULLA_ESIG));
	cr_expect(eq(int, checked(&s, &origin, NULL, 0), BULLA_ESIG));
	cr_expect(eq(int, checked(&s, &other, keys, 2), BULLA_EPARSE));
	/* Any byte that is another: it is no receipt, or one that nobody has signed. */
	for (size_t at = 0; at < note.len; at++) {
		note.data[at] ^= 1;
		cr_assert(eq(int, receipts_keep(&s, &r, (const char *) note.data, note.len), 0));
		cr_expect(checked(&s, &origin, keys, 2) != 0, "byte %zu", at);
		note.data[at] ^= 1;
	}
	state_close(&s);
}
