/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A collector that an attacker has taken over, and a recovery's worth of nonsense: everything that can be said to a sealer, in
 * any order.
 *
 *	hostile SEED ROUNDS STATE
 *
 * Each round opens or attaches a journal, says random things on its channel, some of them nearly right, and leaves in the middle;
 * sometimes it has kept a copy of the sealer's end, and speaks on after the sealer has closed its own.
 * It knows the ids of the journals that were there before it came, names them wherever a journal is named, and tries to have them,
 * and its own, opened again under another identity.  Prints what the sealer has let pass.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/message.h"
#include "store/state.h"

enum { KNOWN_MAX = 64, WORDS = 12 };

static uint64_t seed;
static struct id known[KNOWN_MAX], victim[KNOWN_MAX], there[KNOWN_MAX];
static size_t n_known, n_victims, n_there; /* those that the sealer has said are open */
static unsigned opened, reopened, invited, attached, sealed, closed, cut_off;

static uint64_t draw(uint64_t below)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

static void noise(void *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *) to)[i] = (uint8_t) draw(256);
}

/* What an honest collector would know. */
struct channel {
	int fd;
	struct id journal;
	uint64_t batches, entries;
	bool welcomed, cut;
	uint32_t cut_entries;
};

/* Mostly its own journal; else another of its own, or one that it has nothing to do with. */
static struct id some_journal(const struct channel *c)
{
	if (n_victims > 0 && draw(8) == 0)
		return victim[draw(n_victims)];
	return draw(8) ? c->journal : known[draw(n_known)];
}

static struct message lie(const struct channel *c)
{
	struct message m = { .type = (uint32_t) draw(MESSAGE_DONE + 3) };

	if (draw(4) == 0)
		noise(m.room, sizeof m.room);
	if (draw(2))
		m.type = draw(2) ? MESSAGE_BATCH : MESSAGE_CLOSE;
	if (m.type == MESSAGE_BATCH) {
		m.batch.journal = some_journal(c);
		m.batch.batch_no = c->batches + (draw(4) ? 0 : draw(3) - 1);
		m.batch.first_seq = c->entries + (draw(4) ? 0 : draw(3) - 1);
		m.batch.entries = (uint32_t) (draw(4) ? 1 + draw(100) : draw(2) ? 0 : UINT32_MAX);
		m.batch.bytes = draw(4) ? draw(4 << 20) : draw(UINT64_MAX);
		m.batch.time_min = draw(4) ? 1000 : draw(UINT64_MAX);
		m.batch.time_max = m.batch.time_min + (draw(4) ? 1000 : draw(UINT64_MAX));
		m.batch.mono_offset = (int64_t) draw(UINT64_MAX);
		m.batch.recovered = draw(8) == 0;
		m.batch.root.b[0] = (uint8_t) draw(16);
	} else if (m.type == MESSAGE_CLOSE) {
		m.journal.journal = some_journal(c);
		m.journal.batches = c->batches + (draw(4) ? 0 : draw(3) - 1);
		m.journal.entries = c->entries + (draw(4) ? 0 : c->cut_entries);
	} else if (m.type == MESSAGE_OPEN || m.type == MESSAGE_ATTACH) {
		/* Nothing that a collector may say. */
		noise(m.room, sizeof(struct event_open));
		m.open.journal = some_journal(c);
	}
	return m;
}

static int listen_to(struct channel *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct message m;
	int r;

	while (poll(&p, 1, timeout_ms) > 0) {
		r = message_receive(c->fd, MSG_DONTWAIT, &m, NULL);
		if (r <= 0)
			return r == -EAGAIN ? 0 : -EPIPE;
		if (m.type == MESSAGE_WELCOME) {
			c->welcomed = true;
			c->batches = m.journal.batches;
			c->entries = m.journal.entries;
		} else if (m.type == MESSAGE_SEALED) {
			sealed++;
			c->batches++;
			c->entries += c->cut_entries;
		} else if (m.type == MESSAGE_CLOSED) {
			closed++;
		}
		timeout_ms = 0;
	}
	return 0;
}

static void talk(struct channel *c)
{
	if (listen_to(c, draw(4) ? 100 : 0) < 0)
		return;
	for (uint64_t words = draw(WORDS); words > 0; words--) {
		struct message m = lie(c);

		if (m.type == MESSAGE_BATCH)
			c->cut_entries = m.batch.entries;
		if (message_send(c->fd, &m, draw(16) ? -1 : c->fd) < 0 ||
		    listen_to(c, draw(3) ? 0 : 30) < 0) {
			cut_off++;
			return;
		}
	}
}

/* A connection that the sealer let go of still has a reader: the copy that the attacker kept. */
static void speak_on(const struct channel *c)
{
	struct message m = lie(c);

	for (int i = 0; i < 3; i++) {
		if (message_send(c->fd, &m, -1) < 0)
			return;
		usleep(1000);
	}
}

static void hear(const struct message *reply, const struct id *journal, bool again)
{
	invited += again && reply->status == -EEXIST;
	if (reply->status != 0)
		return;
	if (reply->type == MESSAGE_OPENED && n_there < KNOWN_MAX)
		there[n_there++] = *journal;
	opened += reply->type == MESSAGE_OPENED;
	reopened += reply->type == MESSAGE_OPENED && again;
	attached += reply->type == MESSAGE_ATTACHED;
}

static void round_of(int holder)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	struct message m = { .type = draw(3) ? MESSAGE_OPEN : MESSAGE_ATTACH }, reply;
	struct channel c = { 0 };
	bool again = false;
	int pair[2];

	if (n_known == 0)
		m.type = MESSAGE_OPEN;
	if (m.type == MESSAGE_OPEN) {
		noise(m.room, sizeof(struct event_open));
		/* Sometimes one that is there, under another identity. */
		again = draw(8) == 0 && (n_there > 0 || n_victims > 0);
		if (again) {
			m.open.journal = n_there == 0 || (n_victims > 0 && draw(2))
						 ? victim[draw(n_victims)]
						 : there[draw(n_there)];
		} else {
			known[n_known++ % KNOWN_MAX] = m.open.journal;
			n_known = n_known > KNOWN_MAX ? KNOWN_MAX : n_known;
		}
		c.journal = m.open.journal;
	} else {
		c.journal = m.journal.journal = known[draw(n_known)];
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	ours = c.fd = pair[0];
	theirs = pair[1];
	if (message_send(holder, &m, draw(32) ? theirs : -1) < 0)
		return;
	if (draw(4))
		close_fd(&theirs);
	if (draw(4) && message_receive(holder, 0, &reply, NULL) > 0)
		hear(&reply, &c.journal, again);
	talk(&c);
	if (theirs >= 0)
		speak_on(&c);
}

static int remember_victim(void *arg, const struct id *journal, const char *name)
{
	(void) arg;
	(void) name;
	if (n_victims < KNOWN_MAX)
		victim[n_victims++] = *journal;
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t rounds;
	struct state s;

	if (argc != 4 || text_to_u64(argv[1], &seed) < 0 || text_to_u64(argv[2], &rounds) < 0 ||
	    state_open(&s, argv[3], false) < 0 ||
	    state_each_journal(&s, remember_victim, NULL) < 0 || n_victims == 0)
		return 2;
	for (uint64_t i = 0; i < rounds; i++) {
		_cleanup_close_ int holder = sealer_connect(s.seal);

		if (holder < 0) {
			fprintf(stderr, "round %llu: no sealer: %s\n", (unsigned long long) i,
				bulla_strerror(holder));
			return 1;
		}
		round_of(holder);
	}
	printf("%u opened, %u attached, %u batches, %u closes, %u times cut off\n", opened,
	       attached, sealed, closed, cut_off);
	if (reopened > 0)
		fprintf(stderr, "%u journals were opened twice\n", reopened);
	if (invited > 0)
		fprintf(stderr, "%u times a stranger was taken for who had opened a journal\n",
			invited);
	return reopened + invited > 0;
}
