/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/tails.h"

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

static const struct id boot = { "a boot" };

void tails_init(struct tails *t, const char *path)
{
	int r = sodium_init();

	assert(r >= 0);
	t->n = 0;
	r = state_open(&t->state, path, true);
	assert(r == 0);
}

void tails_done(struct tails *t)
{
	while (t->n > 0)
		tails_close(t, t->n - 1);
	state_close(&t->state);
}

struct field tails_field(const char *text)
{
	const char *equals = strchr(text, '=');

	assert(equals);
	return (struct field){ .name = (const uint8_t *) text,
			       .name_len = (uint8_t) (equals - text),
			       .value = (const uint8_t *) equals + 1,
			       .value_len = (uint32_t) strlen(equals + 1) };
}

size_t tails_open(struct tails *t, const char *name)
{
	struct field f = { (const uint8_t *) "_CONTAINER_NAME", (const uint8_t *) name,
			   (uint32_t) strlen(name), STRLEN("_CONTAINER_NAME") };
	struct context c = { .fields = &f, .n_fields = 1 };
	uint8_t leaf[1024], seed[SEED_SIZE] = { 0 };
	struct wr w = wr_of(leaf, sizeof leaf);
	struct id id;
	int r;

	assert(t->n < TAILS_MAX);
	context_encode(&c, &w);
	assert(!w.bad);
	randombytes_buf(id.b, ID_SIZE);
	r = tail_create(t->state.journals, &id, &boot, leaf, w.len, seed);
	assert(r == 0);
	r = tail_writer_open(&t->at[t->n], t->state.journals, &id, 0, 0);
	assert(r == 0);
	return t->n++;
}

void tails_close(struct tails *t, size_t journal)
{
	tail_writer_close(&t->at[journal]);
	if (journal == t->n - 1)
		t->n--;
}

uint32_t tails_context(struct tails *t, size_t journal, uint32_t parent, const char *text)
{
	struct field f = tails_field(text);
	int64_t k = tail_writer_context(&t->at[journal], parent, &f, 1);

	assert(k > 0);
	return (uint32_t) k;
}

void tails_flush(struct tails *t, size_t journal)
{
	int r = tail_writer_flush(&t->at[journal]);

	assert(r == 0);
}

void tails_add(struct tails *t, size_t journal, struct entry *e, uint32_t context)
{
	int r = tail_writer_add(&t->at[journal], e, context);

	if (r == -ENOBUFS) {
		tails_flush(t, journal);
		r = tail_writer_add(&t->at[journal], e, context);
	}
	assert(r == 0);
}

void tails_say(struct tails *t, size_t journal, uint64_t time_ns, const char *message)
{
	struct entry e = { .time_ns = time_ns,
			   .received_ns = time_ns,
			   .message = (const uint8_t *) message,
			   .message_len = (uint32_t) strlen(message),
			   .priority = 6 };

	tails_add(t, journal, &e, 0);
}

void tails_cut(struct tails *t, size_t journal)
{
	struct tail_writer *w = &t->at[journal];
	int r;

	tails_flush(t, journal);
	if (tail_writer_open_entries(w) == 0)
		return;
	r = tail_writer_cut(w, -5);
	assert(r == 0);
	tail_writer_sealed(w);
}

uint64_t tails_end(const struct tails *t, size_t journal)
{
	return t->at[journal].end;
}

void tails_flip(const struct tails *t, size_t journal, uint64_t offset)
{
	char name[TAIL_NAME_SIZE];
	_cleanup_close_ int fd = -1;
	uint8_t byte;
	ssize_t n;

	tail_name(&t->at[journal].header.journal, name);
	fd = openat(t->state.journals, name, O_RDWR | O_CLOEXEC);
	n = pread(fd, &byte, 1, (off_t) offset);
	assert(n == 1);
	byte ^= 0x55;
	n = pwrite(fd, &byte, 1, (off_t) offset);
	assert(n == 1);
}

/* The slow way. */

static const char *const short_names[][3] = {
	{ "stream", "_STREAM", NULL },
	{ "pid", "_PID", NULL },
	{ "msg", "MESSAGE", NULL },
	{ "tenant", "_TENANT", NULL },
	{ "container", "_CONTAINER_NAME", "_CONTAINER_ID" },
	{ "identifier", "SYSLOG_IDENTIFIER", NULL },
};

static bool is_name(const char *name, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(name, text, len) == 0;
}

static bool names_same(const char *word, size_t len, const char *field, size_t field_len)
{
	for (size_t i = 0; i < ELEMENTS(short_names); i++)
		if (is_name(word, len, short_names[i][0]))
			return is_name(field, field_len, short_names[i][1]) ||
			       (short_names[i][2] && is_name(field, field_len, short_names[i][2]));
	return len == field_len && memcmp(word, field, len) == 0;
}

/* Length of a word's name with its "!", if any. */
static size_t key_len(const char *word)
{
	return strcspn(word, "=");
}

static bool is_negated(const char *word)
{
	return word[key_len(word)] == '=' && key_len(word) > 0 && word[key_len(word) - 1] == '!';
}

static bool has(const char *word, const char *const *fields, size_t n)
{
	const char *name = word, *value = word + key_len(word) + 1;
	size_t len = key_len(word) - is_negated(word);

	if (word[key_len(word)] == '\0') {
		name = "container";
		len = strlen(name);
		value = word;
	}
	for (size_t i = 0; i < n; i++)
		if (names_same(name, len, fields[i], key_len(fields[i])) &&
		    strcmp(fields[i] + key_len(fields[i]) + 1, value) == 0)
			return true;
	return false;
}

static bool keys_same(const char *a, const char *b)
{
	static const char container[] = "container";
	const char *x = strchr(a, '=') ? a : container, *y = strchr(b, '=') ? b : container;

	return key_len(x) == key_len(y) && memcmp(x, y, key_len(x)) == 0;
}

static bool naive_group(const char *const *words, size_t n, const char *const *fields,
			size_t n_fields)
{
	for (size_t i = 0; i < n; i++) {
		bool any = false;

		for (size_t k = 0; k < n; k++)
			any |= keys_same(words[i], words[k]) && has(words[k], fields, n_fields);
		if (any == is_negated(words[i]))
			return false;
	}
	return true;
}

bool naive_match(const char *const *words, size_t n_words, const char *const *required,
		 size_t n_required, const char *const *fields, size_t n_fields)
{
	bool any = false, all_empty = true;
	size_t from = 0;

	if (!naive_group(required, n_required, fields, n_fields))
		return false;
	for (size_t i = 0; i <= n_words; i++) {
		if (i < n_words && strcmp(words[i], "+") != 0)
			continue;
		if (i > from) {
			all_empty = false;
			any |= naive_group(words + from, i - from, fields, n_fields);
		}
		from = i + 1;
	}
	return any || all_empty;
}
