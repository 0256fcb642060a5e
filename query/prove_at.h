/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_PROVE_AT_H
#define BULLA_QUERY_PROVE_AT_H

/** bulla prove --at: proofs that an aggregator makes of what it has stored, and that are written only if they are good. */

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "query/request.h"
#include "seal/growth.h"

struct prove_at {
	const char *at;
	const struct vkey *key;	  /* NULL: those pinned here; never of a head */
	bool head;		  /* how far the host has come; and */
	const struct growth *old; /* that it goes on from this; NULL: none */
	const char *cursor;	  /* of one entry; NULL: all that `request` matches */
	struct request *request;
	uint64_t since_ns, until_ns; /* of commits */
	const char *output;	     /* a file, NULL standard output; or a directory */
};

/** Ask, judge and write; what is wrong is said.  @return the exit status. */
_must_check_ int prove_at(const struct prove_at *a);

#endif
