/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_HTTP_H
#define BULLA_AGGREGATOR_HTTP_H

/**
 * The aggregator's HTTP face (docs/protocol.md).
 *
 *	GET  /v1/origins/{o}                       head
 *	PUT  /v1/origins/{o}/commits/{from}-{to}   ship
 *	GET  /v1/origins/{o}/interest?wait=MS      does somebody follow?
 *	POST /v1/origins/{o}/live                  unsealed rows, for followers
 *	GET  /v1/query?...   GET /v1/tail?...      ask, follow (query/request.h has the keys)
 *	GET  /v1/status      GET /v1/key
 *
 * One thread per connection, bounded; answers that are long or never end are written by a thread of their own into a pipe.
 */

#include "aggregator/archive.h"
#include "base/attr.h"

struct http_server;

/** Listen on "ADDRESS:PORT"; port 0 lets the kernel choose.  @return 0 and the port; a negated errno. */
_must_check_ int http_server_start(struct http_server **ret, struct archive *a, const char *listen,
				   uint16_t *ret_port);
/** Stop accepting, end what is under way, and free. */
struct http_server *http_server_stop(struct http_server *s);
/** Whether the archive has failed: nothing more can be acknowledged. */
bool http_server_broken(const struct http_server *s);

#endif
