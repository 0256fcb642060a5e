/* SPDX-License-Identifier: Apache-2.0 */

#include "query/histogram.h"

#include <errno.h>
#include <stdlib.h>

#include "base/room.h"

void histogram_done(struct histogram *h)
{
	free(h->more);
	*h = (struct histogram){ 0 };
}

static int compare_spans(const void *a, const void *b)
{
	const struct time_span *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* Let each span have but one part of what had to make place.  @return 0, or -E2BIG where that does not help. */
static int join_parts(struct histogram *h)
{
	size_t n = 0;

	qsort(h->more, h->n_more, sizeof *h->more, compare_spans);
	for (size_t i = 0; i < h->n_more; i++)
		if (n > 0 && h->more[n - 1].number == h->more[i].number)
			h->more[n - 1].times += h->more[i].times;
		else
			h->more[n++] = h->more[i];
	h->n_more = n;
	return n > HISTOGRAM_SPANS_MAX ? -E2BIG : 0;
}

static int count(struct histogram *h, uint64_t number, uint64_t times)
{
	struct time_span *at = &h->place[number % HISTOGRAM_PLACES];

	if (at->number != number && at->times > 0) {
		int r = h->n_more == 2 * HISTOGRAM_SPANS_MAX ? join_parts(h) : 0;

		if (r < 0)
			return r;
		if (!room_for(&h->more, h->n_more, &h->cap, sizeof *h->more))
			return -ENOMEM;
		h->more[h->n_more++] = *at;
		at->times = 0;
	}
	at->number = number;
	at->times += times;
	return 0;
}

int histogram_add(struct histogram *h, const uint64_t *time_ns, size_t n)
{
	int r = 0;

	for (size_t i = 0, from; r >= 0 && i < n;) {
		uint64_t number = time_ns[i] / h->length, begin = number * h->length;

		for (from = i++; i < n && time_ns[i] >= begin && time_ns[i] - begin < h->length;)
			i++;
		r = count(h, number, i - from);
	}
	return r;
}

int histogram_add_counts(struct histogram *h, uint64_t length, uint64_t number,
			 const uint32_t *counts, size_t n)
{
	uint64_t times = h->length / length;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (counts[i] > 0)
			r = count(h, (number + i) / times, counts[i]);
	return r;
}

static int count_span(void *arg, const struct time_span *span)
{
	return count(arg, span->number, span->times);
}

int histogram_add_all(struct histogram *h, const struct histogram *other)
{
	return histogram_each(other, count_span, h);
}

int histogram_each(const struct histogram *h, int (*each)(void *arg, const struct time_span *span),
		   void *arg)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < HISTOGRAM_PLACES; i++)
		if (h->place[i].times > 0)
			r = each(arg, &h->place[i]);
	for (size_t i = 0; r >= 0 && i < h->n_more; i++)
		r = each(arg, &h->more[i]);
	return r;
}
