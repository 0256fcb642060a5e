/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_ERROR_H
#define BULLA_ERROR_H

/**
 * Error codes.
 *
 * Every function that can fail returns a negative number: a negated errno, or one of these.  The kernel keeps its own
 * below 4096, so both live in one int.  "Corrupt", "tampered" and "too new" must never look alike to a security tool,
 * which is why errno alone does not do.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define BULLA_ERRORS(X) \
	X(BULLA_ETRUNCATED, -4096, "data ends too early") \
	X(BULLA_ECORRUPT,   -4097, "data is corrupt") \
	X(BULLA_ETAMPERED,  -4098, "data was tampered with") \
	X(BULLA_EVERSION,   -4099, "written by a newer or foreign version") \
	X(BULLA_ELIMIT,     -4100, "a limit is exceeded") \
	X(BULLA_ENOTCANON,  -4101, "not in the one canonical encoding") \
	X(BULLA_ESIG,       -4102, "signature does not verify") \
	X(BULLA_EORDER,     -4103, "not the continuation of what is there") \
	X(BULLA_EFORK,      -4104, "two histories of the same origin") \
	X(BULLA_EPARSE,     -4105, "cannot be parsed") \
	X(BULLA_EPEER,      -4106, "the peer broke the protocol") \
	X(BULLA_EHOST,      -4107, "the name of the host cannot be resolved")
/* clang-format on */

enum bulla_error {
#define X(name, value, text) name = value,
	BULLA_ERRORS(X)
#undef X
};

/** The text of an error code of this library or of a negated errno.  Never NULL; valid until the thread's next call. */
const char *bulla_strerror(int error);

#ifdef __cplusplus
}
#endif
#endif
