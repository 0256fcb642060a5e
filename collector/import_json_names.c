/* SPDX-License-Identifier: Apache-2.0 */

#include "collector/import_json_names.h"

#include <endian.h>
#include <string.h>

#include "collector/import_export.h"

enum { SLOT_MASK = (1 << JSON_NAME_SLOT_BITS) - 1, HEAD_WORDS = JSON_NAME_HEAD / 8 };

static bool is_named(const struct json_slice *s, const char *what)
{
	return s->n == strlen(what) && memcmp(s->p, what, s->n) == 0;
}

enum json_nature json_name_nature(const struct json_slice *s)
{
	if (is_named(s, "__REALTIME_TIMESTAMP"))
		return NAME_OF_REALTIME;
	if (is_named(s, "__MONOTONIC_TIMESTAMP"))
		return NAME_OF_MONOTONIC;
	/* What it cannot be in the export format it cannot be in a journal. */
	if (s->n == 0 || memchr(s->p, '=', s->n) || memchr(s->p, '\n', s->n))
		return NAME_OF_NOTHING;
	/* What tells where the entry stood is not passed on. */
	if (s->n >= 2 && s->p[0] == '_' && s->p[1] == '_' && !is_named(s, IMPORT_OMITTED))
		return NAME_OF_ADDRESS;
	return NAME_OF_A_FIELD;
}

static uint64_t load_8(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return le64toh(v);
}

/* The first bytes of a name as numbers, and zeroes.  `readable`: so many are there to be read. */
static void head_of(const struct json_slice *s, size_t readable, uint64_t head[HEAD_WORDS])
{
	static const uint8_t ones_then_zeroes[2 * JSON_NAME_HEAD] = { [0 ... JSON_NAME_HEAD - 1] =
									      0xff };
	uint32_t n = MIN_OF(s->n, (uint32_t) JSON_NAME_HEAD);
	const uint8_t *mask = ones_then_zeroes + JSON_NAME_HEAD - n, *p = s->p;
	uint8_t few[JSON_NAME_HEAD];

	if (readable < JSON_NAME_HEAD) {
		memset(few, 0, sizeof few);
		memcpy(few, p, n);
		p = few;
	}
	for (size_t i = 0; i < HEAD_WORDS; i++)
		head[i] = load_8(p + 8 * i) & load_8(mask + 8 * i);
}

/* Each word of it by itself: none waits for another. */
static uint32_t slot_of(const struct json_slice *s, const uint64_t head[HEAD_WORDS])
{
	uint64_t h = (head[0] ^ s->n) * UINT64_C(0x9e3779b97f4a7c15);

	h += head[1] * UINT64_C(0xff51afd7ed558ccd);
	h += head[2] * UINT64_C(0xc4ceb9fe1a85ec53);
	h += head[3] * UINT64_C(0xbf58476d1ce4e5b9);
	if (s->n > JSON_NAME_HEAD)
		h += load_8(s->p + s->n - 8) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t) (h >> (64 - JSON_NAME_SLOT_BITS));
}

static bool is_same(const struct json_name *name, const struct json_slice *s,
		    const uint64_t head[HEAD_WORDS])
{
	uint64_t differs = name->n ^ s->n;

	for (size_t i = 0; i < HEAD_WORDS; i++)
		differs |= name->head[i] ^ head[i];
	return differs == 0 &&
	       (s->n <= JSON_NAME_HEAD || memcmp(name->text + JSON_NAME_HEAD, s->p + JSON_NAME_HEAD,
						 s->n - JSON_NAME_HEAD) == 0);
}

int json_name_number(struct json_names *names, const struct json_slice *s, size_t readable)
{
	struct json_name *name;
	uint64_t head[HEAD_WORDS];
	uint32_t at;

	if (s->n > FIELD_NAME_MAX)
		return -1;
	head_of(s, readable, head);
	for (at = slot_of(s, head); names->slot[at] != 0; at = (at + 1) & SLOT_MASK)
		if (is_same(&names->at[names->slot[at] - 1], s, head))
			return names->slot[at] - 1;
	if (names->n == JSON_NAMES_MAX)
		return -1;
	name = &names->at[names->n++];
	memcpy(name->head, head, sizeof name->head);
	name->n = (uint8_t) s->n;
	name->nature = (uint8_t) json_name_nature(s);
	memcpy(name->text, s->p, s->n);
	name->text[s->n] = '=';
	names->slot[at] = (uint16_t) names->n;
	return (int) names->n - 1;
}

void json_names_init(struct json_names *names)
{
	static const char *const times[] = {
		[JSON_NAME_REALTIME] = "__REALTIME_TIMESTAMP",
		[JSON_NAME_MONOTONIC] = "__MONOTONIC_TIMESTAMP",
	};

	memset(names, 0, sizeof *names);
	for (size_t i = 0; i < ELEMENTS(times); i++)
		json_name_number(names,
				 &(struct json_slice){ (const uint8_t *) times[i],
						       (uint32_t) strlen(times[i]) },
				 strlen(times[i]));
}
