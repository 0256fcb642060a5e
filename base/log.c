/* SPDX-License-Identifier: Apache-2.0 */

#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "bulla/error.h"

static const char *program_name = "bulla";
static enum log_level level_max = LOG_LEVEL_INFO;

void log_setup(const char *program, enum log_level max)
{
	program_name = program;
	level_max = max;
}

/* One write per line, so that the lines of several processes on one stderr stay whole. */
static void emit(enum log_level level, const char *words, const char *cause)
{
	char line[2048];
	int n;

	if (level > level_max)
		return;
	if (getenv("JOURNAL_STREAM") || getenv("BULLA_LOG_LEVEL_PREFIX"))
		n = snprintf(line, sizeof line, "<%d>%s%s%s\n", (int) level, words,
			     cause ? ": " : "", cause ? cause : "");
	else
		n = snprintf(line, sizeof line, "%s: %s%s%s\n", program_name, words,
			     cause ? ": " : "", cause ? cause : "");
	if (n < 0)
		return;
	if ((size_t) n >= sizeof line) {
		n = sizeof line - 1;
		line[n - 1] = '\n';
	}
	if (io_write(2, line, (size_t) n) < 0)
		return;
}

void log_line(enum log_level level, const char *format, ...)
{
	char words[1800];
	va_list ap;

	va_start(ap, format);
	vsnprintf(words, sizeof words, format, ap);
	va_end(ap);
	emit(level, words, NULL);
}

int log_error_code(int error, const char *format, ...)
{
	char words[1800];
	va_list ap;

	va_start(ap, format);
	vsnprintf(words, sizeof words, format, ap);
	va_end(ap);
	emit(LOG_LEVEL_ERR, words, bulla_strerror(error));
	return error;
}

int log_usage(const char *format, ...)
{
	char words[1800];
	va_list ap;

	va_start(ap, format);
	vsnprintf(words, sizeof words, format, ap);
	va_end(ap);
	log_line(LOG_LEVEL_ERR, "%s (see %s --help)", words, program_name);
	return -EINVAL;
}

int log_bad_option(int c, char *const *argv)
{
	const char *word = argv[optind - 1];
	char letter[3] = { '-', (char) optopt, '\0' };

	/* A letter may be one of several in its word, which getopt has not left yet. */
	if (optopt > 0 && strncmp(word, "--", 2) != 0)
		word = letter;
	return c == ':' ? log_usage("%s wants a value", word)
			: log_usage("there is no option %s", word);
}
