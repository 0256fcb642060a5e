/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/progress.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

enum { PAGE_SIZE_HERE = 4096 };

int progress_create(struct progress *p)
{
	*p = PROGRESS_NONE;
	p->file = memfd_create("bulla-progress", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->file < 0 || ftruncate(p->file, PAGE_SIZE_HERE) < 0 ||
	    fcntl(p->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    pipe2(p->scratch, O_CLOEXEC | O_NONBLOCK) < 0) {
		int r = -errno;

		progress_close(p);
		return r;
	}
	return 0;
}

void progress_resize(struct progress *p, const int source[SOURCES_MAX])
{
	int size = INT_MAX;

	for (size_t i = 0; i < SOURCES_MAX; i++)
		size = MIN_OF(size, fcntl(source[i], F_GETPIPE_SZ));
	if (size > 0 && fcntl(p->scratch[1], F_SETPIPE_SZ, size) < 0)
		return;
}

int progress_map(struct progress *p)
{
	void *page = mmap(NULL, PAGE_SIZE_HERE, PROT_READ | PROT_WRITE, MAP_SHARED, p->file, 0);

	if (page == MAP_FAILED)
		return -errno;
	p->page = page;
	return 0;
}

void progress_close(struct progress *p)
{
	if (p->page)
		munmap(p->page, PAGE_SIZE_HERE);
	close_fd(&p->file);
	close_fd(&p->scratch[0]);
	close_fd(&p->scratch[1]);
	p->page = NULL;
}

static ssize_t move(int from, int to, uint64_t n)
{
	ssize_t k;

	do
		k = splice(from, NULL, to, NULL, n, SPLICE_F_NONBLOCK);
	while (k < 0 && errno == EINTR);
	return k < 0 ? -errno : k;
}

static int drop(int scratch, int null, uint64_t n)
{
	while (n > 0) {
		ssize_t k = move(scratch, null, n);

		if (k <= 0)
			return k < 0 ? (int) k : -EIO;
		n -= (uint64_t) k;
	}
	return 0;
}

int progress_consume(struct progress *p, unsigned source, int fd, int null, uint64_t n)
{
	struct progress_page *page = p->page;

	assert(source < SOURCES_MAX);
	/* Where scratch holds less than the source, it takes more than one move. */
	while (n > 0) {
		uint64_t base = atomic_load(&page->consumed[source]);
		ssize_t k;
		int r;

		atomic_store(&page->base, base);
		atomic_store(&page->moving, source + 1);
		k = move(fd, p->scratch[1], n);
		if (k > 0)
			atomic_store(&page->consumed[source], base + (uint64_t) k);
		else if (k == 0 || k == -EAGAIN)
			atomic_store(&page->consumed[source], base + n);
		atomic_store(&page->moving, 0);
		if (k == 0 || k == -EAGAIN)
			return 1;
		if (k < 0)
			return (int) k;
		r = drop(p->scratch[0], null, (uint64_t) k);
		if (r < 0)
			return r;
		n -= (uint64_t) k;
	}
	return 0;
}

uint64_t progress_consumed(const struct progress *p, unsigned source)
{
	assert(source < SOURCES_MAX);
	return atomic_load(&p->page->consumed[source]);
}

struct progress_drops progress_drops(const struct progress *p)
{
	return p->page->drops[atomic_load(&p->page->current) & 1];
}

void progress_note_drops(struct progress *p, const struct progress_drops *d)
{
	uint32_t next = (atomic_load(&p->page->current) & 1) ^ 1;

	p->page->drops[next] = *d;
	atomic_store(&p->page->current, next);
}

int progress_settle(struct progress *p, int null, uint64_t *ret_total)
{
	struct progress_page page;
	int in_scratch = 0, r;
	uint64_t total = 0;

	if (io_pread(p->file, &page, sizeof page, 0) != sizeof page ||
	    ioctl(p->scratch[0], FIONREAD, &in_scratch) < 0)
		return -EIO;
	if (page.moving > 0 && page.moving <= SOURCES_MAX)
		page.consumed[page.moving - 1] = page.base + (uint64_t) in_scratch;
	page.moving = 0;
	r = drop(p->scratch[0], null, (uint64_t) in_scratch);
	if (r >= 0)
		r = io_pwrite(p->file, &page, sizeof page, 0);
	for (unsigned i = 0; i < SOURCES_MAX; i++)
		total += page.consumed[i];
	if (r >= 0)
		*ret_total = total;
	return r;
}
