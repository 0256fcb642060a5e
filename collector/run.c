/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bulla-run: run a command and keep what it writes.
 *
 * Here: the command line, who the journal belongs to, and the order of things: the identity is bound, the journal open and
 * its collector started before the command can write its first byte.  The rest is the holder's (holder.h).
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/command.h"
#include "collector/holder.h"
#include "collector/host.h"
#include "collector/identity.h"
#include "collector/message.h"
#include "collector/oci.h"
#include "store/recover.h"
#include "store/state.h"
#include "store/tail_writer.h"
#include "store/tenant.h"

enum {
	STATUS_NO_JOURNAL = 125,
	BLOCK_S = 30, /* that a source waits on a full disk before it is dropped */
	BLOCK_S_MAX = 365 * 24 * 3600,
};

struct run {
	struct holder holder;
	struct identity identity;
	const char *name, *image;
	struct tenant tenant;
	bool block; /* on a full disk: for ever */
	uint64_t block_max_s;
};

/* The journal. */

static int describe(struct run *u)
{
	char *const *argv = u->holder.command.argv;
	const char *base = strrchr(argv[0], '/');
	struct identity *i = &u->identity;
	struct oci_command oci;
	bool container = oci_recognise(argv, &oci);
	int r;

	r = identity_add_host(i);
	if (r >= 0)
		r = identity_add(i, TENANT_FIELD, u->tenant.name);
	if (r >= 0)
		r = identity_add(i, "_ATTRIBUTION", "channel");
	if (r >= 0 && container) {
		r = oci_identity(&oci, u->name, u->image, i);
		if (r == BULLA_EPARSE || r == -ENOENT)
			return log_error_code(r, "%s/config.json", oci.bundle);
	} else if (r >= 0) {
		r = identity_add(i, "_CONTAINER_NAME", u->name);
		if (r >= 0)
			r = identity_add(i, "_IMAGE_NAME", u->image);
	}
	if (r >= 0)
		r = identity_add_process(i, u->holder.command.pid, argv, container);
	/* As people call it: the name, which a container always has, or the command. */
	if (r >= 0 && !identity_has(i, "SYSLOG_IDENTIFIER"))
		r = identity_add_same(i, "SYSLOG_IDENTIFIER", "_CONTAINER_NAME");
	if (r >= 0 && !identity_has(i, "SYSLOG_IDENTIFIER"))
		r = identity_add(i, "SYSLOG_IDENTIFIER", base ? base + 1 : argv[0]);
	return r < 0 ? log_error_code(r, "cannot establish who writes this journal") : 0;
}

static int create_journal(struct run *u, struct event_open *open)
{
	struct holder *h = &u->holder;
	_cleanup_buf_ struct buf leaf = { 0 };
	uint8_t seed[SEED_SIZE];
	struct host host;
	int r;

	randombytes_buf(h->journal.b, ID_SIZE);
	randombytes_buf(seed, sizeof seed);
	r = identity_leaf(&u->identity, &leaf, &open->identity);
	if (r >= 0)
		r = host_describe(&host);
	if (r < 0)
		return r;
	open->journal = h->journal;
	open->seed_commitment = seed_commitment(&h->journal, seed);
	r = tail_create(h->state.journals, &h->journal, &host.boot, leaf.data, leaf.len, seed);
	if (r < 0)
		return r;
	/* Held by this process and its collectors for as long as one of them lives; recovery keeps off. */
	h->lock = recover_lock(h->state.journals, &h->journal);
	return h->lock < 0 ? h->lock : 0;
}

/* Running. */

static int open_journal(struct run *u)
{
	struct message open_it = { .type = MESSAGE_OPEN }, attach = { .type = MESSAGE_ATTACH };
	struct holder *h = &u->holder;
	int r;

	r = create_journal(u, &open_it.open);
	if (r < 0)
		return log_error_code(r, "cannot create a journal in %s", h->state.path);
	r = holder_request(h, &open_it, MESSAGE_OPENED);
	if (r == -EEXIST) {
		/* It was opened, but the sealer did not live to say so. */
		attach.journal.journal = h->journal;
		r = holder_request(h, &attach, MESSAGE_ATTACHED);
	}
	/* The tail stays, empty: the sealer may know of it nevertheless. */
	if (r < 0 && r != -ECANCELED)
		log_error_code(r, "the sealer does not open the journal");
	return r;
}

/* Everything is checked and made before the command can write its first byte. */
static int run(struct run *u)
{
	struct holder *h = &u->holder;
	_cleanup_close_ int channel = -1;
	int r;

	r = command_fork(&h->command);
	if (r < 0)
		return log_error_code(r, "cannot start %s", h->command.argv[0]);
	r = describe(u);
	if (r < 0)
		return r;
	r = holder_reach_sealer(h);
	if (r == -ENOEXEC)
		log_error("without a sealer there is no journal: %s is not run",
			  h->command.argv[0]);
	else if (r < 0 && r != -ECANCELED)
		log_error_code(r, "cannot reach the sealer of %s", h->state.path);
	if (r < 0)
		return r;
	r = channel = open_journal(u);
	if (r < 0)
		return r;
	r = holder_start_collector(h, channel);
	if (r < 0)
		return log_error_code(r, "cannot start the collector");
	r = command_go(&h->command);
	if (r < 0)
		return log_error_code(r, "cannot start %s", h->command.argv[0]);
	h->started = true;
	r = holder_hold(h);
	return r < 0 ? log_error_code(r, "gave up on journal of %s", h->command.argv[0]) : 0;
}

/* The command line. */

static void usage(FILE *to)
{
	fputs("usage: bulla run [OPTION]... [--] COMMAND [ARGUMENT]...\n"
	      "\n"
	      "Run a command and keep what it writes to stdout and stderr in a sealed journal.\n"
	      "\n"
	      "  -n, --name NAME          name of the container (_CONTAINER_NAME)\n"
	      "  -i, --image IMAGE        image that it runs (_IMAGE_NAME)\n"
	      "  -t, --identifier STRING  SYSLOG_IDENTIFIER; by default the name or the command\n"
	      "  -F, --field NAME=VALUE   add a field to every entry\n"
	      "      --tenant NAME        whose logs these are (_TENANT; default: default)\n"
	      "  -p, --priority LEVEL     priority of lines on stdout (default: info)\n"
	      "      --stderr-priority LEVEL\n"
	      "                           priority of lines on stderr (default: err)\n"
	      "      --level-prefix       take a leading <N> as the priority, as sd-daemon(3)\n"
	      "      --when-full WHAT     on a full disk: drop, after a while, or block for ever\n"
	      "      --block-max SECONDS  that while (default: 30)\n"
	      "      --state DIR          state directory (default: $BULLA_STATE or "
	      "/var/lib/bulla)\n"
	      "  -h, --help               show this\n"
	      "\n"
	      "A command line that runs a container (runc, crun, runsc ... run ID) is attributed "
	      "from its bundle.\n"
	      "The exit status is the command's, 128+N for signal N, 125 when the journal cannot "
	      "be kept.\n",
	      to);
}

static int add_field(struct run *u, const char *text)
{
	const char *equals = strchr(text, '=');
	char name[FIELD_NAME_MAX + 1];

	if (!equals || equals == text || (size_t) (equals - text) > FIELD_NAME_MAX)
		return -EINVAL;
	if (text[0] == '_')
		return -EPERM;
	memcpy(name, text, (size_t) (equals - text));
	name[equals - text] = '\0';
	return identity_add_bytes(&u->identity, name, equals + 1, strlen(equals + 1));
}

static int parse_tenant(struct run *u, const char *text)
{
	if (tenant_parse(text, strlen(text), &u->tenant) >= 0)
		return 0;
	return log_usage("--tenant %s: " TENANT_WANTED, text);
}

static int parse_level(const char *text, char *ret)
{
	static const char *const names[] = { "emerg",	"alert",  "crit", "err",
					     "warning", "notice", "info", "debug" };

	if (strlen(text) == 1 && *text >= '0' && *text <= '7') {
		*ret = *text;
		return 0;
	}
	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (char) ('0' + i);
			return 0;
		}
	return -EINVAL;
}

static int parse_full(struct run *u, const char *text)
{
	u->block = strcmp(text, "block") == 0;
	if (u->block || strcmp(text, "drop") == 0)
		return 0;
	return log_usage("--when-full %s: drop or block is wanted", text);
}

static int parse_block_max(struct run *u, const char *text)
{
	int r = text_to_u64(text, &u->block_max_s);

	if (r >= 0 && u->block_max_s <= BLOCK_S_MAX)
		return 0;
	return log_usage("--block-max %s: seconds are wanted, %d at most", text, BLOCK_S_MAX);
}

static int parse_setting(struct run *u, int c, const char *text)
{
	return c == 'w'	  ? parse_full(u, text)
	       : c == 'b' ? parse_block_max(u, text)
			  : parse_tenant(u, text);
}

/* @return 1: go on; 0: done; -EINVAL after a message. */
static int parse(struct run *u, int argc, char **argv, const char **state, char priorities[3])
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "image", required_argument, NULL, 'i' },
		{ "identifier", required_argument, NULL, 't' },
		{ "field", required_argument, NULL, 'F' },
		{ "tenant", required_argument, NULL, 'T' },
		{ "priority", required_argument, NULL, 'p' },
		{ "stderr-priority", required_argument, NULL, 'e' },
		{ "level-prefix", no_argument, NULL, 'l' },
		{ "when-full", required_argument, NULL, 'w' },
		{ "block-max", required_argument, NULL, 'b' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:n:i:t:F:p:h", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			u->name = optarg;
			break;
		case 'i':
			u->image = optarg;
			break;
		case 't':
			r = identity_add(&u->identity, "SYSLOG_IDENTIFIER", optarg);
			break;
		case 'F':
			r = add_field(u, optarg);
			if (r == -EPERM)
				log_usage("--field %s: names that begin with _ are for what Bulla "
					  "itself knows",
					  optarg);
			else if (r < 0)
				log_usage("--field %s: NAME=VALUE is wanted", optarg);
			break;
		case 'p':
		case 'e':
			r = parse_level(optarg, &priorities[c == 'e']);
			if (r < 0)
				log_usage("--%s %s: emerg to debug, or 0 to 7, is wanted",
					  c == 'e' ? "stderr-priority" : "priority", optarg);
			break;
		case 'l':
			u->holder.level_prefix = true;
			break;
		case 'w':
		case 'b':
		case 'T':
			r = parse_setting(u, c, optarg);
			break;
		case 's':
			*state = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			r = log_bad_option(c, argv);
		}
		if (r < 0)
			return -EINVAL;
	}
	if (optind == argc)
		return log_usage("a command is wanted");
	u->holder.command.argv = argv + optind;
	return 1;
}

/* By a path that means the same to a sealer that has another working directory. */
static int open_state(struct holder *h, const char *option)
{
	char path[4096];
	int r;

	r = state_path(option, path);
	if (r < 0)
		return log_error_code(r, "no state directory: use --state or BULLA_STATE");
	r = state_open(&h->state, path, true);
	if (r < 0)
		return log_error_code(r, "cannot open %s", path);
	r = state_make_absolute(&h->state);
	return r < 0 ? log_error_code(r, "cannot find out where %s is", path) : 0;
}

static int prepare(struct run *u, int argc, char **argv, char priorities[3])
{
	const char *state = NULL;
	int r;

	r = parse(u, argc, argv, &state, priorities);
	if (r <= 0)
		return r;
	if (!u->block)
		snprintf(u->holder.block_max, sizeof u->holder.block_max, "%" PRIu64,
			 u->block_max_s);
	r = open_state(&u->holder, state);
	if (r < 0)
		return r;
	r = sodium_init() < 0 ? -EIO : holder_prepare(&u->holder);
	return r < 0 ? log_error_code(r, "cannot prepare to run a command") : 1;
}

int main(int argc, char **argv)
{
	struct run u = { .tenant = { TENANT_DEFAULT }, .block_max_s = BLOCK_S };
	char priorities[3] = "63";
	int r, status;

	log_setup("bulla run", LOG_LEVEL_INFO);
	u.holder.priorities = priorities;
	r = command_prepare(&u.holder.command);
	if (r >= 0)
		r = prepare(&u, argc, argv, priorities);
	if (r <= 0)
		return r < 0 ? STATUS_NO_JOURNAL : 0;
	r = run(&u);
	identity_done(&u.identity);
	/* The command, if it still waits for its go, ends by itself. */
	if (u.holder.stopped_by > 0)
		return 128 + u.holder.stopped_by;
	status = u.holder.wait_status;
	return r < 0		   ? STATUS_NO_JOURNAL
	       : WIFEXITED(status) ? WEXITSTATUS(status)
				   : 128 + WTERMSIG(status);
}
