/* SPDX-License-Identifier: Apache-2.0 */

#include "query/ask_verified.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "query/checked.h"
#include "query/local.h"
#include "query/seen.h"

/* Receipts, and who wants to hear of findings. */
struct asking {
	struct seen seen;
	bool quiet;
};

static void on_finding(void *arg, const struct finding *f)
{
	const struct asking *a = arg;
	struct buf text = { 0 };

	if (a->quiet || f->verdict == VERDICT_NOTE)
		return;
	seen_put_finding(f, &text);
	if (!text.bad)
		log_warning("%.*s", (int) text.len, (const char *) text.data);
	buf_done(&text);
}

int ask_verified(const struct state *s, const char *key, struct answer *a, bool quiet,
		 bool *ret_said)
{
	struct asking asking = { .quiet = quiet };
	struct verify_options options = {
		.now_ns = clock_realtime_ns(),
		.running = local_sealer_runs(s),
		.found = on_finding,
		.arg = &asking,
	};
	struct checking checking = { .state = s, .options = &options };
	struct verify_report report;
	enum verdict receipts;
	struct vkey pin;
	bool local;
	int r = local_pin(s, key, &pin, &local);

	*ret_said = r < 0;
	if (r < 0)
		return r;
	options.pin = r > 0 ? &pin : NULL;
	r = local_aggregators(s, NULL, &asking.seen);
	*ret_said = r < 0;
	if (r >= 0)
		r = receipts_each(s, seen_receipt, &asking.seen);
	seen_hold_to_receipts(&asking.seen, &options);
	receipts = seen_judge_receipts(&asking.seen, on_finding, &asking);
	if (r >= 0)
		r = checked_query(&checking, a, &report);
	/* Whoever reads has seen enough; by then all was checked. */
	if (r < 0 && r != -EPIPE)
		return r;
	report.verdict = MAX_OF(report.verdict, receipts);
	if (!quiet && report.verdict > VERDICT_UNPINNED)
		log_warning("%s: only what checks is shown", verdict_name(report.verdict));
	return verdict_exit_status(report.verdict);
}
