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

static __always_inline u64 user_registers(void)
{
	return task_registers(current_task());
}

// Arguments: struct sock *sk, int ret, int flags.
int sock_recv_length(struct bpf_raw_tracepoint_args *ctx)
{
	return on_operation(ctx, ctx->args[0], ctx->args[1], RECEIVED, user_registers());
}

int sock_send_length(struct bpf_raw_tracepoint_args *ctx)
{
	return on_operation(ctx, ctx->args[0], ctx->args[1], SENT, user_registers());
}

#endif
