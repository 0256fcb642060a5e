/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The crash simulator: crash_sim [-n STATES] [-m MAX] [-s SEED] [-b WHAT] COMMAND...
 *
 * The command, with a directory as its last argument, works on a state directory s/ below that, and its calls are recorded.
 * Then the host is made to crash after every call, in as many ways as what was not synced allows: all of it lost, none,
 * every combination where they are few and STATES random ones where they are many, and with sectors torn.  Of each such
 * disk (each once)
 *
 *	verify never says TAMPERED;
 *	recovery on another boot succeeds, and afterwards verify says OK;
 *	every commit whose ledger write was synced before the crash is there, and all entries read as they were written.
 *
 * And after every call all processes are killed at once, the host staying up: then writers go on with their tails on the
 * same boot, and the same must hold.
 *
 * With -m at most about MAX disks are made, chosen at random.  -b breaks the promise that a sync is one, of `ledger`, `key`,
 * `tail` or `names`: the simulator must then find fault, or it would find none ever.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/recover.h"
#include "tests/builder.h"
#include "tests/crash_model.h"
#include "tests/crash_trace.h"

enum { JOURNALS_KEPT = 64, SEEN_SLOTS = 1 << 18, FAULTS_SHOWN = 10 };

struct reference {
	struct id id;
	struct buf entries;
};

static struct simulation {
	char work[600]; /* directory of this run */
	struct buf trace;
	struct model disk;  /* as it is, breaks included */
	struct model ideal; /* as the recorded processes were told */
	struct vkey pin;
	struct reference reference[JOURNALS_KEPT];
	size_t n_references;
	uint64_t acknowledged; /* commits */
	uint64_t dice, seen[SEEN_SLOTS];
	const char *broken;
	unsigned samples;
	double chance;
	size_t at; /* record, for messages */
	uint64_t n_states, n_same, n_faults;
} sim;

static uint64_t roll(uint64_t n)
{
	uint64_t z = sim.dice += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % n;
}

/* Recording. */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int record(char **command, int n)
{
	char dir[700], trace[700];
	char **arguments = calloc((size_t) n + 2, sizeof *arguments);
	int status = -1;
	pid_t child;

	assert(arguments);
	snprintf(dir, sizeof dir, "%s/real", sim.work);
	snprintf(trace, sizeof trace, "%s/trace", sim.work);
	if (mkdir(dir, 0700) < 0)
		return -1;
	memcpy(arguments, command, (size_t) n * sizeof *arguments);
	arguments[n] = dir;
	child = fork();
	if (child == 0) {
		setenv("BULLA_TRACE_DIR", dir, 1);
		setenv("BULLA_TRACE_FILE", trace, 1);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	free(arguments);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void keep_reference(void *arg, const struct ledger_journal *j, const struct buf *entries)
{
	struct reference *r = &sim.reference[sim.n_references++];

	(void) arg;
	assert(sim.n_references <= JOURNALS_KEPT);
	r->id = j->id;
	r->entries = (struct buf){ 0 };
	buf_append(&r->entries, entries->data, entries->len);
}

/* What the command left when nothing crashed. */
static int load_reference(void)
{
	struct verified v = { 0 };
	char path[700];
	int r;

	snprintf(path, sizeof path, "%s/real/s", sim.work);
	builder_verify(path, NULL, &v);
	r = v.error < 0 ? v.error : v.report.verdict == VERDICT_UNPINNED ? 0 : -1;
	if (r < 0)
		fprintf(stderr, "what was recorded does not verify: %s\n",
			(char *) v.findings.data);
	sim.pin = v.report.key;
	verified_done(&v);
	if (r == 0)
		r = builder_dump_each(path, keep_reference, NULL);
	if (r == 0)
		r = io_read_file(AT_FDCWD, strcat(strcpy(path, sim.work), "/trace"), 1 << 30,
				 &sim.trace);
	return r;
}

/* Judging. */

static void fault(const char *what, const char *more)
{
	if (sim.n_faults++ < FAULTS_SHOWN)
		fprintf(stderr, "after call %zu, %llu commits acknowledged: %s%s%s\n", sim.at,
			(unsigned long long) sim.acknowledged, what, more ? ": " : "",
			more ? more : "");
}

static void compare(void *arg, const struct ledger_journal *j, const struct buf *entries)
{
	(void) arg;
	for (size_t i = 0; i < sim.n_references; i++) {
		const struct buf *want = &sim.reference[i].entries;

		if (!id_equal(&sim.reference[i].id, &j->id))
			continue;
		if (entries->len > want->len ||
		    (entries->len > 0 && memcmp(entries->data, want->data, entries->len) != 0))
			fault("a journal has other entries than were written", NULL);
		return;
	}
	if (entries->len > 0)
		fault("a journal that was never written has entries", NULL);
}

static int recover_journals(struct origin *o, const struct state *s)
{
	const struct history *h = origin_history(o);

	for (uint32_t i = 0; i < history_n_journals(h); i++) {
		struct ledger_journal j = *history_journal(h, i);
		struct event_close close = { .journal = j.id };
		struct batch_item item;
		uint8_t body[64];
		struct wr w = wr_of(body, sizeof body);
		uint64_t cut;
		int n, r;

		if (j.closed)
			continue;
		n = recover_batch(s->journals, &j, &item, &cut);
		if (n < 0)
			return n;
		item.handle = i;
		close.batches = j.batches + (unsigned) n;
		close.entries = j.entries + (n ? item.entries : 0);
		event_close_encode(&close, &w);
		r = origin_commit(o, 1, &item, (size_t) n,
				  &(struct event){ EVENT_CLOSE, (uint16_t) w.len, body }, 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct batch_item item_of(const struct batch *b, uint32_t handle)
{
	return (struct batch_item){ .handle = handle,
				    .entries = b->entries,
				    .bytes = b->bytes,
				    .time_min = b->time_min,
				    .time_max = b->time_max,
				    .mono_offset = b->mono_offset,
				    .root = b->root };
}

/* Go on with one tail: seal what was cut, cut and seal what was filling. */
static int resume_journal(struct origin *o, const struct state *s, uint32_t handle)
{
	struct ledger_journal j = *history_journal(origin_history(o), handle);
	_cleanup_(tail_writer_close) struct tail_writer t = { .fd = -1 };
	int r = tail_writer_open(&t, s->journals, &j.id, j.batches, j.entries);

	for (unsigned i = 0; r >= 0 && i < 2; i++) {
		struct batch_item item;

		if (!t.cut_pending && tail_writer_open_entries(&t) > 0)
			r = tail_writer_cut(&t, 1);
		if (r < 0 || !t.cut_pending)
			break;
		item = item_of(&t.cut, handle);
		r = origin_commit(o, 1, &item, 1, NULL, 0);
		if (r >= 0)
			tail_writer_sealed(&t);
	}
	return r;
}

static int resume_journals(struct origin *o, const struct state *s, const struct id *boot)
{
	const struct history *h = origin_history(o);
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < history_n_journals(h); i++)
		if (!history_journal(h, i)->closed && id_equal(&history_journal(h, i)->boot, boot))
			r = resume_journal(o, s, i);
	return r;
}

/* Begin again, on this boot if one is given, and on another otherwise. */
static int restart(const char *path, const struct id *boot)
{
	struct origin_config config = { .host = "after.the.crash", .params = { 2, 2 } };
	struct origin *o = NULL;
	struct state s;
	bool unclean;
	int r = state_open(&s, path, true);

	if (r < 0)
		return r;
	randombytes_buf(config.boot.b, ID_SIZE);
	if (boot)
		config.boot = *boot;
	r = origin_open(&o, s.seal, s.ledger, &config);
	if (r >= 0)
		r = origin_begin(o, 1, &unclean);
	if (r >= 0 && boot)
		r = resume_journals(o, &s, boot);
	if (r >= 0)
		r = recover_journals(o, &s);
	if (r >= 0)
		r = origin_end(o, 1);
	origin_close(o);
	state_close(&s);
	return r;
}

/* The boot that the ledger was last written on.  @return whether there is one. */
static bool boot_of(const char *path, struct id *ret)
{
	struct history *h = history_new();
	struct ledger l = { .fd = -1 };
	struct ledger_scan scan;
	struct state s;
	bool has = false;

	assert(h);
	if (state_open(&s, path, false) == 0) {
		if (ledger_open(&l, s.ledger, O_RDONLY, h, HISTORY_SKIP_SIGNATURE, NULL, NULL,
				&scan) == 0)
			ledger_close(&l);
		state_close(&s);
		has = history_size(h) > 0;
		*ret = history_boot(h);
	}
	history_free(h);
	return has;
}

static void judge_after(const char *path, const struct vkey *pin, const struct id *boot)
{
	struct verified v = { 0 };
	int r = restart(path, boot);

	if (r < 0) {
		fault(boot ? "writers cannot go on" : "the host cannot go on", bulla_strerror(r));
		return;
	}
	builder_verify(path, pin, &v);
	if (v.error < 0)
		fault("verify cannot read after recovery", bulla_strerror(v.error));
	else if (v.report.verdict > (pin ? VERDICT_OK : VERDICT_UNPINNED))
		fault("verify complains after recovery", (char *) v.findings.data);
	else if (builder_dump_each(path, compare, NULL) < 0)
		fault("entries cannot be read after recovery", NULL);
	verified_done(&v);
}

static void judge(const char *path, bool killed)
{
	const struct vkey *pin = sim.acknowledged > 0 ? &sim.pin : NULL;
	struct verified v = { 0 };
	struct id boot;

	builder_verify(path, pin, &v);
	if (v.error < 0 && (sim.acknowledged > 0 || v.error != -ENOENT))
		fault("verify cannot read", bulla_strerror(v.error));
	else if (v.error == 0 && v.report.verdict == VERDICT_TAMPERED)
		fault("verify accuses", (char *) v.findings.data);
	else if (v.error == 0 && v.report.commits < sim.acknowledged)
		fault("acknowledged commits are gone", (char *) v.findings.data);
	verified_done(&v);
	judge_after(path, pin, killed && boot_of(path, &boot) ? &boot : NULL);
}

static bool is_new(uint64_t hash)
{
	hash ^= sim.acknowledged * 0x9e3779b97f4a7c15ull;
	hash += hash == 0;
	for (size_t i = hash % SEEN_SLOTS;; i = (i + 1) % SEEN_SLOTS) {
		if (sim.seen[i] == hash)
			return false;
		if (sim.seen[i] == 0) {
			sim.seen[i] = hash;
			return true;
		}
	}
}

static void crash(const uint8_t *fate, bool killed)
{
	char path[700], state[710];
	uint64_t hash;

	if (sim.chance < 1 && (double) roll(1 << 20) / (1 << 20) >= sim.chance)
		return;
	snprintf(path, sizeof path, "%s/disk", sim.work);
	snprintf(state, sizeof state, "%s/s", path);
	if (mkdir(path, 0700) < 0)
		abort();
	hash = model_crash(&sim.disk, fate, &sim.dice, path);
	if (sim.n_states < SEEN_SLOTS / 2 && is_new(hash + killed)) {
		sim.n_states++;
		judge(state, killed);
	} else {
		sim.n_same++;
	}
	remove_tree(path);
}

/* Crashing here, in all the ways. */

enum { SUBSETS_OF = 4, PENDING_MAX = 4096 };

static void crash_everyhow(void)
{
	static uint8_t fate[PENDING_MAX];
	size_t n = sim.disk.n_pending;

	assert(n <= PENDING_MAX);
	memset(fate, FATE_DONE, n);
	crash(fate, true);
	if (n <= SUBSETS_OF) {
		for (unsigned set = 0; set < 1u << n; set++) {
			for (size_t i = 0; i < n; i++)
				fate[i] = set >> i & 1 ? FATE_DONE : FATE_LOST;
			crash(fate, false);
		}
	} else {
		memset(fate, FATE_LOST, n);
		crash(fate, false);
		memset(fate, FATE_DONE, n);
		crash(fate, false);
		for (unsigned k = 0; k < sim.samples; k++) {
			for (size_t i = 0; i < n; i++)
				fate[i] = (uint8_t) (roll(2) ? FATE_DONE : FATE_LOST);
			crash(fate, false);
		}
	}
	for (unsigned k = 0; n > 0 && k < sim.samples; k++) {
		for (size_t i = 0; i < n; i++)
			fate[i] = (uint8_t) (roll(3) == 0 ? FATE_TORN
					     : roll(4)	  ? FATE_DONE
							  : FATE_LOST);
		fate[n - 1] = FATE_TORN;
		crash(fate, false);
	}
}

/* Which file a record is about, by the name that it was created with. */
static const char *kind_of(const struct trace_record *r)
{
	static char kind[MODEL_FILES_MAX][8];
	static uint64_t ino[MODEL_FILES_MAX];
	static size_t n;
	char name[80] = "";

	if (r->op == TRACE_CREATE || r->op == TRACE_MKDIR) {
		memcpy(name, r + 1, r->name_len < 79 ? r->name_len : 79);
		assert(n < MODEL_FILES_MAX);
		ino[n] = r->ino;
		strcpy(kind[n++], r->op == TRACE_MKDIR	      ? "names"
				  : strstr(name, ".ledger")   ? "ledger"
				  : strstr(name, TAIL_SUFFIX) ? "tail"
				  : strstr(name, "key")	      ? "key"
							      : "other");
	}
	for (size_t i = n; i > 0; i--)
		if (ino[i - 1] == r->ino)
			return kind[i - 1];
	return r->op == TRACE_SYNC ? "names" : "other";
}

static uint64_t count_commits(uint64_t ino)
{
	int i = model_find(&sim.ideal, ino);
	const struct model_file *f;
	struct frame frame;
	uint64_t n = 0;
	ssize_t space;

	assert(i >= 0);
	f = &sim.ideal.file[i];
	for (uint64_t at = 0;
	     (space = frame_parse(f->data + at, f->size - at, LEDGER_RECORD_MAX, &frame)) > 0;
	     at += (uint64_t) space)
		n += frame.type == LEDGER_COMMIT;
	return n;
}

static void simulate(void)
{
	for (uint64_t at = 0; at < sim.trace.len; sim.at++) {
		const struct trace_record *r = (const void *) (sim.trace.data + at);
		const char *kind = kind_of(r);

		assert(r->size >= sizeof *r && r->size <= sim.trace.len - at && r->size % 1 == 0);
		model_do(&sim.ideal, r);
		if (!(r->op == TRACE_SYNC && sim.broken && strcmp(sim.broken, kind) == 0))
			model_do(&sim.disk, r);
		if (r->op == TRACE_SYNC && strcmp(kind, "ledger") == 0)
			sim.acknowledged = count_commits(r->ino);
		crash_everyhow();
		at += r->size;
	}
}

static size_t count_records(void)
{
	size_t n = 0;

	for (size_t at = 0; at < sim.trace.len; n++)
		at += ((const struct trace_record *) (const void *) (sim.trace.data + at))->size;
	return n;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: crash_sim [-n STATES] [-m MAX] [-s SEED] [-b ledger|key|tail|names] "
		"COMMAND...\n");
	return 2;
}

static int run(char **command, int n, unsigned max)
{
	int r = record(command, n);

	if (r == 77) {
		printf("SKIP: the command cannot be recorded here\n");
		return 77;
	}
	if (r != 0) {
		fprintf(stderr, "the command failed: %d\n", r);
		return 2;
	}
	r = load_reference();
	if (r < 0) {
		fprintf(stderr, "cannot read what was recorded: %s\n", bulla_strerror(r));
		return 2;
	}
	trace_prepare(&sim.trace);
	sim.chance = max == 0 ? 1 : (double) max / ((double) count_records() * 2 * sim.samples);
	simulate();
	printf("%zu calls recorded, %llu disks simulated (and %llu that were the same), %llu "
	       "faults\n",
	       sim.at, (unsigned long long) sim.n_states, (unsigned long long) sim.n_same,
	       (unsigned long long) sim.n_faults);
	return sim.n_faults > 0;
}

int main(int argc, char **argv)
{
	unsigned max = 0;
	int c, r;

	sim.samples = 6;
	while ((c = getopt(argc, argv, "+n:m:s:b:")) != -1) {
		if (c == 'n')
			sim.samples = (unsigned) strtoul(optarg, NULL, 10);
		else if (c == 'm')
			max = (unsigned) strtoul(optarg, NULL, 10);
		else if (c == 's')
			sim.dice = strtoull(optarg, NULL, 0);
		else if (c == 'b')
			sim.broken = optarg;
		else
			return usage();
	}
	if (optind == argc || sodium_init() < 0)
		return usage();
	snprintf(sim.work, sizeof sim.work, "%s/bulla-crash-XXXXXX", builder_parent());
	if (!mkdtemp(sim.work)) {
		perror(sim.work);
		return 2;
	}
	r = run(argv + optind, argc - optind, max);
	remove_tree(sim.work);
	for (size_t i = 0; i < sim.n_references; i++)
		buf_done(&sim.reference[i].entries);
	buf_done(&sim.trace);
	model_done(&sim.disk);
	model_done(&sim.ideal);
	return r;
}
