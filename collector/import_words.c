/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_words.h"

#include <string.h>

static const struct {
	const char *name;
	enum import_meaning meaning;
} known[] = {
	{ "UNIT", MEANS_ABOUT_UNIT },
	{ "_COMM", MEANS_COMM },
	{ "MESSAGE", MEANS_MESSAGE },
	{ "_TENANT", MEANS_OURS },
	{ "PRIORITY", MEANS_PRIORITY },
	{ "_HOSTNAME", MEANS_HOSTNAME },
	{ "_MACHINE_ID", MEANS_MACHINE },
	{ "_LINE_BREAK", MEANS_LINE_BREAK },
	{ "CONTAINER_ID_FULL", MEANS_CONTAINER },
	{ "_CONTAINER_ID", MEANS_CONTAINER + 1 },
	{ "CONTAINER_ID", MEANS_CONTAINER + 2 },
	{ "_CONTAINER_NAME", MEANS_CONTAINER + 3 },
	{ "CONTAINER_NAME", MEANS_CONTAINER + 4 },
	{ "_ATTRIBUTION", MEANS_OURS },
	{ "_SYSTEMD_UNIT", MEANS_UNIT },
	{ "SYSLOG_IDENTIFIER", MEANS_IDENTIFIER },
	{ "_SYSTEMD_USER_UNIT", MEANS_USER_UNIT },
};

static uint64_t load(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

/* Up to eight bytes as a number; with the length they tell what they were. */
static uint64_t load_few(const uint8_t *p, size_t n)
{
	if (n >= 4)
		return load(p, 4) << 32 | load(p + n - 4, 4);
	return n == 0 ? 0 : (uint64_t) p[0] << 16 | (uint64_t) p[n / 2] << 8 | p[n - 1];
}

/* Eight bytes at a time; whoever finds something by it compares the bytes. */
uint64_t import_hash(const void *data, size_t n, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ n * UINT64_C(0x9e3779b97f4a7c15), last;
	size_t left = n;

	for (; left > 8; left -= 8, p += 8) {
		h = (h ^ load(p, 8)) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	last = n >= 8 ? load(p + left - 8, 8) : load_few(p, left);
	h = (h ^ last) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

bool import_is_told(const struct field *f)
{
	static const char begin[] = "_IMPORT_";

	return f->name_len >= STRLEN(begin) && memcmp(f->name, begin, STRLEN(begin)) == 0;
}

static int add(struct import_words *w, const struct field *f, uint64_t hash)
{
	struct import_word *word = &w->at[w->n];

	word->hash = hash;
	word->meaning = import_is_told(f) ? MEANS_OURS : MEANS_NOTHING;
	word->len = f->name_len;
	memcpy(word->name, f->name, f->name_len);
	return (int) w->n++;
}

static bool is_word(const struct import_word *word, const struct field *f)
{
	return word->len == f->name_len && import_same(word->name, f->name, f->name_len);
}

/* By its hash, where it is not what was expected. */
static int find(struct import_words *w, const struct field *f)
{
	uint64_t hash = import_hash(f->name, f->name_len, 0);
	uint32_t at = (uint32_t) hash & (IMPORT_WORD_SLOTS - 1);

	for (; w->slot[at] != 0; at = (at + 1) & (IMPORT_WORD_SLOTS - 1))
		if (is_word(&w->at[w->slot[at] - 1], f))
			return w->slot[at] - 1;
	if (w->n == IMPORT_WORDS_MAX)
		return -1;
	w->slot[at] = (uint16_t) (w->n + 1);
	return add(w, f, hash);
}

int import_word_of(struct import_words *w, uint32_t place, const struct field *f)
{
	uint16_t *before = &w->before[place & (IMPORT_WORD_PLACES - 1)];
	int number = *before - 1;

	if (number >= 0 && is_word(&w->at[number], f))
		return number;
	number = find(w, f);
	*before = (uint16_t) (number + 1);
	return number;
}

void import_words_init(struct import_words *w)
{
	memset(w, 0, sizeof *w);
	for (size_t i = 0; i < ELEMENTS(known); i++) {
		struct field f = { .name = (const uint8_t *) known[i].name,
				   .name_len = (uint8_t) strlen(known[i].name) };

		w->at[find(w, &f)].meaning = (uint8_t) known[i].meaning;
	}
}
