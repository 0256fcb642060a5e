/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Run a command several times, and say what each run took: one line for each, of wall ms, CPU ms and the most memory in KiB.
 *
 *	bench_repeat RUNS COMMAND [ARGUMENT]...
 *
 * Output goes to /dev/null.  A process of its own, and a small one: a child counts the memory of who started it, and what
 * takes a millisecond is not to be measured by an interpreter.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static double ms_of(struct timeval t)
{
	return (double) t.tv_sec * 1e3 + (double) t.tv_usec / 1e3;
}

static void be_command(char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(126);
	execvp(argv[0], argv);
	_exit(127);
}

/* @return its exit status; -1 when it was none. */
static int run(char **argv)
{
	double start = now_ms();
	struct rusage used;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		be_command(argv);
	if (pid < 0)
		return -1;
	while (wait4(pid, &status, 0, &used) < 0)
		if (errno != EINTR)
			return -1;
	printf("%.3f %.3f %ld\n", now_ms() - start, ms_of(used.ru_utime) + ms_of(used.ru_stime),
	       used.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc < 3)
		return 2;
	/* 1 is what searches say that find nothing; more is a failure. */
	for (unsigned long i = strtoul(argv[1], NULL, 10); i > 0 && (status == 0 || status == 1);
	     i--)
		status = run(argv + 2);
	if (status == 126 || status == 127)
		perror(argv[2]);
	return status < 0 ? 126 : status;
}
