/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_TESTS_HARNESS_H
#define BULLA_TESTS_HARNESS_H

/**
 * What every unit test starts with: Criterion, and the holes of Criterion closed.
 *
 * Open a file with Suite(name) instead of TestSuite(name): leaks then fail the test (see
 * harness.c), a hanging test is ended, and directories from tempdir() disappear.  Use the
 * new-style assertions, cr_assert(eq(u64, a, b)): they print both values; in a loop, name the loop
 * variable in the message.
 *
 * Three traps of Criterion.  A parameter reaches its test in another process, laid out elsewhere:
 * it holds arrays, never pointers, not even to literals.  A bare condition must not begin with a
 * parenthesis, nor be a pointer: write `p != NULL`.  A test that forks must leave the child by
 * _exit(), and close its copies of pipe ends.
 */

#include <stddef.h>
#include <stdint.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/parameterized.h>
#include <criterion/theories.h>

/* Criterion 2.4 takes gt() for "not less", so that what is equal passes. */
#undef CRI_BINOP_T_GT
#define CRI_BINOP_T_GT(Tag, Actual, Ref) \
	(CRI_BINOP_LT_TAG(Tag, !, Actual, Ref) && CRI_BINOP_EQ_TAG(Tag, !, Actual, Ref))

/** Seconds after which a test counts as hanging: sanitizers and busy machines are slow. */
#define HARNESS_TIMEOUT_S 300

/** A suite whose tests fail when they leak and leave no directory behind. */
#define Suite(name) TestSuite(name, .fini = harness_teardown, .timeout = HARNESS_TIMEOUT_S)

/** Runs after each test of a Suite(): looks for leaks (and aborts), removes what tempdir() made. */
void harness_teardown(void);

/**
 * Make an empty directory that the test's end removes with all its content; a test that crashes
 * leaves it behind.  It is in memory where the machine has enough of it, or below TMPDIR if that is
 * set.
 *
 * @return its path, valid until the test ends.  Never NULL: a machine that cannot do it ends the
 * test.
 */
const char *tempdir(void);

/**
 * The directory of outside test vectors: $BULLA_TESTDATA, else the build's -Dtestdata.
 *
 * @return NULL if it is not there; then cr_skip_test("needs the test data"), so that the report
 * says so.
 */
const char *testdata(void);

/** The next number of a splitmix64 sequence; print the seed with a failure. */
static inline uint64_t random_u64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void random_fill(uint64_t *state, void *to, size_t n)
{
	uint8_t *p = to;

	while (n-- > 0)
		*p++ = (uint8_t) random_u64(state);
}

/** A copy of its own size on the heap, for AddressSanitizer to guard its end.  Free it. */
uint8_t *exact_copy(const void *from, size_t n);

#endif
