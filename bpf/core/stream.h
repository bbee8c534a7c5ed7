// The state machine of one connection: what the bytes of an operation do to it. Everything here works
// on struct scratch and struct connection; maps and user memory are reached through the accessors of
// core/maps.h, which the host tests replace by their own.
//
// One step deals with one window of a head, one piece of a body or one framing line. It ends with at
// most one finished exchange in scratch.done, which the caller commits.
#ifndef OTELAUTO_STREAM_H
#define OTELAUTO_STREAM_H

#include "body.h"

// What the bytes of the operation are to the half that they belong to.
static __always_inline void look(struct scratch *s, struct connection *c, struct half *h)
{
	struct step_state *now = &s->now;
	struct operation *op = &s->op;
	u32 phase = h->phase;
	u32 body = phase == PHASE_LENGTH || phase == PHASE_CHUNK_DATA || phase == PHASE_CLOSE;
	u32 line = phase == PHASE_CHUNK_SIZE || phase == PHASE_TRAILER;

	if (phase == PHASE_TUNNEL) {
		consume_all(op);
		return;
	}
	if (!(body && is_all_body(op, h)) && (op->unseen || !next_segment(op))) {
		if (!op->unseen && op->vectors)
			return; // so many empty ones: the next step goes on
		count(COUNT_PAYLOAD_UNSEEN);
		lose(op, h);
		return;
	}
	if (body) {
		body_step(s, c, h, now->index);
		return;
	}
	now->kept = h->carry;
	now->len = fill(s, h, now->index, line ? CHUNK_LINE_BYTES : WINDOW_BYTES);
	FORGET_MEMORY();
	if (!now->len)
		return;
	if (line)
		line_step(s, c, h, now->index);
	else
		head_step(s, c, h);
}

// The stream ended or the operation failed: the request that waits first will get no (complete) response.
static __always_inline void look_at_end(struct scratch *s, struct connection *c)
{
	u32 fault = fault_of(c, s->op.direction, s->op.error);
	u64 end_ns = s->op.now_ns;

	if (!c->waiting || !fault)
		return;
	s->now.act = judge_end(c, &end_ns, &fault) ? ACT_FINISH : ACT_DROP;
	s->now.fault = fault;
	s->now.end_ns = end_ns;
}

// One step. Returns 1 if scratch.done is to be committed; the operation is over when op.left is 0.
static __always_inline u32 step(struct scratch *s, struct connection *c)
{
	struct step_state *now = &s->now;

	now->index = half_index(&s->op, c);
	now->act = 0;
	now->fault = FAULT_NONE;
	if (now->index == RESPONSE && s->op.left)
		c->last_ns = s->op.now_ns;
	now->end_ns = c->last_ns;
	FORGET_MEMORY();
	if (s->op.left)
		look(s, c, half_of(c, now->index));
	else
		look_at_end(s, c);
	FORGET_MEMORY();
	if (now->act & (ACT_FINISH | ACT_DROP))
		finish(&s->done, c, s->op.socket, now->end_ns, now->fault);
	if (now->act & ACT_DROP)
		count(COUNT_RESPONSE_UNSEEN);
	FORGET_MEMORY();
	if (now->act & ACT_PUSH)
		push(s, c);
	FORGET_MEMORY();
	return now->act & ACT_FINISH;
}

#endif
