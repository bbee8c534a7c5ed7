// Where the bytes of an operation come from: its segments in user memory, the window that a step looks at, and
// what is kept of a line that was cut. Nothing here knows what the bytes mean.
#ifndef OTELAUTO_WINDOW_H
#define OTELAUTO_WINDOW_H

#include "state.h"

static __always_inline struct half *half_of(struct connection *c, u32 index)
{
	OPAQUE(index);
	return (struct half *)((u8 *)c->half + (index & 1) * sizeof(struct half));
}

static __always_inline u32 half_index(const struct operation *op, const struct connection *c)
{
	return op->direction ^ (c->role == ROLE_CLIENT);
}

// Goes to the next segment that holds bytes. Returns 0 if there is none in sight.
static __always_inline u32 next_segment(struct operation *op)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < EMPTY_VECTORS && !op->segment && op->vectors; i++) {
		u64 vector[2];

		if (read_user(vector, sizeof(vector), op->vector)) {
			count(COUNT_PAYLOAD_FAULT);
			op->vectors = 0;
			break;
		}
		op->ptr = vector[0];
		op->segment = vector[1] < op->left ? vector[1] : op->left;
		op->vector += sizeof(vector);
		op->vectors--;
	}
	return op->segment;
}

static __always_inline void advance(struct operation *op, u32 n)
{
	op->ptr += n;
	op->segment -= n;
	op->left -= n;
}

static __always_inline void consume_all(struct operation *op)
{
	op->segment = 0;
	op->left = 0;
}

static __always_inline void lose(struct operation *op, struct half *h)
{
	consume_all(op);
	h->phase = PHASE_LOST;
	h->carry = 0;
}

// Fills the window with what is kept of an unfinished line and bytes of the current segment, at most `want` in
// all. Returns the bytes in the window; 0: nothing could be read, and the half is lost.
static __always_inline u32 fill(struct scratch *s, struct half *h, u32 index, u32 want)
{
	struct operation *op = &s->op;
	u64 kept = h->carry, n; // 64 bits wide: what is checked is then what is used

	OPAQUE(kept);
	if (kept > CARRY_BYTES)
		return 0;
	if (kept) {
		struct carry_key key = { .socket = op->socket, .half = index };

		if (carry_load(&key, s->window)) {
			count(COUNT_CARRY_LOST);
			lose(op, h);
			return 0;
		}
	}
	n = op->segment;
	if (n > want - kept)
		n = want - kept;
	OPAQUE(n);
	if (n > WINDOW_BYTES)
		return 0;
	if (read_user(s->window + kept, n, op->ptr)) {
		count(COUNT_PAYLOAD_FAULT);
		lose(op, h);
		return 0;
	}
	return kept + n;
}

// Keeps window[at..at + n) for the next operation and ends this segment.
static __always_inline void keep(struct scratch *s, struct half *h, u32 index, u32 at, u32 n)
{
	struct carry_key key = { .socket = s->op.socket, .half = index };

	h->carry = n;
	if (n && carry_store(&key, s->window + (at & (WINDOW_BYTES - 1)))) {
		count(COUNT_CARRY_LOST);
		h->carry = 0;
		h->phase = PHASE_LOST;
	}
}

#endif
