/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_MESSAGE_H
#define BULLA_COLLECTOR_MESSAGE_H

/**
 * What the processes of a host say to each other: fixed-size messages over SOCK_SEQPACKET, some with a descriptor.
 *
 * The sealer reads nothing else, so a hostile collector has 128 bytes and no lengths to play with.
 *
 *	holder    -> sealer      OPEN, ATTACH (with the sealer's end of a collector's channel)
 *	sealer    -> holder      OPENED, ATTACHED
 *	keeper    -> sealer      PRUNE
 *	sealer    -> keeper      PRUNED
 *	keeper    -> its helper  REACH;   helper -> keeper   REACHED (with a connection to the sealer)
 *	sealer    -> collector   WELCOME, TICK, SEALED, CLOSED
 *	collector -> sealer      DIRTY, BATCH, NOTHING, CLOSE
 *	sealer    -> recovery    RECOVER, then end of file;   recovery -> sealer   BATCH, CLOSE
 *	holder    -> collector   EXITED, CHANNEL (with a new channel to the sealer), DONE (it is closed already)
 *	collector -> holder      CHANNEL (it has lost its own), DONE
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "seal/history.h"
#include "seal/statement.h"

enum message_type {
	MESSAGE_OPEN = 1,
	MESSAGE_OPENED,
	MESSAGE_ATTACH,
	MESSAGE_ATTACHED,
	MESSAGE_WELCOME,
	MESSAGE_TICK,
	MESSAGE_SEALED,
	MESSAGE_CLOSED,
	MESSAGE_DIRTY,
	MESSAGE_BATCH,
	MESSAGE_NOTHING,
	MESSAGE_CLOSE,
	MESSAGE_RECOVER,
	MESSAGE_EXITED,
	MESSAGE_CHANNEL,
	MESSAGE_DONE,
	MESSAGE_PRUNE,
	MESSAGE_PRUNED,
	MESSAGE_REACH,
	MESSAGE_REACHED,
};

/** How soon a collector wants its entries sealed. */
enum urgency {
	URGENCY_NONE = 0,  /* at the next whole second */
	URGENCY_SIZE = 1,  /* the batch is full enough */
	URGENCY_ENTRY = 2, /* an important entry: within the sender's allowance */
};

enum { MESSAGE_SIZE = 128 };

struct message {
	uint32_t type;
	int32_t status; /* of replies: 0 or an error code */
	union {
		struct event_open open;
		struct {
			struct id journal;
			uint64_t batches, entries;
			int64_t mono_offset;
			struct hash identity;
		} journal; /* ATTACH, WELCOME, CLOSE, RECOVER, PRUNE */
		struct {
			struct id journal;
			uint64_t batch_no, first_seq;
			uint64_t bytes, time_min, time_max;
			int64_t mono_offset;
			struct hash root;
			uint32_t entries;
			uint32_t recovered;
		} batch;
		struct {
			uint64_t batch_no, commit;
		} sealed;
		struct {
			uint32_t urgency;
		} dirty;
		struct {
			uint64_t
				had; /* channels so far: a wish that came too late is for one that is on its way */
		} channel; /* CHANNEL to the holder */
		struct {
			int32_t wait_status; /* as waitpid() gives it */
		} exited;
		uint8_t room[MESSAGE_SIZE - 8];
	};
};

_Static_assert(sizeof(struct message) == MESSAGE_SIZE, "messages are of one size");

/** What is told to the sealer of a batch that was cut. */
struct message message_of_batch(const struct batch *b);
/** Send a message and, when `fd` is not negative, a descriptor with it.  @return 0, -EAGAIN, -EPIPE, a negated errno. */
_must_check_ int message_send(int socket, const struct message *m, int fd);
/**
 * Receive a message; `*ret_fd` is -1 or a descriptor that is now the caller's.  `flags` as recvmsg(2).
 *
 * @return 1; 0 at the end of the stream; -EAGAIN; BULLA_EPEER for anything that is not one message; a negated errno.
 */
_must_check_ int message_receive(int socket, int flags, struct message *ret, int *ret_fd);

/** Name of the sealer's socket below its directory. */
#define SEALER_SOCKET "socket"
/** Name of the file whose lock says that a sealer is at work. */
#define SEALER_LOCK "lock"

/**
 * Connect to the sealer of a state directory.
 *
 * @return fd; -ENOENT or -ECONNREFUSED when none is listening; -EPERM when who listens is another user and not root.
 */
_must_check_ int sealer_connect(int seal_dirfd);

#endif
