/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Of what an aggregator has stored it gives the proofs that the host would give, byte for byte, packed or not, at every start; of
 * what was changed there it gives none.
 */

#include "aggregator/question.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/archive-internal.h"
#include "aggregator/compactor.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "store/format.h"
#include "store/prove.h"
#include "tests/archiving.h"
#include "tests/harness.h"

Suite(proofs);

/* Proofs, one behind the other, and how many. */
struct made {
	struct buf files;
	unsigned n;
};

static int keep(void *arg, const struct buf *file)
{
	struct made *m = arg;

	buf_append(&m->files, file->data, file->len);
	m->n++;
	return 0;
}

static void forget(struct made *m)
{
	buf_clear(&m->files);
	m->n = 0;
}

/* What the host gives. */

struct asked {
	struct id journal;
	uint64_t seq;
	struct made *made;
};

static int wish_entry(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	const struct asked *a = arg;

	(void) commit_ns;
	return prove_wish_entry(b, &a->journal, a->seq, ret);
}

static int wish_whole(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	(void) arg;
	(void) b;
	(void) commit_ns;
	ret->extent = PROOF_WHOLE;
	return 1;
}

static int keep_hosts(void *arg, const struct batch *b, const struct prove_wish *w,
		      const struct buf *file)
{
	struct asked *a = arg;

	(void) b;
	(void) w;
	return keep(a->made, file);
}

static void host_proves(const struct builder *b, struct asked *a, bool all)
{
	const struct prove_options o = { all ? wish_whole : wish_entry, keep_hosts, a };
	const char *why;

	cr_assert(eq(int, prove(&b->state, &o, &why), 0));
}

/* What the aggregator gives. */

static int proves(struct fixture *f, const char *const *keys, struct made *to, const char **why)
{
	struct question q;
	char sentence[256];
	int r;

	cr_assert(eq(int, question_init(&q), 0));
	for (; keys[0]; keys += 2)
		cr_assert(eq(int, question_set(&q, keys[0], keys[1], strlen(keys[1]), sentence), 0),
			  "%s", keys[0]);
	cr_assert(eq(int, question_check(&q, sentence), 0));
	r = archive_prove(f->archive, &q, keep, to, why);
	question_done(&q);
	return r;
}

static int proves_entry(struct fixture *f, const struct asked *a, struct made *to)
{
	char cursor[CURSOR_SIZE];
	const char *const keys[] = { "cursor", cursor, NULL };
	const char *why;

	text_hex(cursor, a->journal.b, ID_SIZE);
	snprintf(cursor + 2 * ID_SIZE, sizeof cursor - 2 * ID_SIZE, ":%d", (int) a->seq);
	return proves(f, keys, to, &why);
}

static bool same(const struct made *a, const struct made *b)
{
	return a->n == b->n && a->files.len == b->files.len &&
	       (a->n == 0 || memcmp(a->files.data, b->files.data, a->files.len) == 0);
}

/* Each entry of each journal, and all of one. */
static void expect_same(struct fixture *f, const char *when)
{
	static const char *const all[] = { "match", "_HOSTNAME!=nobody", NULL };
	struct made here = { 0 }, there = { 0 };
	struct asked a = { .made = &here };
	const char *why;
	unsigned n = 0;

	for (size_t j = 0; j < f->b.n; j++) {
		a.journal = f->b.journal[j].id;
		for (a.seq = 0;; a.seq++) {
			forget(&here);
			forget(&there);
			host_proves(&f->b, &a, false);
			cr_assert(eq(int, proves_entry(f, &a, &there), 0), "%s", when);
			cr_assert(same(&here, &there), "%s: journal %zu, entry %d", when, j,
				  (int) a.seq);
			if (here.n == 0)
				break;
			n++;
		}
	}
	cr_expect(gt(u32, n, 20));
	forget(&here);
	forget(&there);
	host_proves(&f->b, &a, true);
	cr_assert(eq(int, proves(f, all, &there, &why), 0), "%s", when);
	cr_expect(same(&here, &there), "%s: all", when);
	buf_done(&here.files);
	buf_done(&there.files);
}

static void pack_all(struct fixture *f)
{
	static const struct compactor_options o = { .age_ns = 0, .level = 1 };
	struct compactor_round done;

	cr_assert(ge(int, compactor_round(f->archive, &o, NULL, &done), 0));
	cr_assert(gt(u64, done.segments, 0));
}

static void begin(struct fixture *f)
{
	log_setup("test", LOG_LEVEL_ERR);
	*f = (struct fixture){ 0 };
	builder_story(&f->b, tempdir());
	begin_packing(f);
	f->store = tempdir();
	open_archive(f);
	cr_assert(eq(int, put(f, 0, f->commits / 2), PUT_ACCEPTED));
}

static void end(struct fixture *f)
{
	archive_close(f->archive);
	packer_free(f->packer);
	builder_done(&f->b);
}

Test(proofs, an_aggregator_gives_those_of_the_host)
{
	struct fixture f;

	begin(&f);
	cr_assert(eq(int, put(&f, f.commits / 2 + 1, f.commits - 1), PUT_ACCEPTED));
	expect_same(&f, "as it came");
	reopen(&f);
	expect_same(&f, "opened again");
	pack_all(&f);
	expect_same(&f, "packed");
	reopen(&f);
	expect_same(&f, "packed, and opened again");
	end(&f);
}

/* Part of it is packed, part lies as it came. */
Test(proofs, segments_and_rows_go_together)
{
	struct fixture f;

	begin(&f);
	pack_all(&f);
	cr_assert(eq(int, put(&f, f.commits / 2 + 1, f.commits - 1), PUT_ACCEPTED));
	expect_same(&f, "half of it packed");
	end(&f);
}

Test(proofs, of_what_is_not_there_are_none)
{
	static const char *const nobody[] = { "match", "container=nobody", NULL },
				 *const foreign[] = { "match", "_HOSTNAME!=nobody", "origin",
						      "00112233445566778899aabbccddeeff", NULL },
				 *const content[] = { "match", "msg=x", NULL },
				 *const some[] = { "match", "_STREAM=stdout", NULL };
	struct made made = { 0 };
	struct asked a = { .seq = 0 };
	struct fixture f;
	const char *why;

	begin(&f);
	cr_expect(eq(int, proves_entry(&f, &a, &made), 0));
	a.journal = f.b.journal[0].id;
	a.seq = 1000000;
	cr_expect(eq(int, proves_entry(&f, &a, &made), 0));
	cr_expect(eq(int, proves(&f, nobody, &made, &why), 0));
	cr_expect(eq(int, proves(&f, foreign, &made, &why), 0));
	/* A journal is told by its identity, not by what some of its entries have. */
	cr_expect(eq(int, proves(&f, some, &made, &why), 0));
	cr_expect(eq(int, proves(&f, content, &made, &why), -EINVAL));
	cr_expect(ne(ptr, (void *) (size_t) why, NULL));
	cr_expect(eq(u32, made.n, 0));
	atomic_store(&f.archive->n_proving, 2);
	cr_expect(eq(int, proves_entry(&f, &a, &made), -EBUSY));
	cr_expect(eq(u32, atomic_load(&f.archive->n_proving), 2));
	atomic_store(&f.archive->n_proving, 0);
	end(&f);
}

/* An aggregator that ends does not go along all commits first. */
Test(proofs, none_are_made_once_it_ends)
{
	struct made made = { 0 };
	struct asked a = { .seq = 1000000 };
	struct fixture f;

	begin(&f);
	a.journal = f.b.journal[0].id;
	archive_shut_down(f.archive);
	cr_expect(eq(int, proves_entry(&f, &a, &made), -ESHUTDOWN));
	end(&f);
}

/* A head, and that it goes on from each older one. */
Test(proofs, heads_are_those_of_the_host)
{
	_cleanup_buf_ struct buf want = { 0 };
	char origin[2 * ID_SIZE + 1], from[24];
	const char *const keys[] = { "head", "1", "origin", origin, "from", from, NULL };
	struct made now = { 0 };
	struct fixture f;
	const char *why;

	begin(&f);
	cr_assert(eq(int, put(&f, f.commits / 2 + 1, f.commits - 1), PUT_ACCEPTED));
	text_hex(origin, f.origin.b, ID_SIZE);
	for (unsigned round = 0; round < 2; round++) {
		for (uint64_t old = 0; old <= f.commits; old++) {
			snprintf(from, sizeof from, "%d", (int) old);
			buf_clear(&want);
			forget(&now);
			cr_assert(eq(int, prove_head(&f.b.state, old, &want, &why), 0));
			cr_assert(eq(int, proves(&f, keys, &now, &why), 0));
			cr_assert(eq(u32, now.n, 1));
			cr_assert(eq(sz, now.files.len, want.len), "from %d", (int) old);
			cr_expect(eq(int, memcmp(now.files.data, want.data, want.len), 0),
				  "from %d", (int) old);
		}
		if (round == 0)
			pack_all(&f);
	}
	forget(&now);
	snprintf(from, sizeof from, "%d", (int) f.commits + 1);
	cr_expect(eq(int, proves(&f, keys, &now, &why), BULLA_ETAMPERED));
	memset(origin, '0', sizeof origin - 1);
	cr_expect(eq(int, proves(&f, keys, &now, &why), 0));
	cr_expect(eq(u32, now.n, 0));
	buf_done(&now.files);
	end(&f);
}

/* The first object of the origin's lane. */
static int open_lane(const struct fixture *f)
{
	char path[600], name[LANE_NAME_SIZE];
	int fd;

	lane_name(0, false, name);
	snprintf(path, sizeof path, "%s/lanes/%02u/%s.open", f->store, lane_of(&f->origin), name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(ge(int, fd, 0), "%s", path);
	return fd;
}

/* Change a bit, or back. */
static void flip(int fd, off_t at)
{
	uint8_t byte;

	cr_assert(eq(i64, pread(fd, &byte, 1, at), 1));
	byte ^= (uint8_t) (1 << at % 8);
	cr_assert(eq(i64, pwrite(fd, &byte, 1, at), 1));
}

/* Flip a bit of every byte of the lane's object, one after the other: each entry has the proof that it had, or none. */
Test(proofs, of_what_was_changed_are_none)
{
	struct made good = { 0 }, now = { 0 };
	struct asked a = { .made = &good };
	unsigned none = 0;
	struct fixture f;
	off_t size;
	int fd;

	begin(&f);
	a.journal = f.b.journal[0].id;
	host_proves(&f.b, &a, false);
	fd = open_lane(&f);
	size = lseek(fd, 0, SEEK_END);
	for (off_t at = 0; at < size; at += 7) {
		flip(fd, at);
		forget(&now);
		(void) proves_entry(&f, &a, &now);
		cr_assert(now.n == 0 || same(&good, &now), "at %d", (int) at);
		none += now.n == 0;
		flip(fd, at);
	}
	cr_expect(gt(u32, none, 10));
	forget(&now);
	cr_expect(eq(int, proves_entry(&f, &a, &now), 0));
	cr_expect(same(&good, &now));
	close(fd);
	buf_done(&good.files);
	buf_done(&now.files);
	end(&f);
}

/* Likewise of all that there is: what cannot be gone along to the end is told, and not left out unseen. */
Test(proofs, where_the_lane_was_changed_is_told)
{
	static const char *const all[] = { "match", "_HOSTNAME!=nobody", NULL };
	struct made good = { 0 }, now = { 0 };
	unsigned told = 0;
	const char *why;
	struct fixture f;
	off_t size;
	int fd;

	begin(&f);
	cr_assert(eq(int, proves(&f, all, &good, &why), 0));
	fd = open_lane(&f);
	size = lseek(fd, 0, SEEK_END);
	for (off_t at = 3; at < size; at += 61) {
		int r;

		flip(fd, at);
		forget(&now);
		r = proves(&f, all, &now, &why);
		cr_expect(r < 0 ? why != NULL : same(&good, &now), "at %d", (int) at);
		told += r < 0;
		flip(fd, at);
	}
	cr_expect(gt(u32, told, 10));
	close(fd);
	buf_done(&good.files);
	buf_done(&now.files);
	end(&f);
}

static void found(struct builder *b, const struct id *journal)
{
	builder_init(b, tempdir(), (struct kes_params){ 2, 2 });
	builder_open_as(b, "web", journal);
	for (unsigned i = 0; i < 2; i++) {
		builder_log_many(b, 0, 3);
		builder_commit(b);
	}
}

static void damage_last_batch(const struct builder *b)
{
	_cleanup_buf_ struct buf tail = { 0 };
	char name[64];
	size_t at = 0;

	builder_tail(b, 0, name);
	builder_load(b->path, name, &tail);
	/* The rows of its last batch. */
	for (size_t i = 0; i + FRAME_HEADER_SIZE <= tail.len; i += FRAME_ALIGN) {
		struct frame f;

		if (frame_parse(tail.data + i, tail.len - i, TAIL_RECORD_MAX, &f) > 0 &&
		    f.type == TAIL_ROWS)
			at = i + FRAME_HEADER_SIZE;
	}
	cr_assert(gt(sz, at, 0));
	tail.data[at] ^= 1;
	builder_store(b->path, name, tail.data, tail.len);
}

/* The first host that comes gives a journal the id that another one has, and may leave out what it has of it. */
Test(proofs, who_repeats_an_id_keeps_nobody_from_his_proofs)
{
	static const struct id id = { "somebody's id.." };

	log_setup("test", LOG_LEVEL_ERR);
	for (unsigned absent = 0; absent < 2; absent++) {
		struct fixture first = { .store = tempdir() }, second = { 0 };
		char origin[2 * ID_SIZE + 1], cursor[CURSOR_SIZE];
		const char *const keys[] = { "cursor", cursor, "origin", origin, NULL };
		_cleanup_buf_ struct buf body = { 0 };
		struct made good = { 0 }, now = { 0 };
		struct asked a = { .journal = id, .seq = 3, .made = &good };
		const char *why;

		found(&first.b, &id);
		found(&second.b, &id);
		host_proves(&second.b, &a, false);
		if (absent)
			damage_last_batch(&first.b);
		begin_packing(&first);
		begin_packing(&second);
		open_archive(&first);
		second.archive = first.archive;
		pack(&first, 0, first.commits - 1, (struct pack_options){ .careful = true }, &body);
		cr_assert(eq(int, put_body(&first, 0, first.commits - 1, &body), PUT_ACCEPTED));
		cr_assert(eq(int, put(&second, 0, second.commits - 1), PUT_ACCEPTED));
		text_hex(origin, second.origin.b, ID_SIZE);
		text_hex(cursor, id.b, ID_SIZE);
		strcpy(cursor + 2 * ID_SIZE, ":3");
		for (unsigned packed = 0; packed < 2; packed++) {
			if (packed)
				pack_all(&first);
			forget(&now);
			cr_expect(eq(int, proves_entry(&first, &a, &now) < 0, (int) absent));
			cr_expect(eq(u32, now.n, 2 - absent));
			cr_expect(absent == 0 || same(&good, &now));
			forget(&now);
			cr_expect(eq(int, proves(&first, keys, &now, &why), 0));
			cr_expect(same(&good, &now));
		}
		buf_done(&good.files);
		buf_done(&now.files);
		packer_free(second.packer);
		builder_done(&second.b);
		end(&first);
		harness_teardown();
	}
}

/* He says that he has sealed more entries than there is memory for, and sends none of them. */
Test(proofs, who_says_that_a_batch_is_huge_keeps_nobody_from_his_proofs)
{
	static const struct id id = { "somebody's id.." };
	struct fixture first = { .store = tempdir() }, second = { 0 };
	_cleanup_buf_ struct buf body = { 0 };
	struct made good = { 0 }, now = { 0 };
	struct asked a = { .journal = id, .seq = 3, .made = &good };
	struct batch_item item;

	log_setup("test", LOG_LEVEL_ERR);
	builder_init(&first.b, tempdir(), (struct kes_params){ 2, 2 });
	builder_open_as(&first.b, "web", &id);
	builder_log_many(&first.b, 0, 3);
	builder_commit(&first.b);
	builder_log(&first.b, 0, "nothing");
	builder_cut(&first.b, 0, &item);
	item.entries = UINT32_MAX;
	builder_seal(&first.b, &item, 1);
	found(&second.b, &id);
	host_proves(&second.b, &a, false);
	begin_packing(&first);
	begin_packing(&second);
	open_archive(&first);
	second.archive = first.archive;
	pack(&first, 0, first.commits - 1, (struct pack_options){ .careful = true }, &body);
	cr_assert(eq(int, put_body(&first, 0, first.commits - 1, &body), PUT_ACCEPTED));
	cr_assert(eq(int, put(&second, 0, second.commits - 1), PUT_ACCEPTED));
	cr_expect(eq(int, proves_entry(&first, &a, &now), BULLA_ELIMIT));
	cr_expect(same(&good, &now));
	buf_done(&good.files);
	buf_done(&now.files);
	packer_free(second.packer);
	builder_done(&second.b);
	end(&first);
}

/* Who asks while rows are packed gets what he would have got before or after. */

struct asker {
	struct fixture *f;
	struct made *want; /* of each entry of the first journal */
	unsigned entries;
	atomic_uint rounds, wrong;
	atomic_bool stop;
};

static void *ask_on(void *arg)
{
	struct asker *x = arg;
	struct asked a = { .journal = x->f->b.journal[0].id };
	struct made now = { 0 };

	while (!atomic_load(&x->stop)) {
		a.seq = atomic_fetch_add(&x->rounds, 1) % x->entries;
		forget(&now);
		x->wrong += proves_entry(x->f, &a, &now) < 0 || !same(&x->want[a.seq], &now);
	}
	buf_done(&now.files);
	return NULL;
}

Test(proofs, packing_meanwhile_changes_none)
{
	struct made want[8] = { 0 };
	struct fixture f;
	struct asker x = { .f = &f, .want = want, .entries = ELEMENTS(want) };
	pthread_t thread[2];

	begin(&f);
	for (unsigned i = 0; i < ELEMENTS(want); i++) {
		struct asked a = { .journal = f.b.journal[0].id, .seq = i, .made = &want[i] };

		host_proves(&f.b, &a, false);
		cr_assert(eq(u32, want[i].n, 1));
	}
	for (unsigned i = 0; i < ELEMENTS(thread); i++)
		cr_assert(eq(int, pthread_create(&thread[i], NULL, ask_on, &x), 0));
	usleep(20000);
	pack_all(&f);
	cr_assert(eq(int, put(&f, f.commits / 2 + 1, f.commits - 1), PUT_ACCEPTED));
	usleep(20000);
	pack_all(&f);
	usleep(20000);
	atomic_store(&x.stop, true);
	for (unsigned i = 0; i < ELEMENTS(thread); i++)
		pthread_join(thread[i], NULL);
	cr_expect(eq(u32, x.wrong, 0));
	cr_expect(gt(u32, x.rounds, 10));
	for (unsigned i = 0; i < ELEMENTS(want); i++)
		buf_done(&want[i].files);
	end(&f);
}
