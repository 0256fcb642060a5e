/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_FORGER_H
#define BULLA_TESTS_FORGER_H

/**
 * Checksums find accidents; who forges something repairs them.  A program that has forger.c among its sources has a crc32c() of its
 * own, and while `forger_at_work` it is 0 for everything: whatever is changed then, no checksum tells.
 */

#include <stdbool.h>

/** To be set before anything is written. */
extern bool forger_at_work;

#endif
