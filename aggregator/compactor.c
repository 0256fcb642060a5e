/* SPDX-License-Identifier: Apache-2.0 */

/**
 * An object is packed in these steps, each durable before the next:
 *
 *	for each part (journals of one tenant, not too many):
 *		its segment is written and read back under the name "unfinished"
 *		it gets its name              from here on its entries are packed, and a start finds them so
 *		it takes the rows' place in memory
 *	the rest is written and gets its name
 *	rows that stay are looked for there
 *	the object goes, with its last reader
 */

#include "aggregator/compactor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/packing.h"
#include "aggregator/rest.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/room.h"
#include "base/text.h"
#include "bulla/error.h"

enum {
	OBJECT_PARTS_MAX =
		256, /* a host may claim any number of tenants; what is behind these stays as it is */
	ROUND_S = 1,
	TROUBLE_S = 10, /* before the next try, when a round has failed */
	NICENESS = 10,
};

/* Where a rows frame that stays has come to. */
struct moved {
	uint64_t from, to;
};

/* An object being packed. */
struct job {
	struct packing packing;
	const struct compactor_options *options;
	struct compactor_round *round;
	const atomic_bool *stop;
	int fd;		/* of the object */
	uint64_t *stay; /* owned, ascending: where rows that stay begin */
	size_t n_stay, stay_cap;
	struct moved *moved; /* owned, ascending */
	size_t n_moved, moved_cap;
};

static void job_done(struct job *k)
{
	packing_done(&k->packing);
	close_fd(&k->fd);
	free(k->stay);
	free(k->moved);
}

/* Segments. */

/* The segment is complete: from here on it counts. */
static int give_name(const struct packing *p, char ret[HELD_NAME_SIZE])
{
	int dirfd = p->archive->segments[p->lane->number];
	int r = archive_segment_name(p->archive, p->lane->number, p->seq, p->seq + 1, ret);

	if (r >= 0 && renameat2(dirfd, SEGMENT_UNFINISHED, dirfd, ret, RENAME_NOREPLACE) < 0)
		r = -errno;
	return r < 0 ? r : io_sync_dir(dirfd);
}

static int publish(struct job *k, const struct compacted *made)
{
	const struct packing *p = &k->packing;
	struct held_segment *s;
	char name[HELD_NAME_SIZE], size[16];
	int r = give_name(p, name);

	if (r >= 0)
		r = archive_open_segment(p->archive, p->lane->number, name, &s);
	if (r < 0)
		return r;
	r = archive_publish_segment(p->archive, s, NULL, 0);
	if (r < 0) {
		held_segment_free(s);
		return r;
	}
	k->round->segments++;
	k->round->entries += made->entries;
	text_size(size, made->size);
	log_info("segments/%02u/%s: %" PRIu64 " entries, %s, %.1f bytes an entry", p->lane->number,
		 name, made->entries, size,
		 (double) made->size / (double) MAX_OF(made->entries, (uint64_t) 1));
	return 0;
}

static int pack_part(struct job *k, uint32_t number)
{
	_cleanup_(packing_part_done) struct packing_part x = { 0 };
	struct packing *p = &k->packing;
	int dirfd = archive_segments_dir(p->archive, p->lane->number);
	struct compacted made;
	int r = dirfd < 0 ? dirfd : packing_part_make(&x, p, number);

	if (r < 0)
		return r;
	/* One that was not finished is of no use. */
	if (unlinkat(dirfd, SEGMENT_UNFINISHED, 0) < 0 && errno != ENOENT)
		return -errno;
	x.task.object = k->fd;
	x.task.level = k->options->level;
	x.task.stop = k->stop;
	r = compact(&x.task, dirfd, SEGMENT_UNFINISHED, &made);
	for (size_t i = 0; r >= 0 && i < x.task.n_batches; i++)
		p->batches[x.batches[i]].left_out = x.task.batches[i].left_out;
	return r == 0 ? publish(k, &made) : MIN_OF(r, 0);
}

/* The rest. */

static int compare_offsets(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static bool stays(void *arg, uint64_t offset)
{
	const struct job *k = arg;

	return k->n_stay > 0 &&
	       bsearch(&offset, k->stay, k->n_stay, sizeof offset, compare_offsets);
}

static int note_moved(void *arg, uint64_t from, uint64_t to)
{
	struct job *k = arg;

	if (!room_for(&k->moved, k->n_moved, &k->moved_cap, sizeof *k->moved))
		return -ENOMEM;
	k->moved[k->n_moved++] = (struct moved){ from, to };
	return 0;
}

static int list_what_stays(struct job *k)
{
	const struct packing *p = &k->packing;

	for (size_t i = 0; i < p->n_batches; i++) {
		if (!p->batches[i].left_out)
			continue;
		if (!room_for(&k->stay, k->n_stay, &k->stay_cap, sizeof *k->stay))
			return -ENOMEM;
		k->stay[k->n_stay++] = p->batches[i].offset;
	}
	k->round->left_out += k->n_stay;
	if (k->n_stay > 0)
		log_warning("lanes/%02u/%020" PRIu64
			    ": %zu batches are not what was sealed, or too many "
			    "tenants'; their rows stay in the rest",
			    p->lane->number, p->seq, k->n_stay);
	return 0;
}

/* An attempt that a crash ended may have come so far already. */
static int publish_rest(const struct lane *l, const char *name)
{
	int r = objstore_publish(l->prefix, name);

	if (r != -EEXIST)
		return r;
	r = objstore_compare(l->prefix, name);
	objstore_give_up(l->prefix, name);
	return r < 0 ? r : r > 0 ? 0 : BULLA_ECORRUPT;
}

static int make_rest(struct job *k)
{
	const struct rest x = { .stays = stays, .moved = note_moved, .arg = k };
	const struct packing *p = &k->packing;
	_cleanup_close_ int fd = -1;
	char name[LANE_NAME_SIZE];
	int64_t r;

	lane_name(p->seq, true, name);
	fd = objstore_begin(p->lane->prefix, name);
	if (fd < 0)
		return fd;
	r = rest_write(&x, k->fd, p->taken, fd);
	if (r >= 0)
		r = io_sync(fd);
	if (r >= 0)
		return publish_rest(p->lane, name);
	objstore_give_up(p->lane->prefix, name);
	return (int) r;
}

/* Look for a rows frame that stays in the rest.  @return whether it is there. */
static bool find_moved(const struct job *k, struct rows_ref *ref, uint32_t rest)
{
	const struct moved *m = k->n_moved == 0 ? NULL
						: bsearch(&ref->offset, k->moved, k->n_moved,
							  sizeof *k->moved, compare_offsets);

	if (!m)
		return false;
	ref->offset = m->to;
	ref->file = rest;
	return true;
}

/* Called with the lock held.  @return whether all rows that stay are in the rest. */
static bool move_rows(const struct job *k, uint32_t rest)
{
	const struct packing *p = &k->packing;
	bool all = true;

	for (uint32_t i = 0; i < p->n_journals; i++) {
		struct held_journal *j = p->archive->journals[p->journals[i].number];

		for (size_t n = 0; n < j->rows.n; n++)
			if (j->rows.at[n].file == p->object)
				all &= find_moved(k, &j->rows.at[n], rest);
	}
	return all;
}

/* The rest is there: it takes the object's place. */
static int replace_object(const struct job *k)
{
	const struct packing *p = &k->packing;
	struct archive *a = p->archive;
	int64_t rest;
	int r;

	pthread_mutex_lock(&a->lock);
	rest = archive_object(a, p->lane, p->seq, true);
	r = rest < 0 ? (int) rest : archive_next_view(a, &(struct change){ .object = p->object });
	if (r >= 0 && !move_rows(k, (uint32_t) rest))
		log_error("lanes/%02u/%020" PRIu64 ": rows of it are in no rest", p->lane->number,
			  p->seq);
	if (r >= 0)
		a->objects[p->object].packed = true;
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* Objects. */

/* Whether every byte of it counts, so that what is neither packed nor in the rest is nothing. */
static bool is_whole(const struct job *k)
{
	struct stat st;

	return !k->packing.lost && fstat(k->fd, &st) == 0 &&
	       (uint64_t) st.st_size == k->packing.taken;
}

/* Say why, once; the next start tries again. */
static void leave_alone(const struct packing *p, int r)
{
	struct archive *a = p->archive;

	if (r < 0)
		log_error_code(r, "lanes/%02u/%020" PRIu64 " cannot be packed", p->lane->number,
			       p->seq);
	else
		log_error("lanes/%02u/%020" PRIu64 " is left as it is: some of it does not count",
			  p->lane->number, p->seq);
	pthread_mutex_lock(&a->lock);
	a->objects[p->object].left_alone = true;
	pthread_mutex_unlock(&a->lock);
}

static int pack_object(struct job *k)
{
	uint32_t parts = MIN_OF(k->packing.n_parts, (uint32_t) OBJECT_PARTS_MAX);
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < parts; i++)
		r = pack_part(k, i);
	if (r >= 0)
		r = list_what_stays(k);
	if (r >= 0)
		r = make_rest(k);
	if (r >= 0)
		r = replace_object(k);
	k->round->objects += r >= 0;
	return r;
}

/* Whether an error is the object's, and would be there again. */
static bool is_damage(int r)
{
	return r <= BULLA_ETRUNCATED || r == -EIO;
}

/* @return 1: one is done with; 0: there is none; an error that is not its own. */
static int pack_one(struct archive *a, const struct compactor_options *o, const atomic_bool *stop,
		    struct compactor_round *round)
{
	_cleanup_(job_done) struct job k = { .options = o, .round = round, .stop = stop, .fd = -1 };
	int r = packing_begin(&k.packing, a);

	if (r <= 0)
		return r;
	k.fd = lane_read(k.packing.lane, k.packing.seq, false);
	if (k.fd >= 0 && !is_whole(&k)) {
		leave_alone(&k.packing, 0);
		return 1;
	}
	r = k.fd < 0 ? k.fd : pack_object(&k);
	if (is_damage(r))
		leave_alone(&k.packing, r);
	return r < 0 && !is_damage(r) ? r : 1;
}

int compactor_round(struct archive *a, const struct compactor_options *o, const atomic_bool *stop,
		    struct compactor_round *ret)
{
	int rotated = 0, r = 1;

	*ret = (struct compactor_round){ 0 };
	for (unsigned i = 0; i < LANES; i++) {
		r = lane_rotate(&a->lane[i], o->age_ns);
		rotated = MIN_OF(rotated, r);
	}
	do {
		r = pack_one(a, o, stop, ret);
		archive_collect(a);
	} while (r > 0 && !(stop && *stop));
	return r == -EINTR ? 0 : MIN_OF(r, rotated);
}

/* The thread. */

struct compactor {
	struct archive *archive;
	struct compactor_options options;
	pthread_t thread;
	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
};

/* Whoever sends and asks comes first. */
static void be_humble(void)
{
	enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_IDLE = 3 << 13 };

	/* Of this thread alone. */
	if (setpriority(PRIO_PROCESS, (id_t) gettid(), NICENESS) < 0 ||
	    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) < 0)
		log_debug("the priority stays as it is");
}

static void wait_for(struct compactor *c, unsigned seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&c->lock);
	if (!c->stop)
		pthread_cond_timedwait(&c->stopped, &c->lock, &until);
	pthread_mutex_unlock(&c->lock);
}

static void *work(void *arg)
{
	struct compactor *c = arg;

	be_humble();
	while (!c->stop) {
		struct compactor_round done;
		int r = compactor_round(c->archive, &c->options, &c->stop, &done);

		if (r < 0)
			log_error_code(r, "pack lanes");
		wait_for(c, r < 0 ? TROUBLE_S : ROUND_S);
	}
	return NULL;
}

int compactor_start(struct compactor **ret, struct archive *a, const struct compactor_options *o)
{
	struct compactor *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return -ENOMEM;
	c->archive = a;
	c->options = *o;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->stopped, NULL);
	r = pthread_create(&c->thread, NULL, work, c);
	if (r != 0) {
		free(c);
		return -r;
	}
	*ret = c;
	return 0;
}

struct compactor *compactor_stop(struct compactor *c)
{
	if (!c)
		return NULL;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->stopped);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->stopped);
	free(c);
	return NULL;
}
