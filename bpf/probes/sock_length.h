// Front end for kernels with the tracepoints sock_send_length and sock_recv_length (commit 6e6eda44b939,
// Linux 6.3): one hit for each operation on a socket, none for anything else. They give the socket and
// the result; where the bytes are is in the registers with which the process entered the kernel.
#ifndef OTELAUTO_SOCK_LENGTH_H
#define OTELAUTO_SOCK_LENGTH_H

#include "socket.h"

// Helpers that BCC knows from 0.22 on: bpf_get_current_task_btf (commit 3ca1032ab7ab, Linux 5.11) and
// bpf_task_pt_regs (commit dd6e10fbd9fb, Linux 5.15).
static u64 (*current_task)(void) = (void *)158;
static u64 (*task_registers)(u64 task) = (void *)175;

// The kernel lets programs follow this pointer: a load costs no call.
#define REG_DIRECTLY(regs, offset) (*(const volatile u64 *)((regs) + (offset)))

static __always_inline int on_length(void *ctx, u64 sk, u32 result, u8 direction)
{
	u32 service = service_of(current_process());
	struct user_call call;
	u64 regs;

	if (!service) {
		if (direction == RECEIVED && !result && sk)
			on_stream_end(ctx, sk, 0);
		return 0;
	}
	if (is_in_vain(result))
		return 0;
	regs = task_registers(current_task());
	READ_CALL(&call, regs, REG_DIRECTLY);
	return on_operation(ctx, service, sk, result, direction, &call);
}

// Arguments: struct sock *sk, int ret, int flags.
int sock_recv_length(struct bpf_raw_tracepoint_args *ctx)
{
	return on_length(ctx, ctx->args[0], ctx->args[1], RECEIVED);
}

int sock_send_length(struct bpf_raw_tracepoint_args *ctx)
{
	return on_length(ctx, ctx->args[0], ctx->args[1], SENT);
}

#endif
