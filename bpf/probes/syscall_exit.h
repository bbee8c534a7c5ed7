// Front end for all other kernels: the exit of system calls only, for on exit everything is known. The
// arguments are still in the saved registers; the socket is found from the descriptor.
#ifndef OTELAUTO_SYSCALL_EXIT_H
#define OTELAUTO_SYSCALL_EXIT_H

#include "socket.h"

#define MODE_TYPE 0170000
#define MODE_SOCKET 0140000

// The socket of a descriptor of the current process, 0: it is none.
static __always_inline u64 socket_of(u32 fd)
{
	u64 table = read_u64(read_u64(bpf_get_current_task() + OFF_task_struct_files) + OFF_files_struct_fdt);
	u64 file, inode, socket;

	// A descriptor beyond the table would lead anywhere in memory.
	if (fd >= read_u32(table + OFF_fdtable_max_fds))
		return 0;
	file = read_u64(read_u64(table + OFF_fdtable_fd) + 8ULL * fd);
	if (!file)
		return 0;
	inode = read_u64(file + OFF_file_f_inode);
	if ((read_u16(inode + OFF_inode_i_mode) & MODE_TYPE) != MODE_SOCKET)
		return 0;
	socket = read_u64(file + OFF_file_private_data);
	if (read_u64(socket + OFF_socket_file) != file)
		return 0;
	return read_u64(socket + OFF_socket_sk);
}

// Numbers of 32-bit code, which are those of harmless calls in 64-bit code.
#define COMPAT_NR_read 3
#define COMPAT_NR_write 4
#define COMPAT_NR_socketcall 102

// A call that may be 32-bit code's on a socket: it is counted, for its bytes cannot be found.
static __always_inline int on_compat(u64 regs, u64 nr)
{
	struct user_call call;

	if (!service_of(current_process()))
		return 0;
	READ_CALL(&call, regs, reg_at);
#if defined(__TARGET_ARCH_x86)
	call.args[0] = reg_at(regs, REG_BX);
#endif
	if (call.compat && (nr == COMPAT_NR_socketcall || socket_of(call.args[0])))
		count(COUNT_COMPAT_TASK);
	return 0;
}

// Arguments: struct pt_regs *regs, long ret.
int sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 regs = ctx->args[0];
	struct user_call call;
	u64 nr, sk, result;
	u32 fd, service;
	u8 direction;

#if defined(__TARGET_ARCH_x86)
	nr = reg_at(regs, REG_NUMBER);
#else
	nr = (u32)reg_at(regs, 35 * 8);
#endif
	if (nr == NR_read || nr == NR_readv || nr == NR_recvfrom || nr == NR_recvmsg || nr == NR_preadv2)
		direction = RECEIVED;
	else if (nr == NR_write || nr == NR_writev || nr == NR_sendto || nr == NR_sendmsg ||
		 nr == NR_pwritev2 || nr == NR_sendfile || nr == NR_splice)
		direction = SENT;
	else if (nr == COMPAT_NR_read || nr == COMPAT_NR_write || nr == COMPAT_NR_socketcall)
		return on_compat(regs, nr);
	else
		return 0;
	// Read once: for several places LLVM 11 keeps the address ctx + 8, through which the verifier lets
	// nobody read.
	result = ctx->args[1];
	OPAQUE(result);
	service = service_of(current_process());
	if ((!service && (direction == SENT || result)) || is_in_vain(result))
		return 0;
	READ_CALL(&call, regs, reg_at);
	if (call.compat)
		return 0; // another call altogether
	fd = nr == NR_splice ? call.args[2] : call.args[0];
	sk = socket_of(fd);
	if (service)
		return on_operation(ctx, service, sk, result, direction, &call);
	if (sk)
		on_stream_end(ctx, sk, 0);
	return 0;
}

#endif
