/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/message.h"
#include "store/recover.h"
#include "store/state.h"

enum { COMPLAINTS_MAX = 3 };

static int report(int socket, const struct ledger_journal *j, const struct batch_item *b)
{
	struct message batch = { .type = MESSAGE_BATCH }, close_it = { .type = MESSAGE_CLOSE };
	int r;

	close_it.journal.journal = j->id;
	close_it.journal.batches = j->batches + (b != NULL);
	close_it.journal.entries = j->entries + (b ? b->entries : 0);
	if (b) {
		batch.batch.journal = j->id;
		batch.batch.batch_no = j->batches;
		batch.batch.first_seq = j->entries;
		batch.batch.bytes = b->bytes;
		batch.batch.time_min = b->time_min;
		batch.batch.time_max = b->time_max;
		batch.batch.mono_offset = b->mono_offset;
		batch.batch.root = b->root;
		batch.batch.entries = b->entries;
		batch.batch.recovered = 1;
		r = message_send(socket, &batch, -1);
		if (r < 0)
			return r;
	}
	return message_send(socket, &close_it, -1);
}

/* What cannot be recovered is tried again by every sealer: that must not become a page of text each time. */
static void complain(int error, const struct id *journal, unsigned *failed)
{
	char hex[2 * ID_SIZE + 1];

	if ((*failed)++ >= COMPLAINTS_MAX)
		return;
	text_hex(hex, journal->b, ID_SIZE);
	log_error_code(error, "cannot recover journal %s", hex);
}

static int recover(int socket, const struct state *s, const struct message *m, unsigned *failed)
{
	struct ledger_journal j = {
		.id = m->journal.journal,
		.identity = m->journal.identity,
		.batches = m->journal.batches,
		.entries = m->journal.entries,
		.mono_offset = m->journal.mono_offset,
	};
	_cleanup_close_ int lock = recover_lock(s->journals, &j.id);
	char hex[2 * ID_SIZE + 1];
	struct batch_item b;
	uint64_t cut;
	int r;

	if (lock == -EWOULDBLOCK)
		return 0; /* alive: its holder will ask for a channel */
	r = lock < 0 ? lock : recover_batch(s->journals, &j, &b, &cut);
	if (r < 0) {
		/* It stays open in the ledger, and verify will say what is wrong. */
		complain(r, &j.id, failed);
		return 0;
	}
	text_hex(hex, j.id.b, ID_SIZE);
	if (cut > 0)
		log_warning("cut off %" PRIu64 " bytes behind what is whole of journal %s", cut,
			    hex);
	if (r > 0)
		log_info("recovered %u entries of journal %s", b.entries, hex);
	return report(socket, &j, r > 0 ? &b : NULL);
}

int recovery_run(int socket, const char *state_path_name)
{
	unsigned failed = 0;
	struct state s;
	struct message m;
	int r;

	r = state_open(&s, state_path_name, false);
	if (r < 0)
		return log_error_code(r, "cannot open %s", state_path_name);
	while ((r = message_receive(socket, 0, &m, NULL)) > 0) {
		if (m.type != MESSAGE_RECOVER) {
			r = BULLA_EPEER;
			break;
		}
		r = recover(socket, &s, &m, &failed);
		if (r < 0)
			break;
	}
	if (failed > COMPLAINTS_MAX)
		log_error("cannot recover %u more journals; `bulla verify` says why",
			  failed - COMPLAINTS_MAX);
	state_close(&s);
	return r;
}
