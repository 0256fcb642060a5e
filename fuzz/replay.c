/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The engine of those who have none: runs each file given, and each file of each directory given,
 * through the target.
 *
 * The name is printed before the run, so that the last line names the culprit.  Each input lies
 * alone on the heap, where AddressSanitizer sees a read past its end.  The empty input always
 * runs.  No file at all is a failure: a corpus that got lost must not look like a corpus that
 * passed; nor must one of which nothing was let in (fuzz.h).
 */

#include "fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

unsigned fuzz_let_in;

static unsigned n_files;

static int complain(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return -1;
}

static int run_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);
	FILE *f = fopen(path, "rbe");
	int r = -1;

	if (!data || !f || fread(data, 1, size, f) != size) {
		complain(path);
	} else {
		fprintf(stderr, "%s\n", path);
		r = LLVMFuzzerTestOneInput(data, size);
		n_files++;
	}
	if (f)
		fclose(f);
	free(data);
	return r;
}

static int run(const char *path);

static int run_dir(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort), r = 0;
	char below[4096];

	if (n < 0)
		return complain(path);
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name);
			if (run(below) != 0)
				r = -1;
		}
		free(names[i]);
	}
	free(names);
	return r;
}

static int run(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return complain(path);
	return S_ISDIR(st.st_mode) ? run_dir(path) : run_file(path, (size_t) st.st_size);
}

int main(int argc, char **argv)
{
	uint8_t *nothing = calloc(1, 1);
	int r = LLVMFuzzerTestOneInput(nothing, 0);

	free(nothing);
	for (int i = 1; i < argc; i++)
		if (run(argv[i]) != 0)
			r = -1;
	if (n_files == 0) {
		fprintf(stderr, "no input was found\n");
		return EXIT_FAILURE;
	}
	if (&fuzz_has_entrance && fuzz_let_in == 0) {
		fprintf(stderr, "all inputs were turned away at the entrance\n");
		return EXIT_FAILURE;
	}
	printf("Replayed: %u\n", n_files);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
