/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_SEAL_PROOF_INTERNAL_H
#define BULLA_SEAL_PROOF_INTERNAL_H

/** What the parts of a proof share: proof.c has its file, proof_check.c its meaning. */

#include "seal/proof.h"

/** The root of the tree whose last leaf the commit is, as the path has it. */
struct hash proof_last_root(const struct sealed_link *l);

#endif
