/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/crash_trace.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "tests/crash_model.h"
#include "tests/trace.h"

/* What has been put in order so far. */
struct order {
	struct buf done;
	uint64_t known[MODEL_FILES_MAX]; /* inodes */
	size_t n_known;
};

static bool creates(const struct trace_record *r)
{
	return r->op == TRACE_CREATE || r->op == TRACE_MKDIR || r->op == TRACE_ROOT;
}

static bool is_known(const struct order *o, uint64_t ino)
{
	for (size_t i = 0; i < o->n_known; i++)
		if (o->known[i] == ino)
			return true;
	return false;
}

static void append(struct order *o, const struct trace_record *r)
{
	size_t space = ALIGN_UP((size_t) r->size, (size_t) 8);
	uint8_t *to = buf_room(&o->done, space);

	assert(to);
	memset(to, 0, space);
	memcpy(to, r, r->size);
	((struct trace_record *) (void *) to)->size = (uint32_t) space;
	buf_add(&o->done, space);
	if (creates(r) && !is_known(o, r->ino)) {
		assert(o->n_known < MODEL_FILES_MAX);
		o->known[o->n_known++] = r->ino;
	}
}

static void take(struct order *o, const struct trace_record **r, size_t n, size_t i);

/* The file is used by record i: what created it comes before.  Above the directory, and for a sync, nothing may be known. */
static void need(struct order *o, const struct trace_record **r, size_t n, size_t i, uint64_t ino)
{
	if (is_known(o, ino))
		return;
	for (size_t k = i + 1; k < n; k++) {
		if (r[k] && creates(r[k]) && r[k]->ino == ino) {
			take(o, r, n, k);
			return;
		}
	}
}

static void take(struct order *o, const struct trace_record **r, size_t n, size_t i)
{
	const struct trace_record *it = r[i];

	r[i] = NULL;
	if (it->op != TRACE_ROOT && it->op != TRACE_MARK) {
		if (it->dir != 0)
			need(o, r, n, i, it->dir);
		if (it->ino != 0 && !creates(it))
			need(o, r, n, i, it->ino);
	}
	append(o, it);
}

void trace_prepare(struct buf *trace)
{
	struct order *o = calloc(1, sizeof *o);
	const struct trace_record **r;
	size_t n = 0, i = 0;
	uint8_t *copy = malloc(2 * trace->len + 8), *to = copy;

	assert(o && copy);
	for (size_t at = 0; at < trace->len; n++) {
		uint32_t size;

		memcpy(&size, trace->data + at, sizeof size);
		assert(size >= sizeof **r && size <= trace->len - at);
		at += size;
	}
	r = calloc(n + 1, sizeof *r);
	assert(r);
	for (size_t at = 0; at < trace->len; i++) {
		r[i] = (const void *) to;
		memcpy(to, trace->data + at, sizeof **r);
		memcpy(to, trace->data + at, r[i]->size);
		at += r[i]->size;
		to += ALIGN_UP((size_t) r[i]->size, (size_t) 8);
	}
	for (i = 0; i < n; i++)
		if (r[i])
			take(o, r, n, i);
	free(r);
	free(copy);
	buf_done(trace);
	*trace = o->done;
	free(o);
}
