/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/vectors.h"

#include "tests/harness.h"

#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

const char *vectors_path(const char *name)
{
	static char path[4096];
	const char *dir = testdata();

	if (!dir)
		cr_skip_test("needs the test data");
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

json_t *vectors_load(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, JSON_DECODE_INT_AS_REAL, &error);

	cr_assert(ne(ptr, root, NULL), "%s:%d: %s", path, error.line, error.text);
	return root;
}

static void (*walk_each)(const char *path, json_t *vector);
static size_t walked;

static int walk_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	size_t len = strlen(path);
	json_t *vector;

	(void) st;
	(void) at;
	if (type != FTW_F || len < 5 || strcmp(path + len - 5, ".json") != 0)
		return 0;
	vector = vectors_load(path);
	walk_each(path, vector);
	json_decref(vector);
	walked++;
	return 0;
}

size_t vectors_walk(const char *path, void (*each)(const char *path, json_t *vector))
{
	walk_each = each;
	walked = 0;
	cr_assert(eq(int, nftw(path, walk_entry, 16, FTW_PHYS), 0), "%s", path);
	return walked;
}

uint64_t vectors_u64(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	bool is_number = json_is_number(value);
	double v;

	cr_assert(is_number, "%s", key);
	v = json_number_value(value);
	return v >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t) v;
}

const char *vectors_str(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	bool is_string = json_is_string(value);

	cr_assert(is_string, "%s", key);
	return json_string_value(value);
}

size_t vectors_unhex(const char *text, void *to, size_t size_max)
{
	size_t n;

	cr_assert(eq(int, sodium_hex2bin(to, size_max, text, strlen(text), NULL, &n, NULL), 0),
		  "%s", text);
	return n;
}

size_t vectors_unbase64(const char *text, void *to, size_t size_max)
{
	size_t n;

	cr_assert(eq(int,
		     sodium_base642bin(to, size_max, text, strlen(text), NULL, &n, NULL,
				       sodium_base64_VARIANT_ORIGINAL),
		     0),
		  "%s", text);
	return n;
}

size_t vectors_read(const char *path, void *to, size_t size_max)
{
	FILE *f = fopen(path, "rbe");
	size_t n;

	cr_assert(ne(ptr, f, NULL), "%s", path);
	n = fread(to, 1, size_max, f);
	cr_assert(eq(int, fgetc(f), EOF), "%s: more than %zu bytes", path, size_max);
	fclose(f);
	return n;
}
