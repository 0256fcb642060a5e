/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_ATTR_H
#define BULLA_BASE_ATTR_H

/** Compiler attributes under short names. */

#define _must_check_   __attribute__((__warn_unused_result__))
#define _printf_(a, b) __attribute__((__format__(__printf__, a, b)))
#define _cleanup_(f)   __attribute__((__cleanup__(f)))
#define _noreturn_     __attribute__((__noreturn__))
#define _pure_	       __attribute__((__pure__))
#define _unused_       __attribute__((__unused__))
/* Not even zeroes: for what is large, filled by the next call, and too often needed to be cleared each time. */
#define _uninitialized_ __attribute__((__uninitialized__))
#define _likely_(x)	__builtin_expect(!!(x), 1)
#define _unlikely_(x)	__builtin_expect(!!(x), 0)
#define ELEMENTS(array) (sizeof(array) / sizeof *(array))
#define STRLEN(literal) (sizeof(literal) - 1)
#define MIN_OF(a, b)	((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)	((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, to) (((x) + ((to) -1)) & ~((__typeof__(x)) (to) -1))

#endif
