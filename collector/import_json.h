/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_JSON_H
#define BULLA_COLLECTOR_IMPORT_JSON_H

/**
 * What `journalctl -o json` writes, one object a line, into the Journal Export Format.
 *
 * A value is a string; a list of numbers, which are the bytes of one that is no text; null, for one that journalctl found too
 * large to show; or a list of such. Other programs' whole numbers and booleans are taken as they are written.  Objects within the
 * object are refused, and so are keys that come twice.
 *
 * journalctl gives the fields of each entry in another order.  Here they come in the order in which a name was first seen, the
 * times first: what is alike looks alike, which whoever reads them is quick with.  Addresses other than the times are left out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

enum { IMPORT_JSON_LINE_MAX = 24 << 20 };

/** What is known of names. */
struct import_json;

/** `framed`: into frames, as import_stream.h has them, of which most are brief entries.  @return NULL without memory. */
struct import_json *import_json_new(bool framed);
struct import_json *import_json_free(struct import_json *j);
/**
 * Append the entry that a line is, with the empty line behind it.  What frames a line in json-seq and json-sse is passed over,
 * and a line with nothing else gives nothing.
 *
 * @return 0; BULLA_EPARSE, and `error` says why, nothing being appended; -ENOMEM.
 */
_must_check_ int import_json_line(struct import_json *j, const uint8_t *line, size_t n,
				  struct buf *to, char error[160]);

#endif
