/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_FUZZ_FILES_H
#define BULLA_FUZZ_FILES_H

/**
 * What targets share that read files of frames.
 *
 * An engine does not guess checksums: files_mend() makes them right.  Targets that want names have a state directory in
 * memory, made at the first run and overwritten by each.
 */

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "base/io.h"
#include "store/state.h"

/* Give each frame in a row the checksum and padding that its content asks for. */
static inline void files_mend(uint8_t *p, size_t n)
{
	struct rd r = rd_of(p, n);

	for (;;) {
		uint8_t *at = p + (n - r.left);
		uint32_t size = rd_u32(&r), type = rd_u32(&r);

		if (r.bad || size > n || frame_space(size) > r.left + 8)
			return;
		frame_finish(at, type, size);
		rd_bytes(&r, frame_space(size) - 8);
	}
}

/* A copy of the input, mended if its first byte is odd.  Free it. */
static inline uint8_t *files_copy(const uint8_t *data, size_t n, bool mend)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert(copy);
	if (n > 0)
		memcpy(copy, data, n);
	if (mend)
		files_mend(copy, n);
	return copy;
}

static char files_path[64];

static inline void files_remove(void)
{
	static const char *const parts[] = { "seal", "ledger", "journals" };
	char command[96];

	for (size_t i = 0; i < ELEMENTS(parts); i++) {
		snprintf(command, sizeof command, "%s/%s", files_path, parts[i]);
		rmdir(command);
	}
	rmdir(files_path);
}

/* The state directory, empty but for what earlier runs left. */
static inline struct state *files_state(void)
{
	static struct state state;
	int r;

	if (files_path[0])
		return &state;
	snprintf(files_path, sizeof files_path, "%s/bulla-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(files_path))
		abort();
	atexit(files_remove);
	r = state_open(&state, files_path, true);
	assert(r == 0);
	return &state;
}

static inline void files_put(int dirfd, const char *name, const uint8_t *data, size_t n)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = io_write(fd, data, n);

	assert(r == 0);
}

#endif
