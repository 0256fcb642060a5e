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

enum { SEEN_RECEIPTS = 16, SEEN_WORDS = 640, SEEN_AGGREGATORS = 16, SEEN_FILE = 64 };

/** Start with zeroes, then the findings as they come and the receipts, then the report and what else is known. */
struct seen {
	struct verify_report report;
	enum seen_pin pin;
	const char *pins; /* borrowed: name of the list, with SEEN_HERE */
	uint64_t now_ns;
	struct receipt receipts[SEEN_RECEIPTS]; /* those of most commits first */
	uint32_t n_receipts;
	/* Whose receipts count, and for which origin; without any, all do, unchecked. */
	struct cosigner aggregators[SEEN_AGGREGATORS];
	uint32_t n_aggregators;
	bool aggregator_given; /* there must be a receipt of one */
	struct id origin;
	char bad_receipts[SEEN_RECEIPTS]
			 [SEEN_FILE]; /* files of the first that none of them has signed */
	uint32_t n_bad_receipts;
	enum verdict worst;    /* of the findings */
	char what[SEEN_WORDS]; /* of the first that has it */
};

/** Take notice of a finding. */
void seen_finding(struct seen *s, const struct finding *f);
/** Take notice of a receipt: a receipt_fn.  @return 0. */
int seen_receipt(void *arg, const struct receipt *r);

/**
 * Learn whose receipts count, before the first receipt: the aggregator whose key is given, or those that are pinned here.
 *
 * @return 0; BULLA_EPARSE for what is no key; an error of pins_aggregators().
 */
_must_check_ int seen_aggregators(struct seen *s, const struct id *origin, const char *given);
/** Hold the ledger to the best receipt, and tell of those that are not signed as they should be.  Behind the last receipt. */
void seen_hold_to_receipts(const struct seen *s, struct verify_options *o);
enum verdict seen_judge_receipts(const struct seen *s, finding_fn found, void *arg);

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
