/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_ARCHIVE_H
#define BULLA_AGGREGATOR_ARCHIVE_H

/**
 * All that an aggregator holds: origins and how far each has come, journals and where their rows lie, what arrives.
 *
 * Commits are verified under their origin's lock, appended to its lane, indexed, made durable, and only then acknowledged.
 * Everything in memory is rebuilt from the lanes at start: there is no second truth.
 *
 * Locks, in the order in which they are taken: an origin's, a lane's, the archive's.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "aggregator/lane.h"
#include "base/attr.h"
#include "forwarder/receive.h"
#include "forwarder/wire.h"
#include "query/catalog.h"
#include "query/request.h"
#include "seal/cosign.h"

struct archive;

/** How many origins there may be; tests make it small. */
extern uint32_t archive_origins_max;

_must_check_ int archive_open(struct archive **ret, const char *path, const char *name);
struct archive *archive_close(struct archive *a);

/** What the aggregator has of an origin; zeroes for one it does not know. */
_must_check_ int archive_head(struct archive *a, const struct id *origin, struct wire_head *ret);

/** How a PUT ended; the HTTP status of it. */
enum put_status {
	PUT_ACCEPTED = 201,
	PUT_FORK = 409,
	PUT_REWIND = 412,
	PUT_REFUSED = 422,
	PUT_CONTEXTS = 424,
	PUT_OVERLOAD = 503,
};

struct put_result {
	enum put_status status;
	const char *why; /* a sentence, for a refusal */
};

/** Take the commits from..to.  @return 0 and a result; < 0: the archive itself is broken and must not go on. */
_must_check_ int archive_put(struct archive *a, const struct id *origin, uint64_t from, uint64_t to,
			     const uint8_t *body, size_t size, struct put_result *ret);

struct archive_follower;
/**
 * Answer a query from what is held; what comes later its follower is shown, if there is one.
 *
 * To `damage`, which may be NULL, is appended what may be missing in the answer because it cannot be read: a line for each
 * place.
 */
_must_check_ int archive_query(struct archive *a, struct answer *answer,
			       struct archive_follower *follower, struct buf *damage);

/** Somebody who follows: is shown what arrives from now on. */
_must_check_ int archive_follow(struct archive *a, struct answer *answer,
				struct archive_follower **ret);
/** What who follows is told beside the entries; lines. */
struct follow_told {
	struct buf findings; /* what was shown unsealed, and was sealed otherwise */
	struct buf doubts;   /* what was shown unsealed, and is not sealed */
};
/** How many unsealed rows may have been shown to a follower, and how long they may wait to be sealed; tests make it small. */
extern uint64_t archive_pending_max, archive_pending_wait_ns;
/**
 * Wait until there is more, at most `timeout_ms`, and answer with it.  To `told`, which may be NULL, is appended.
 *
 * @return 0, an error of the answer; -ESTALE: it is too far behind; -ESHUTDOWN.
 */
_must_check_ int archive_follow_step(struct archive_follower *f, unsigned timeout_ms,
				     struct follow_told *told);
struct archive_follower *archive_unfollow(struct archive_follower *f);

/** Wait until somebody follows, at most `timeout_ms`.  @return whether. */
bool archive_wait_interest(struct archive *a, unsigned timeout_ms);
/** Unsealed rows, for followers only: nothing of it is kept or acknowledged.  @return 0; BULLA_ECORRUPT; -ENOMEM. */
_must_check_ int archive_live(struct archive *a, const struct id *origin, const uint8_t *body,
			      size_t size);

struct question;
/** Takes a proof, a file as `bulla prove` writes it.  @return 0, or < 0 to stop. */
typedef int (*archive_proof_fn)(void *arg, const struct buf *file);
/**
 * Make the proofs that a question asks for, of what is held; none, where there is no such entry.
 *
 * @return 0; -EBUSY: too many at once; an error of prove() or of `proof`; -EINVAL where the match does not tell journals.  `*ret_why` is
 *         NULL, or says why in words.
 */
_must_check_ int archive_prove(struct archive *a, const struct question *q, archive_proof_fn proof,
			       void *arg, const char **ret_why);

/** Append what `bulla status --at` shows. */
_must_check_ int archive_status(struct archive *a, struct buf *to);
/** Let everybody who waits go: the aggregator ends. */
void archive_shut_down(struct archive *a);

#endif
