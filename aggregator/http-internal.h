/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_AGGREGATOR_HTTP_INTERNAL_H
#define BULLA_AGGREGATOR_HTTP_INTERNAL_H

/**
 * Shared by http.c (connections, and what hosts ask), http_query.c (what readers ask) and http_stream.c (answers that may be long).
 */

#include <microhttpd.h>
#include <stdatomic.h>

#include "aggregator/http.h"
#include "base/buf.h"
#include "base/pieces.h"

struct http_server {
	struct archive *archive;
	struct MHD_Daemon *daemon;
	atomic_size_t body_bytes;
	atomic_uint workers;
	atomic_bool broken;
};

/** Answer with a status and a sentence. */
enum MHD_Result http_say(struct MHD_Connection *c, unsigned status, const char *sentence);
/** Answer that a question cannot be taken: 400 with the sentence, or 503 where there is none. */
enum MHD_Result http_say_no(struct MHD_Connection *c, int r, const char *why);
/** Answer a query, or have somebody follow. */
enum MHD_Result http_query(struct http_server *s, struct MHD_Connection *c, bool follows);
/** Answer with proofs. */
enum MHD_Result http_prove(struct http_server *s, struct MHD_Connection *c);

/** Takes a key of a URL.  @return 0 or an error, with `why` (256 bytes) where there is a sentence. */
typedef int (*http_set_fn)(void *arg, const char *key, const void *value, size_t n, char *why);
/** Take all keys of the URL.  @return 0 or the first error. */
int http_read_keys(struct MHD_Connection *c, http_set_fn set, void *arg, char why[256]);

struct http_stream;
/** What makes a long answer, on a thread of its own. */
struct http_work {
	/** @return 0; an error: the answer breaks off. */
	int (*run)(void *arg, struct http_stream *s);
	void (*done)(void *arg); /* frees it */
};
/** Answer 200 with what `work` puts; it takes `arg`.  Without a type the answer is in pieces, asked for or not. */
enum MHD_Result http_stream(struct http_server *s, struct MHD_Connection *c, const char *type,
			    const struct http_work *work, void *arg);
struct http_server *http_stream_server(const struct http_stream *s);
int http_stream_put(struct http_stream *s, enum answer_piece kind, const void *data, size_t n);
/** Say what is wrong, as lines of a kind.  Who has no pieces is told how many there are, behind the answer. */
int http_stream_tell(struct http_stream *s, enum answer_piece kind, const struct buf *lines);
/** Nobody reads the pipe any more; or its reader waits for us, and the peer it reads for is gone. */
bool http_stream_hung_up(const struct http_stream *s);

#endif
