/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Kill -9, at random moments.
 *
 *	chaos SEED KILLS MAX_US STATE ROLE...
 *
 * Of the processes that work on the state directory STATE, kill one of the named roles (collector, sealer) after each pause of
 * up to MAX_US microseconds, until KILLS have been killed; the same process is not counted twice.  Prints how many of each.
 */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"

enum { ROLES_MAX = 4, GIVE_UP = 20000 };

static uint64_t state_of_random;

static uint64_t draw(void)
{
	uint64_t z = state_of_random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Whether a process is bulla-ROLE with --state STATE. */
static bool is_victim(const char *pid, const char *role, const char *state)
{
	_cleanup_buf_ struct buf line = { 0 };
	char path[64], name[64];
	bool right_state = false;

	snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
	snprintf(name, sizeof name, "bulla-%s", role);
	if (io_read_file(AT_FDCWD, path, 1 << 20, &line) < 0 || line.len == 0)
		return false;
	buf_char(&line, '\0');
	if (line.bad || strlen((char *) line.data) < strlen(name) ||
	    strcmp((char *) line.data + strlen((char *) line.data) - strlen(name), name) != 0)
		return false;
	for (size_t at = 0; at < line.len; at += strlen((char *) line.data + at) + 1)
		right_state |= strcmp((char *) line.data + at, state) == 0;
	return right_state;
}

static pid_t find(const char *role, const char *state)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t pid = 0;

	while (d && !pid && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_victim(e->d_name, role, state))
			pid = (pid_t) atoi(e->d_name);
	if (d)
		closedir(d);
	return pid;
}

int main(int argc, char **argv)
{
	uint64_t kills, max_us, done[ROLES_MAX] = { 0 }, all = 0, idle = 0;
	pid_t last[ROLES_MAX] = { 0 };
	int n_roles = argc - 5;

	if (n_roles < 1 || n_roles > ROLES_MAX || text_to_u64(argv[1], &state_of_random) < 0 ||
	    text_to_u64(argv[2], &kills) < 0 || text_to_u64(argv[3], &max_us) < 0)
		return 2;
	while (all < kills && idle < GIVE_UP) {
		int role = (int) (draw() % (uint64_t) n_roles);
		pid_t pid = find(argv[5 + role], argv[4]);

		idle++;
		if (pid == 0 || pid == last[role]) {
			usleep(500);
			continue;
		}
		usleep((useconds_t) (draw() % (max_us + 1)));
		if (kill(pid, SIGKILL) < 0)
			continue;
		last[role] = pid;
		done[role]++;
		all++;
		idle = 0;
	}
	for (int i = 0; i < n_roles; i++)
		printf("%llu %s%s", (unsigned long long) done[i], argv[5 + i],
		       i + 1 < n_roles ? ", " : "\n");
	return all == kills ? 0 : 1;
}
