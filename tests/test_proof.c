/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A proof holds for what was sealed and for nothing else: of every entry there is one, also of what was packed, recovered, or
 * sealed by a later key; no byte of it can be another; it is not good under another key; and batches that are proved whole are.
 */

#include "seal/proof.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bulla/error.h"
#include "store/prove.h"
#include "tests/builder.h"
#include "tests/packing.h"

Suite(proof);

static const struct kes_params shape = { 2, 2 };

/* All proofs of one kind that a host can give. */
struct proofs {
	enum proof_extent extent;
	uint32_t place;
	struct buf files; /* one behind the other */
	size_t end[512];
	uint32_t entries[512];
	uint64_t commit[512];
	size_t n;
};

static int wish(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	const struct proofs *p = arg;

	(void) commit_ns;
	ret->extent = p->extent;
	ret->place = p->extent == PROOF_ENTRY ? p->place % b->entries : 0;
	return 1;
}

static int keep(void *arg, const struct batch *b, const struct prove_wish *w,
		const struct buf *file)
{
	struct proofs *p = arg;

	(void) w;
	cr_assert(lt(sz, p->n, ELEMENTS(p->end)));
	buf_append(&p->files, file->data, file->len);
	p->entries[p->n] = b->entries;
	p->end[p->n++] = p->files.len;
	return 0;
}

static int make(const struct builder *b, enum proof_extent extent, uint32_t place, struct proofs *p)
{
	const struct prove_options o = { wish, keep, p };
	const char *why;

	buf_clear(&p->files);
	p->extent = extent;
	p->place = place;
	p->n = 0;
	return prove(&b->state, &o, &why);
}

static struct buf file_of(const struct proofs *p, size_t i)
{
	size_t from = i > 0 ? p->end[i - 1] : 0;

	return (struct buf){ .data = p->files.data + from, .len = p->end[i] - from };
}

static int check(const struct buf *file, const struct vkey *pin, struct proved *ret)
{
	struct entry_proof *p = malloc(sizeof *p);
	_cleanup_buf_ struct buf memory = { 0 };
	const char *why;
	int r;

	cr_assert(ne(ptr, p, NULL));
	r = entry_proof_read((const char *) file->data, file->len, &memory, p);
	if (r >= 0)
		r = entry_proof_check(p, pin, &shape, ret, &why);
	free(p);
	return r;
}

/* Restarts, a crash, more seals than one key has, journals that end. */
static void make_host(struct builder *b, const char *path)
{
	builder_init(b, path, shape);
	for (size_t j = 0; j < 3; j++)
		builder_open(b, j % 2 ? "web" : "db");
	for (size_t i = 0; i < 20; i++) {
		builder_log_many(b, i % 3, 1 + i * 3 % 11);
		builder_log(b, (i + 1) % 3, "GET /");
		builder_commit(b);
	}
	builder_log_many(b, 2, 7);
	builder_flush(b, 2);
	builder_crash(b);
	builder_restart(b, true);
	builder_log_many(b, builder_open(b, "later"), 30);
	builder_commit(b);
}

static void expect_all_good(const struct proofs *p, const struct vkey *pin)
{
	cr_expect(gt(sz, p->n, 30));
	for (size_t i = 0; i < p->n; i++) {
		struct buf file = file_of(p, i);
		struct proved proved = { 0 };

		cr_assert(eq(int, check(&file, pin, &proved), 0), "proof %zu", i);
		cr_expect(eq(u32, proved.batch.entries, p->entries[i]));
	}
}

static void expect_proofs(const struct builder *b)
{
	static struct proofs p;
	struct vkey pin = builder_pin(b);

	for (uint32_t place = 0; place < 12; place += 5) {
		cr_assert(eq(int, make(b, PROOF_ENTRY, place, &p), 0));
		expect_all_good(&p, &pin);
	}
	cr_assert(eq(int, make(b, PROOF_WHOLE, 0, &p), 0));
	expect_all_good(&p, &pin);
	cr_assert(eq(int, make(b, PROOF_BATCH, 0, &p), 0));
	expect_all_good(&p, &pin);
	buf_done(&p.files);
}

Test(proof, every_entry_has_one)
{
	struct builder b;

	make_host(&b, tempdir());
	expect_proofs(&b);
	builder_done(&b);
}

Test(proof, also_what_was_packed)
{
	struct builder b;

	make_host(&b, tempdir());
	pack_segments(&b, 40, false);
	expect_proofs(&b);
	pack_segments(&b, 0, true);
	expect_proofs(&b);
	cr_assert(gt(int, merge_segments(&b, 0, count_segments(&b)), 0));
	expect_proofs(&b);
	builder_done(&b);
}

Test(proof, an_old_proof_stays_good)
{
	static struct proofs p;
	struct builder b;
	struct vkey pin;

	make_host(&b, tempdir());
	pin = builder_pin(&b);
	cr_assert(eq(int, make(&b, PROOF_ENTRY, 3, &p), 0));
	pack_segments(&b, 0, true);
	builder_log_many(&b, 3, 5);
	builder_commit(&b);
	expect_all_good(&p, &pin);
	buf_done(&p.files);
	builder_done(&b);
}

Test(proof, no_byte_can_be_another)
{
	static const size_t some[] = { 0, 1, 17, 33 };
	static struct proofs p;
	struct proved proved;
	struct builder b;
	struct vkey pin;
	size_t tried = 0;

	make_host(&b, tempdir());
	pin = builder_pin(&b);
	for (uint32_t extent = PROOF_ENTRY; extent <= PROOF_BATCH; extent++) {
		cr_assert(eq(int, make(&b, (enum proof_extent) extent, 1, &p), 0));
		for (size_t k = 0; k < ELEMENTS(some); k++) {
			struct buf file = file_of(&p, some[k]);

			for (size_t i = 0; i < file.len; i++) {
				uint8_t was = file.data[i];

				file.data[i] ^= (uint8_t) (1 << (i % 8));
				cr_assert(lt(int, check(&file, &pin, &proved), 0),
					  "extent %u, proof %zu, byte %zu", extent, some[k], i);
				file.data[i] = was;
				tried++;
			}
			for (size_t n = 0; n < file.len; n += 7) {
				struct buf cut = { .data = file.data, .len = n };

				cr_assert(lt(int, check(&cut, &pin, &proved), 0));
			}
		}
	}
	cr_expect(gt(sz, tried, 10000));
	buf_done(&p.files);
	builder_done(&b);
}

Test(proof, is_none_under_another_key)
{
	static struct proofs p;
	struct proved proved;
	struct builder b;
	struct buf file;
	struct vkey pin;

	make_host(&b, tempdir());
	pin = builder_pin(&b);
	cr_assert(eq(int, make(&b, PROOF_ENTRY, 0, &p), 0));
	file = file_of(&p, p.n - 1);
	cr_expect(eq(int, check(&file, &pin, &proved), 0));
	pin.public_key[5] ^= 1;
	cr_expect(eq(int, check(&file, &pin, &proved), BULLA_ETAMPERED));
	pin.public_key[5] ^= 1;
	pin.origin.b[5] ^= 1;
	cr_expect(eq(int, check(&file, &pin, &proved), BULLA_ETAMPERED));
	buf_done(&p.files);
	builder_done(&b);
}

/* Parts of two good proofs do not make a third. */
Test(proof, parts_of_others_do_not_fit)
{
	static struct proofs p;
	struct entry_proof *a = malloc(sizeof *a), *b = malloc(sizeof *b),
			   *mixed = malloc(sizeof *b);
	struct buf memory[2] = { { 0 }, { 0 } }, file[2];
	struct proved proved;
	struct builder host;
	struct vkey pin;
	const char *why;

	make_host(&host, tempdir());
	pin = builder_pin(&host);
	cr_assert(eq(int, make(&host, PROOF_ENTRY, 0, &p), 0));
	file[0] = file_of(&p, 2);
	file[1] = file_of(&p, 20);
	cr_assert(eq(int, entry_proof_read((const char *) file[0].data, file[0].len, &memory[0], a),
		     0));
	cr_assert(eq(int, entry_proof_read((const char *) file[1].data, file[1].len, &memory[1], b),
		     0));
	for (int part = 0; part < 6; part++) {
		*mixed = *a;
		if (part == 0)
			mixed->seal = b->seal;
		else if (part == 1)
			mixed->seal.signature = b->seal.signature;
		else if (part == 2)
			mixed->batch = b->batch;
		else if (part == 3)
			mixed->entries = b->entries;
		else if (part == 4)
			mixed->n_contexts = 0, mixed->contexts = (struct span){ 0 };
		else
			mixed->place++;
		cr_expect(lt(int, entry_proof_check(mixed, &pin, &shape, &proved, &why), 0),
			  "part %d", part);
		cr_expect(ne(ptr, (char *) (uintptr_t) why, NULL));
	}
	cr_expect(eq(int, entry_proof_check(a, &pin, &shape, &proved, &why), 0));
	free(a);
	free(b);
	free(mixed);
	buf_done(&memory[0]);
	buf_done(&memory[1]);
	buf_done(&p.files);
	builder_done(&host);
}

Test(proof, what_was_changed_has_none)
{
	static struct proofs p;
	_cleanup_buf_ struct buf tail = { 0 };
	struct builder b;
	char name[64];

	make_host(&b, tempdir());
	builder_tail(&b, 0, name);
	builder_load(b.path, name, &tail);
	for (size_t i = 600; i < 1600; i++)
		tail.data[i] ^= 4;
	builder_store(b.path, name, tail.data, tail.len);
	cr_expect(lt(int, make(&b, PROOF_WHOLE, 0, &p), 0));
	buf_done(&p.files);
	builder_done(&b);
}

/* Contexts that nobody needs are not looked for among each other, a million by a million. */
Test(proof, contexts_are_as_many_as_entries_may_need)
{
	enum { MANY = 100000 };
	struct entry_proof *p = malloc(sizeof *p);
	_cleanup_buf_ struct buf memory = { 0 }, chain = { 0 };
	struct proofs proofs = { 0 };
	struct hash parent = { 0 };
	struct proved proved;
	const char *why = NULL;
	struct buf file;
	struct vkey pin;
	struct builder b;

	cr_assert(ne(ptr, p, NULL));
	make_host(&b, tempdir());
	pin = builder_pin(&b);
	cr_assert(eq(int, make(&b, PROOF_BATCH, 0, &proofs), 0));
	file = file_of(&proofs, 0);
	cr_assert(eq(int, entry_proof_read((const char *) file.data, file.len, &memory, p), 0));
	for (unsigned i = 0; i < MANY; i++) {
		uint8_t leaf[64];
		struct wr w = wr_of(leaf, sizeof leaf);

		context_encode(&(struct context){ .parent = parent }, &w);
		parent = tree_leaf(leaf, w.len);
		buf_varint(&chain, w.len);
		buf_append(&chain, leaf, w.len);
	}
	p->n_contexts = MANY;
	p->contexts = (struct span){ chain.data, chain.len };
	cr_expect(eq(int, entry_proof_check(p, &pin, &shape, &proved, &why), BULLA_ETAMPERED));
	cr_expect(why && strcmp(why, "it has contexts that no entry needs") == 0);
	free(p);
	buf_done(&proofs.files);
	builder_done(&b);
}
