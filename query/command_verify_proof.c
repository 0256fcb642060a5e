/* SPDX-License-Identifier: Apache-2.0 */

/** bulla verify-proof: what `bulla prove` wrote, checked with nothing but a key. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/room.h"
#include "base/text.h"
#include "bulla/error.h"
#include "query/commands.h"
#include "query/pins.h"
#include "query/proven.h"
#include "query/request.h"
#include "seal/growth.h"
#include "seal/proof.h"
#include "store/contexts.h"
#include "store/verify.h"

/* A good proof, as far as it is needed to say whether anything lies between it and the next. */
struct good {
	struct id journal;
	uint64_t batch_no, first_seq, commit, time_ns;
	uint32_t entries;
	enum proof_extent extent;
};

struct checking {
	struct request request;
	struct answer answer;
	const char *key_option, *from;
	bool quiet, formatted, help;
	bool has_pin, local;
	struct vkey pin;
	struct good *good; /* owned */
	size_t n_good, cap;
	struct proved proved; /* of the file at hand */
	uint64_t bad, heads;
};

static void usage(FILE *to)
{
	fputs("usage: bulla verify-proof [OPTION]... FILE|DIR...\n"
	      "\n"
	      "Check proofs that `bulla prove` wrote, and show what they prove. Nothing else is "
	      "needed "
	      "but the host's\n"
	      "key. Of a directory all its .tlog-proof files are checked, and whether anything "
	      "lies "
	      "between them.\n"
	      "\n"
	      "      --key KEY        the key, as `bulla keys` printed it on that host\n"
	      "      --from FILE      the older head that a head goes on from\n"
	      "  -o, --output FORMAT  show the entries as `bulla query` does: short, json, cat, "
	      "...\n"
	      "      --utc            times in UTC\n"
	      "  -q, --quiet          the verdict alone\n"
	      "  -h, --help           show this\n"
	      "\n"
	      "Exit status: 0 OK; 1 TAMPERED: a proof is none; 2 usage or input/output; 3 "
	      "INCOMPLETE: between batches\n"
	      "of a journal others are missing; 4 UNPINNED: no key known.\n",
	      to);
}

/* Words go where entries do not, if these are for a program. */
static FILE *words(const struct checking *c)
{
	return c->formatted ? stderr : stdout;
}

static void print_time(FILE *to, uint64_t time_ns)
{
	time_t second = (time_t) (time_ns / NS_PER_S);
	char text[64];
	struct tm tm;

	if (gmtime_r(&second, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		fputs(text, to);
}

/* Entries. */

static int show(struct checking *c, const struct contexts *contexts, const struct entry *e,
		uint32_t place)
{
	const struct batch *b = &c->proved.batch;
	struct shown s = {
		.entry = e,
		.contexts = contexts,
		.journal = b->journal,
		.seq = b->first_seq + place,
		.boot = b->boot,
		.mono_offset = b->mono_offset,
		.has_mono = !b->recovered,
		.sealed = true,
	};
	int64_t k = contexts_find(contexts, &e->context);

	if (k < 0)
		return BULLA_ECORRUPT;
	s.context = (uint32_t) k;
	return answer_entry(&c->answer, &s);
}

static int show_entries(struct checking *c, const struct entry_proof *p)
{
	_cleanup_free_ struct field *fields = reallocarray(NULL, FIELDS_MAX, sizeof *fields);
	struct rd r = rd_of(p->entries.p, p->entries.n);
	struct contexts contexts = { 0 };
	uint8_t salt[SALT_SIZE];
	uint32_t place = p->place;
	struct entry e;
	struct span s;
	int k = fields ? proof_contexts(p, &contexts) : -ENOMEM;

	while (k >= 0 && proof_next(&r, &s)) {
		k = entry_decode(rd_of(s.p, s.n), fields, &e, salt);
		if (k >= 0)
			k = show(c, &contexts, &e, place++);
	}
	if (k >= 0)
		k = answer_flush(&c->answer);
	/* The next file's may lie where these did. */
	output_forget_contexts(&c->request.output);
	contexts_done(&contexts);
	return k;
}

static void describe(const struct checking *c, const struct entry_proof *p)
{
	const struct batch *b = &c->proved.batch;
	char id[2 * ID_SIZE + 1];
	FILE *to = words(c);

	text_hex(id, b->journal.b, ID_SIZE);
	fprintf(to, "journal   %s, entr", id);
	if (p->extent == PROOF_ENTRY)
		fprintf(to, "y %" PRIu64 "\n", b->first_seq + p->place);
	else
		fprintf(to, "ies %" PRIu64 " to %" PRIu64 "%s\n", b->first_seq,
			b->first_seq + b->entries - 1,
			p->extent == PROOF_BATCH ? ", which are not here" : "");
	fputs("sealed    ", to);
	print_time(to, c->proved.time_ns);
	fprintf(to, ", in commit %" PRIu64 " of the host, by its seal\n", c->proved.commit);
}

/* Keys, and what is good under them. */

static int find_pin(struct checking *c, const struct id *origin)
{
	int r;

	if (c->key_option)
		return 1;
	r = pins_find(origin, &c->pin);
	c->local = r > 0;
	return r < 0 ? log_error_code(r, "cannot read the pinned keys") : r;
}

static int keep_good(struct checking *c, const struct entry_proof *p)
{
	if (!room_for(&c->good, c->n_good, &c->cap, sizeof *c->good))
		return -ENOMEM;
	c->good[c->n_good++] = (struct good){
		.journal = c->proved.batch.journal,
		.batch_no = c->proved.batch.batch_no,
		.first_seq = c->proved.batch.first_seq,
		.commit = c->proved.commit,
		.time_ns = c->proved.time_ns,
		.entries = c->proved.batch.entries,
		.extent = p->extent,
	};
	return 0;
}

static int say_bad(struct checking *c, const char *name, const char *why)
{
	if (!c->quiet)
		fprintf(words(c), "TAMPERED: %s: %s\n", name, why);
	c->bad++;
	return 0;
}

/* @return 1; 0 where there is no pin; an error. */
static int pin_for(struct checking *c, const struct id *origin)
{
	int r = find_pin(c, origin);

	c->has_pin &= r != 0;
	return r;
}

/* Heads. */

static bool is_head(const struct buf *text)
{
	static const char *const starts[] = { "succ", "old ", "bull" };

	for (size_t i = 0; i < ELEMENTS(starts); i++)
		if (text->len > 4 && memcmp(text->data, starts[i], 4) == 0)
			return true;
	return false;
}

static void describe_head(const struct checking *c, const char *what, const struct head *h)
{
	if (c->quiet)
		return;
	fprintf(words(c), "%s%" PRIu64 " commits, sealed ", what, h->size);
	print_time(words(c), h->time_s * NS_PER_S);
	fputc('\n', words(c));
}

static int read_head(const struct buf *text, struct buf *memory, struct growth *ret)
{
	uint8_t *room = buf_room(memory, text->len + 1);

	return room ? growth_read(rd_of(text->data, text->len), room, ret) : -ENOMEM;
}

/* That the older head, which somebody kept, is the beginning of this one. */
static int check_growth(struct checking *c, const char *name, const struct growth *g)
{
	_cleanup_buf_ struct buf text = { 0 }, memory = { 0 };
	_cleanup_free_ struct growth *old = malloc(sizeof *old);
	const char *why = NULL;
	int r = old ? io_read_file(AT_FDCWD, c->from, GROWTH_FILE_SIZE_MAX, &text) : -ENOMEM;

	if (r >= 0)
		r = is_head(&text) ? read_head(&text, &memory, old) : BULLA_EPARSE;
	if (r < 0) {
		log_error_code(r, "--from %s", c->from);
		return -EINVAL; /* it is said */
	}
	r = growth_check(old, &c->pin, &proof_key_shape, &why);
	if (r == BULLA_ETAMPERED)
		return say_bad(c, c->from, why);
	if (r >= 0)
		r = proof_judge_head(g, old, &c->pin, &why);
	if (r == BULLA_ETAMPERED)
		return say_bad(c, name, why);
	if (r < 0)
		return r;
	describe_head(c, "goes on from ", &old->head);
	return 0;
}

static int check_head(struct checking *c, const char *name, const struct buf *text)
{
	_cleanup_buf_ struct buf memory = { 0 };
	_cleanup_free_ struct growth *g = malloc(sizeof *g);
	const char *why = NULL;
	int r = g ? read_head(text, &memory, g) : -ENOMEM;

	if (r == BULLA_EPARSE)
		return say_bad(c, name, "not a head as bulla writes it");
	if (r >= 0 && (g->old > 0) != (c->from != NULL))
		return log_usage(c->from ? "%s: it has no proof that it goes on from another head"
					 : "%s: --from FILE, the older head, is wanted",
				 name);
	if (r >= 0)
		r = pin_for(c, &g->head.origin);
	if (r <= 0)
		return r;
	r = growth_check(g, &c->pin, &proof_key_shape, &why);
	if (r == BULLA_ETAMPERED)
		return say_bad(c, name, why);
	if (r < 0)
		return r;
	c->heads++;
	describe_head(c, "head      ", &g->head);
	return c->from ? check_growth(c, name, g) : 0;
}

/* Files. */

/* @return 0, also for a proof that is none, which is counted; an error. */
static int check_text(struct checking *c, const char *name, const struct buf *text, bool alone)
{
	_cleanup_free_ struct entry_proof *p = malloc(sizeof *p);
	_cleanup_buf_ struct buf memory = { 0 };
	const char *why = NULL;
	int r = p ? entry_proof_read((const char *) text->data, text->len, &memory, p) : -ENOMEM;

	if (r == BULLA_EPARSE || r == BULLA_ELIMIT)
		return say_bad(c, name, "not a proof as bulla writes it");
	if (r >= 0)
		r = pin_for(c, &p->origin);
	if (r <= 0)
		return r;
	r = entry_proof_check(p, &c->pin, &proof_key_shape, &c->proved, &why);
	if (r == BULLA_ETAMPERED)
		return say_bad(c, name, why);
	if (r >= 0)
		r = keep_good(c, p);
	if (r >= 0 && !c->quiet && (alone || c->formatted))
		r = show_entries(c, p);
	if (r >= 0 && !c->quiet && alone)
		describe(c, p);
	return r;
}

static int check_file(struct checking *c, int dirfd, const char *name, bool alone)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = io_read_file(dirfd, name, PROOF_FILE_SIZE_MAX, &text);

	if (r < 0)
		return log_error_code(r, "%s", name);
	r = is_head(&text) ? check_head(c, name, &text) : check_text(c, name, &text, alone);
	return r < 0 && r != -EINVAL ? log_error_code(r, "%s", name) : MIN_OF(r, 0);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct dirent *const *) a)->d_name, (*(struct dirent *const *) b)->d_name);
}

static int check_directory(struct checking *c, const char *path)
{
	static const char suffix[] = ".tlog-proof";
	struct dirent **names;
	int n = scandir(path, &names, NULL, NULL), r = 0;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (n < 0 || fd < 0)
		return log_error_code(-errno, "%s", path);
	if (n > 1)
		qsort(names, (size_t) n, sizeof *names, compare_names);
	for (int i = 0; i < n; i++) {
		size_t len = strlen(names[i]->d_name);

		if (r >= 0 && len > STRLEN(suffix) &&
		    strcmp(names[i]->d_name + len - STRLEN(suffix), suffix) == 0)
			r = check_file(c, fd, names[i]->d_name, false);
		free(names[i]);
	}
	free(names);
	return r;
}

static int check_argument(struct checking *c, const char *path, bool alone)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return log_error_code(-errno, "%s", path);
	return S_ISDIR(st.st_mode) ? check_directory(c, path)
				   : check_file(c, AT_FDCWD, path, alone);
}

/* Whether anything lies between. */

static int compare_good(const void *a, const void *b)
{
	const struct good *x = a, *y = b;
	int c = id_compare(&x->journal, &y->journal);

	return c != 0 ? c : (x->batch_no > y->batch_no) - (x->batch_no < y->batch_no);
}

/* Proofs [from, to) are of batches of one journal that follow each other: what that says. */
static void say_run(const struct checking *c, const struct good *from, const struct good *to)
{
	const struct good *first = from, *last = to - 1;
	char id[2 * ID_SIZE + 1];
	uint64_t entries = 0;
	FILE *out = words(c);

	for (const struct good *g = from; g < to; g++)
		entries += g->extent == PROOF_WHOLE ? g->entries : 0;
	text_hex(id, from->journal.b, ID_SIZE);
	fprintf(out, "journal   %s: %" PRIu64 " entr%s, and no others, sealed ", id, entries,
		entries == 1 ? "y" : "ies");
	if (first->extent == PROOF_BATCH) {
		fputs("after ", out);
		print_time(out, first->time_ns);
	} else {
		fputs(first->batch_no == 0 ? "from its beginning" : "from ", out);
		if (first->batch_no > 0)
			print_time(out, first->time_ns);
	}
	fputs(last->extent == PROOF_BATCH && last > first ? " and before " : " to ", out);
	print_time(out, last->time_ns);
	fputc('\n', out);
}

/* @return whether there are gaps. */
static bool say_all(struct checking *c)
{
	size_t from = 0, kept = 0;
	bool gaps = false;

	/* Single entries say nothing of what lies between them. */
	for (size_t i = 0; i < c->n_good; i++)
		if (c->good[i].extent != PROOF_ENTRY)
			c->good[kept++] = c->good[i];
	c->n_good = kept;

	if (c->n_good > 1)
		qsort(c->good, c->n_good, sizeof *c->good, compare_good);
	for (size_t i = 1; i <= c->n_good; i++) {
		const struct good *g = &c->good[i];

		if (i < c->n_good && id_equal(&g->journal, &g[-1].journal) &&
		    g->batch_no == g[-1].batch_no + 1 &&
		    g->first_seq == g[-1].first_seq + g[-1].entries)
			continue;
		if (i < c->n_good && id_equal(&g->journal, &g[-1].journal))
			gaps = true;
		if (!c->quiet)
			say_run(c, &c->good[from], &c->good[i]);
		from = i;
	}
	return gaps;
}

static int verdict(struct checking *c, bool alone)
{
	const char *name = "OK";
	int status = 0;

	if (c->bad > 0) {
		name = "TAMPERED";
		status = 1;
	} else if (!c->has_pin) {
		name = "UNPINNED";
		status = 4;
	} else if (c->n_good + c->heads == 0) {
		log_error("there is no proof");
		return EXIT_USAGE;
	} else if (!alone && say_all(c)) {
		name = "INCOMPLETE";
		status = 3;
	}
	fprintf(words(c), "%s%s\n", name,
		status == 0 && c->local ? " (key pinned on this host only)" : "");
	return status;
}

/* The command line. */

static int write_out(void *arg, const void *data, size_t n)
{
	(void) arg;
	return io_write(STDOUT_FILENO, data, n);
}

static int set(struct checking *c, const char *key, const char *value)
{
	char why[256] = "";
	int r = request_set(&c->request, key, value, why);

	return r < 0 ? log_usage("%s", *why ? why : bulla_strerror(r)) : 0;
}

static int on_option(struct checking *c, int option, char **argv)
{
	switch (option) {
	case 'k':
		c->key_option = optarg;
		return vkey_parse(optarg, &c->pin) < 0
			       ? log_usage("--key %s: not a key as `bulla keys` prints it", optarg)
			       : 0;
	case 'F':
		c->from = optarg;
		return 0;
	case 'o':
		c->formatted = true;
		return set(c, "output", optarg);
	case 'z':
		return set(c, "utc", "1");
	case 'q':
		c->quiet = true;
		return 0;
	case 'h':
		c->help = true;
		return 0;
	default:
		return log_bad_option(option, argv);
	}
}

static int parse(struct checking *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' },
		{ "from", required_argument, NULL, 'F' },
		{ "output", required_argument, NULL, 'o' },
		{ "utc", no_argument, NULL, 'z' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option, r = 0;

	opterr = 0;
	while (r >= 0 && (option = getopt_long(argc, argv, ":o:qh", options, NULL)) != -1)
		r = on_option(c, option, argv);
	if (r >= 0 && !c->help && optind == argc)
		r = log_usage("a proof is wanted");
	return r;
}

int command_verify_proof(int argc, char **argv)
{
	struct checking c = { .has_pin = true };
	bool alone;
	int r;

	log_setup("bulla verify-proof", LOG_LEVEL_INFO);
	r = request_init(&c.request);
	if (r < 0)
		return EXIT_USAGE;
	answer_init(&c.answer, &c.request, write_out, NULL);
	r = parse(&c, argc, argv);
	alone = optind + 1 == argc;
	if (r >= 0 && c.help) {
		usage(stdout);
	} else if (r >= 0) {
		for (int i = optind; r >= 0 && i < argc; i++)
			r = check_argument(&c, argv[i], alone);
		if (r >= 0)
			r = verdict(&c, c.n_good == 1 && alone);
	}
	answer_done(&c.answer);
	request_done(&c.request);
	free(c.good);
	return r < 0 ? EXIT_USAGE : r;
}
