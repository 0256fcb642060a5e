/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_VECTORS_H
#define BULLA_TESTS_VECTORS_H

/**
 * Outside test vectors: files below testdata(), mostly JSON.
 *
 * A file that should be there and is not, or is malformed, ends the test.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/** testdata()/`name`, or a skipped test.  Valid until the next call. */
const char *vectors_path(const char *name);
/** Load a JSON file.  Numbers are reals, as vectors hold some beyond 63 bits.  json_decref() it. */
json_t *vectors_load(const char *path);
/** Call `each` with every JSON file below a directory.  @return how many there were. */
size_t vectors_walk(const char *path, void (*each)(const char *path, json_t *vector));

uint64_t vectors_u64(const json_t *object, const char *key);
const char *vectors_str(const json_t *object, const char *key);
/** Decode hex or base64 text.  @return how many bytes; more than `size_max` end the test. */
size_t vectors_unhex(const char *text, void *to, size_t size_max);
size_t vectors_unbase64(const char *text, void *to, size_t size_max);
/** Read a whole file.  @return how many bytes; a larger file ends the test. */
size_t vectors_read(const char *path, void *to, size_t size_max);

#endif
