/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Nothing that the aggregator says is believed.  A proof is gathered, at most ANSWER_PROOF_MAX bytes, and judged (proven.h); only
 * then is it written.  The first that is not good ends it.
 */

#include "query/prove_at.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pieces.h"
#include "base/text.h"
#include "bulla/error.h"
#include "query/commands.h"
#include "query/proof_files.h"
#include "query/proven.h"
#include "query/remote.h"

enum {
	ONES_MAX =
		16, /* proofs that are looked at for one entry: of hosts whose journals have one id */
	LINES_MAX = 1000, /* that the aggregator may say */
};

_Static_assert((int) ANSWER_PROOF_MAX == (int) PROOF_FILE_SIZE_MAX, "a piece has any proof");

struct asking {
	const struct prove_at *asked;
	struct proof_judge judge;
	struct pieces pieces;
	struct buf proof; /* that is coming */
	struct buf one;	  /* the good one */
	int dirfd;
	unsigned lines, ones;
	uint64_t files;
	bool said; /* why it could not be gone on with */
};

static int on_line(void *arg, const char *line, size_t n)
{
	struct asking *x = arg;
	char said[TEXT_SENTENCE_SIZE];

	if (++x->lines > LINES_MAX)
		return BULLA_ELIMIT;
	log_warning("%s: %s", x->asked->at, text_sentence(line, n, said));
	return 0;
}

/* Whether one file is wanted. */
static bool is_one(const struct prove_at *a)
{
	return a->cursor || a->head;
}

/* A good one. */
static int keep(struct asking *x)
{
	int r;

	if (!is_one(x->asked)) {
		r = proof_file_batch(x->dirfd, &x->judge.proved.batch, &x->proof);
		x->files += r >= 0;
		x->said = r < 0;
		return r;
	}
	if (x->one.len > 0) {
		x->judge.why = "several hosts have such an entry: --key says which is meant";
		return -EEXIST;
	}
	buf_append(&x->one, x->proof.data, x->proof.len);
	return x->one.bad ? -ENOMEM : 0;
}

static int judge_head(struct asking *x)
{
	const struct prove_at *a = x->asked;
	_cleanup_free_ struct growth *g = malloc(sizeof *g);
	_cleanup_free_ uint8_t *memory = malloc(x->proof.len + 1);
	int r = g && memory ? growth_read(rd_of(x->proof.data, x->proof.len), memory, g) : -ENOMEM;

	if (r == -ENOMEM)
		return r;
	x->judge.why = "it is no head as bulla writes it";
	if (r < 0)
		return BULLA_ETAMPERED;
	r = proof_judge_head(g, a->old, a->key, &x->judge.why);
	x->judge.proofs += r >= 0;
	return r < 0 ? r : 1;
}

static int on_proof(void *arg, const void *data, size_t n, size_t left)
{
	struct asking *x = arg;
	int r;

	buf_append(&x->proof, data, n);
	if (x->proof.bad)
		return -ENOMEM;
	if (left > 0)
		return 0;
	if (is_one(x->asked) && ++x->ones > ONES_MAX)
		return BULLA_ELIMIT;
	r = x->asked->head ? judge_head(x) : proof_judge(&x->judge, x->proof.data, x->proof.len);
	if (r < 0 && r != BULLA_ETAMPERED) {
		/* Memory, or our own list of keys: nothing is wrong with what was sent. */
		x->said = true;
		return log_error_code(r, "cannot judge what %s sent", x->asked->at);
	}
	if (r > 0)
		r = keep(x);
	buf_clear(&x->proof);
	return r;
}

static int take(void *arg, const void *data, size_t n)
{
	struct asking *x = arg;

	return pieces_take(&x->pieces, data, n);
}

/* What to ask for. */

static void put_number(struct buf *to, const char *key, uint64_t n)
{
	buf_printf(to, "&%s=%" PRIu64, key, n);
}

static void put_path(const struct prove_at *a, struct buf *to)
{
	_cleanup_buf_ struct buf keys = { 0 };
	char origin[2 * ID_SIZE + 1];

	if (a->head)
		buf_printf(&keys, "head=1&from=%" PRIu64, a->old ? a->old->head.size : 0);
	else if (a->cursor)
		buf_printf(&keys, "cursor=%s", a->cursor);
	else
		request_url_match(a->request, &keys);
	if (a->since_ns > 0)
		put_number(&keys, "since", a->since_ns);
	if (a->until_ns < UINT64_MAX)
		put_number(&keys, "until", a->until_ns);
	if (a->key) {
		text_hex(origin, a->key->origin.b, ID_SIZE);
		buf_printf(&keys, "&origin=%s", origin);
	}
	buf_str(to, "/v1/prove?");
	buf_append(to, keys.data, keys.len);
	buf_char(to, '\0');
	to->bad |= keys.bad;
}

/* How it ended. */

static int say_broken(const struct asking *x, int r)
{
	if (x->said)
		return EXIT_USAGE;
	if (r == BULLA_ETAMPERED) {
		log_error("TAMPERED: what %s sent is not good: %s", x->asked->at, x->judge.why);
		return 1;
	}
	if (r == BULLA_EPARSE || r == BULLA_ELIMIT) {
		log_error("TAMPERED: what %s sent is no answer with proofs", x->asked->at);
		return 1;
	}
	if (r == -EEXIST)
		log_error("%s", x->judge.why);
	else
		log_error_code(r, "cannot take what %s sent", x->asked->at);
	return EXIT_USAGE;
}

static int say_nothing(const struct asking *x)
{
	char origin[2 * ID_SIZE + 1];

	if (x->judge.has_unknown) {
		text_hex(origin, x->judge.unknown.b, ID_SIZE);
		log_error("no key of host %s is known here: --key KEY, or pin it", origin);
	} else if (x->lines == 0) {
		log_error("%s has no proof of %s", x->asked->at,
			  x->asked->head ? "this host" : "such an entry");
	}
	return EXIT_USAGE;
}

static int finish(struct asking *x)
{
	if (x->judge.proofs == 0)
		return say_nothing(x);
	if (is_one(x->asked))
		return proof_file_write(x->asked->output, &x->one) < 0 ? EXIT_USAGE : 0;
	log_info("proved %" PRIu64 " entries of %zu journal%s in %" PRIu64 " files",
		 x->judge.entries, x->judge.n_journals, x->judge.n_journals == 1 ? "" : "s",
		 x->files);
	if (x->judge.has_unknown)
		(void) say_nothing(x);
	return x->judge.has_unknown || x->lines > 0 ? EXIT_USAGE : 0;
}

static int ask(struct asking *x)
{
	_cleanup_buf_ struct buf path = { 0 };
	bool said;
	int r;

	put_path(x->asked, &path);
	if (path.bad) {
		log_error_code(-ENOMEM, "cannot ask");
		return EXIT_USAGE;
	}
	r = remote_read("bulla prove", x->asked->at, (const char *) path.data, take, x, &said);
	if (r < 0)
		return said ? EXIT_USAGE : say_broken(x, r);
	return pieces_whole(&x->pieces) ? finish(x) : say_broken(x, BULLA_EPARSE);
}

int prove_at(const struct prove_at *a)
{
	struct asking x = {
		.asked = a,
		.judge = { .key = a->key,
			   .one = a->cursor != NULL,
			   .query = &a->request->query,
			   .since_ns = a->since_ns,
			   .until_ns = a->until_ns },
		.pieces = { .damage = on_line, .proof = on_proof },
		.dirfd = -1,
	};
	int r = 0;

	x.pieces.arg = &x;
	if (a->cursor && shown_cursor_parse(a->cursor, &x.judge.journal, &x.judge.seq) < 0)
		r = log_usage("%s: not a cursor as `bulla query -o export` shows it", a->cursor);
	if (r >= 0 && !is_one(a))
		r = x.dirfd = proof_files_open(a->output);
	r = r < 0 ? EXIT_USAGE : ask(&x);
	close_fd(&x.dirfd);
	proof_judge_done(&x.judge);
	buf_done(&x.proof);
	buf_done(&x.one);
	return r;
}
