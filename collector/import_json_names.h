/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_JSON_NAMES_H
#define BULLA_COLLECTOR_IMPORT_JSON_NAMES_H

/**
 * The names of fields in JSON, by numbers in the order in which they were first seen.
 *
 * journalctl gives the names of each entry in another order, so that nothing can be guessed of the next one, neither which nor how
 * long it is.  So those of up to 32 bytes are hashed and compared without asking for the length.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/import_json_text.h"
#include "seal/statement.h"

enum {
	JSON_NAMES_MAX = 512,
	JSON_NAME_SLOT_BITS = 11, /* more than twice as many slots */
	JSON_NAME_HEAD = 32,
};

/** The times are known before anything was seen. */
enum { JSON_NAME_REALTIME, JSON_NAME_MONOTONIC };

/** What becomes of a member with a name. */
enum json_nature {
	NAME_OF_A_FIELD = 1,
	NAME_OF_REALTIME,
	NAME_OF_MONOTONIC,
	NAME_OF_ADDRESS, /* tells where the entry stood, and is not passed on */
	NAME_OF_NOTHING, /* that the export format could have */
};

struct json_names {
	struct json_name {
		uint64_t head[JSON_NAME_HEAD / 8]; /* its first bytes, and zeroes */
		uint8_t n, nature;
		uint8_t text[FIELD_NAME_MAX + 1]; /* with an equals sign behind it */
	} at[JSON_NAMES_MAX];
	uint32_t n;
	uint16_t slot[1 << JSON_NAME_SLOT_BITS]; /* number + 1 */
};

void json_names_init(struct json_names *names);
enum json_nature json_name_nature(const struct json_slice *s);
/**
 * Find a name, and keep it if it is new.  `readable`: so many bytes may be read from its first one on.
 *
 * @return its number; -1 when it is too long, or there is no room for it.
 */
int json_name_number(struct json_names *names, const struct json_slice *s, size_t readable);

#endif
