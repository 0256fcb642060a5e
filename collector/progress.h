/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_PROGRESS_H
#define BULLA_COLLECTOR_PROGRESS_H

/**
 * How many bytes have been taken out of each pipe: known exactly, whoever is killed, and whenever.
 *
 * Holder and collector share a page and a *scratch* pipe.  The collector takes bytes out of a source by moving them into the
 * empty scratch pipe, which the kernel does as one: a byte is in the one pipe or in the other.  What the page says of a move
 * before and after it, and what the scratch pipe holds in between, add up to the truth at any instant:
 *
 *	base = consumed; moving = source     a killed collector has consumed `base` + what lies in scratch
 *	splice(source -> scratch)
 *	consumed = base + moved              still so
 *	moving = none                        from here on it is `consumed`, and what lies in scratch does not count
 *	splice(scratch -> /dev/null)
 *
 * A killed holder changes nothing: the collector goes on alone.  With both gone the pipes are gone, and what the command
 * wrote and no tail covers with them.
 *
 * On a full disk bytes may have to be dropped.  How many, of how many entries, is on the page before the first of them is
 * taken: as two records of which one is current, so that there is a whole one at any instant.  Bytes that it covers are
 * taken out by whoever comes to it, as are those that the tail covers.
 *
 * The holder reads the page as a file, so that a hostile collector can make it wrong, of its own journal, and no worse.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { SOURCES_MAX = 2 };

/** What was dropped since the journal last said so. */
struct progress_drops {
	uint64_t covered[SOURCES_MAX]; /* of the streams: dropped up to here */
	uint64_t lines; /* which streams are in the middle of a line, as the collector packs it */
	uint64_t entries, bytes;
	uint64_t since_ns, until_ns; /* realtime; of the first and the last */
	uint64_t is_on; /* 1: the journal says that entries are dropped from here on; or 0 */
};

struct progress_page {
	_Atomic uint64_t consumed[SOURCES_MAX]; /* of the streams, by finished moves */
	_Atomic uint64_t base;			/* consumed[moving - 1] before the move */
	_Atomic uint32_t moving;		/* 1 + source; 0: none */
	_Atomic uint32_t current;		/* drops[current & 1] counts */
	struct progress_drops drops[2];
};

struct progress {
	int file;		    /* the page, as a memfd; owned */
	int scratch[2];		    /* owned; both ends do not block */
	struct progress_page *page; /* mapped; the collector's only */
};

#define PROGRESS_NONE ((struct progress){ .file = -1, .scratch = { -1, -1 } })

/** Make page and pipe.  The holder's. */
_must_check_ int progress_create(struct progress *p);
/** Make the scratch pipe as large as the smallest source, if that is allowed: less is only slower. */
void progress_resize(struct progress *p, const int source[SOURCES_MAX]);
/** Map the page; the descriptors are in `p`.  The collector's. */
_must_check_ int progress_map(struct progress *p);
void progress_close(struct progress *p);

/**
 * Take `n` bytes out of `source`, whose read end is `fd`; `null` is open for writing on /dev/null.
 *
 * @return 0; 1 when there were fewer, because the command itself (who else could) has read them back: they count as consumed;
 *         a negated errno.
 */
_must_check_ int progress_consume(struct progress *p, unsigned source, int fd, int null,
				  uint64_t n);
/** What has been consumed of a source. */
uint64_t progress_consumed(const struct progress *p, unsigned source);
/** What was dropped, as it was noted last. */
struct progress_drops progress_drops(const struct progress *p);
/** Note what is dropped: whoever is killed now, it counts. */
void progress_note_drops(struct progress *p, const struct progress_drops *d);

/**
 * After a collector's death: settle what it was about, empty the scratch pipe, and leave a page for the next one.
 *
 * `*ret_total` is what all sources together have consumed.  @return 0, a negated errno.
 */
_must_check_ int progress_settle(struct progress *p, int null, uint64_t *ret_total);

#endif
