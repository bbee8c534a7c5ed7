// The body of a message and its framing (RFC 9112 sections 6 and 7). Its bytes are counted, not looked at.
#ifndef OTELAUTO_BODY_H
#define OTELAUTO_BODY_H

#include "head.h"

// Whether all that is left of the operation belongs to the body under way: then its bytes are not looked for.
static __always_inline u32 is_all_body(const struct operation *op, const struct half *h)
{
	return h->phase == PHASE_CLOSE || op->left <= h->left;
}

// A piece of a body: all that is left of the operation, or the part of it in the current segment.
static __always_inline void body_step(struct scratch *s, struct connection *c, struct half *h, u32 index)
{
	struct operation *op = &s->op;
	u64 n = op->left;

	if (is_all_body(op, h)) {
		consume_all(op);
	} else {
		n = h->left < op->segment ? h->left : op->segment;
		advance(op, n);
	}
	h->body += n;
	if (h->phase == PHASE_CLOSE)
		return;
	h->left -= n;
	if (h->left)
		return;
	if (h->phase == PHASE_CHUNK_DATA) {
		h->body -= 2; // the line end behind the data
		h->phase = PHASE_CHUNK_SIZE;
	} else if (index == RESPONSE) {
		s->now.act = ACT_FINISH;
	} else {
		end_request(s, c, h);
	}
}

// A complete trailer line, or the empty one behind the last.
static __always_inline void trailer_line(struct scratch *s, struct connection *c, struct half *h, u32 index,
					 u32 line)
{
	u32 empty = line == 1 || (line == 2 && s->window[0] == '\r');

	if (h->flags & HALF_SKIP_LINE)
		h->flags &= ~HALF_SKIP_LINE;
	else if (empty && index == RESPONSE)
		s->now.act = ACT_FINISH;
	else if (empty)
		end_request(s, c, h);
}

// A chunk-size line or a trailer line.
static __always_inline void line_step(struct scratch *s, struct connection *c, struct half *h, u32 index)
{
	struct step_state *now = &s->now;
	u32 line;
	u64 size;

	now->rest = http1_first_line(s->window, now->len);
	FORGET_MEMORY();
	line = now->rest;
	h->carry = 0;
	advance(&s->op, (line ? line : now->len) - now->kept);
	if (line && h->phase == PHASE_TRAILER) {
		trailer_line(s, c, h, index, line);
		return;
	}
	if (!line && now->len < CHUNK_LINE_BYTES) {
		keep(s, h, index, 0, now->len);
		return;
	}
	if (!line && h->phase == PHASE_TRAILER) {
		h->flags |= HALF_SKIP_LINE;
		return;
	}
	size = http1_chunk_size(s->window);
	if (size == ~0ULL) {
		count(COUNT_PARSE_ERROR);
		lose(&s->op, h);
		return;
	}
	if (!line) {
		// A long extension: its start stands for the line until the line ends.
		keep(s, h, index, 0, CHUNK_LINE_BYTES / 2);
		return;
	}
	h->left = size + 2;
	h->phase = size ? PHASE_CHUNK_DATA : PHASE_TRAILER;
}

#endif
