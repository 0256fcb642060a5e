/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A buffer holds what was appended, in order, whatever the sizes; and one failure spoils it until
 * it is cleared.
 */

#include "base/buf.h"

#include "tests/harness.h"

#include "base/bytes.h"

#include <string.h>

Suite(buf);

Test(buf, an_empty_buffer_can_be_freed_cleared_and_added_to)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_clear(&b);
	buf_add(&b, 0);
	buf_append(&b, NULL, 0);
	buf_str(&b, "");
	cr_expect(eq(sz, b.len, 0));
	cr_expect(not(b.bad));
	buf_done(&b);
	buf_done(&b);
	cr_expect(eq(ptr, b.data, NULL));
	cr_expect(eq(sz, b.cap, 0));
}

Test(buf, pieces_of_every_size_arrive_in_order)
{
	_cleanup_buf_ struct buf b = { 0 };
	uint8_t piece[700];
	size_t at = 0;

	for (size_t n = 0; n < sizeof piece; n++) {
		memset(piece, (int) (n & 0xff), n);
		buf_append(&b, piece, n);
	}
	cr_assert(not(b.bad));
	cr_assert(eq(sz, b.len, sizeof piece * (sizeof piece - 1) / 2));
	for (size_t n = 0; n < sizeof piece; n++)
		for (size_t i = 0; i < n; i++, at++)
			cr_assert(b.data[at] == (n & 0xff), "piece %zu, byte %zu", n, i);
}

Test(buf, clearing_keeps_the_memory)
{
	_cleanup_buf_ struct buf b = { 0 };
	uint8_t *data;
	size_t cap;

	buf_append(&b, "0123456789", 10);
	data = b.data;
	cap = b.cap;
	for (int round = 0; round < 100; round++) {
		buf_clear(&b);
		cr_expect(eq(sz, b.len, 0), "round %d", round);
		cr_assert(buf_room(&b, cap) != NULL, "round %d", round);
		cr_expect(eq(ptr, b.data, data), "round %d", round);
		buf_add(&b, cap);
	}
	cr_expect(eq(sz, b.cap, cap));
}

Test(buf, room_is_all_writable_and_does_not_count)
{
	_cleanup_buf_ struct buf b = { 0 };

	for (size_t n = 0; n < 5000; n += 97) {
		uint8_t *p = buf_room(&b, n);

		cr_assert(p != NULL, "room for %zu", n);
		memset(p, 'x', n);
		cr_expect(eq(sz, b.len, 0), "room for %zu", n);
	}
}

Test(buf, what_is_reserved_is_exact_and_never_less)
{
	struct buf b = { 0 };

	buf_reserve(&b, 1000);
	cr_assert(eq(sz, b.cap, 1000));
	cr_expect(eq(sz, b.len, 0));
	buf_append(&b, "abc", 3);
	buf_reserve(&b, 10);
	cr_expect(eq(sz, b.cap, 1000));
	buf_reserve(&b, 3001);
	cr_assert(eq(sz, b.cap, 3001));
	cr_expect(eq(int, memcmp(b.data, "abc", 3), 0));
	buf_reserve(&b, SIZE_MAX / 2);
	cr_expect(b.bad);
	cr_expect(eq(sz, b.cap, 3001));
	buf_done(&b);
}

Test(buf, what_cannot_be_had_spoils_the_buffer_but_not_its_memory)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 9, SIZE_MAX / 2 };

	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		_cleanup_buf_ struct buf b = { 0 };

		buf_append(&b, "0123456789", 10);
		cr_expect(eq(ptr, buf_room(&b, sizes[i]), NULL), "row %zu", i);
		cr_expect(b.bad, "row %zu", i);
		cr_expect(eq(sz, b.len, 10), "row %zu", i);
		buf_str(&b, "more");
		buf_char(&b, 'c');
		buf_printf(&b, "%d", 5);
		buf_add(&b, 3);
		cr_expect(eq(sz, b.len, 10), "row %zu: the error did not stick", i);
		buf_clear(&b);
		buf_str(&b, "usable");
		cr_expect(not(b.bad), "row %zu", i);
		cr_expect(eq(sz, b.len, 6), "row %zu", i);
	}
}

Test(buf, printed_text_of_every_length_is_whole)
{
	_cleanup_buf_ struct buf b = { 0 };

	for (int n = 0; n < 1200; n++) {
		buf_clear(&b);
		buf_char(&b, '<');
		buf_printf(&b, "%*s", n, n ? "." : "");
		buf_char(&b, '>');
		cr_assert(eq(sz, b.len, (size_t) n + 2), "width %d", n);
		cr_assert(eq(chr, (char) b.data[0], '<'), "width %d", n);
		cr_assert(eq(chr, (char) b.data[n + 1], '>'), "width %d", n);
		if (n > 0)
			cr_assert(eq(chr, (char) b.data[n], '.'), "width %d", n);
	}
}

Test(buf, zero_bytes_are_bytes)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_char(&b, '\0');
	buf_append(&b, "a\0b", 3);
	buf_printf(&b, "%c", '\0');
	cr_assert(eq(sz, b.len, 5));
	cr_expect(eq(int, memcmp(b.data, "\0a\0b\0", 5), 0));
}

Test(buf, a_varint_is_the_one_that_cursors_read)
{
	static const uint64_t values[] = { 0, 127, 128, 1 << 20, UINT64_MAX };
	struct buf b = { 0 };
	struct rd r;

	for (size_t i = 0; i < ELEMENTS(values); i++)
		buf_varint(&b, values[i]);
	cr_assert(not(b.bad));
	r = rd_of(b.data, b.len);
	for (size_t i = 0; i < ELEMENTS(values); i++)
		cr_expect(eq(u64, rd_varint(&r), values[i]));
	cr_expect(not(r.bad));
	cr_expect(eq(sz, r.left, 0));
	buf_done(&b);
}
