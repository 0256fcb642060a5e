/* SPDX-License-Identifier: Apache-2.0 */

#include "aggregator/archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/archive-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "bulla/error.h"

int archive_grow(void *array, size_t *cap, size_t need, size_t size)
{
	void **at = array;
	size_t more = *cap ? *cap : 16;
	void *p;

	if (need <= *cap)
		return 0;
	while (more < need)
		more *= 2;
	p = reallocarray(*at, more, size);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = more;
	return 0;
}

int archive_grow32(void *array, uint32_t *cap, uint32_t need, size_t size)
{
	size_t wide = *cap;
	int r = archive_grow(array, &wide, need, size);

	*cap = (uint32_t) wide;
	return r;
}

/* Journals. */

static bool is_journal(const struct held_journal *j, const struct id *origin, const struct id *id)
{
	return id_equal(&j->id, id) && id_equal(&j->origin, origin);
}

static uint32_t slot_of(const struct archive *a, const struct id *origin, const struct id *id)
{
	uint8_t both[2 * ID_SIZE];
	uint64_t hash;

	memcpy(both, origin->b, ID_SIZE);
	memcpy(both + ID_SIZE, id->b, ID_SIZE);
	crypto_shorthash((uint8_t *) &hash, both, sizeof both, a->hash_key);
	for (uint32_t i = (uint32_t) hash;; i++) {
		uint32_t s = i & (a->n_slots - 1);

		if (a->journal_slot[s] == 0 ||
		    is_journal(a->journals[a->journal_slot[s] - 1], origin, id))
			return s;
	}
}

static int grow_slots(struct archive *a)
{
	uint32_t n = a->n_slots ? a->n_slots : 64;
	uint32_t *slot;

	while (n <= 2 * (a->n_journals + 1))
		n *= 2;
	if (n == a->n_slots)
		return 0;
	slot = calloc(n, sizeof *slot);
	if (!slot)
		return -ENOMEM;
	free(a->journal_slot);
	a->journal_slot = slot;
	a->n_slots = n;
	for (uint32_t i = 0; i < a->n_journals; i++)
		a->journal_slot[slot_of(a, &a->journals[i]->origin, &a->journals[i]->id)] = i + 1;
	return 0;
}

int64_t archive_find_journal(const struct archive *a, const struct id *origin, const struct id *id)
{
	uint32_t s = a->n_slots > 0 ? a->journal_slot[slot_of(a, origin, id)] : 0;

	return s > 0 ? (int64_t) s - 1 : -ENOENT;
}

int64_t archive_journal(struct archive *a, const struct id *origin, const struct id *id)
{
	struct held_journal *j;
	uint32_t s;

	if (grow_slots(a) < 0)
		return -ENOMEM;
	s = slot_of(a, origin, id);
	if (a->journal_slot[s] != 0)
		return a->journal_slot[s] - 1;
	if (archive_grow32(&a->journals, &a->journals_cap, a->n_journals + 1,
			   sizeof(struct held_journal *)) < 0)
		return -ENOMEM;
	j = calloc(1, sizeof *j);
	if (!j)
		return -ENOMEM;
	j->origin = *origin;
	j->id = *id;
	a->journals[a->n_journals++] = j;
	a->journal_slot[s] = a->n_journals;
	return a->n_journals - 1;
}

/* Objects. */

int64_t archive_object(struct archive *a, struct lane *l, uint64_t seq, bool rest)
{
	for (uint32_t i = a->n_objects; i > 0; i--) {
		const struct held_object *o = &a->objects[i - 1];

		if (o->lane == l && o->seq == seq && o->rest == rest)
			return i - 1;
	}
	if (archive_grow32(&a->objects, &a->objects_cap, a->n_objects + 1, sizeof *a->objects) < 0)
		return -ENOMEM;
	a->objects[a->n_objects] =
		(struct held_object){ .lane = l, .seq = seq, .rest = rest, .fd = -1 };
	return a->n_objects++;
}

int archive_read_rows(struct archive *a, const struct rows_ref *ref, struct buf *frame,
		      struct tail_rows *ret)
{
	struct held_object *o;
	int fd;

	pthread_mutex_lock(&a->lock);
	o = &a->objects[ref->file];
	if (o->fd < 0)
		o->fd = lane_read(o->lane, o->seq, o->rest);
	fd = o->fd;
	pthread_mutex_unlock(&a->lock);
	return fd < 0 ? fd : rows_ref_read(fd, ref, frame, ret);
}

/* The aggregator's own key: made once, readable by nobody else. */
static int load_key(struct archive *a, const char *name)
{
	_cleanup_buf_ struct buf seed = { 0 };
	uint8_t fresh[crypto_sign_SEEDBYTES];
	int r;

	if (!cosigner_name_valid(name))
		return -EINVAL;
	r = io_read_file(a->store.root, "key", crypto_sign_SEEDBYTES, &seed);
	if (r == -ENOENT) {
		randombytes_buf(fresh, sizeof fresh);
		r = io_replace_file(a->store.root, "key", fresh, sizeof fresh, 0600);
		buf_append(&seed, fresh, sizeof fresh);
		sodium_memzero(fresh, sizeof fresh);
	}
	if (r >= 0 && (seed.bad || seed.len != crypto_sign_SEEDBYTES))
		r = BULLA_ECORRUPT;
	if (r >= 0)
		crypto_sign_seed_keypair(a->cosigner.public_key, a->secret, seed.data);
	if (seed.data)
		sodium_memzero(seed.data, seed.cap);
	strcpy(a->cosigner.name, name);
	return r;
}

static int open_how(struct archive **ret, const char *path, const char *name, bool to_audit)
{
	struct archive *a = calloc(1, sizeof *a);
	int r;

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->founding, NULL);
	pthread_cond_init(&a->more, NULL);
	randombytes_buf(a->hash_key, sizeof a->hash_key);
	a->store.root = -1;
	for (unsigned i = 0; i < LANES; i++)
		a->lane[i].fd = a->lane[i].prefix = a->segments[i] = -1;
	a->audit = to_audit;
	r = objstore_open(&a->store, path);
	if (r >= 0 && !to_audit)
		r = load_key(a, name);
	if (r >= 0)
		r = archive_load_segments(a);
	for (unsigned i = 0; i < LANES && r >= 0; i++)
		r = lane_open(&a->lane[i], &a->store, i, archive_reload_block, a);
	if (r < 0) {
		archive_close(a);
		return r;
	}
	archive_reloaded(a);
	*ret = a;
	return 0;
}

int archive_open(struct archive **ret, const char *path, const char *name)
{
	return open_how(ret, path, name, false);
}

int archive_open_to_audit(struct archive **ret, const char *path)
{
	return open_how(ret, path, "", true);
}

struct archive *archive_close(struct archive *a)
{
	for (uint32_t i = 0; i < a->n_origins; i++)
		held_origin_free(a->origins[i]);
	for (uint32_t i = 0; i < a->n_journals; i++) {
		rows_index_done(&a->journals[i]->rows);
		spans_done(&a->journals[i]->packed);
		free(a->journals[i]);
	}
	archive_drop_views(a);
	for (uint32_t i = 0; i < a->n_objects; i++) {
		close_fd(&a->objects[i].fd);
		free(a->objects[i].batches);
	}
	archive_drop_live(a);
	for (unsigned i = 0; i < LANES; i++) {
		lane_close(&a->lane[i]);
		close_fd(&a->segments[i]);
	}
	objstore_close(&a->store);
	free(a->origins);
	free(a->journals);
	free(a->journal_slot);
	free(a->objects);
	free(a->arrivals);
	free(a->missing);
	free(a->packed);
	buf_done(&a->unusable);
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->founding);
	pthread_cond_destroy(&a->more);
	sodium_memzero(a->secret, sizeof a->secret);
	free(a);
	return NULL;
}

/* Heads. */

int archive_head(struct archive *a, const struct id *origin, struct wire_head *ret)
{
	const struct held_origin *o;

	*ret = (struct wire_head){ 0 };
	pthread_mutex_lock(&a->lock);
	o = archive_origin(a, origin);
	if (o) {
		/* The receive log is the open lane object: what is received is durable. */
		ret->received = ret->durable = o->durable;
		ret->root = o->root;
		strcpy(ret->receipt, o->receipt);
	}
	cosigner_vkey(&a->cosigner, ret->key);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

/* Asking. */

/* A query at work: what it reads from, and what of that it could not. */
struct asking {
	struct archive *archive;
	struct damaged_objects damaged;
};

static int read_catalog(void *arg, const struct catalog_journal *j, const struct rows_ref *ref,
			struct buf *frame, struct tail_rows *ret)
{
	struct asking *asking = arg;
	struct damaged_objects *d = &asking->damaged;
	int r = archive_read_rows(asking->archive, ref, frame, ret);

	(void) j;
	if (r < 0 && r != -ENOMEM && d->n < DAMAGE_TOLD)
		d->at[d->n++] = (struct damaged_object){ ref->file, ref->offset, r };
	return r;
}

static void catalog_copied(void *arg)
{
	pthread_mutex_unlock(&((struct asking *) arg)->archive->lock);
}

/* The rows that are in no segment.  Called with the lock held. */
static int list_journals(const struct archive *a, struct catalog *c)
{
	int r = 0;

	for (uint32_t i = 0; i < a->n_journals && r >= 0; i++) {
		const struct held_journal *j = a->journals[i];

		if (j->rows.n > 0)
			r = catalog_add(c, &(struct catalog_journal){
						   .id = j->id,
						   .boot = j->boot,
						   .contexts = j->contexts,
						   .rows = &j->rows,
						   .sealed = UINT64_MAX,
					   });
	}
	return r;
}

int archive_query(struct archive *a, struct answer *answer, struct archive_follower *follower,
		  struct buf *damage)
{
	struct asking asking = { .archive = a };
	struct catalog c = { .read = read_catalog, .copied = catalog_copied, .arg = &asking };
	struct view *view;
	int r = 0;

	pthread_mutex_lock(&a->lock);
	if (follower)
		r = archive_follow_from_here(follower);
	if (damage)
		archive_damage(a, damage);
	view = archive_pin(a);
	c.segments = &view->segments;
	if (r >= 0)
		r = list_journals(a, &c);
	if (r < 0)
		pthread_mutex_unlock(&a->lock);
	else
		r = answer_query(answer, &c);
	catalog_done(&c);
	if (r >= 0 && damage)
		archive_damage_met(a, view, &answer->stats, &asking.damaged, damage);
	archive_unpin(a, view);
	return r;
}

int archive_status(struct archive *a, struct buf *to)
{
	_cleanup_buf_ struct buf damage = { 0 };
	uint64_t now = clock_realtime_ns();
	char key[COSIGNER_VKEY_SIZE];

	cosigner_vkey(&a->cosigner, key);
	buf_printf(to, "aggregator  %s\nkey         %s\n", a->cosigner.name, key);
	pthread_mutex_lock(&a->lock);
	buf_printf(to,
		   "holds       %u origins, %u journals\nfollowers   %u\n\n%-32s  %-16s %10s %12s "
		   "%8s %8s\n",
		   a->n_origins, a->n_journals, a->n_followers, "ORIGIN", "HOST", "COMMITS",
		   "ENTRIES", "ABSENT", "NEWEST");
	archive_damage(a, &damage);
	for (uint32_t i = 0; i < a->n_origins; i++) {
		const struct held_origin *o = a->origins[i];
		char hex[2 * ID_SIZE + 1];

		if (o->durable == 0)
			continue;
		text_hex(hex, o->id.b, ID_SIZE);
		buf_printf(to, "%s  %-16s %10" PRIu64 " %12" PRIu64 " %8" PRIu64 " %7" PRIu64 "s\n",
			   hex, o->host, o->durable, o->entries, o->absent,
			   now > o->time_ns ? (now - o->time_ns) / NS_PER_S : 0);
	}
	if (damage.len > 0)
		buf_printf(to, "\nthe answers of this aggregator are not whole:\n%.*s",
			   (int) damage.len, (const char *) damage.data);
	pthread_mutex_unlock(&a->lock);
	return to->bad || damage.bad ? -ENOMEM : 0;
}

void archive_shut_down(struct archive *a)
{
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
}
