/* SPDX-License-Identifier: Apache-2.0 */

/** Behind crash_model.h. */

#include "tests/crash_model.h"

#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/io.h"

static const char *name_of(const struct trace_record *r, char ret[80])
{
	assert(r->name_len < 80);
	memcpy(ret, r + 1, r->name_len);
	ret[r->name_len] = '\0';
	return ret;
}

static const uint8_t *data_of(const struct trace_record *r)
{
	return (const uint8_t *) (r + 1) + r->name_len;
}

/* Files. */

static unsigned add_file(struct model *m, uint64_t ino, bool is_dir)
{
	struct model_file *f = &m->file[m->n];

	assert(m->n < MODEL_FILES_MAX);
	*f = (struct model_file){ .ino = ino, .is_dir = is_dir };
	if (is_dir) {
		f->names = calloc(MODEL_NAMES_MAX, sizeof *f->names);
		assert(f->names);
	}
	return m->n++;
}

/* The newest of that number: an earlier one is gone. */
int model_find(const struct model *m, uint64_t ino)
{
	for (unsigned i = m->n; i > 0; i--)
		if (m->file[i - 1].ino == ino)
			return (int) i - 1;
	return -1;
}

static unsigned file_of(const struct model *m, uint64_t ino)
{
	int i = model_find(m, ino);

	assert(i >= 0);
	return (unsigned) i;
}

static void resize(struct model_file *f, uint64_t size)
{
	uint8_t *p = realloc(f->data, size ? size : 1);

	assert(p);
	if (size > f->size)
		memset(p + f->size, 0, size - f->size);
	f->data = p;
	f->size = size;
}

static int find_name(const struct model_file *dir, const char *name)
{
	for (unsigned i = 0; i < dir->n_names; i++)
		if (strcmp(dir->names[i].name, name) == 0)
			return (int) i;
	return -1;
}

static void remove_name(struct model_file *dir, const char *name)
{
	int i = find_name(dir, name);

	if (i >= 0)
		dir->names[i] = dir->names[--dir->n_names];
}

static void set_name(struct model_file *dir, const char *name, unsigned file)
{
	struct model_name *n;

	remove_name(dir, name);
	assert(dir->n_names < MODEL_NAMES_MAX);
	n = &dir->names[dir->n_names++];
	strcpy(n->name, name);
	n->file = file;
}

/* Calls. */

static void apply_write(struct model_file *f, const struct trace_record *r, bool torn,
			uint64_t *dice)
{
	uint64_t end = r->offset + r->data_len;

	if (f->size < end)
		resize(f, end);
	for (uint64_t at = r->offset; at < end;) {
		uint64_t next = MIN_OF(end, (at / SECTOR + 1) * SECTOR);
		bool lost = false;

		if (torn) {
			*dice = *dice * 6364136223846793005ull + 1442695040888963407ull;
			lost = *dice >> 40 & 1;
		}
		if (!lost)
			memcpy(f->data + at, data_of(r) + (at - r->offset), next - at);
		at = next;
	}
}

static void apply(struct model_file *files, const struct model_pending *p, bool torn,
		  uint64_t *dice)
{
	struct model_file *f = &files[p->file];
	char name[80], other[80];
	int i;

	switch (p->r->op) {
	case TRACE_WRITE:
		apply_write(f, p->r, torn, dice);
		break;
	case TRACE_TRUNCATE:
		resize(f, p->r->offset);
		break;
	case TRACE_ALLOCATE:
		if (p->r->offset > f->size)
			resize(f, p->r->offset);
		break;
	case TRACE_CREATE:
	case TRACE_MKDIR:
	case TRACE_LINK:
		set_name(f, name_of(p->r, name), p->other);
		break;
	case TRACE_UNLINK:
		remove_name(f, name_of(p->r, name));
		break;
	case TRACE_RENAME:
		i = find_name(f, name_of(p->r, name));
		if (i < 0)
			break;
		assert(p->r->data_len < sizeof other);
		memcpy(other, data_of(p->r), p->r->data_len);
		other[p->r->data_len] = '\0';
		set_name(&files[p->other], other, f->names[i].file);
		remove_name(f, name);
		break;
	default:
		assert(!"no such call");
	}
}

static void add_pending(struct model *m, const struct trace_record *r, unsigned file,
			unsigned other)
{
	if (m->n_pending == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->pending = reallocarray(m->pending, m->cap, sizeof *m->pending);
		assert(m->pending);
	}
	m->pending[m->n_pending++] = (struct model_pending){ r, file, other };
}

static void sync_file(struct model *m, unsigned file)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_pending; i++) {
		if (m->pending[i].file == file)
			apply(m->file, &m->pending[i], false, NULL);
		else
			m->pending[kept++] = m->pending[i];
	}
	m->n_pending = kept;
}

void model_do(struct model *m, const struct trace_record *r)
{
	int i;

	switch (r->op) {
	case TRACE_ROOT:
		/* Of programs that start together, each may say it. */
		assert(m->n == 0 || m->file[0].ino == r->ino);
		if (m->n == 0)
			add_file(m, r->ino, true);
		break;
	case TRACE_CREATE:
	case TRACE_MKDIR:
		add_pending(m, r, file_of(m, r->dir), add_file(m, r->ino, r->op == TRACE_MKDIR));
		break;
	case TRACE_LINK:
		add_pending(m, r, file_of(m, r->dir), file_of(m, r->ino));
		break;
	case TRACE_UNLINK:
		add_pending(m, r, file_of(m, r->dir), 0);
		break;
	case TRACE_RENAME:
		add_pending(m, r, file_of(m, r->dir), file_of(m, r->ino));
		break;
	case TRACE_SYNC:
		/* Of what lies above the directory, nothing is known or asked. */
		i = model_find(m, r->ino);
		if (i >= 0)
			sync_file(m, (unsigned) i);
		break;
	case TRACE_MARK:
		break;
	default:
		add_pending(m, r, file_of(m, r->ino), 0);
	}
}

void model_init(struct model *m)
{
	memset(m, 0, sizeof *m);
}

static void files_done(struct model_file *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		free(f[i].data);
		free(f[i].names);
	}
}

void model_done(struct model *m)
{
	files_done(m->file, m->n);
	free(m->pending);
}

/* Crashing. */

static void copy_touched(struct model_file *to, const struct model_file *from)
{
	*to = *from;
	to->data = malloc(from->size ? from->size : 1);
	assert(to->data);
	if (from->size > 0)
		memcpy(to->data, from->data, from->size);
	if (from->is_dir) {
		to->names = calloc(MODEL_NAMES_MAX, sizeof *to->names);
		assert(to->names);
		memcpy(to->names, from->names, from->n_names * sizeof *to->names);
	}
}

static void mix(uint64_t *hash, const void *p, size_t n)
{
	uint32_t a = crc32c((uint32_t) *hash, p, n), b = crc32c((uint32_t) (*hash >> 32) ^ a, p, n);

	*hash = (*hash * 0x9e3779b97f4a7c15ull) ^ ((uint64_t) b << 32 | a);
}

static void write_file(int dir, const char *name, const struct model_file *f, uint64_t *hash)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t used = f->size;
	int r;

	assert(fd >= 0);
	while (used > 0 && f->data[used - 1] == 0)
		used--;
	mix(hash, name, strlen(name));
	mix(hash, &f->size, sizeof f->size);
	mix(hash, f->data, used);
	r = io_pwrite(fd, f->data, used, 0);
	if (r == 0)
		r = ftruncate(fd, (off_t) f->size);
	assert(r == 0);
}

static void write_dir(int at, const struct model_file *files, unsigned dir, uint64_t *hash)
{
	const struct model_file *d = &files[dir];

	for (unsigned i = 0; i < d->n_names; i++) {
		const struct model_name *n = &d->names[i];

		if (files[n->file].is_dir) {
			_cleanup_close_ int fd = -1;
			int r = mkdirat(at, n->name, 0700);

			assert(r == 0);
			fd = openat(at, n->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			assert(fd >= 0);
			mix(hash, n->name, strlen(n->name));
			write_dir(fd, files, n->file, hash);
		} else {
			write_file(at, n->name, &files[n->file], hash);
		}
	}
}

uint64_t model_crash(const struct model *m, const uint8_t *fate, uint64_t *dice, const char *path)
{
	struct model_file *files = calloc(m->n ? m->n : 1, sizeof *files);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t hash = 0;

	assert(files && fd >= 0);
	for (unsigned i = 0; i < m->n; i++)
		copy_touched(&files[i], &m->file[i]);
	for (size_t i = 0; i < m->n_pending; i++)
		if (fate[i] != FATE_LOST)
			apply(files, &m->pending[i], fate[i] == FATE_TORN, dice);
	if (m->n > 0)
		write_dir(fd, files, 0, &hash);
	files_done(files, m->n);
	free(files);
	return hash;
}
