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
#include "aggregator/http.h"
#include "base/log.h"
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
	      "  -h, --help              show this\n",
	      to);
}

struct asked {
	const char *listen, *store, *name;
	bool help;
};

static int parse(int argc, char **argv, struct asked *a)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "store", required_argument, NULL, 'd' },
		{ "name", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'l')
			a->listen = optarg;
		else if (c == 'd')
			a->store = optarg;
		else if (c == 'n')
			a->name = optarg;
		else if (c == 'h')
			a->help = true;
		else
			return log_bad_option(c, argv);
	}
	return optind == argc ? 0 : log_usage("%s is too much", argv[optind]);
}

static int serve(const struct asked *a)
{
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
	log_info("listening on port %u, keeping in %s", port, a->store);
	sd_notify(0, "READY=1");
	while (!told_to_stop && !http_server_broken(server))
		usleep(100 * 1000);
	r = http_server_broken(server) ? -EIO : 0;
	http_server_stop(server);
	archive_close(archive);
	return r;
}

int main(int argc, char **argv)
{
	const char *env = getenv("BULLA_STORE");
	struct asked a = { .listen = "127.0.0.1:7780",
			   .store = env && *env ? env : "/var/lib/bulla-aggregator" };
	const struct rlimit no_core = { 0, 0 };
	struct rlimit files;
	char host[256] = "";

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
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_stop);
	signal(SIGINT, on_stop);
	return serve(&a) < 0 ? 2 : 0;
}
