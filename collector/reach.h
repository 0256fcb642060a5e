/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_REACH_H
#define BULLA_COLLECTOR_REACH_H

/**
 * A process beside a confined one, which reaches the sealer for it: whoever may not connect or execute asks here, and is given a
 * connection.  It reads nothing but such questions, and ends with whoever asks.
 */

#include "base/attr.h"
#include "store/state.h"

/** Start it.  @return 0 and our end of a socket; a negated errno. */
_must_check_ int reach_start(const struct state *s, int *ret_fd);
/**
 * Have a connection to the sealer, which is started if there is none; `stop` ends the wait.
 *
 * @return a descriptor; -EINTR; -EPIPE where there is nobody to ask; -ENOEXEC when the sealer refuses to seal; BULLA_EPEER;
 *         another negated errno.
 */
_must_check_ int reach_sealer(int fd, const volatile int *stop);

#endif
