/* SPDX-License-Identifier: Apache-2.0 */

#include "query/local.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "query/pins.h"
#include "query/when.h"
#include "seal/ledger.h"

int local_open(const char *option, struct state *ret)
{
	char path[4096];
	int r;

	r = state_path(option, path);
	if (r < 0)
		return log_error_code(r, "no state directory: use --state or BULLA_STATE");
	r = state_open(ret, path, false);
	if (r == -ENOENT && access(path, F_OK) == 0)
		return log_error_code(r, "%s is no state directory", path);
	return r < 0 ? log_error_code(r, "cannot open %s", path) : 0;
}

/* Read a ledger, up to the commit at which `each` stops, if it is told.  @return 0 or an error; what was read before is there. */
static int read_history(const struct state *s, ledger_commit_fn each, struct history **ret)
{
	struct ledger_scan scan;
	struct ledger ledger;
	int r;

	*ret = history_new();
	if (!*ret)
		return -ENOMEM;
	r = ledger_open(&ledger, s->ledger, O_RDONLY, *ret, HISTORY_SKIP_SIGNATURE, each, NULL,
			&scan);
	if (r >= 0)
		ledger_close(&ledger);
	return r;
}

int local_history(const struct state *s, struct history **ret)
{
	_cleanup_(history_freep) struct history *h = NULL;
	int r = read_history(s, NULL, &h);

	if (r < 0)
		return r;
	if (history_size(h) == 0)
		return -ENOENT;
	*ret = TAKE_PTR(h);
	return 0;
}

int local_time(const char *option, const char *value, uint64_t *ret_ns)
{
	return when_parse(value, clock_realtime_ns(), ret_ns) < 0
		       ? log_usage("--%s %s is no time: try \"2026-11-23 19:34\", \"-2h\", "
				   "\"yesterday\", \"@1795462441\"",
				   option, value)
		       : 0;
}

bool local_sealer_runs(const struct state *s)
{
	_cleanup_close_ int fd = s->seal < 0 ? -1 : openat(s->seal, "lock", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* The first record tells. */
static int stop_at_first(void *arg, const struct sealed_commit *c)
{
	(void) arg;
	(void) c;
	return -ECANCELED;
}

/* Whose a ledger says that it is.  @return 0 or an error. */
static int origin_of(const struct state *s, struct id *ret)
{
	_cleanup_(history_freep) struct history *h = NULL;
	int r = read_history(s, stop_at_first, &h);

	if (!h || history_size(h) == 0)
		return r < 0 ? r : -ENOENT;
	*ret = history_vkey(h).origin;
	return 0;
}

int local_pin(const struct state *s, const char *option, struct vkey *ret, bool *ret_local)
{
	struct id origin;
	int r;

	*ret_local = false;
	if (option) {
		r = vkey_parse(option, ret);
		return r < 0 ? log_usage("--key %s: not a key as `bulla keys` prints it", option)
			     : 1;
	}
	/* A ledger that cannot be read has no origin to look up; verify will say what is wrong with it. */
	if (origin_of(s, &origin) < 0)
		return 0;
	r = pins_find(&origin, ret);
	*ret_local = r > 0;
	return r < 0 ? log_error_code(r, "cannot read the pinned keys") : r;
}

int local_aggregators(const struct state *s, const char *option, struct seen *seen)
{
	struct id origin = { 0 };
	int r;

	/* Of a ledger that cannot be read no receipt is one. */
	(void) origin_of(s, &origin);
	r = seen_aggregators(seen, &origin, option);
	if (r < 0 && option)
		return log_usage("--aggregator %s: not a key as `bulla status --at` prints it",
				 option);
	return r < 0 ? log_error_code(r, "cannot read the pinned keys") : 0;
}
