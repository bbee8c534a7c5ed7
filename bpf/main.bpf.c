// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The order of the parts and the programs that are only called by tail calls; no logic.
#include <uapi/linux/ptrace.h>
#include <linux/types.h>

#include "probes/socket.h"
#ifdef HOOK_SYSCALL
#include "probes/syscall_exit.h"
#else
#include "probes/sock_length.h"
#endif
#include "probes/life.h"
#include "probes/unix.h"

// Index JUMP_STEPS.
int steps(struct bpf_raw_tracepoint_args *ctx)
{
	return on_steps(ctx);
}

// Index JUMP_ROUTE.
int route(struct bpf_raw_tracepoint_args *ctx)
{
	return on_route(ctx);
}

#ifdef SPANS
// Index JUMP_SPAN.
int span(struct bpf_raw_tracepoint_args *ctx)
{
	return on_span(ctx);
}
#endif

// Index JUMP_UNIX.
int unix_end(struct bpf_raw_tracepoint_args *ctx)
{
	return on_unix(ctx);
}

// Run by the agent, see probes/unix.h.
int unix_look(struct bpf_raw_tracepoint_args *ctx)
{
	return on_look(ctx, ctx->args[0]);
}
