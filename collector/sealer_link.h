/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_SEALER_LINK_H
#define BULLA_COLLECTOR_SEALER_LINK_H

/**
 * A holder's connection to the sealer of its state directory, which is started if there is none.
 *
 * Several holders may start one at once, and a sealer may be just leaving: all but one of those started end at once, and
 * everybody tries again.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "collector/message.h"
#include "store/state.h"

struct sealer_link {
	int fd;		   /* connection; -1: none; owned */
	pid_t child;	   /* the sealer that we started last, until it is reaped */
	bool child_failed; /* it ended before anybody could connect, and said why */
	uint64_t spawn_at; /* monotonic: not before */
};

#define SEALER_LINK_NONE ((struct sealer_link){ .fd = -1 })

/**
 * Try once to connect; start a sealer where none listens and none is on its way.
 *
 * @return 1 when connected, 0 when it is to be tried again soon, -ENOEXEC when the sealer that was started refuses to seal (it
 *         has said why), a negated errno.
 */
_must_check_ int sealer_link_try(struct sealer_link *l, const struct state *s);
/** Wait until something may be read from a descriptor.  @return 1; 0 when it is to be looked at again; an error that ends it all. */
typedef int (*sealer_link_wait_fn)(void *arg, int fd);
/**
 * Ask the sealer that is connected to open or attach a journal, with a new channel, and wait until it has answered.
 *
 * @return our end of the channel; an error of `wait`; -EPIPE or -ECONNRESET when the sealer is gone; BULLA_EPEER for another
 *         reply than `want`; what the sealer says.
 */
_must_check_ int sealer_link_request(const struct sealer_link *l, const struct message *m,
				     uint32_t want, sealer_link_wait_fn wait, void *arg);
/** Tell that a child was reaped; others' are left alone. */
void sealer_link_reaped(struct sealer_link *l, pid_t pid, int status);

#endif
