/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_BASE_LOG_H
#define BULLA_BASE_LOG_H

/**
 * The program's own log: one line on stderr, from main programs only; libraries return codes.
 *
 * Under a service manager (JOURNAL_STREAM or BULLA_LOG_LEVEL_PREFIX set) lines carry the `<N>` prefix of
 * sd-daemon(3).  The content of a record is never logged.
 */

#include "base/attr.h"

enum log_level {
	LOG_LEVEL_ERR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/** Set the name in front of each line and the least important level shown. */
void log_setup(const char *program, enum log_level max);

void log_line(enum log_level level, const char *format, ...) _printf_(2, 3);
/** Log "<words>: <text of the error>" and return the error, so that a caller logs and returns in one breath. */
int log_error_code(int error, const char *format, ...) _printf_(2, 3);

/** Log what is wrong with the command line, and where help is.  @return -EINVAL. */
int log_usage(const char *format, ...) _printf_(1, 2);
/**
 * The same for what getopt_long() has just refused: it returned `c`, '?' or ':', of options that begin with ':', `opterr`
 * being 0.
 */
int log_bad_option(int c, char *const *argv);

#define log_error(...)	 log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
