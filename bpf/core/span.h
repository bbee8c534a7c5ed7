// From an exchange to its span: what the head says of its trace, which request caused it, whether it is kept,
// and the record that goes to the agent. Compiled only if traces are exported (SPANS).
//
// A parent is named only if it is certain; an unsampled exchange costs no more than its ids.
#ifndef OTELAUTO_SPAN_H
#define OTELAUTO_SPAN_H

#include "cause.h"
#include "../proto/traceparent.h"

#ifndef SPANS
#define span_end(done)
#define span_drop(done)
#else

#define SPAN_SECOND_NS 1000000000ULL
#define SPAN_FIXED_BYTES (sizeof(struct event_span) - SPAN_HEAD_BYTES)

static __always_inline u64 random_id(void)
{
	u64 id = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();

	return id ? id : 1;
}

// The request that was read last on a connection, 0: its details had no room.
static __always_inline struct exchange *newest_exchange(struct connection *c, u64 sk)
{
	struct pipeline *p;

	if (!c->waiting || c->unkept)
		return 0;
	if (c->waiting == 1)
		return &c->first;
	p = pipelines.lookup(&sk);
	return p ? &p->ring[(p->begin + c->waiting - 2) & PIPELINE_MASK] : 0;
}

// Adds the bytes of the window that the step has taken to the head.
static __always_inline void span_keep_head(struct scratch *s, struct event_span *e)
{
	u64 from = s->now.starts ? s->scan.first : s->now.kept, at = e->head_len, n = s->now.len;

	OPAQUE(from);
	OPAQUE(at);
	if (s->now.starts)
		at = 0;
	if (s->scan.complete)
		n = s->scan.used;
	n -= from;
	OPAQUE(n);
	// What two bounds add up to, the verifier does not compare: a window fits behind `at`, or is left out.
	if (at > SPAN_HEAD_BYTES - WINDOW_BYTES || from > WINDOW_MASK || n > WINDOW_BYTES) {
		e->flags |= SPAN_FLAG_HEAD_CUT;
		return;
	}
	bpf_probe_read_kernel(e->head + at, n, s->window + from);
	e->head_len = at + n;
}

// The two ends of a connection, as a span tells them.
static __always_inline void span_ends(const struct connection *c, u64 sk, struct event_span *e)
{
	u8 *peer = c->role == ROLE_SERVER ? e->client_address : e->server_address;
	u8 *own = c->role == ROLE_SERVER ? e->server_address : e->client_address;

	((u64 *)peer)[0] = ((u64 *)c->address)[0];
	((u64 *)peer)[1] = ((u64 *)c->address)[1];
	((u64 *)own)[0] = 0;
	((u64 *)own)[1] = 0;
	e->client_port = 0;
	if (c->family == 1)
		return;
	if (c->role == ROLE_CLIENT)
		e->client_port = read_u16(sk + OFF_sock_common_skc_num);
	else
		e->client_port = __builtin_bswap16(read_u16(sk + OFF_sock_common_skc_dport));
	if (c->family == 6)
		bpf_probe_read_kernel(own, 16, (void *)(sk + OFF_sock_common_skc_v6_rcv_saddr));
	else
		*(u32 *)own = read_u32(sk + OFF_sock_common_skc_rcv_saddr);
}

// What is known when the request line has come.
static __always_inline void span_begin(struct scratch *s, struct connection *c, const struct exchange *x,
				       struct event_span *e)
{
	e->header.kind = EVENT_SPAN;
	e->header.time_ns = s->op.socket;
	e->start_ns = x->start_ns;
	((u64 *)e->trace)[0] = 0;
	((u64 *)e->trace)[1] = 0;
	*(u64 *)e->span = random_id();
	*(u64 *)e->parent = 0;
	e->service = c->service;
	e->pid = current_process();
	e->tid = bpf_get_current_pid_tgid();
	e->role = c->role;
	e->tls = c->tls;
	e->family = c->family;
	e->parent_kind = PARENT_NONE;
	e->flags = 0;
	e->server_port = c->server_port;
	e->head_len = 0;
	span_ends(c, s->op.socket, e);
}

// What the window's traceparent says. Two of them are none (W3C Trace Context section 3.2.1 knows one).
static __always_inline void span_header(struct scratch *s, struct event_span *e)
{
	struct trace_context *t = &s->trace;

	if (!s->scan.traces)
		return;
	if (s->scan.traces > 1 || (e->flags & SPAN_FLAG_TRACE_SEEN)) {
		e->parent_kind = PARENT_NONE;
		e->flags |= SPAN_FLAG_TRACE_SEEN;
		return;
	}
	e->flags |= SPAN_FLAG_TRACE_SEEN;
	traceparent(t, s->window, s->scan.trace_at, s->scan.trace_end);
	FORGET_MEMORY();
	if (!t->valid)
		return;
	((u64 *)e->trace)[0] = ((u64 *)t->trace)[0];
	((u64 *)e->trace)[1] = ((u64 *)t->trace)[1];
	*(u64 *)e->parent = *(u64 *)t->parent;
	e->parent_kind = PARENT_HEADER;
	if (t->sampled)
		e->flags |= SPAN_FLAG_SAMPLED_PARENT;
}

// Whether the bound on spans is reached. Two CPUs may both find it reached by their last one.
static __always_inline u32 is_limited(u64 now_ns)
{
	u64 first = 0;
	struct options *o = option.lookup((u32 *)&first);
	struct budget *b = budgets.lookup((u32 *)&first);

	if (!o || !b || !o->span_limit)
		return 0;
	if (now_ns - b->since_ns >= SPAN_SECOND_NS) {
		b->since_ns = now_ns;
		b->used = 0;
	}
	__sync_fetch_and_add(&b->used, 1);
	return FROM_MEMORY(b->used) > o->span_limit;
}

static __always_inline u32 is_sampled(const struct service *of, const struct event_span *e, u64 now_ns)
{
	u64 tail = __builtin_bswap64(((u64 *)e->trace)[1]) >> 1;
	u32 sampled = tail < of->sample_below;

	if ((of->spans & SPAN_BIT_PARENT) && e->parent_kind != PARENT_NONE)
		sampled = e->flags & SPAN_FLAG_SAMPLED_PARENT;
	if (!sampled) {
		count(COUNT_SPAN_UNSAMPLED);
		return 0;
	}
	if (is_limited(now_ns)) {
		count(COUNT_SPAN_LIMITED);
		return 0;
	}
	return 1;
}

// The head is complete: whose child the exchange is, and whether it is kept.
static __always_inline void span_decide(struct scratch *s, struct connection *c, const struct service *of,
					struct exchange *x, struct event_span *e)
{
	u64 id = *(u64 *)e->span, remote = 0;
	struct request_context now;

	if (e->parent_kind == PARENT_HEADER)
		remote = *(u64 *)e->parent;
	if (e->role == ROLE_SERVER)
		server_parent(e);
	else
		client_parent(s, of, e);
	if (e->parent_kind == PARENT_NONE) {
		((u64 *)e->trace)[0] = random_id();
		((u64 *)e->trace)[1] = random_id();
	}
	now.trace[0] = ((u64 *)e->trace)[0];
	now.trace[1] = ((u64 *)e->trace)[1];
	now.span = id;
	now.parent = remote;
	now.sampled = is_sampled(of, e, s->op.now_ns);
	now._pad = 0;
	x->span = id;
	x->sampled = now.sampled;
	if (e->role == ROLE_SERVER) {
		x->thread = bpf_get_current_pid_tgid();
		thread_reads(s, of, &now);
	} else {
		struct wire_key key;
		struct wire w = { .last = now, .since_ns = s->op.now_ns, .ambiguous = c->waiting > 1 };

		wire_key(&key, e, s->op.socket);
		wires.update(&key, &w);
	}
	if (x->sampled && !c->head_span && spans.update(&id, e)) {
		count(COUNT_SPAN_UNKEPT);
		x->sampled = SAMPLED_NO;
	}
	if (!x->sampled && c->head_span)
		spans.delete(&id);
	c->head_span = 0;
}

// A window of a request's head.
static __always_inline void span_window(struct scratch *s, struct connection *c, const struct service *of)
{
	struct exchange *x = newest_exchange(c, s->op.socket);
	struct event_span *e;
	u64 first = 0, id;

	if (!x) {
		c->head_span = 0;
		return;
	}
	if (s->now.starts) {
		c->head_span = 0;
		e = fresh_spans.lookup((u32 *)&first);
		if (!e)
			return;
		span_begin(s, c, x, e);
	} else {
		id = c->head_span;
		e = spans.lookup(&id);
		if (!e) {
			count(COUNT_SPAN_EVICTED);
			c->head_span = 0;
			no_span(x);
			return;
		}
	}
	span_keep_head(s, e);
	FORGET_MEMORY();
	span_header(s, e);
	FORGET_MEMORY();
	if (s->scan.complete) {
		span_decide(s, c, of, x, e);
		return;
	}
	if (!s->now.starts)
		return;
	id = *(u64 *)e->span;
	if (spans.update(&id, e)) {
		count(COUNT_SPAN_UNKEPT);
		return;
	}
	x->span = id;
	x->sampled = SAMPLED_OPEN;
	c->head_span = id;
}

// An exchange of which nothing can be told has ended.
static __always_inline void span_drop(const struct finished *done)
{
	u64 id = done->span;

	thread_answers(done);
	if (!done->sampled)
		return;
	spans.delete(&id);
	count(COUNT_SPAN_UNSEEN);
}

// An exchange has ended and is counted: gives its span to the agent.
static __always_inline void span_end(const struct finished *done)
{
	u64 id = done->span, len;
	struct event_span *e;

	thread_answers(done);
	if (!done->sampled)
		return;
	e = spans.lookup(&id);
	if (!e) {
		count(COUNT_SPAN_EVICTED);
		return;
	}
	server_parent(e);
	len = (SPAN_FIXED_BYTES + e->head_len + 7) & ~7ULL;
	e->header.len = len;
	e->header.time_ns = bpf_ktime_get_ns();
	e->first_ns = done->first_ns;
	e->duration_ns = done->duration_ns;
	e->request_bytes = done->request_bytes;
	e->response_bytes = done->response_bytes;
	e->path = done->path;
	e->route = done->key.route;
	e->status = done->key.status;
	e->method = done->key.method;
	e->version = done->key.version;
	e->fault = done->key.fault;
	OPAQUE(len);
	if (done->sampled == SAMPLED_OPEN) {
		count(COUNT_SPAN_UNSEEN); // answered before its head was complete: what trace it is of is not known
	} else if (len <= sizeof(*e)) {
		if (span_events.ringbuf_output(e, len, 0))
			count(COUNT_SPAN_RING_FULL);
		else
			count(COUNT_SPAN_SENT);
	}
	spans.delete(&id);
}

#endif
#endif
