/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_PAGER_H
#define BULLA_QUERY_PAGER_H

/** Standard output through $BULLA_PAGER, $SYSTEMD_PAGER, $PAGER or less, where it is a terminal; as journalctl does it. */

#include <sys/types.h>

struct pager {
	pid_t pid; /* 0: none */
};

/** Put a pager behind standard output, if that is a terminal and one can be had. */
void pager_open(struct pager *p);
/** End the output and wait until the reader has seen enough. */
void pager_close(struct pager *p);

#endif
