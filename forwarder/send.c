/* SPDX-License-Identifier: Apache-2.0 */

#include "forwarder/send.h"

/* Doubling, up to a limit; half of it is chance, so that a thousand hosts do not come back at once. */
static enum send_action wait_longer(struct sender *s, uint32_t at_least_ms)
{
	uint32_t base;

	s->backoff_ms = s->backoff_ms ? MIN_OF(2 * s->backoff_ms, (uint32_t) SEND_WAIT_MAX_MS)
				      : SEND_WAIT_MIN_MS;
	base = MAX_OF(s->backoff_ms, at_least_ms);
	s->jitter = s->jitter * 1664525u + 1013904223u;
	s->wait_ms = base / 2 + (uint32_t) ((uint64_t) (s->jitter >> 8) * (base / 2 + 1) >> 24);
	s->wait_ms = MAX_OF(s->wait_ms, at_least_ms);
	s->known = false;
	return SEND_DO_WAIT;
}

static enum send_action go_on(const struct sender *s)
{
	if (!s->known)
		return SEND_DO_ASK;
	if (s->next < s->size)
		return SEND_DO_PUT;
	return s->once ? SEND_DO_FINISH : SEND_DO_IDLE;
}

static enum send_action on_head(struct sender *s, uint64_t head)
{
	s->next = head;
	s->known = true;
	return head > s->size ? SEND_DO_BEHIND : go_on(s);
}

enum send_action sender_step(struct sender *s, const struct send_input *in)
{
	switch (in->event) {
	case SEND_START:
	case SEND_WAITED:
		s->known = false;
		return SEND_DO_ASK;
	case SEND_HEAD:
		/* That it answers is no progress yet; only what it takes ends the waiting. */
		if (in->head >= s->size)
			s->backoff_ms = 0;
		return on_head(s, in->head);
	case SEND_ACCEPTED:
		/* A lie would have us send the same for ever. */
		if (in->head <= s->next)
			return wait_longer(s, 0);
		s->full = s->careful = false;
		s->refusals = s->rewinds = 0;
		s->backoff_ms = 0;
		return on_head(s, in->head);
	case SEND_REWIND:
		s->known = false;
		return ++s->rewinds > 1 ? wait_longer(s, 0) : SEND_DO_ASK;
	case SEND_CONTEXTS:
		/* Told everything, it still lacks something: our tail may have lost that.  Then leave out what does not
		 * verify here; after that it is a peer that wants something else. */
		if (s->full && s->careful)
			return wait_longer(s, 0);
		s->careful |= s->full;
		s->full = true;
		return go_on(s);
	case SEND_REFUSED:
		s->careful = true;
		if (++s->refusals >= SEND_REFUSALS_MAX)
			return wait_longer(s, SEND_WAIT_MAX_MS / 2);
		return go_on(s);
	case SEND_FORK:
		return SEND_DO_STOP;
	case SEND_OVERLOAD:
		return wait_longer(s, in->retry_ms);
	case SEND_LOST:
		return wait_longer(s, 0);
	case SEND_MORE:
		s->size = MAX_OF(s->size, in->size);
		return go_on(s);
	default:
		return SEND_DO_STOP;
	}
}
