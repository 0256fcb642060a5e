/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A file is the destination's URL, the time, and the note:
 *
 *	bulla-receipt/v1\n<url>\n<nanoseconds>\n<note: checkpoint, empty line, signatures>
 */

#include "store/receipts.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "bulla/error.h"

static const char head[] = "bulla-receipt/v1\n";

/* The file's name is a hash of the URL: no character of it matters. */
static void file_name(const char *destination, char ret[2 * 8 + 1])
{
	struct hash h = sha256(destination, strlen(destination));

	text_hex(ret, h.b, 8);
}

/* Forwarders to one destination would take each other's half written file for their own. */
static int lock(int dir)
{
	int fd = openat(dir, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			int r = -errno;

			close(fd);
			return r;
		}
	return fd;
}

int receipts_keep(const struct state *s, const struct receipt *r, const char *note, size_t note_len)
{
	_cleanup_close_ int dir = io_open_dir(s->root, RECEIPTS_DIR, 0755), locked = -1;
	_cleanup_buf_ struct buf text = { 0 };
	char name[2 * 8 + 1];

	if (dir < 0)
		return dir;
	locked = lock(dir);
	if (locked < 0)
		return locked;
	if (note_len > RECEIPT_SIZE_MAX)
		return BULLA_ELIMIT;
	file_name(r->destination, name);
	buf_printf(&text, "%s%s\n%" PRIu64 "\n", head, r->destination, r->time_ns);
	buf_append(&text, note, note_len);
	return text.bad ? -ENOMEM : io_replace_file(dir, name, text.data, text.len, 0644);
}

/* The next line of `*p`, cut off from it; NULL at the end. */
static char *next_line(char **p)
{
	char *line = *p, *end = line ? strchr(line, '\n') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*p = end + 1;
	return line;
}

static int parse(char *text, struct receipt *ret)
{
	char *p = text, *magic = next_line(&p), *url = next_line(&p), *time = next_line(&p);
	char *note = p, *origin = next_line(&p), *size = next_line(&p), *root = next_line(&p);
	size_t n;

	if (!root || strncmp(magic, head, sizeof head - 2) != 0 ||
	    strlen(url) >= sizeof ret->destination)
		return BULLA_EPARSE;
	if (!text_starts(origin, "bulla/") || text_to_u64(time, &ret->time_ns) < 0 ||
	    text_to_u64(size, &ret->size) < 0)
		return BULLA_EPARSE;
	if (sodium_base642bin(ret->root.b, HASH_SIZE, root, strlen(root), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n != HASH_SIZE)
		return BULLA_EPARSE;
	strcpy(ret->destination, url);
	ret->note = note;
	ret->checked = false;
	return 0;
}

int receipt_check(const struct receipt *r, const struct id *origin,
		  const struct cosigner *aggregators, size_t n)
{
	int k = BULLA_ESIG;
	uint64_t time_s;

	for (size_t i = 0; i < n && k == BULLA_ESIG; i++)
		k = cosign_check(&aggregators[i], r->note, strlen(r->note), origin, r->size,
				 &r->root, &time_s);
	return k;
}

int receipts_each(const struct state *s, receipt_fn each, void *arg)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int k = io_list_dir(s->root, RECEIPTS_DIR, &dir);

	if (k < 0)
		return k == -ENOENT ? 0 : k;
	while ((e = readdir(dir)) != NULL) {
		_cleanup_buf_ struct buf text = { 0 }, whole = { 0 };
		struct receipt receipt;
		int r;

		if (e->d_name[0] == '.' ||
		    io_read_file(dirfd(dir), e->d_name, 2 * RECEIPT_SIZE_MAX, &text) < 0)
			continue;
		buf_char(&text, '\0');
		/* Parsing cuts the text into lines. */
		buf_append(&whole, text.data, text.len);
		if (text.bad || whole.bad || parse((char *) text.data, &receipt) < 0)
			continue;
		receipt.note = (const char *) whole.data + (receipt.note - (char *) text.data);
		receipt.file = e->d_name;
		r = each(arg, &receipt);
		if (r < 0)
			return r;
	}
	return 0;
}

static int larger(void *arg, const struct receipt *r)
{
	uint64_t *size = arg;

	*size = MAX_OF(*size, r->size);
	return 0;
}

int receipts_size(const struct state *s, uint64_t *ret)
{
	*ret = 0;
	return receipts_each(s, larger, ret);
}

static int smaller(void *arg, const struct receipt *r)
{
	uint64_t *size = arg;

	*size = MIN_OF(*size, r->size);
	return 0;
}

int receipts_smallest(const struct state *s, uint64_t *ret)
{
	*ret = UINT64_MAX;
	return receipts_each(s, smaller, ret);
}
