/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_COLLECTOR_COMMAND_H
#define BULLA_COLLECTOR_COMMAND_H

/**
 * The command that `bulla run` runs: a child on two pipes that waits for a word before it becomes the command.
 *
 * It finds the world as bulla run found it: signal mask and dispositions, umask, standard input, and every descriptor that was
 * there; nothing of ours.
 */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/attr.h"
#include "collector/progress.h"

struct command {
	char *const *argv;
	pid_t pid;		 /* 0: none yet, or reaped */
	int source[SOURCES_MAX]; /* read ends of its stdout and stderr; owned */
	int go; /* write end: a byte lets it start, end of file makes it leave; owned */
	/* As they were. */
	sigset_t mask;
	struct sigaction on_pipe, on_child;
	mode_t umask;
};

/**
 * Remember how things are, and take what a holder needs: SIGPIPE is ignored, children are waited for, files are private, and
 * descriptors 0 to 2 are open.  To be called first.
 */
_must_check_ int command_prepare(struct command *c);
/** Make the pipes and the child. */
_must_check_ int command_fork(struct command *c);
/** Let it start. */
_must_check_ int command_go(struct command *c);

#endif
