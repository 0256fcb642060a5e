/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Who reads what, while segments take the place of rows and of each other.
 *
 * Views are a list, from the oldest that is in use to the newest.  What a view has and the next one has not hangs on it, and
 * goes with it: a reader that began before may still look for it, one that begins now cannot.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/log.h"

static void view_free(struct view *v)
{
	if (v) {
		free(v->held);
		free(v->segments.files);
		free(v->gone);
		free(v);
	}
}

static void view_freep(struct view **v)
{
	view_free(*v);
}

struct view *archive_pin(struct archive *a)
{
	a->newest->users++;
	return a->newest;
}

void archive_unpin(struct archive *a, struct view *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&a->lock);
	v->users--;
	pthread_mutex_unlock(&a->lock);
}

/* Making views. */

static bool is_among(const struct held_segment *s, struct held_segment *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == s)
			return true;
	return false;
}

static void add(struct view *v, struct held_segment *s)
{
	struct segment_set *set = &v->segments;

	/* The segment stays its holder's; a copy can be read like it. */
	set->files[set->n] =
		(struct segment_file){ .first = s->first, .end = s->end, .segment = s->segment };
	v->held[set->n++] = s;
}

static int view_new(const struct view *before, const struct change *c, struct view **ret)
{
	_cleanup_(view_freep) struct view *v = calloc(1, sizeof *v);
	uint32_t had = before ? before->segments.n : 0;
	size_t cap = had + c->n_more + 1;

	if (!v)
		return -ENOMEM;
	v->gone_object = -1;
	v->segments.spans = v->no_spans;
	v->held = reallocarray(NULL, cap, sizeof(struct held_segment *));
	v->segments.files = reallocarray(NULL, cap, sizeof *v->segments.files);
	if (!v->held || !v->segments.files)
		return -ENOMEM;
	for (uint32_t i = 0; i < had; i++)
		if (!is_among(before->held[i], c->less, c->n_less))
			add(v, before->held[i]);
	for (size_t i = 0; i < c->n_more; i++)
		add(v, c->more[i]);
	*ret = TAKE_PTR(v);
	return 0;
}

int archive_next_view(struct archive *a, const struct change *c)
{
	_cleanup_(view_freep) struct view *v = NULL;
	struct held_segment **gone = NULL;
	int r = view_new(a->newest, c, &v);

	if (r < 0)
		return r;
	if (c->n_less > 0) {
		gone = reallocarray(NULL, c->n_less, sizeof(struct held_segment *));
		if (!gone)
			return -ENOMEM;
		memcpy(gone, c->less, c->n_less * sizeof(struct held_segment *));
	}
	if (a->newest) {
		a->newest->gone = gone;
		a->newest->n_gone = c->n_less;
		a->newest->gone_object = c->object;
		a->newest->newer = v;
	} else {
		a->oldest = v;
	}
	a->newest = TAKE_PTR(v);
	return 0;
}

/* Letting go. */

/* An object goes from the disk with the last who may open it. */
static void remove_object(struct held_object *o)
{
	char name[LANE_NAME_SIZE];
	int r;

	close_fd(&o->fd);
	free(o->batches);
	lane_name(o->seq, o->rest, name);
	r = objstore_remove(o->lane->prefix, name);
	/* The next start finds it beside its rest, and tries again. */
	if (r < 0)
		log_error_code(r, "cannot remove lanes/%02u/%s", o->lane->number, name);
}

/* The oldest view, if nobody is in it and there is a newer one; its object is no longer known. */
static struct view *take_oldest(struct archive *a, struct held_object *ret)
{
	struct view *v;

	*ret = (struct held_object){ .fd = -1 };
	pthread_mutex_lock(&a->lock);
	v = a->oldest;
	if (v && v->users == 0 && v->newer) {
		a->oldest = v->newer;
		if (v->gone_object >= 0) {
			*ret = a->objects[v->gone_object];
			a->objects[v->gone_object] = (struct held_object){ .fd = -1 };
		}
	} else {
		v = NULL;
	}
	pthread_mutex_unlock(&a->lock);
	return v;
}

void archive_collect(struct archive *a)
{
	struct held_object object;
	struct view *v;

	while ((v = take_oldest(a, &object)) != NULL) {
		if (object.lane)
			remove_object(&object);
		for (size_t i = 0; i < v->n_gone; i++)
			held_segment_free(v->gone[i]);
		view_free(v);
	}
}

void archive_drop_views(struct archive *a)
{
	while (a->oldest) {
		struct view *v = a->oldest;

		a->oldest = v->newer;
		for (size_t i = 0; i < v->n_gone; i++)
			held_segment_free(v->gone[i]);
		for (uint32_t i = 0; !v->newer && i < v->segments.n; i++)
			held_segment_free(v->held[i]);
		view_free(v);
	}
	a->newest = NULL;
}
