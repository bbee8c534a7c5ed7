// Which exchange caused which: a parent is named only if it is certain. Compiled only if traces are exported.
//
// A client's request belongs to the request that its thread serves, where a thread serves one at a time (it
// waits in its calls on the socket), or, in a proxy, to what its thread has read last. A server's request
// belongs to the client's at the other end of the connection, if that is a traced process of this host.
#ifndef OTELAUTO_CAUSE_H
#define OTELAUTO_CAUSE_H

#include "compat.h"

#ifdef SPANS

#define FILE_NONBLOCK 04000
#define WIRE_LIFE_NS 30000000000ULL

// Whether the process waits in its calls on the socket: then one thread serves one request at a time.
static __always_inline u32 is_waited_for(const struct operation *op)
{
	u64 file = read_u64(read_u64(op->socket + OFF_sock_sk_socket) + OFF_socket_file);

	return !op->nowait && file && !(read_u32(file + OFF_file_f_flags) & FILE_NONBLOCK);
}

static __always_inline u32 is_of_trace(const struct event_span *e, const struct request_context *of)
{
	return e->parent_kind == PARENT_NONE ||
	       (((u64 *)e->trace)[0] == of->trace[0] && ((u64 *)e->trace)[1] == of->trace[1]);
}

static __always_inline void span_adopt(struct event_span *e, const struct request_context *of, u8 kind)
{
	((u64 *)e->trace)[0] = of->trace[0];
	((u64 *)e->trace)[1] = of->trace[1];
	*(u64 *)e->parent = of->span;
	e->parent_kind = kind;
	e->flags &= ~SPAN_FLAG_SAMPLED_PARENT;
	if (of->sampled)
		e->flags |= SPAN_FLAG_SAMPLED_PARENT;
}

static __always_inline void wire_key(struct wire_key *key, const struct event_span *e, u64 sk)
{
	__builtin_memset(key, 0, sizeof(*key));
#ifdef OFF_unix_sock_peer
	if (e->family == 1) {
		u64 peer = read_u64(sk + OFF_unix_sock_peer);

		key->client[0] = e->role == ROLE_CLIENT ? sk : peer;
		key->server[0] = e->role == ROLE_CLIENT ? peer : sk;
		return;
	}
#endif
	key->client[0] = ((u64 *)e->client_address)[0];
	key->client[1] = ((u64 *)e->client_address)[1];
	key->server[0] = ((u64 *)e->server_address)[0];
	key->server[1] = ((u64 *)e->server_address)[1];
	key->client_port = e->client_port;
	key->server_port = e->server_port;
	if (e->client_address[0] == 127 || (!key->client[0] && e->family == 6))
		key->net = read_u64(sk + OFF_sock_common_skc_net);
}

// A server: is the client at the other end a traced process of this host? Its hook runs when its bytes have
// left, so the server may be quicker: the question is asked again before anybody is told of the trace.
static __always_inline void server_parent(struct event_span *e)
{
	struct wire_key key;
	struct wire *w;

	if (e->role != ROLE_SERVER || e->parent_kind > PARENT_HEADER)
		return;
	wire_key(&key, e, e->header.time_ns);
	w = wires.lookup(&key);
	// An entry that was never read may be of an earlier connection with the same ports.
	if (!w || w->ambiguous || e->start_ns > w->since_ns + WIRE_LIFE_NS)
		return;
	w->ambiguous = 1;
	if (is_of_trace(e, &w->last))
		span_adopt(e, &w->last, PARENT_CONNECTION);
}

// The trace of a request of which another one is to become a part.
static __always_inline void late_parent(struct request_context *of)
{
	u64 id = of->span;
	struct event_span *e = spans.lookup(&id);

	if (!e || e->parent_kind > PARENT_HEADER)
		return;
	server_parent(e);
	of->trace[0] = ((u64 *)e->trace)[0];
	of->trace[1] = ((u64 *)e->trace)[1];
}

// A client: which request of its own process is it sent for?
static __always_inline void client_parent(struct scratch *s, const struct service *of, struct event_span *e)
{
	u64 thread = bpf_get_current_pid_tgid(), sk = s->op.socket;
	struct request_context *cause = causes.lookup(&sk);
	struct thread_requests *t;
	u8 kind = PARENT_CAUSE;

	if (!cause) {
		t = threads.lookup(&thread);
		if (!t || !t->last.span)
			return;
		if (!(of->spans & SPAN_BIT_PROXY)) {
			if (t->waiting != 1)
				return;
			kind = PARENT_THREAD;
		}
		cause = &t->last;
	}
	late_parent(cause);
	// A traceparent of its own names a nearer parent, unless it is what the request came with.
	if (e->parent_kind == PARENT_NONE || (is_of_trace(e, cause) && *(u64 *)e->parent == cause->parent))
		span_adopt(e, cause, kind);
	if (kind == PARENT_CAUSE)
		causes.delete(&sk);
}

// The thread has read a request: what it sends next may be part of it.
static __always_inline void thread_reads(struct scratch *s, const struct service *of,
					 const struct request_context *read)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct thread_requests *t = threads.lookup(&thread);
	u32 cause = (of->spans & SPAN_BIT_PROXY) || is_waited_for(&s->op);

	if (!t) {
		struct thread_requests none = {};

		if (!cause)
			return;
		threads.update(&thread, &none);
		t = threads.lookup(&thread);
		if (!t)
			return;
	}
	t->waiting++;
	t->socket = s->op.socket;
	t->last = *read;
	if (!cause)
		t->last.span = 0;
}

// A process of a proxy has read something else: that, not the request before, is what it acts on now.
static __always_inline void proxy_reads(u32 service, u64 sk)
{
	u64 thread, key = service;
	struct service *of = services.lookup((u32 *)&key);
	struct thread_requests *t;

	if (!of || !(of->spans & SPAN_BIT_PROXY))
		return;
	thread = bpf_get_current_pid_tgid();
	t = threads.lookup(&thread);
	if (t && t->socket != sk)
		t->last.span = 0;
}

// A process connects: if it is a proxy, the request that it has just read is the reason.
static __always_inline void proxy_connects(u64 sk)
{
	u64 thread, key = service_of(current_process());
	struct service *of = services.lookup((u32 *)&key);
	struct thread_requests *t;

	if (!key || !of || !(of->spans & SPAN_BIT_PROXY))
		return;
	thread = bpf_get_current_pid_tgid();
	t = threads.lookup(&thread);
	if (t && t->last.span) {
		struct request_context cause = t->last;

		causes.update(&sk, &cause);
	}
}

// The exchange is over, and its thread has one less to answer.
static __always_inline void thread_answers(const struct finished *done)
{
	u64 thread = done->thread;
	struct thread_requests *t;

	if (!thread)
		return;
	t = threads.lookup(&thread);
	if (!t)
		return;
	if (t->waiting)
		t->waiting--;
	if (t->last.span == done->span)
		t->last.span = 0;
}

#endif
#endif
