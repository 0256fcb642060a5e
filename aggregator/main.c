/* SPDX-License-Identifier: Apache-2.0 */

/** bulla-serve: the aggregator, one node on a local directory. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "aggregator/archive.h"
#include "aggregator/audit.h"
#include "aggregator/compactor.h"
#include "aggregator/http.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/span.h"
#include "base/text.h"
#include "bulla/error.h"

static volatile sig_atomic_t told_to_stop;

static void on_stop(int signal_number)
{
	(void) signal_number;
	told_to_stop = 1;
}

static void usage(FILE *to)
{
	fputs("usage: bulla serve --listen ADDR:PORT --store DIR [OPTION]...\n"
	      "\n"
	      "Be an aggregator: verify and keep what hosts forward, and answer queries about all "
	      "of them.\n"
	      "\n"
	      "      --listen ADDR:PORT  where to listen (default: 127.0.0.1:7780; port 0: any "
	      "free one)\n"
	      "      --store DIR         where to keep it (default: $BULLA_STORE or "
	      "/var/lib/bulla-aggregator)\n"
	      "      --name NAME         name that receipts are signed with (default: the host's)\n"
	      "      --pack-size SIZE    pack what was received when it is so much (default: 64M)\n"
	      "      --pack-every TIME   and at least this often (default: 1h)\n"
	      "      --level N           zstd's level, 1 to 19 (default: 9)\n"
	      "      --verify            judge what is in the store, which no aggregator has open, "
	      "and end\n"
	      "      --key KEY           with --verify: the key of a host; repeated for more of "
	      "them\n"
	      "  -h, --help              show this\n",
	      to);
}

enum {
	PACK_SIZE_MIN = 4 << 10,
	PACK_SIZE_MAX = 1 << 30,
	PACK_EVERY_S = 3600,
	LEVEL = 9,
	LEVEL_MAX = 19,
	KEYS_MAX = 1024,
};

struct asked {
	const char *listen, *store, *name;
	struct compactor_options pack;
	bool help, verify;
	struct vkey keys[KEYS_MAX];
	size_t n_keys;
};

static int take_level(struct asked *a)
{
	uint64_t number;

	if (text_to_u64(optarg, &number) < 0 || number < 1 || number > LEVEL_MAX)
		return log_usage("--level %s: 1 to %d is wanted", optarg, LEVEL_MAX);
	a->pack.level = (int) number;
	return 0;
}

static int take_size(void)
{
	if (size_parse(optarg, &lane_object_size) < 0 || lane_object_size < PACK_SIZE_MIN ||
	    lane_object_size > PACK_SIZE_MAX)
		return log_usage("--pack-size %s: a size from 4K to 1G is wanted", optarg);
	return 0;
}

static int take_time(struct asked *a)
{
	if (span_parse(optarg, strlen(optarg), &a->pack.age_ns) < 0 || a->pack.age_ns == 0)
		return log_usage("--pack-every %s: a time as 30min or 1h is wanted", optarg);
	return 0;
}

static int take_key(struct asked *a)
{
	if (a->n_keys == KEYS_MAX)
		return log_usage("--key %s: too many keys", optarg);
	if (vkey_parse(optarg, &a->keys[a->n_keys]) < 0)
		return log_usage("--key %s: not a key as `bulla keys` prints it", optarg);
	a->n_keys++;
	return 0;
}

static int on_option(struct asked *a, int c, char **argv)
{
	switch (c) {
	case 'l':
		a->listen = optarg;
		return 0;
	case 'd':
		a->store = optarg;
		return 0;
	case 'n':
		a->name = optarg;
		return 0;
	case 's':
		return take_size();
	case 'e':
		return take_time(a);
	case 'z':
		return take_level(a);
	case 'v':
		a->verify = true;
		return 0;
	case 'k':
		return take_key(a);
	case 'h':
		a->help = true;
		return 0;
	default:
		return log_bad_option(c, argv);
	}
}

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "store", required_argument, NULL, 'd' },
		{ "name", required_argument, NULL, 'n' },
		{ "pack-size", required_argument, NULL, 's' },
		{ "pack-every", required_argument, NULL, 'e' },
		{ "level", required_argument, NULL, 'z' },
		{ "verify", no_argument, NULL, 'v' },
		{ "key", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, r = 0;

	opterr = 0;
	while (r >= 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1)
		r = on_option(a, c, argv);
	if (r < 0)
		return r;
	if (a->n_keys > 0 && !a->verify)
		return log_usage("--key goes with --verify");
	return optind == argc ? 0 : log_usage("%s is too much", argv[optind]);
}

/* @return the exit status. */
static int verify_store(const struct asked *a)
{
	_cleanup_buf_ struct buf text = { 0 };
	enum verdict verdict;
	int r = access(a->store, F_OK) < 0 ? -errno : 0;

	if (r >= 0)
		r = audit(a->store, a->keys, a->n_keys, &text, &verdict);
	if (r < 0) {
		log_error_code(r, "cannot read all of %s", a->store);
		return 2;
	}
	fwrite(text.data, 1, text.len, stdout);
	return verdict_exit_status(verdict);
}

static int serve(const struct asked *a)
{
	struct compactor *compactor = NULL;
	struct http_server *server = NULL;
	struct archive *archive = NULL;
	uint16_t port = 0;
	int r;

	r = archive_open(&archive, a->store, a->name);
	if (r < 0)
		return log_error_code(r, "cannot open the store %s", a->store);
	r = http_server_start(&server, archive, a->listen, &port);
	if (r < 0) {
		archive_close(archive);
		return log_error_code(r, "cannot listen at %s", a->listen);
	}
	r = compactor_start(&compactor, archive, &a->pack);
	if (r < 0)
		log_error_code(r, "nothing will be packed");
	log_info("listening on port %u, keeping in %s", port, a->store);
	sd_notify(0, "READY=1");
	while (!told_to_stop && !http_server_broken(server))
		usleep(100 * 1000);
	r = http_server_broken(server) ? -EIO : 0;
	compactor_stop(compactor);
	http_server_stop(server);
	archive_close(archive);
	return r;
}

int main(int argc, char **argv)
{
	const char *env = getenv("BULLA_STORE");
	static struct asked a;
	const struct rlimit no_core = { 0, 0 };
	struct rlimit files;
	char host[256] = "";

	a.listen = "127.0.0.1:7780";
	a.store = env && *env ? env : "/var/lib/bulla-aggregator";
	a.pack = (struct compactor_options){ .age_ns = PACK_EVERY_S * NS_PER_S, .level = LEVEL };
	log_setup("bulla serve", LOG_LEVEL_INFO);
	if (sodium_init() < 0 || parse(argc, argv, &a) < 0)
		return 2;
	if (a.help) {
		usage(stdout);
		return 0;
	}
	if (!a.name && gethostname(host, sizeof host - 1) == 0)
		a.name = host;
	/* It holds a signing key, and one descriptor per object that is read. */
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return 2;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			log_warning("cannot raise the limit of open files");
	}
	if (a.verify)
		return verify_store(&a);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_stop);
	signal(SIGINT, on_stop);
	return serve(&a) < 0 ? 2 : 0;
}
