/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/room.h"
#include "base/text.h"
#include "bulla/error.h"
#include "store/segment/check.h"

struct auditing {
	struct archive *archive;
	const struct vkey *keys;
	size_t n_keys;
	struct buf *to;
	bool *tampered; /* owned; by origin, as the archive numbers them */
	enum verdict worst;
};

/* Packed batches. */

static int compare_packed(const void *a, const void *b)
{
	const struct packed_batch *x = a, *y = b;

	if (x->journal != y->journal)
		return x->journal < y->journal ? -1 : 1;
	return (x->batch_no > y->batch_no) - (x->batch_no < y->batch_no);
}

/* The first packed batch of a journal that is not before this one. */
static size_t find_packed(const struct archive *a, uint32_t journal, uint64_t batch_no)
{
	const struct packed_batch want = { .journal = journal, .batch_no = batch_no };
	size_t from = 0, to = a->n_packed;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare_packed(&a->packed[middle], &want) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* What the commits of the lanes say that a segment has. */
struct wanted {
	struct sealed_batch *at; /* owned */
	size_t n, cap;
};

static void wanted_done(struct wanted *w)
{
	free(w->at);
}

static int gather(const struct archive *a, const struct segment *s, struct wanted *w)
{
	for (uint32_t i = 0; i < s->n_journals; i++) {
		const struct segment_journal *j = &s->journals[i];
		int64_t number = archive_find_journal(a, &s->origins[j->origin].id, &j->id);
		size_t k = number < 0 ? a->n_packed
				      : find_packed(a, (uint32_t) number, j->first_batch);

		for (; k < a->n_packed && a->packed[k].journal == (uint32_t) number &&
		       a->packed[k].batch_no - j->first_batch < j->batches;
		     k++) {
			if (!room_for(&w->at, w->n, &w->cap, sizeof *w->at))
				return -ENOMEM;
			w->at[w->n++] = (struct sealed_batch){ i, a->packed[k].batch_no,
							       a->packed[k].leaf };
		}
	}
	return 0;
}

static void taint(struct auditing *x, const struct id *origin)
{
	for (uint32_t i = 0; i < x->archive->n_origins; i++)
		x->tampered[i] |= !origin || id_equal(&x->archive->origins[i]->id, origin);
}

static int audit_segment(struct auditing *x, const struct held_segment *s)
{
	_cleanup_(wanted_done) struct wanted w = { 0 };
	int r = gather(x->archive, &s->segment, &w);

	if (r >= 0)
		r = segment_check(x->archive->segments[s->lane], s->name, w.at, w.n);
	if (r == -ENOMEM || r == -EMFILE || r >= 0)
		return MIN_OF(r, 0);
	buf_printf(x->to, "TAMPERED: segments/%02u/%s: %s: not what was sealed\n", s->lane, s->name,
		   bulla_strerror(r));
	for (uint32_t i = 0; i < s->segment.n_origins; i++)
		taint(x, &s->segment.origins[i].id);
	return 0;
}

static int audit_segments(struct auditing *x)
{
	struct archive *a = x->archive;
	int r = 0;

	if (a->n_packed > 0)
		qsort(a->packed, a->n_packed, sizeof *a->packed, compare_packed);
	for (uint32_t i = 0; i < a->newest->segments.n && r >= 0; i++)
		r = audit_segment(x, a->newest->held[i]);
	return r;
}

/* What the archive itself has found missing while it was read. */
static void audit_missing(struct auditing *x)
{
	_cleanup_buf_ struct buf damage = { 0 };
	struct archive *a = x->archive;

	archive_damage(a, &damage);
	for (size_t at = 0; at < damage.len;) {
		const char *line = (const char *) damage.data + at,
			   *end = memchr(line, '\n', damage.len - at);
		size_t n = end ? (size_t) (end + 1 - line) : damage.len - at;

		buf_printf(x->to, "TAMPERED: %.*s", (int) n, line);
		at += n;
	}
	for (size_t i = 0; i < a->n_missing; i++) {
		const struct held_origin *o = archive_origin(a, &a->missing[i].origin);

		if (o && o->durable < a->missing[i].end)
			taint(x, &o->id);
	}
	/* Whose these were is not known. */
	if (a->unusable.len > 0)
		taint(x, NULL);
	for (uint32_t i = 0; i < a->n_objects; i++)
		for (uint32_t k = 0; a->objects[i].lost > 0 && k < a->n_origins; k++)
			x->tampered[k] |= a->origins[k]->lane == a->objects[i].lane->number;
	x->to->bad |= damage.bad;
}

/* Origins. */

static const struct vkey *key_of(const struct auditing *x, const struct id *origin)
{
	for (size_t i = 0; i < x->n_keys; i++)
		if (id_equal(&x->keys[i].origin, origin))
			return &x->keys[i];
	return NULL;
}

static enum verdict judge(const struct auditing *x, uint32_t number, const struct vkey *key)
{
	const struct held_origin *o = x->archive->origins[number];
	struct vkey own = history_vkey(receiver_history(o->receiver));

	if (x->tampered[number] ||
	    (key && memcmp(own.public_key, key->public_key, sizeof own.public_key) != 0))
		return VERDICT_TAMPERED;
	if (o->absent > 0)
		return VERDICT_INCOMPLETE;
	return key ? VERDICT_OK : VERDICT_UNPINNED;
}

static void audit_origins(struct auditing *x)
{
	for (uint32_t i = 0; i < x->archive->n_origins; i++) {
		const struct held_origin *o = x->archive->origins[i];
		const struct vkey *key = key_of(x, &o->id);
		enum verdict v = judge(x, i, key);
		char hex[2 * ID_SIZE + 1];

		text_hex(hex, o->id.b, ID_SIZE);
		buf_printf(x->to,
			   "%s: origin %s, %s: %" PRIu64 " commits, %" PRIu64 " entries, %" PRIu64
			   " batches absent\n",
			   verdict_name(v), hex, o->host, o->durable, o->entries, o->absent);
		if (key || x->n_keys == 0)
			x->worst = MAX_OF(x->worst, v);
	}
	for (size_t i = 0; i < x->n_keys; i++)
		if (!archive_origin(x->archive, &x->keys[i].origin)) {
			buf_str(x->to,
				"TAMPERED: of an origin whose key was given nothing is here\n");
			x->worst = VERDICT_TAMPERED;
		}
	if (x->archive->n_origins == 0 && x->n_keys == 0)
		x->worst = VERDICT_UNPINNED;
}

int audit(const char *path, const struct vkey *keys, size_t n, struct buf *to, enum verdict *ret)
{
	struct auditing x = { .keys = keys, .n_keys = n, .to = to };
	int r = archive_open_to_audit(&x.archive, path);

	if (r < 0)
		return r;
	x.tampered = calloc(x.archive->n_origins + 1, sizeof *x.tampered);
	r = x.tampered ? audit_segments(&x) : -ENOMEM;
	if (r >= 0) {
		audit_missing(&x);
		audit_origins(&x);
		buf_printf(to, "%s\n", verdict_name(x.worst));
		*ret = x.worst;
	}
	free(x.tampered);
	archive_close(x.archive);
	return r < 0 ? r : to->bad ? -ENOMEM : 0;
}
