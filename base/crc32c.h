/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_CRC32C_H
#define BULLA_BASE_CRC32C_H

/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds torn and decayed bytes.  It is no defence against a forger.
 */

#include <stddef.h>
#include <stdint.h>

/** Continue the checksum `crc` (0 to begin) over `n` more bytes. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

/** The same by table, on every machine; for tests to compare with. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n);

#endif
