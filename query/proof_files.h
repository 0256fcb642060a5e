/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_QUERY_PROOF_FILES_H
#define BULLA_QUERY_PROOF_FILES_H

/** Where bulla prove writes proofs: one to a file or standard output, many into a directory, each under the name of its batch. */

#include "base/attr.h"
#include "base/buf.h"
#include "seal/statement.h"

/** Write one; NULL is standard output.  @return 0 or an error that was logged. */
_must_check_ int proof_file_write(const char *name, const struct buf *file);
/** Open the directory, which is made if it is not there.  @return it, or an error that was logged. */
_must_check_ int proof_files_open(const char *name);
/** Write one into the directory, where there must be none of this batch.  @return 0 or an error that was logged. */
_must_check_ int proof_file_batch(int dirfd, const struct batch *b, const struct buf *file);

#endif
