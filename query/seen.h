/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_SEEN_H
#define BULLA_QUERY_SEEN_H

/**
 * What verify saw, for people and for programs: what is covered, by which key, what speaks against it, and where it is weakest.
 *
 * Everything is appended to buffers; out of memory shows as `to->bad`.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/receipts.h"
#include "store/verify.h"

enum seen_pin {
	SEEN_NOWHERE,
	SEEN_HERE,  /* in a list on this host */
	SEEN_GIVEN, /* with --key */
};

enum { SEEN_RECEIPTS = 16, SEEN_WORDS = 640 };

/** Start with zeroes, then the findings as they come and the receipts, then the report and what else is known. */
struct seen {
	struct verify_report report;
	enum seen_pin pin;
	const char *pins; /* borrowed: name of the list, with SEEN_HERE */
	uint64_t now_ns;
	struct receipt receipts[SEEN_RECEIPTS]; /* those of most commits first */
	uint32_t n_receipts;
	enum verdict worst;    /* of the findings */
	char what[SEEN_WORDS]; /* of the first that has it */
};

/** Take notice of a finding. */
void seen_finding(struct seen *s, const struct finding *f);
/** Take notice of a receipt: a receipt_fn.  @return 0. */
int seen_receipt(void *arg, const struct receipt *r);

/** Append a finding as a line, without its end. */
void seen_put_finding(const struct finding *f, struct buf *to);
/** Append a finding as a JSON object. */
void seen_put_finding_json(const struct finding *f, struct buf *to);
/** Append what was seen as lines; times in the local zone. */
void seen_put(const struct seen *s, struct buf *to);
/** Append what was seen as members of a JSON object. */
void seen_put_json(const struct seen *s, struct buf *to);
/** What to think of first when relying on it, as a clause. */
void seen_weakest(const struct seen *s, char ret[SEEN_WORDS]);

#endif
