/* SPDX-License-Identifier: Apache-2.0 */

#include "store/segment/hand.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/room.h"
#include "base/text.h"
#include "seal/record.h"

int hand_new(struct segment_hand **ret, struct covered *of, unsigned number, int dirfd, int level,
	     const struct id *origin, uint64_t time_ns)
{
	struct segment_hand *h = calloc(1, sizeof *h);
	int64_t r;

	if (!h)
		return -ENOMEM;
	h->of = of;
	h->dirfd = dirfd;
	h->since_ns = time_ns;
	h->made.tenant = of->tenant;
	h->made.first = h->made.end = of->from;
	snprintf(h->name, sizeof h->name, SEGMENT_UNFINISHED "%u", number);
	r = segment_writer_open(&h->writer, dirfd, h->name, level);
	if (r >= 0) {
		segment_writer_tenant(&h->writer, &of->tenant);
		r = segment_writer_origin(&h->writer, origin, h->made.first);
	}
	if (r < 0) {
		hand_free(h);
		return (int) r;
	}
	*ret = h;
	return 0;
}

struct segment_hand *hand_free(struct segment_hand *h)
{
	if (!h)
		return NULL;
	if (h->writer.fd >= 0) {
		segment_writer_close(&h->writer);
		unlinkat(h->dirfd, h->name, 0);
	}
	free(h->sealed);
	free(h->awaited);
	free(h);
	return NULL;
}

int hand_await(struct segment_hand *h, const struct commit *c, uint32_t handle,
	       const struct batch *b)
{
	bool absent = root_is_absent(&b->root);

	if (!room_for(&h->awaited, h->n_awaited, &h->awaited_cap, sizeof *h->awaited))
		return -ENOMEM;
	h->awaited[h->n_awaited++] = (struct hand_batch){
		.handle = handle,
		.entries = b->entries,
		.commit = c->number,
		.time_ns = c->time_ns,
		.batch_no = b->batch_no,
		.first_seq = b->first_seq,
		.bytes = b->bytes,
		.mono_offset = b->mono_offset,
		.leaf = absent ? (struct hash){ { 0 } } : batch_leaf_hash(b),
		.recovered = b->recovered,
		.absent = absent,
	};
	h->awaited_entries += b->entries;
	h->awaited_bytes += b->bytes;
	return 0;
}

int hand_remember(struct segment_hand *h, uint32_t journal, const struct hand_batch *b)
{
	if (!room_for(&h->sealed, h->made.batches, &h->sealed_cap, sizeof *h->sealed))
		return -ENOMEM;
	h->sealed[h->made.batches++] = (struct sealed_batch){ journal, b->batch_no, b->leaf };
	h->made.entries += b->entries;
	segment_writer_when(&h->writer, 0, b->time_ns);
	return 0;
}

int hand_finish(struct segment_hand *h, uint64_t end)
{
	struct segment_made *m = &h->made;
	int64_t size;

	m->end = end;
	segment_writer_covers(&h->writer, 0, end);
	size = segment_writer_finish(&h->writer, h->sealed, m->batches);
	if (size < 0)
		return (int) size;
	m->size = (uint64_t) size;
	segment_name(&m->tenant, m->first, m->end, m->name);
	if (renameat(h->dirfd, h->name, h->dirfd, m->name) < 0)
		return -errno;
	segment_writer_close(&h->writer);
	return io_sync_dir(h->dirfd);
}

static bool is_unfinished(const char *name)
{
	const char *number = name + STRLEN(SEGMENT_UNFINISHED);

	return text_starts(name, SEGMENT_UNFINISHED) && *number >= '0' && *number <= '9';
}

int hands_sweep(int dirfd)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int r = io_list_dir(dirfd, ".", &dir);

	if (r < 0)
		return r;
	while (errno = 0, (e = readdir(dir)) != NULL)
		if (is_unfinished(e->d_name) && unlinkat(dirfd, e->d_name, 0) < 0)
			return -errno;
	return -errno;
}
