/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_RECOVERY_H
#define BULLA_COLLECTOR_RECOVERY_H

/**
 * Closing journals whose writers are gone, on behalf of the sealer, which parses nothing.
 *
 * The sealer names journals on a socket; each one that nobody has locked is read, its unsealed entries are reported as one
 * recovered batch, and it is closed.
 */

#include "base/attr.h"

_must_check_ int recovery_run(int socket, const char *state_path);

#endif
