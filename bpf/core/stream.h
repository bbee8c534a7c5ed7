// The state machine of one connection: what the bytes of an operation do to it. Everything here works
// on struct scratch and struct connection; maps and user memory are reached through the accessors of
// core/maps.h, which the host tests replace by their own.
//
// One step deals with one window of a head, one piece of a body or one framing line. It ends with at
// most one finished exchange in scratch.done, which the caller commits.
#ifndef OTELAUTO_STREAM_H
#define OTELAUTO_STREAM_H

#include "body.h"

// One step. Returns 1 if scratch.done is to be committed; the operation is over when op.left is 0.
static __always_inline u32 step(struct scratch *s, struct connection *c)
{
	struct half *h;
	u32 phase;

	s->now.index = half_index(&s->op, c);
	s->now.act = 0;
	FORGET_MEMORY();
	h = half_of(c, s->now.index);
	phase = h->phase;
	if (s->now.index == RESPONSE)
		c->last_ns = s->op.now_ns;
	if (phase == PHASE_TUNNEL)
		consume_all(&s->op);
	else if (phase == PHASE_LENGTH || phase == PHASE_CHUNK_DATA || phase == PHASE_CLOSE)
		body_step(s, c, h, s->now.index);
	else if (phase == PHASE_CHUNK_SIZE || phase == PHASE_TRAILER)
		line_step(s, c, h, s->now.index);
	else
		head_step(s, c, h);
	FORGET_MEMORY();
	if (s->now.act & ACT_FINISH) {
		finish(&s->done, c, s->op.socket, c->last_ns, FAULT_NONE);
	} else if (s->now.act & ACT_DROP) {
		count(COUNT_RESPONSE_UNSEEN);
		pop(c, s->op.socket);
	}
	FORGET_MEMORY();
	if (s->now.act & ACT_PUSH)
		push(s, c);
	FORGET_MEMORY();
	return s->now.act & ACT_FINISH;
}

#endif
