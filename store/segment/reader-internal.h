/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BULLA_STORE_SEGMENT_READER_INTERNAL_H
#define BULLA_STORE_SEGMENT_READER_INTERNAL_H

/**
 * What the parts of the reader share: segment.c opens, group.c reads rows, group_messages.c the columns of their messages, of which
 * group_text.c makes text.
 */

#include "store/segment/segment.h"
#include "store/segment/tokens.h"

/** The only block of a kind in a group; NULL when there is none, and `*n` says how many there are. */
const struct block_ref *group_block(const struct segment_group *g, enum block_kind kind,
				    uint32_t *n);
/** Read the only block of a kind; `*raw` is the caller's to free.  @return as block_read(), or BULLA_ECORRUPT. */
_must_check_ int group_read_block(struct segment_group *g, enum block_kind kind, uint8_t **raw,
				  struct rd *ret);
/** Append the text of a number of a column of digits. */
void group_put_digits(const struct variable_column *c, uint64_t v, struct buf *to);
/** Append the text of a value that is packed: an address, a uuid, halves of bytes.  @return 0 or BULLA_ECORRUPT. */
_must_check_ int group_put_packed(uint8_t kind, const struct text *t, struct buf *to);
/** Whether a value is as long as its kind is. */
bool group_has_size(uint8_t kind, const struct text *t);
/** Where a value stands in a message. */
struct stretch {
	uint32_t from, to;
};
/** Append the message of a row, which has this place among those of template `t`, whose columns are there.  @return 0, BULLA_ECORRUPT, -ENOMEM; `to->bad`. */
_must_check_ int group_put_message(const struct segment_group *g, const struct group_template *t,
				   uint32_t ordinal, uint32_t row, struct buf *to,
				   struct stretch *ret_at);
/**
 * group_need_messages(), which gathers their tokens if somebody wants them (then `t` was begun).  Messages that take very much memory are
 * not kept: who asks for one has it made again.
 *
 * @return 0; an error of reading a part of the group; `*ret_lies` whether a value is longer or shorter than searchers are told.
 */
_must_check_ int group_make_messages(struct segment_group *g, const uint64_t *rows,
				     struct tokens *t, bool *ret_lies);
/**
 * Have a message on its way that was made and will be asked for soon, `n` bytes of it at most: they lie by template, not by row.  There
 * need not be such a row.
 */
static inline void group_fetch_message(const struct segment_group *g, uint32_t row, uint32_t n)
{
	if (!g->made || row >= g->rows || g->made[row].at == NOT_MADE)
		return;
	/* Of nothing but empty messages there is no text. */
	for (uint32_t i = 0; i < MIN_OF(g->made[row].len, n); i += 64)
		__builtin_prefetch(g->made_text.data + g->made[row].at + i);
}
/** Let a column go that was decoded; it can be decoded again. */
void group_drop_column(struct variable_column *c);
/** Let go what was read of the columns' blocks; who needs some has it read again. */
void group_drop_parts(struct segment_group *g);
void group_messages_close(struct segment_group *g);

#endif
