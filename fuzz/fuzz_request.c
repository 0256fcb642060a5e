/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Target: request_set_bytes(), request_url().
 *
 * The input is settings: u8 key, u8 size, value.  Each is taken or refused with a sentence; what was taken makes a URL that
 * holds no byte a URL may not hold, and which a server that splits and decodes it makes the same request, and the same URL,
 * of again.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "query/request.h"

static const char *const keys[] = {
	"match", "require", "unit",   "since", "until", "limit", "reverse", "newest", "priority",
	"grep",	 "output",  "colour", "utc",   "all",	"names", "field",   "",	      "no-such-key",
};

/* @return whether it was taken. */
static bool set(struct request *r, const char *key, const void *value, size_t n)
{
	char why[256] = "";
	int k = request_set_bytes(r, key, value, n, why);

	assert(k == 0 || k == -EINVAL || k == -ENOENT || k == -ENOMEM);
	assert(k == 0 || k == -ENOMEM || (*why && memchr(why, '\0', sizeof why)));
	return k == 0;
}

/* What a server does. */
static void read_back(struct request *r, const struct buf *url)
{
	uint8_t value[3 * 4096];
	char key[16];

	for (size_t at = 0; at < url->len;) {
		size_t k = 0, n = 0;

		for (; url->data[at] != '='; at++) {
			assert(k + 1 < sizeof key && at + 1 < url->len);
			key[k++] = (char) url->data[at];
		}
		key[k] = '\0';
		for (at++; at < url->len && url->data[at] != '&'; at++) {
			uint8_t c = url->data[at];

			assert(c > ' ' && c < 127 && c != '+' && c != '#' && n < sizeof value);
			if (c == '%') {
				assert(at + 2 < url->len);
				assert(text_unhex((const char *) url->data + at + 1, 2, &c, 1) >=
				       0);
				at += 2;
			}
			value[n++] = c;
		}
		at++;
		assert(set(r, key, value, n));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd rd = rd_of(data, size);
	struct buf url = { 0 }, second = { 0 };
	struct request r, again;

	assert(request_init(&r) == 0 && request_init(&again) == 0);
	while (rd.left > 0) {
		const char *key = keys[rd_u8(&rd) % ELEMENTS(keys)];
		size_t n = rd_u8(&rd);
		const uint8_t *value;

		n = MIN_OF(n, rd.left);
		value = rd_bytes(&rd, n);
		if (rd.bad || !set(&r, key, value, n))
			break;
	}
	request_url(&r, &url);
	assert(!url.bad);
	read_back(&again, &url);
	request_url(&again, &second);
	assert(url.len == second.len && memcmp(url.data, second.data, url.len) == 0);
	assert(r.priority_from == again.priority_from && r.priority_to == again.priority_to);
	buf_done(&url);
	buf_done(&second);
	request_done(&r);
	request_done(&again);
	return 0;
}
