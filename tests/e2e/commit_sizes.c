/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Print the weight of the heaviest commit of a ledger that holds more than one batch, and how many commits there are:
 * what the end-to-end test of busy hosts looks at.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "seal/ledger.h"
#include "store/state.h"

struct heaviest {
	uint64_t weight, commits;
};

static int weigh(void *arg, const struct sealed_commit *c)
{
	struct heaviest *h = arg;
	uint64_t weight = 0;

	for (uint32_t i = 0; i < c->commit.n_batches; i++)
		weight += c->batches[i].bytes + 16ull * c->batches[i].entries;
	h->commits++;
	if (c->commit.n_batches > 1 && weight > h->weight)
		h->weight = weight;
	return 0;
}

int main(int argc, char **argv)
{
	struct history *history = history_new();
	struct heaviest h = { 0 };
	struct ledger_scan scan;
	struct ledger ledger;
	struct state state;
	int r;

	if (argc != 2 || !history || state_open(&state, argv[1], false) < 0)
		return 2;
	r = ledger_open(&ledger, state.ledger, O_RDONLY, history, HISTORY_CHECK_ALL, weigh, &h,
			&scan);
	if (r < 0)
		return 1;
	printf("%" PRIu64 " %" PRIu64 "\n", h.weight, h.commits);
	ledger_close(&ledger);
	state_close(&state);
	history_free(history);
	return 0;
}
