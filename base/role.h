/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_ROLE_H
#define BULLA_BASE_ROLE_H

/**
 * Finding and starting the role programs (bulla-collector, bulla-sealer, ...).
 *
 * They lie beside the running program in a build tree, and in the libexec directory when installed.
 */

#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"

/** Path of a role program.  @return 0 or -ENOENT. */
_must_check_ int role_path(const char *name, char ret[4096]);
/**
 * Start a role program in the background.
 *
 * `arguments` (NULL at the end) follow argv[0].  The `n_keep` descriptors are inherited under their own numbers, and standard
 * error; no others.  Standard input and output are /dev/null.  The role is a session of its own.
 *
 * @return 0 and, unless NULL, the child's id; a negated errno.
 */
_must_check_ int role_spawn(const char *name, const char *const *arguments, const int *keep,
			    size_t n_keep, pid_t *ret_pid);

#endif
