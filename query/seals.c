/* SPDX-License-Identifier: Apache-2.0 */

#include "query/seals.h"

#include <errno.h>
#include <fcntl.h>

int seals_read(struct seals *s, const struct state *state)
{
	int r;

	if (s->history && s->ledger.fd < 0)
		return 0;
	if (s->history) {
		r = ledger_catch_up(&s->ledger, s->history, HISTORY_SKIP_SIGNATURE, NULL, NULL,
				    &s->scan);
		if (r < 0)
			ledger_close(&s->ledger);
		return r;
	}
	s->history = history_new();
	if (!s->history)
		return -ENOMEM;
	r = ledger_open(&s->ledger, state->ledger, O_RDONLY, s->history, HISTORY_SKIP_SIGNATURE,
			NULL, NULL, &s->scan);
	if (r == -ENOENT) {
		s->history = history_free(s->history);
		return 0;
	}
	return r;
}

uint64_t seals_of(const struct seals *s, const struct id *journal)
{
	int64_t handle = s->history ? history_find_journal(s->history, journal) : -ENOENT;

	return handle < 0 ? 0 : history_journal(s->history, (uint32_t) handle)->entries;
}

void seals_done(struct seals *s)
{
	if (s->history)
		ledger_close(&s->ledger);
	s->history = history_free(s->history);
}
