/* SPDX-License-Identifier: Apache-2.0 */

/** bulla prove: proofs that leave the host, of one entry or of all that some journals have. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "query/commands.h"
#include "query/extents.h"
#include "query/local.h"
#include "query/pins.h"
#include "query/proof_files.h"
#include "query/prove_at.h"
#include "query/request.h"
#include "query/shown.h"
#include "seal/growth.h"
#include "store/prove.h"

struct asked {
	struct request request;
	const char *state, *output, *at;
	struct vkey key; /* with --at */
	bool has_key;
	uint64_t since_ns, until_ns; /* of commits */
	bool all, head, help;
	uint64_t from;	    /* commits of an older head, which is: */
	struct growth *old; /* owned; its bytes are in `old_memory` */
	uint8_t *old_memory;
};

static void usage(FILE *to)
{
	fputs("usage: bulla prove [OPTION]... CURSOR\n"
	      "       bulla prove --all [OPTION]... --output DIR MATCH...\n"
	      "       bulla prove --head [--from FILE] [OPTION]...\n"
	      "\n"
	      "Write a proof that an entry was sealed, for who has no access to this host. CURSOR "
	      "is its "
	      "__CURSOR, as\n"
	      "`bulla query -o export` shows it. With --all: of every entry of the journals that "
	      "match, and "
	      "that none was\n"
	      "left out. `bulla verify-proof` checks it.\n"
	      "\n"
	      "      --all           all entries of the journals whose container, unit, ... is "
	      "this\n"
	      "  -S, --since TIME    with --all: sealed at this time or later\n"
	      "  -U, --until TIME    with --all: sealed at this time or sooner\n"
	      "  -o, --output FILE   write there (default: standard output); with --all a "
	      "directory, "
	      "one file a batch\n"
	      "      --head          how far the ledger has come, sealed: keep it, and the host "
	      "cannot deny "
	      "it\n"
	      "      --from FILE     with --head: and that it goes on from this older head\n"
	      "      --at URL        ask this aggregator: it makes the proofs, which are written "
	      "only if they are good\n"
	      "      --key KEY       with --at: the host's key, as `bulla keys` printed it there "
	      "(default: those pinned here)\n"
	      "      --state DIR     state directory (default: $BULLA_STATE or /var/lib/bulla)\n"
	      "  -h, --help          show this\n"
	      "\n"
	      "A proof discloses the entries that it has and what names their container, and "
	      "nothing "
	      "of others.\n",
	      to);
}

static int failed(int r, const char *why)
{
	if (why && (r == -ENOENT || r == BULLA_ETAMPERED))
		log_error("%s", why);
	else
		log_error_code(r, "%s", why ? why : "cannot prove it");
	return r == BULLA_ETAMPERED ? 1 : EXIT_USAGE;
}

/* One entry. */

struct one {
	struct id journal;
	uint64_t seq;
	struct buf file;
};

static int wish_entry(void *arg, const struct batch *b, uint64_t commit_ns, struct prove_wish *ret)
{
	const struct one *o = arg;

	(void) commit_ns;
	return prove_wish_entry(b, &o->journal, o->seq, ret);
}

static int keep_proof(void *arg, const struct batch *b, const struct prove_wish *wish,
		      const struct buf *file)
{
	struct one *o = arg;

	(void) b;
	(void) wish;
	buf_append(&o->file, file->data, file->len);
	return o->file.bad ? -ENOMEM : 0;
}

static int prove_one(const struct asked *a, const struct state *state, const char *cursor)
{
	struct one o = { .seq = 0 };
	const struct prove_options options = { wish_entry, keep_proof, &o };
	const char *why;
	int r;

	if (shown_cursor_parse(cursor, &o.journal, &o.seq) < 0) {
		log_usage("%s: not a cursor as `bulla query -o export` shows it", cursor);
		return EXIT_USAGE;
	}
	r = prove(state, &options, &why);
	if (r >= 0 && o.file.len == 0) {
		r = -ENOENT;
		why = "no sealed commit has such an entry";
	}
	r = r < 0 ? failed(r, why) : proof_file_write(a->output, &o.file) < 0 ? EXIT_USAGE : 0;
	buf_done(&o.file);
	return r;
}

/* All of some journals. */

struct many {
	struct extents extents; /* first: they are asked what is wished for */
	int dirfd;
	uint64_t entries, files;
};

static int write_batch(void *arg, const struct batch *b, const struct prove_wish *wish,
		       const struct buf *file)
{
	struct many *m = arg;
	int r = proof_file_batch(m->dirfd, b, file);

	if (r < 0)
		return r;
	m->files++;
	m->entries += wish->extent == PROOF_WHOLE ? b->entries : 0;
	return 0;
}

static int add_journal(struct many *m, const struct query *q, const struct id *id,
		       const struct contexts *contexts)
{
	int r = extents_add(&m->extents, q, id, contexts);

	return r == -EINVAL ? log_usage("%s", EXTENTS_WHY) : r;
}

/* Those that tails and segments have; a journal may be in several. */
static int find_journals(struct many *m, const struct query *q, const struct catalog *c)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < c->n; i++)
		r = add_journal(m, q, &c->journals[i].id, c->journals[i].contexts);
	for (uint32_t i = 0; c->segments && r >= 0 && i < c->segments->n; i++) {
		const struct segment *s = &c->segments->files[i].segment;

		for (uint32_t k = 0; r >= 0 && k < s->n_journals; k++)
			r = add_journal(m, q, &s->journals[k].id, &s->journals[k].contexts);
	}
	if (r < 0)
		return r;
	extents_settle(&m->extents);
	return m->extents.n == 0 ? log_usage("no journal matches") : 0;
}

static int prove_all(struct asked *a, const struct state *state)
{
	struct many m = { .extents = { .since_ns = a->since_ns, .until_ns = a->until_ns } };
	struct prove_options options = { extents_measure, write_batch, &m };
	struct local_catalog catalog;
	const char *why = NULL;
	int r;

	r = local_catalog_build(&catalog, state);
	if (r < 0)
		return failed(r, NULL);
	a->request.query.match = a->request.match;
	r = find_journals(&m, &a->request.query, &catalog.catalog);
	local_catalog_done(&catalog);
	m.dirfd = r < 0 ? -1 : proof_files_open(a->output);
	if (m.dirfd < 0) {
		extents_done(&m.extents);
		return EXIT_USAGE;
	}
	r = prove(state, &options, &why);
	options.wish = extents_wish;
	if (r >= 0)
		r = prove(state, &options, &why);
	close(m.dirfd);
	if (r < 0)
		r = failed(r, why);
	else
		log_info("proved %" PRIu64 " entries of %zu journal%s in %" PRIu64 " files",
			 m.entries, m.extents.n, m.extents.n == 1 ? "" : "s", m.files);
	extents_done(&m.extents);
	return r;
}

/* The head. */

/* Read the older head into what is kept with the request. */
static int read_old(const char *name, struct asked *a)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = io_read_file(AT_FDCWD, name, GROWTH_FILE_SIZE_MAX, &text);

	if (r >= 0) {
		free(a->old);
		free(a->old_memory);
		a->old = malloc(sizeof *a->old);
		a->old_memory = malloc(text.len + 1);
		r = a->old && a->old_memory
			    ? growth_read(rd_of(text.data, text.len), a->old_memory, a->old)
			    : -ENOMEM;
	}
	if (r < 0)
		return r == BULLA_EPARSE
			       ? log_usage("--from %s: not a head as `bulla prove --head` "
					   "writes it",
					   name)
			       : log_error_code(r, "%s", name);
	a->from = a->old->head.size;
	return 0;
}

static int prove_newest(const struct asked *a, const struct state *state)
{
	_cleanup_buf_ struct buf file = { 0 };
	const char *why;
	int r = prove_head(state, a->from, &file, &why);

	if (r < 0)
		return failed(r, why);
	return proof_file_write(a->output, &file) < 0 ? EXIT_USAGE : 0;
}

/* The command line. */

static int on_option(struct asked *a, int c, char **argv)
{
	switch (c) {
	case 'a':
		a->all = true;
		return 0;
	case 'S':
		return local_time("since", optarg, &a->since_ns);
	case 'U':
		return local_time("until", optarg, &a->until_ns);
	case 'H':
		a->head = true;
		return 0;
	case 'F':
		return read_old(optarg, a);
	case 'o':
		a->output = optarg;
		return 0;
	case 'A':
		a->at = optarg;
		return 0;
	case 'k':
		a->has_key = true;
		return vkey_parse(optarg, &a->key) < 0
			       ? log_usage("--key %s: not a key as `bulla keys` prints it", optarg)
			       : 0;
	case 's':
		a->state = optarg;
		return 0;
	case 'h':
		a->help = true;
		return 0;
	default:
		return log_bad_option(c, argv);
	}
}

static int set_matches(struct asked *a, int n, char **words)
{
	char why[256] = "";
	int r = 0;

	for (int i = 0; r >= 0 && i < n; i++)
		r = request_set(&a->request, "match", words[i], why);
	return r < 0 ? log_usage("%s", *why ? why : bulla_strerror(r)) : 0;
}

static int check(const struct asked *a, int n)
{
	if (a->all && (n == 0 || !a->output))
		return log_usage("--all wants --output DIR and a match, as container=web");
	if (a->head && (a->all || n > 0))
		return log_usage("--head stands alone");
	if (a->from > 0 && !a->head)
		return log_usage("--from goes with --head");
	if (!a->all && !a->head && n != 1)
		return log_usage("one cursor is wanted");
	if (!a->all && (a->since_ns > 0 || a->until_ns < UINT64_MAX))
		return log_usage("--since and --until go with --all");
	if (a->has_key && !a->at)
		return log_usage("--key goes with --at");
	if (a->state && a->at)
		return log_usage("--at and --state do not go together");
	if (a->since_ns > a->until_ns)
		return log_usage("--since is later than --until");
	return 0;
}

static int parse(struct asked *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "head", no_argument, NULL, 'H' },
		{ "from", required_argument, NULL, 'F' },
		{ "since", required_argument, NULL, 'S' },
		{ "until", required_argument, NULL, 'U' },
		{ "output", required_argument, NULL, 'o' },
		{ "at", required_argument, NULL, 'A' },
		{ "key", required_argument, NULL, 'k' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	opterr = 0;
	while (r >= 0 && (c = getopt_long(argc, argv, ":S:U:o:h", options, NULL)) != -1)
		r = on_option(a, c, argv);
	if (r < 0 || a->help)
		return r;
	r = check(a, argc - optind);
	return r < 0 || !a->all ? r : set_matches(a, argc - optind, argv + optind);
}

/* Whose head is wanted is told by a key, or by the older head. */
static int find_key(struct asked *a)
{
	int r;

	if (a->has_key && a->old && !id_equal(&a->key.origin, &a->old->head.origin))
		return log_usage("--from is a head of another host than --key");
	if (a->has_key || !a->head)
		return 0;
	if (!a->old)
		return log_usage("--head with --at wants --key, or --from: of which host");
	r = pins_find(&a->old->head.origin, &a->key);
	if (r < 0)
		return log_error_code(r, "cannot read the pinned keys");
	a->has_key = r > 0;
	if (r == 0)
		log_error("no key of that host is known here: --key KEY, or pin it");
	return r > 0 ? 0 : -ENOENT;
}

static int ask(struct asked *a, const char *cursor)
{
	int r = find_key(a);
	const struct prove_at at = {
		.at = a->at,
		.key = a->has_key ? &a->key : NULL,
		.head = a->head,
		.old = a->old,
		.cursor = a->all || a->head ? NULL : cursor,
		.request = &a->request,
		.since_ns = a->since_ns,
		.until_ns = a->until_ns,
		.output = a->output,
	};

	a->request.query.match = a->request.match;
	return r < 0 ? EXIT_USAGE : prove_at(&at);
}

static int prove_here(struct asked *a, const char *cursor)
{
	struct state state;
	int r = local_open(a->state, &state);

	if (r < 0)
		return EXIT_USAGE;
	r = a->head  ? prove_newest(a, &state)
	    : a->all ? prove_all(a, &state)
		     : prove_one(a, &state, cursor);
	state_close(&state);
	return r;
}

int command_prove(int argc, char **argv)
{
	struct asked a = { .until_ns = UINT64_MAX };
	int r;

	log_setup("bulla prove", LOG_LEVEL_INFO);
	r = request_init(&a.request);
	if (r < 0)
		return EXIT_USAGE;
	r = parse(&a, argc, argv);
	if (r >= 0 && a.help)
		usage(stdout);
	else if (r >= 0)
		r = a.at ? ask(&a, argv[optind]) : prove_here(&a, argv[optind]);
	free(a.old);
	free(a.old_memory);
	request_done(&a.request);
	return r < 0 ? EXIT_USAGE : r;
}
