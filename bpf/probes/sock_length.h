// Front end for kernels with the tracepoints sock_send_length and sock_recv_length (commit 6e6eda44b939,
// Linux 6.3): one hit for each operation on a socket, none for anything else. They give the socket and
// the result; where the bytes are is in the registers with which the process entered the kernel.
#ifndef OTELAUTO_SOCK_LENGTH_H
#define OTELAUTO_SOCK_LENGTH_H

#include "socket.h"

static __always_inline u64 user_registers(void)
{
	return (u64)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
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
