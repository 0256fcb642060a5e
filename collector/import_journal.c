/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A journal file of systemd's, by systemd's own library, into the Journal Export Format.
 *
 * The file may be anything, and the library was not made for that: this runs in a process of its own (import_feed.h).  What
 * it yields is bounded by what a file of that size can hold.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"
#include "collector/confine.h"
#include "collector/import_export.h"
#include "collector/import_feed.h"

enum {
	WRITE_SIZE = 256 << 10,
	ENTRY_BYTES_MIN = 64,	   /* that an entry takes in a file */
	FIELDS_AT_ONCE_MAX = 4096, /* of an entry; a writer's limit is 1024 */
	DAMAGED_IN_A_ROW_MAX = 1000,
};

struct reading {
	sd_journal *journal;
	struct buf out;
	uint64_t entries, entries_max, damaged;
};

static void append_line(struct buf *to, const char *name, uint64_t value)
{
	buf_printf(to, "%s=%" PRIu64 "\n", name, value);
}

static void append_field(struct buf *to, const uint8_t *data, size_t n)
{
	const uint8_t *equals = memchr(data, '=', n);
	uint64_t size;

	/* Where it stands in the head it stands there already. */
	if (!equals || (equals - data == 8 && memcmp(data, "_BOOT_ID", 8) == 0))
		return;
	/* More than this was not read of it. */
	if (n >= ENTRY_SIZE_MAX) {
		buf_str(to, IMPORT_OMITTED "=");
		buf_append(to, data, (size_t) (equals - data));
		buf_char(to, '\n');
		return;
	}
	if (!memchr(equals, '\n', n - (size_t) (equals - data))) {
		buf_append(to, data, n);
	} else {
		size = n - (size_t) (equals + 1 - data);
		buf_append(to, data, (size_t) (equals - data));
		buf_char(to, '\n');
		buf_append(to, &size, sizeof size);
		buf_append(to, equals + 1, (size_t) size);
	}
	buf_char(to, '\n');
}

/* Whether a name is one that the export format can have. */
static bool has_name(const uint8_t *data, size_t n)
{
	const uint8_t *equals = memchr(data, '=', n);
	size_t len = equals ? (size_t) (equals - data) : 0;

	return len > 0 && !memchr(data, '\0', len) && !memchr(data, '\n', len);
}

static int append_fields(struct reading *g)
{
	const void *data;
	size_t n;
	int r;

	sd_journal_restart_data(g->journal);
	for (unsigned i = 0; (r = sd_journal_enumerate_data(g->journal, &data, &n)) > 0; i++) {
		if (i > FIELDS_AT_ONCE_MAX || !has_name(data, n))
			return -EBADMSG;
		append_field(&g->out, data, n);
	}
	return r;
}

static int append_entry(struct reading *g)
{
	char boot_text[SD_ID128_STRING_MAX];
	sd_id128_t boot;
	uint64_t time;
	int r;

	r = sd_journal_get_realtime_usec(g->journal, &time);
	if (r < 0)
		return r;
	/* No time that any clock shows. */
	if (time > UINT64_MAX / 1000)
		return -EBADMSG;
	append_line(&g->out, "__REALTIME_TIMESTAMP", time);
	r = sd_journal_get_monotonic_usec(g->journal, &time, &boot);
	if (r < 0)
		return r;
	append_line(&g->out, "__MONOTONIC_TIMESTAMP", time);
	buf_printf(&g->out, "_BOOT_ID=%s\n", sd_id128_to_string(boot, boot_text));
	r = append_fields(g);
	if (r < 0)
		return r;
	buf_char(&g->out, '\n');
	return g->out.bad ? -ENOMEM : 0;
}

/* Go through it; an entry that is damaged is left out and counted, as journalctl does. */
static int read_all(struct reading *g)
{
	unsigned in_a_row = 0;
	int r;

	while ((r = sd_journal_next(g->journal)) > 0) {
		size_t before = g->out.len;

		if (g->entries + g->damaged > g->entries_max || in_a_row > DAMAGED_IN_A_ROW_MAX)
			return -ELOOP;
		r = append_entry(g);
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			g->out.len = before;
			g->damaged++;
			in_a_row++;
			continue;
		}
		in_a_row = 0;
		g->entries++;
		if (g->out.len < WRITE_SIZE)
			continue;
		r = io_write(STDOUT_FILENO, g->out.data, g->out.len);
		buf_clear(&g->out);
		if (r < 0)
			return r;
	}
	return r;
}

static int open_it(struct reading *g)
{
	int fd = STDIN_FILENO, r;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	g->entries_max = (uint64_t) st.st_size / ENTRY_BYTES_MIN;
	r = sd_journal_open_files_fd(&g->journal, &fd, 1, 0);
	if (r >= 0)
		r = sd_journal_set_data_threshold(g->journal, ENTRY_SIZE_MAX);
	if (r >= 0)
		r = sd_journal_seek_head(g->journal);
	/* Not sooner: of a sealed journal it reads the header with libgcrypt, which wants to know about the machine. */
	return r < 0 ? r : confine_reader();
}

int import_read_journal(const char *name)
{
	struct reading g = { 0 };
	int r = open_it(&g), w;

	if (r < 0) {
		log_error_code(r, "%s: cannot be opened as a journal file%s", name,
			       r == -EPROTONOSUPPORT ? " of this systemd's version" : "");
		return 1;
	}
	r = read_all(&g);
	w = io_write(STDOUT_FILENO, g.out.data, g.out.len);
	if (r == -ELOOP)
		log_error("%s: it has more entries than it has room for", name);
	else if (r < 0 || w < 0)
		log_error_code(r < 0 ? r : w, "%s: after %" PRIu64 " entries", name, g.entries);
	if (g.damaged > 0)
		log_error("%s: %" PRIu64 " entr%s damaged and left out", name, g.damaged,
			  g.damaged == 1 ? "y is" : "ies are");
	/* The process ends: what it holds ends with it, and a damaged table is not walked once more. */
	return r < 0 || w < 0 || g.damaged > 0;
}
