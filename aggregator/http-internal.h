/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_HTTP_INTERNAL_H
#define BULLA_AGGREGATOR_HTTP_INTERNAL_H

/**
 * Shared by http.c (connections, and what hosts ask) and http_query.c (answers to readers).
 */

#include <microhttpd.h>
#include <stdatomic.h>

#include "aggregator/http.h"

struct http_server {
	struct archive *archive;
	struct MHD_Daemon *daemon;
	atomic_size_t body_bytes;
	atomic_uint workers;
	atomic_bool broken;
};

/** Answer with a status and a sentence. */
enum MHD_Result http_say(struct MHD_Connection *c, unsigned status, const char *sentence);
/** Answer a query, or have somebody follow. */
enum MHD_Result http_query(struct http_server *s, struct MHD_Connection *c, bool follows);

#endif
