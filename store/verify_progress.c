/* SPDX-License-Identifier: Apache-2.0 */

/** How far verify has come along the ledger, for who waits. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/verify-internal.h"

static uint64_t size_of(const struct verifier *v, uint64_t first)
{
	char name[LEDGER_NAME_SIZE];
	struct stat st;

	ledger_name(first, name);
	return fstatat(v->state->ledger, name, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : (uint64_t) st.st_size;
}

void verify_progress_begin(struct verifier *v)
{
	_cleanup_free_ uint64_t *first = NULL;
	int64_t n;

	if (!v->options->progress)
		return;
	n = ledger_files(v->state->ledger, &first);
	for (int64_t i = 0; i < n; i++)
		v->progress.ledger_total += size_of(v, first[i]);
}

void verify_progress_tell(struct verifier *v)
{
	if (!v->options->progress)
		return;
	if (v->progress_file != v->ledger.first) {
		v->progress_before += size_of(v, v->progress_file);
		v->progress_file = v->ledger.first;
	}
	v->progress.ledger = v->progress_before + v->ledger.reader.offset;
	v->progress.entries = v->report->entries;
	v->options->progress(v->options->arg, &v->progress);
}
