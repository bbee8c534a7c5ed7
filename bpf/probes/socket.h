// From a hook to the state machine: who did what on which socket, and where its bytes are.
// The two front ends (sock_length.h, syscall_exit.h) fill the same arguments and share the rest.
#ifndef OTELAUTO_SOCKET_H
#define OTELAUTO_SOCKET_H

#include "../core/compat.h"
#include "../core/stream.h"
#include "../core/route.h"
#include "../core/settle.h"

#define FAMILY_UNIX 1
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define TYPE_STREAM 1

#define FLAG_OOB 0x1
#define FLAG_PEEK 0x2
#define FLAG_TRUNC 0x20
#define FLAG_DONTWAIT 0x40
#define FLAG_ERRQUEUE 0x2000

// Bytes of struct msghdr (64 bit).
#define MSGHDR_IOV 16

static __always_inline struct scratch *working_memory(void)
{
	u64 first = 0;

	return scratches.lookup((u32 *)&first);
}

// Finds the bytes of the operation from the system call's arguments. Returns flags of the call.
static __always_inline u32 locate(struct operation *op, const struct user_call *call)
{
	u64 nr = call->number;

	op->vectors = 0;
	op->segment = 0;
	op->unseen = 0;
	if (call->compat) {
		count(COUNT_COMPAT_TASK);
		op->unseen = 1;
		return 0;
	}
	if (nr == NR_read || nr == NR_write || nr == NR_recvfrom || nr == NR_sendto) {
		op->ptr = call->args[1];
		op->segment = op->left;
		return nr == NR_recvfrom ? call->args[3] : 0;
	}
	if (nr == NR_readv || nr == NR_writev || nr == NR_preadv2 || nr == NR_pwritev2) {
		op->vector = call->args[1];
		op->vectors = call->args[2];
		return 0;
	}
	if (nr == NR_sendmsg || nr == NR_recvmsg) {
		u64 header[2];

		if (read_user(header, sizeof(header), call->args[1] + MSGHDR_IOV)) {
			count(COUNT_PAYLOAD_FAULT);
			op->unseen = 1;
			return 0;
		}
		op->vector = header[0];
		op->vectors = header[1];
		return nr == NR_recvmsg ? call->args[2] : 0;
	}
	op->unseen = 1;
	return 0;
}

static __always_inline u64 inode_of(u64 sk)
{
	u64 socket = read_u64(sk + OFF_sock_sk_socket);

	// struct socket_alloc: the inode lies behind the socket.
	return socket ? read_u64(socket + SIZEOF_socket + OFF_inode_i_ino) : 0;
}

// Where the next byte to be sent stands (TCP). It also moves with what no hook sees.
static __always_inline u32 send_sequence(u64 sk)
{
#ifdef OFF_tcp_sock_write_seq
	return read_u32(sk + OFF_tcp_sock_write_seq);
#else
	return 0;
#endif
}

// Whether a response may have been sent that no hook has seen, such as by io_uring.
static __always_inline u32 sent_unseen(const struct connection *c, u64 sk)
{
#ifdef OFF_tcp_sock_write_seq
	return c->family != 1 && c->role == ROLE_SERVER && c->half[RESPONSE].phase == PHASE_START &&
	       send_sequence(sk) != c->sent;
#else
	return 0;
#endif
}

// Fills what stays the same over a connection's life. Returns 0 if it is no stream of a known family.
static __always_inline u32 describe(struct connection *c, u64 sk, u32 service, u8 role)
{
	u16 family = read_u16(sk + OFF_sock_common_skc_family);

	__builtin_memset(c, 0, sizeof(*c));
	if (read_u16(sk + OFF_sock_sk_type) != TYPE_STREAM)
		return 0;
	c->service = service;
	c->role = role;
	if (family == FAMILY_UNIX) {
		c->family = 1;
		c->inode = inode_of(sk);
		return 1;
	}
	if (family != FAMILY_INET && family != FAMILY_INET6)
		return 0;
	if (role == ROLE_CLIENT) {
		c->server_port = __builtin_bswap16(read_u16(sk + OFF_sock_common_skc_dport));
	} else {
		c->server_port = read_u16(sk + OFF_sock_common_skc_num);
	}
	c->sent = send_sequence(sk);
	c->family = 4;
	if (family == FAMILY_INET) {
		*(u32 *)c->address = read_u32(sk + OFF_sock_common_skc_daddr);
		return 1;
	}
	bpf_probe_read_kernel(c->address, sizeof(c->address), (void *)(sk + OFF_sock_common_skc_v6_daddr));
	if (*(u64 *)c->address == 0 && *(u32 *)(c->address + 8) == 0xffff0000) {
		// An IPv4 peer of an IPv6 socket is an IPv4 peer.
		*(u32 *)c->address = *(u32 *)(c->address + 12);
		*(u32 *)(c->address + 8) = 0;
		*(u32 *)(c->address + 12) = 0;
		return 1;
	}
	c->family = 6;
	return 1;
}

// Whether the bytes are a TLS record's first (RFC 8446 section 5.1).
static __always_inline u32 is_tls(u64 word)
{
	u8 type = word, major = word >> 8, minor = word >> 16;

	return type >= 20 && type <= 23 && major == 3 && minor <= 4;
}

// The first bytes on a connection that nothing is known of. Returns its new entry, or 0.
static __always_inline struct connection *open_connection(struct scratch *s, u32 service)
{
	struct operation *op = &s->op;
	u64 sk = op->socket, word = 0;
	u32 tls, h2, n;

	if (op->unseen || !next_segment(op)) {
		count(COUNT_PAYLOAD_UNSEEN);
		return 0;
	}
	n = op->segment < 8 ? op->segment : 8;
	if (n == 8 ? read_user(&word, 8, op->ptr) : n >= 4 ? read_user(&word, 4, op->ptr) :
						    read_user(&word, 1, op->ptr))
		return 0;
	if (n < 8)
		n = n >= 4 ? 4 : 1;
	tls = n == 8 && is_tls(word);
	h2 = n == 8 && word == WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T');
	if (!tls && !h2 && !http1_may_begin_request(word, n))
		return 0;
	if (!describe(&s->fresh, sk, service, op->direction == SENT ? ROLE_CLIENT : ROLE_SERVER))
		return 0;
	if (tls || h2) {
		s->fresh.role = ROLE_NONE;
		s->fresh.half[REQUEST].phase = PHASE_TUNNEL;
		s->fresh.half[RESPONSE].phase = PHASE_TUNNEL;
		count(tls ? COUNT_TLS_CONNECTION : COUNT_HTTP2_CONNECTION);
	}
	if (connections.update(&sk, &s->fresh)) {
		count(COUNT_CONNECTION_LOST);
		return 0;
	}
	op->fresh = 1;
	if (s->fresh.family == 1) {
		u64 nothing = 0;

		unix_sockets.update(&sk, (u32 *)&nothing);
	}
	return tls || h2 ? 0 : connections.lookup(&sk);
}

// Counts scratch.done. Where its route has to be found first, another program goes on.
static __always_inline void commit(void *ctx, struct scratch *s)
{
	struct finished *done = &s->done;

	if (done->pending) {
		u32 route = cached_route(done->key.service, done->path);

		if (route == ROUTE_PENDING) {
			jumps.call(ctx, JUMP_ROUTE);
			// Not reached but for the limit of tail calls.
			route = ROUTE_OTHER;
		}
		done->key.route = route;
		done->pending = 0;
	}
	settle(done, 0);
}

// The entry of a connection, if it has one. Where a unix socket took over the address of a closed one, another
// program ends that one's connection first.
static __always_inline struct connection *find_connection(void *ctx, struct scratch *s, u64 sk)
{
	struct connection *c = connections.lookup(&sk);

	if (!c)
		return 0;
	if (c->family == 1 && c->inode != inode_of(sk)) {
		s->op.closed = sk;
		s->op.resume = 1;
		jumps.call(ctx, JUMP_UNIX);
		// Not reached but for the limit of tail calls.
		connections.delete(&sk);
		return 0;
	}
	return c;
}

// A process has read the end of a stream. If its peer is the unix socket of a connection that is followed, that
// has ended, whoever reads.
static __always_inline void on_stream_end(void *ctx, u64 sk, u32 resume)
{
#ifdef OFF_unix_sock_peer
	struct connection *c;
	struct scratch *s;
	u64 peer;

	if (read_u16(sk + OFF_sock_common_skc_family) != FAMILY_UNIX)
		return;
	peer = read_u64(sk + OFF_unix_sock_peer);
	c = connections.lookup(&peer);
	s = working_memory();
	if (!c || !s || c->family != 1)
		return;
	s->op.closed = peer;
	s->op.now_ns = bpf_ktime_get_ns();
	s->op.resume = resume;
	jumps.call(ctx, JUMP_UNIX);
#endif
}

// An operation that will be tried again (EAGAIN, EINTR) or failed without an end of the connection: event
// loops make many of them.
static __always_inline u32 is_in_vain(u32 result)
{
	u32 error = 0 - result;

	return result >> 31 && error != ERROR_PIPE && error != ERROR_RESET && error != ERROR_TIMEOUT;
}

// The common entry of all hooks: `result` bytes (or minus an errno) went over a socket. The result stays
// unsigned, for LLVM's way to extend a sign confuses the verifier of Linux 6.18. Only finds out what the
// operation is; the rest is done by one program for all hooks.
static __always_inline int on_operation(void *ctx, u32 service, u64 sk, u32 result, u8 direction,
					const struct user_call *call)
{
	struct scratch *s = working_memory();
	u32 flags;

	if (!s || !sk)
		return 0;
	s->op.socket = sk;
	s->op.now_ns = bpf_ktime_get_ns();
	s->op.service = service;
	s->op.direction = direction;
	s->op.begun = 0;
	s->op.error = result >> 31 ? 0 - result : 0;
	s->op.left = result >> 31 ? 0 : result;
	flags = locate(&s->op, call);
	s->op.nowait = (flags & FLAG_DONTWAIT) != 0;
	if (direction == RECEIVED) {
		if (flags & (FLAG_PEEK | FLAG_OOB | FLAG_ERRQUEUE | FLAG_TRUNC))
			return 0;
		// recv() of no bytes is no end of the stream.
		if (!result && !call->args[2] && call->number == NR_recvfrom)
			return 0;
#ifdef SPANS
		proxy_reads(service, sk);
#endif
		if (!result)
			on_stream_end(ctx, sk, 1);
	}
	jumps.call(ctx, JUMP_STEPS);
	return 0;
}

// The steps of the operation in the working memory.
static __always_inline int on_steps(void *ctx)
{
	struct scratch *s = working_memory();
	struct connection *c;
	u64 sk;

	if (!s)
		return 0;
	sk = s->op.socket;
	c = find_connection(ctx, s, sk);
	if (!s->op.begun) {
		s->op.begun = 1;
		s->op.fresh = 0;
		if (c && s->op.direction == SENT)
			c->sent += s->op.left;
		if (!c && s->op.left)
			c = open_connection(s, s->op.service);
	}
	if (!c)
		return 0;
	// A process may get another service while its connections live.
	c->service = s->op.service;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < STEPS; i++) {
		u32 finished = step(s, c);

		if (s->op.fresh && c->half[REQUEST].phase == PHASE_LOST) {
			connections.delete(&sk);
			return 0;
		}
		if (finished)
			commit(ctx, s);
#ifdef SPANS
		if (s->now.act & ACT_DROP)
			span_drop(&s->done);
		if (s->now.act & ACT_SPAN)
			jumps.call(ctx, JUMP_SPAN);
#endif
		if (!s->op.left)
			return 0;
	}
	jumps.call(ctx, JUMP_STEPS);
	// The limit of tail calls: what follows in this operation is not followed.
	count(COUNT_OPERATION_TOO_LONG);
	lose(&s->op, half_of(c, half_index(&s->op, c)));
	return 0;
}

#ifdef SPANS
// What the window in the working memory is to the span of its request, then the rest of the operation.
static __always_inline int on_span(void *ctx)
{
	struct scratch *s = working_memory();
	struct connection *c;
	struct service *of;
	u64 key;

	if (!s)
		return 0;
	key = s->op.socket;
	c = connections.lookup(&key);
	key = s->op.service;
	of = services.lookup((u32 *)&key);
	if (c && of && (of->spans & SPAN_BIT_ON))
		span_window(s, c, of);
	if (!s->op.left)
		return 0;
	jumps.call(ctx, JUMP_STEPS);
	count(COUNT_OPERATION_TOO_LONG);
	if (c)
		lose(&s->op, half_of(c, half_index(&s->op, c)));
	return 0;
}
#endif

// The route of the exchange in the working memory, then the rest of the operation.
static __always_inline int on_route(void *ctx)
{
	struct scratch *s = working_memory();

	if (!s)
		return 0;
	settle_route(&s->done, PLACE_ROUTE);
	settle(&s->done, 0);
#ifdef SPANS
	if (s->now.act & ACT_SPAN)
		jumps.call(ctx, JUMP_SPAN);
#endif
	if (s->op.left)
		jumps.call(ctx, JUMP_STEPS);
	return 0;
}

#endif
