/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-keep: what keeps a host's logs small.
 *
 * It follows the ledger, makes segments of what is sealed, merges them, has pruned what is over the limits, and takes away the
 * tails of closed journals once segments have all of them.  It has no key and no network, it never makes a commit wait, and
 * nothing depends on its running.  Before it reads a byte it gives up all but that; what reaches the sealer is a process of its own.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/room.h"
#include "base/span.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/confine.h"
#include "collector/reach.h"
#include "collector/upkeep.h"
#include "store/receipts.h"
#include "store/segment/build.h"
#include "store/segment/set.h"

enum {
	POLL_MS = 2000,
	NO_SPACE_MS = 10000,
	NICENESS = 10,
	SEGMENT_ENTRIES = 1 << 20,
	SEGMENT_AGE_S = 3600,
	UPKEEP_S = 60,
	LEVEL = 3,	  /* of what is packed for the first time */
	LEVEL_MERGED = 9, /* and of what was merged, which is read for longer */
	LEVEL_MAX = 19,
};

struct keeper {
	const char *state_option;
	bool once, help;
	int level, level_merged;
	uint64_t age_ns; /* of the oldest entry that is in no segment */
	struct state state;
	int segments; /* directory */
	int lock;
	int reach; /* the helper that reaches the sealer */
	struct segment_builder *builder;
	uint64_t made;	 /* segments */
	uint64_t packed; /* bytes of these */
	struct upkeep upkeep;
	struct tenant_limit *tenants; /* owned; upkeep.limits has how many */
	size_t tenants_cap;
	uint64_t upkeep_at; /* monotonic */
};

static volatile sig_atomic_t told_to_stop;

static void on_stop(int signal_number)
{
	(void) signal_number;
	told_to_stop = 1;
}

static void usage(FILE *to)
{
	fputs("usage: bulla keep [OPTION]...\n"
	      "\n"
	      "Pack what is sealed into segments, which are small and fast to search, merge "
	      "small\n"
	      "ones, and prune what is over the limits.\n"
	      "\n"
	      "      --max-age TIME         prune what is older, as 30d\n"
	      "      --max-size SIZE        prune until all takes no more, as 10G; first of those\n"
	      "                             who take most\n"
	      "      --max-tenant-size [TENANT=]SIZE\n"
	      "                             the same for each tenant, or for one; may be repeated\n"
	      "      --max-source-size SIZE the same for each unit or container\n"
	      "      --keep-free SIZE       prune until so much of the disk is free\n"
	      "      --once                 do what there is to do, and end\n"
	      "      --every TIME           pack entries at least this often (default: 1h)\n"
	      "      --level N              zstd's level, 1 to 19 (default: 3, and 9 when segments "
	      "are merged)\n"
	      "      --state DIR            state directory (default: $BULLA_STATE or\n"
	      "                             /var/lib/bulla)\n"
	      "  -h, --help                 show this\n",
	      to);
}

/* Packing. */

static int on_made(void *arg, const struct segment_made *m)
{
	struct keeper *k = arg;
	char size[16];

	text_size(size, m->size);
	k->made++;
	k->packed += m->size;
	log_info("segments/%s: %" PRIu64 " entries of %u journal%s, %s, %.1f bytes an entry",
		 m->name, m->entries, m->journals, m->journals == 1 ? "" : "s", size,
		 (double) m->size / (double) MAX_OF(m->entries, (uint64_t) 1));
	if (m->left_out > 0)
		log_warning("%" PRIu64
			    " batch%s of these commits %s not packed: no tail has them as they "
			    "were sealed, or they lie behind such; see bulla verify",
			    m->left_out, m->left_out == 1 ? "" : "es",
			    m->left_out == 1 ? "is" : "are");
	return 0;
}

static int step(struct keeper *k)
{
	uint64_t since, now = clock_realtime_ns(), before = k->made, pending;
	int r = segment_builder_read(k->builder);

	if (r < 0)
		return log_error_code(r, "pack");
	pending = segment_builder_pending(k->builder, &since);
	if (pending > 0 && (k->once || (now > since && now - since >= k->age_ns)))
		r = segment_builder_finish(k->builder);
	if (r < 0)
		return log_error_code(r, "pack");
	if (k->made == before && !k->once && clock_monotonic_ns() < k->upkeep_at)
		return 0;
	k->upkeep_at = clock_monotonic_ns() + UPKEEP_S * NS_PER_S;
	r = upkeep_run(&k->upkeep);
	return r < 0 && !told_to_stop ? log_error_code(r, "keep the segments") : 0;
}

static bool is_no_space(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* Follow the ledger; what is not in these segments is packed, or nothing where there are none given. */
static int begin(struct keeper *k, const struct segment_set *packed)
{
	struct segment_builder_options o = {
		.dirfd = k->segments,
		.packed = packed,
		.idle = !packed,
		.entries_max = SEGMENT_ENTRIES,
		.level = k->level,
		.made = on_made,
		.arg = k,
	};
	int r = segment_builder_new(&k->builder, &k->state, &o);

	k->upkeep.builder = k->builder;
	return r < 0 ? log_error_code(r, "pack") : 0;
}

static void end(struct keeper *k)
{
	k->builder = k->upkeep.builder = segment_builder_free(k->builder);
}

/* Go on behind what is packed, as long as there is space. */
static int pack(struct keeper *k)
{
	struct segment_set set;
	int r;

	r = segment_set_open(&set, &k->state);
	if (r < 0)
		return log_error_code(r, "read segments");
	for (uint32_t i = 0; i < set.n; i++)
		if (set.files[i].error < 0)
			log_error_code(set.files[i].error,
				       SEGMENTS_DIR "/%s: at byte %" PRIu64 ": it is left as it is",
				       set.files[i].name, set.files[i].error_at);
	r = begin(k, &set);
	segment_set_close(&set);
	while (r >= 0) {
		uint64_t before = k->made;

		r = step(k);
		if (r < 0 || k->once || told_to_stop)
			break;
		if (k->made != before)
			heap_give_back();
		poll(NULL, 0, POLL_MS);
	}
	end(k);
	return r;
}

/* Without space nothing can be packed, but what is over the limits can go: one who packs nothing sees to that. */
static int make_room(struct keeper *k)
{
	int r = begin(k, NULL);

	if (r >= 0)
		r = segment_builder_read(k->builder);
	if (r >= 0)
		r = upkeep_run(&k->upkeep);
	end(k);
	return r;
}

/* Tails and segments may have been written by anybody: from here on it can do what it is for, and no more. */
static int confine(const struct keeper *k)
{
	/* The forwarder may make it later. */
	_cleanup_close_ int receipts = io_open_dir(k->state.root, RECEIPTS_DIR, 0755);
	const struct confine_dir dirs[] = {
		{ k->segments, true },
		{ k->state.ledger, true },
		{ k->state.journals, true },
		{ receipts, false },
	};
	int r = receipts < 0 ? receipts : confine_keeper(dirs, ELEMENTS(dirs));

	if (r < 0)
		return log_error_code(r, "cannot give up what is not needed");
	if (r == 0)
		log_warning("this kernel has no Landlock: files outside %s are not out of reach",
			    k->state.path);
	return 0;
}

/* How often a byte was written that is kept: write amplification. */
static void tell_written(const struct keeper *k)
{
	uint64_t again = k->upkeep.written;
	char packed[16], more[16];

	text_size(packed, k->packed);
	text_size(more, again);
	if (k->packed > 0)
		log_info("%s packed, %s written again to merge or prune: each byte %.2f times",
			 packed, more, (double) (k->packed + again) / (double) k->packed);
	else if (again > 0)
		log_info("nothing packed, %s written again to merge or prune", more);
}

static int keep(struct keeper *k)
{
	int r;

	k->upkeep.state = &k->state;
	k->upkeep.segments = k->segments;
	k->upkeep.level = k->level_merged;
	k->upkeep.stop = &told_to_stop;
	r = roots_packer_new(&k->upkeep.roots, &k->state);
	if (r < 0)
		return log_error_code(r, "pack");
	while (is_no_space(r = pack(k)) && !told_to_stop) {
		r = make_room(k);
		if (r < 0 && !is_no_space(r))
			log_error_code(r, "make room");
		if (k->once)
			return pack(k);
		poll(NULL, 0, NO_SPACE_MS);
	}
	return r;
}

/* Starting. */

static int open_all(struct keeper *k)
{
	char path[4096];
	int r = state_path(k->state_option, path);

	if (r < 0)
		return log_error_code(r, "no state directory: use --state or BULLA_STATE");
	r = state_open(&k->state, path, false);
	if (r < 0)
		return log_error_code(r, "cannot open %s", path);
	/* Before there is a lock that it would share. */
	r = reach_start(&k->state, &k->reach);
	if (r < 0)
		return log_error_code(r, "cannot start a helper");
	k->upkeep.reach = k->reach;
	k->segments = io_open_dir(k->state.root, SEGMENTS_DIR, 0755);
	if (k->segments < 0)
		return log_error_code(k->segments, "%s/segments", path);
	k->lock = openat(k->segments, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (k->lock < 0)
		return log_error_code(-errno, "%s/segments/lock", path);
	if (flock(k->lock, LOCK_EX | LOCK_NB) < 0)
		return log_error_code(-errno, "another keeper is at work on %s", path);
	return 0;
}

/* Whoever logs comes first. */
static void be_humble(void)
{
	enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_IDLE = 3 << 13 };
	struct rlimit files;

	if (setpriority(PRIO_PROCESS, 0, NICENESS) < 0 ||
	    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) < 0)
		log_debug("the priority stays as it is");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			log_debug("the limit of open files stays as it is");
	}
}

static int take_size(const char *option, const char *text, uint64_t *ret)
{
	if (size_parse(text, ret) < 0 || *ret == 0)
		return log_usage("%s %s: a size as 500M or 10G is wanted", option, text);
	return 0;
}

/* "5G" for each, "web=5G" for one. */
static int take_tenant_size(struct keeper *k)
{
	static const char option[] = "--max-tenant-size";
	struct retention *limits = &k->upkeep.limits;
	const char *equals = strchr(optarg, '=');
	struct tenant_limit *l;

	if (!equals)
		return take_size(option, optarg, &limits->tenant_bytes);
	if (limits->n_tenants == TENANT_LIMITS_MAX)
		return log_usage("%s: more than %d tenants", option, TENANT_LIMITS_MAX);
	if (!room_for(&k->tenants, limits->n_tenants, &k->tenants_cap, sizeof *k->tenants))
		return log_error_code(-ENOMEM, "%s", option);
	limits->tenants = k->tenants;
	l = &k->tenants[limits->n_tenants++];
	if (tenant_parse(optarg, (size_t) (equals - optarg), &l->tenant) < 0)
		return log_usage("%s %s: of a tenant's name " TENANT_WANTED, option, optarg);
	return take_size(option, equals + 1, &l->bytes);
}

static int take_time(const char *option, uint64_t *ret)
{
	if (span_parse(optarg, strlen(optarg), ret) < 0)
		return log_usage("%s %s: a time as 30min or 1h is wanted", option, optarg);
	return 0;
}

static int on_option(struct keeper *k, int c, int argc, char **argv)
{
	uint64_t number;

	switch (c) {
	case 'a':
		return take_time("--max-age", &k->upkeep.limits.age_ns);
	case 'b':
		return take_size("--max-size", optarg, &k->upkeep.limits.bytes);
	case 'T':
		return take_tenant_size(k);
	case 'B':
		return take_size("--max-source-size", optarg, &k->upkeep.limits.source_bytes);
	case 'f':
		return take_size("--keep-free", optarg, &k->upkeep.keep_free);
	case 'o':
		k->once = true;
		return 0;
	case 'e':
		return take_time("--every", &k->age_ns);
	case 'l':
		if (text_to_u64(optarg, &number) < 0 || number < 1 || number > LEVEL_MAX)
			return log_usage("--level %s: 1 to %d is wanted", optarg, LEVEL_MAX);
		k->level = k->level_merged = (int) number;
		return 0;
	case 's':
		k->state_option = optarg;
		return 0;
	case 'h':
		k->help = true;
		return 0;
	default:
		return log_bad_option(c, argv);
	}
}

static int parse(struct keeper *k, int argc, char **argv)
{
	static const struct option options[] = {
		{ "max-age", required_argument, NULL, 'a' },
		{ "max-size", required_argument, NULL, 'b' },
		{ "max-tenant-size", required_argument, NULL, 'T' },
		{ "max-source-size", required_argument, NULL, 'B' },
		{ "keep-free", required_argument, NULL, 'f' },
		{ "once", no_argument, NULL, 'o' },
		{ "every", required_argument, NULL, 'e' },
		{ "level", required_argument, NULL, 'l' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	opterr = 0;
	while (r >= 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1)
		r = on_option(k, c, argc, argv);
	if (r >= 0 && !k->help && optind < argc)
		r = log_usage("%s: no arguments are taken", argv[optind]);
	return r;
}

int main(int argc, char **argv)
{
	struct keeper k = {
		.state = { .root = -1, .seal = -1, .ledger = -1, .journals = -1 },
		.segments = -1,
		.lock = -1,
		.level = LEVEL,
		.level_merged = LEVEL_MERGED,
		.age_ns = SEGMENT_AGE_S * NS_PER_S,
		.reach = -1,
	};
	struct sigaction stop = { .sa_handler = on_stop };
	int r;

	heap_keep();
	log_setup("bulla keep", LOG_LEVEL_INFO);
	r = parse(&k, argc, argv);
	if (r >= 0 && k.help) {
		usage(stdout);
	} else if (r >= 0) {
		sigaction(SIGTERM, &stop, NULL);
		sigaction(SIGINT, &stop, NULL);
		be_humble();
		r = open_all(&k);
		if (r >= 0)
			r = confine(&k);
		if (r >= 0)
			r = keep(&k);
		tell_written(&k);
	}
	roots_packer_free(k.upkeep.roots);
	upkeep_done(&k.upkeep);
	free(k.tenants);
	close_fd(&k.lock);
	close_fd(&k.reach);
	close_fd(&k.segments);
	state_close(&k.state);
	return r < 0 ? 2 : 0;
}
