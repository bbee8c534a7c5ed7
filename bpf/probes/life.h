// Life and death of connections and processes.
#ifndef OTELAUTO_LIFE_H
#define OTELAUTO_LIFE_H

#include "socket.h"

#define TCP_SYN_SENT 2
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10

// What the change of a socket's state means for the requests that wait. FAULT_NONE: nothing.
static __always_inline u32 fault_of_state(const struct connection *c, u64 sk, u32 before, u32 now)
{
	if (now == TCP_FIN_WAIT1 && c->role == ROLE_SERVER)
		return FAULT_NO_RESPONSE;
	// A client that shuts down its side may still read the response.
	if (now == TCP_LAST_ACK)
		return FAULT_CONNECTION_CLOSED;
	if (now != TCP_CLOSE)
		return FAULT_NONE;
	if (read_u32(sk + OFF_sock_sk_err))
		return FAULT_CONNECTION_RESET;
	if (before == TCP_CLOSE_WAIT)
		return FAULT_CONNECTION_CLOSED;
	return c->role == ROLE_CLIENT ? FAULT_CANCELLED : FAULT_NO_RESPONSE;
}

static __always_inline void on_listen(u64 sk)
{
	u32 first = 0;
	struct options *wanted = option.lookup(&first);
	struct event_listen *event;

	if (!wanted || !(wanted->events & EVENT_BIT_LISTEN))
		return;
	event = events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(COUNT_EVENT_LOST);
		return;
	}
	event->header.kind = EVENT_LISTEN;
	event->header.len = sizeof(*event);
	event->header.time_ns = bpf_ktime_get_ns();
	event->pid = current_process();
	event->port = read_u16(sk + OFF_sock_common_skc_num);
	event->family = read_u16(sk + OFF_sock_common_skc_family);
	events.ringbuf_submit(event, 0);
}

// Ends one of the requests that wait; the program calls itself for the next. Its working memory is its own,
// because it runs in interrupts, too; the kernel does not let it interrupt itself. The 33 tail calls of the
// kernel are the limit of requests.
static __always_inline void end_waiting(void *ctx, struct connection *c, u64 sk, u32 fault)
{
	u64 end_ns = bpf_ktime_get_ns(), place = PLACE_STATE;
	struct walk *w = walks.lookup((u32 *)&place);
	u32 known;

	if (!w)
		return;
	known = judge_end(c, &end_ns, &fault);
	finish(&w->done, c, sk, end_ns, fault);
	FORGET_MEMORY();
	if (known) {
		if (w->done.pending)
			w->done.key.route = cached_route(w->done.key.service, w->done.path);
		FORGET_MEMORY();
		if (w->done.pending && w->done.key.route == ROUTE_PENDING)
			settle_route(&w->done, PLACE_STATE);
		FORGET_MEMORY();
		settle(&w->done, 1);
	} else {
		settle_unseen(&w->done);
	}
	if (!c->waiting)
		return;
	jumps.call(ctx, JUMP_END);
	count_many(COUNT_PIPELINE_OVERFLOW, c->waiting);
	c->waiting = 0;
}

static __always_inline int on_state(void *ctx, u64 sk, u32 before, u32 now)
{
	struct connection *c;
	u32 fault;

	if (now == TCP_LISTEN) {
		on_listen(sk);
		return 0;
	}
#ifdef SPANS
	if (now == TCP_SYN_SENT)
		proxy_connects(sk);
#endif
	c = connections.lookup(&sk);
	if (!c || !c->waiting)
		return 0;
	fault = fault_of_state(c, sk, before, now);
	if (!fault)
		return 0;
	// A reset may come in the middle of an operation, before its bytes are seen.
	if (now != TCP_CLOSE && sent_unseen(c, sk))
		c->half[RESPONSE].phase = PHASE_LOST;
	end_waiting(ctx, c, sk, fault);
	return 0;
}

// The change to TCP_CLOSE has ended what waited. It is only missed if it interrupted itself on this CPU, which
// the kernel refuses (commit 2b5894cc33c8, Linux 5.12 counts it): then those requests are lost.
static __always_inline int on_destroy(u64 sk)
{
	struct connection *c = connections.lookup(&sk);

	if (!c)
		return 0;
	if (c->waiting)
		count_many(COUNT_RESPONSE_UNSEEN, c->waiting);
	connections.delete(&sk);
	return 0;
}

// Arguments: const struct sock *sk, const int oldstate, const int newstate.
int inet_sock_set_state(struct bpf_raw_tracepoint_args *ctx)
{
	return on_state(ctx, ctx->args[0], ctx->args[1], ctx->args[2]);
}

// Arguments: struct sock *sk.
int tcp_destroy_sock(struct bpf_raw_tracepoint_args *ctx)
{
	return on_destroy(ctx->args[0]);
}

static __always_inline void send_process(u32 kind, u32 pid, u32 parent, u32 service)
{
	struct event_process *event = events.ringbuf_reserve(sizeof(*event));

	if (!event) {
		count(COUNT_EVENT_LOST);
		return;
	}
	event->header.kind = kind;
	event->header.len = sizeof(*event);
	event->header.time_ns = bpf_ktime_get_ns();
	event->pid = pid;
	event->parent = parent;
	event->service = service;
	event->_pad = 0;
	events.ringbuf_submit(event, 0);
}

// A child of a target is a target from its first instruction on. Arguments: parent, child task.
int sched_process_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u64 parent_task = ctx->args[0], task = ctx->args[1];
	u32 parent, pid, service;

	if (read_u32(task + OFF_task_struct_tgid) == read_u32(parent_task + OFF_task_struct_tgid))
		return 0; // a thread
	parent = process_of(parent_task);
	service = service_of(parent);
	if (!service)
		return 0;
	pid = process_of(task);
	if (!pid)
		return 0;
	add_target(pid, service);
	send_process(EVENT_FORK, pid, parent, service);
	return 0;
}

// Arguments: task, pid of the thread that called execve, struct linux_binprm *.
int sched_process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u32 pid = current_process(), service = service_of(pid), first = 0;
	struct options *wanted = option.lookup(&first);

	if (pid && (service || (wanted && (wanted->events & EVENT_BIT_EXEC))))
		send_process(EVENT_EXEC, pid, 0, service);
	return 0;
}

// Arguments: task. The process is gone when its last thread is.
int sched_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0];
	u32 pid = process_of(task), service = service_of(pid);

	if (!service)
		return 0;
	if (read_u32(read_u64(task + OFF_task_struct_signal) + OFF_signal_struct_live))
		return 0;
	remove_target(pid);
	send_process(EVENT_EXIT, pid, 0, service);
	return 0;
}

#endif
