/* SPDX-License-Identifier: Apache-2.0 */

#include "query/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"

static const char *choose(void)
{
	static const char *const variables[] = { "BULLA_PAGER", "SYSTEMD_PAGER", "PAGER" };

	for (size_t i = 0; i < ELEMENTS(variables); i++) {
		const char *value = getenv(variables[i]);

		if (value)
			return value;
	}
	/* Where there is no less, as in a small container, the text still comes out. */
	return "command -v less >/dev/null && exec less; command -v more >/dev/null && exec more; "
	       "exec cat";
}

void pager_open(struct pager *p)
{
	const char *command = choose();
	int pair[2];

	p->pid = 0;
	if (!isatty(1) || *command == '\0' || strcmp(command, "cat") == 0 ||
	    pipe2(pair, O_CLOEXEC) < 0)
		return;
	p->pid = fork();
	if (p->pid == 0) {
		dup2(pair[0], 0);
		signal(SIGPIPE, SIG_DFL);
		/* Quit if it fits, pass colours on, do not clear the screen: journalctl's choice. */
		setenv("LESS", "FRSXMK", 0);
		setenv("LESSCHARSET", "utf-8", 0);
		execl("/bin/sh", "sh", "-c", command, (char *) NULL);
		_exit(127);
	}
	close(pair[0]);
	if (p->pid > 0)
		dup2(pair[1], 1);
	else
		p->pid = 0;
	close(pair[1]);
}

void pager_close(struct pager *p)
{
	if (p->pid == 0)
		return;
	close(1);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
}
