/* SPDX-License-Identifier: Apache-2.0 */

/** A head of a state directory: the ledger is read to its end, and where there is an older head once more. */

#include <errno.h>
#include <fcntl.h>

#include "bulla/error.h"
#include "seal/ledger.h"
#include "store/heading.h"
#include "store/prove.h"

static int read_ledger(struct heading *h, const struct state *s)
{
	struct ledger l = { .fd = -1 };
	struct ledger_scan scan = { 0 };
	struct ledger_read read;
	int r = ledger_begin(&l, s->ledger, O_RDONLY);

	while (r == 0) {
		r = ledger_next(&l, heading_history(h), HISTORY_SKIP_SIGNATURE, &scan, &read);
		if (r <= 0)
			break;
		r = read.type == LEDGER_COMMIT ? heading_commit(h, &read.commit) : 0;
	}
	ledger_close(&l);
	return MIN_OF(r, 0);
}

int prove_head(const struct state *s, uint64_t from, struct buf *to, const char **ret_why)
{
	struct heading *h = NULL;
	int r = heading_new(&h, from);

	*ret_why = NULL;
	if (r < 0)
		return r;
	do {
		r = read_ledger(h, s);
		if (r < 0)
			*ret_why = r == BULLA_ELIMIT ? "too many keys have succeeded each other"
						     : "the ledger cannot be read to its end";
		else
			r = heading_again(h, ret_why);
	} while (r > 0);
	if (r == BULLA_ETAMPERED)
		*ret_why = "the ledger has fewer commits than that head: it was cut off";
	if (r >= 0)
		r = heading_write(h, to);
	heading_free(h);
	return r;
}
