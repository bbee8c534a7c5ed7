// The end of unix sockets, for which there is no tracepoint. It shows in the kernel's memory: a closed socket
// has no inode any more, and one that took over its address has another. Three look there: the peer that
// reads the end of the stream, the next operation at the same address, and the agent when it collects.
#ifndef OTELAUTO_UNIX_H
#define OTELAUTO_UNIX_H

#include "socket.h"

// Ends one of the requests that wait on a closed socket; the program calls itself for the next.
static __always_inline void end_closed(void *ctx, struct scratch *s, struct connection *c, u64 sk)
{
	u32 fault = c->role == ROLE_CLIENT ? FAULT_CANCELLED : FAULT_NO_RESPONSE;
	u64 end_ns = s->op.now_ns;
	u32 known = judge_end(c, &end_ns, &fault);

	finish(&s->done, c, sk, end_ns, fault);
	if (!known) {
		settle_unseen(&s->done);
	} else {
		if (s->done.pending)
			s->done.key.route = cached_route(s->done.key.service, s->done.path);
		if (s->done.pending && s->done.key.route == ROUTE_PENDING)
			settle_route(&s->done, PLACE_ROUTE);
		settle(&s->done, 0);
	}
	if (!c->waiting)
		return;
	jumps.call(ctx, JUMP_UNIX);
	count_many(COUNT_PIPELINE_OVERFLOW, c->waiting);
}

// Is op.closed a unix socket that is closed? Then its connection ends. Goes on with the operation, if there is
// one. Returns 1 if the socket lives.
static __always_inline int on_unix(void *ctx)
{
	struct scratch *s = working_memory();
	struct connection *c;
	u32 lives;
	u64 sk;

	if (!s)
		return 0;
	sk = s->op.closed;
	c = connections.lookup(&sk);
	if (c && c->family != 1)
		c = 0; // the address has gone to another kind of socket
	lives = c && c->inode == inode_of(sk);
	if (!lives) {
		if (c && c->waiting)
			end_closed(ctx, s, c, sk);
		if (c)
			connections.delete(&sk);
		unix_sockets.delete(&sk);
	}
	if (s->op.resume)
		jumps.call(ctx, JUMP_STEPS);
	return lives;
}

// Argument: struct sock *sk, one of the map unix_sockets. No hook: the agent runs it.
static __always_inline int on_look(void *ctx, u64 sk)
{
	struct scratch *s = working_memory();

	if (!s)
		return 0;
	s->op.closed = sk;
	s->op.now_ns = bpf_ktime_get_ns();
	s->op.resume = 0;
	jumps.call(ctx, JUMP_UNIX);
	return 0;
}

#endif
