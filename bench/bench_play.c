/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A state directory of a host at log pace, packed by `bulla keep`.
 *
 *	bench_play [--corpus FILE --when FILE] --dir DIR STATE PIECES BULLA
 *
 * The lines are played (bench/pace.h); after each of so many pieces of them, and at the end, `BULLA keep --once` packs what there is.
 * With one piece all is packed at once; with several, segments are merged as they come and when the day is over.  Both DIR and
 * STATE, which must not be there, are best in memory.  Prints what keeping took as JSON.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/pace.h"

struct keeper {
	const char *state, *bulla;
};

static void keep(void *arg)
{
	const struct keeper *k = arg;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl(k->bulla, k->bulla, "keep", "--once", "--state", k->state, (char *) NULL);
		_exit(127);
	}
	must(pid < 0 || waitpid(pid, &status, 0) < 0 ? -errno : 0, "bulla keep");
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO, "bulla keep");
}

static double seconds(struct timeval t)
{
	return (double) t.tv_sec + (double) t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	struct keeper k;
	struct rusage used;
	struct pace p;
	struct bench b;

	bench_begin(&b, argc, argv);
	must(argc - optind == 3 ? 0 : -EINVAL, "STATE PIECES BULLA");
	k = (struct keeper){ b.dir, argv[optind + 2] };
	pace_play_pieces(&p, &b, 10, (uint32_t) strtoul(argv[optind + 1], NULL, 10), keep, &k);
	pace_done(&p);
	keep(&k);
	getrusage(RUSAGE_CHILDREN, &used);
	printf("{\"keep_cpu_s\": %.6g, \"keep_kib\": %ld, \"n\": %zu, \"sources\": %u}\n",
	       seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_maxrss, b.n, b.sources);
	must(rename(b.dir, argv[optind]) < 0 ? -errno : 0, argv[optind]);
	return 0;
}
