/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_IMPORT_FEED_H
#define BULLA_COLLECTOR_IMPORT_FEED_H

/**
 * What is imported, as a stream in the Journal Export Format, whatever it was; or, of JSON, what says the same in fewer bytes
 * (import_stream.h).
 *
 * Other formats are read by a child that has the file and a pipe and may ask the kernel for next to nothing.  Should the
 * library that it uses crash, or go round in circles, it is the child's end, and an error that names the file.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

enum import_format { IMPORT_AUTO, IMPORT_EXPORT, IMPORT_JSON, IMPORT_JOURNAL };

/** Bytes that tell the format. */
enum { IMPORT_LOOK = 64 };

/** What a file is that begins with these bytes. */
enum import_format import_recognise(const uint8_t *p, size_t n);

struct import_feed {
	int fd;	     /* to read from; owned */
	pid_t pid;   /* of the child; 0: none */
	bool file;   /* it reads a file, so that it never has a reason to be silent for long */
	bool framed; /* the stream is one of frames (import_stream.h) */
	bool late;   /* it was, and is gone */
	bool ended;  /* the caller has read to the end */
	unsigned silent_ms; /* so far */
	const char *name;
};

/**
 * Begin to read `fd` (taken; closed on failure).  `head` is what was read of it already; a journal file is read from its
 * beginning.
 *
 * @return 0 and, unless the format is export, a child is at work; -ESPIPE for a journal that is no file; a negated errno.
 */
_must_check_ int import_feed_open(struct import_feed *f, enum import_format format, int fd,
				  const char *name, const uint8_t *head, size_t n);
/** End the child for its silence. */
void import_feed_give_up(struct import_feed *f);
/** End the child, or wait for it where all was read.  @return 0; BULLA_EPARSE when it could not read all, and somebody has said why. */
_must_check_ int import_feed_close(struct import_feed *f);

/** In the child: read standard input, write to standard output, say what is wrong, return the exit status. */
int import_read_json(const char *name, const uint8_t *head, size_t n);
int import_read_journal(const char *name);

#endif
