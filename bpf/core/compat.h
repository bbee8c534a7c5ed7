// What differs between machines: registers, struct offsets, process ids. Kernel structs are read only
// through offsets of the running kernel's BTF (OFF_*, SIZEOF_*, given by the loader), never by member
// names: whatever headers BCC has been given may be those of another kernel.
#ifndef OTELAUTO_COMPAT_H
#define OTELAUTO_COMPAT_H

#include "maps.h"

// The registers with which a process entered the kernel, as far as they name a system call's arguments.
struct user_call {
	u64 number;
	u64 args[4];
	u32 compat;		// a 32-bit process: other numbers, other structs
};

#if defined(__TARGET_ARCH_x86)
#define REG_BX 40
#define REG_R10 56
#define REG_DX 96
#define REG_SI 104
#define REG_DI 112
#define REG_NUMBER 120
#define REG_CS 136
#define USER32_CS 0x23

#define NR_read 0
#define NR_write 1
#define NR_readv 19
#define NR_writev 20
#define NR_sendfile 40
#define NR_sendto 44
#define NR_recvfrom 45
#define NR_sendmsg 46
#define NR_recvmsg 47
#define NR_splice 275
#define NR_preadv2 327
#define NR_pwritev2 328
#elif defined(__TARGET_ARCH_arm64)
#define NR_read 63
#define NR_write 64
#define NR_readv 65
#define NR_writev 66
#define NR_sendfile 71
#define NR_splice 76
#define NR_sendto 206
#define NR_recvfrom 207
#define NR_sendmsg 211
#define NR_recvmsg 212
#define NR_preadv2 286
#define NR_pwritev2 287
#endif

static __always_inline u64 read_u64(u64 at)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
	return value;
}

static __always_inline u32 read_u32(u64 at)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
	return value;
}

static __always_inline u16 read_u16(u64 at)
{
	u16 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
	return value;
}

// A register of a process, at its offset in struct pt_regs.
static __always_inline u64 reg_at(u64 regs, u32 offset)
{
	return read_u64(regs + offset);
}

#if defined(__TARGET_ARCH_x86)
#define READ_CALL(call, regs, READ) do { \
	(call)->number = READ(regs, REG_NUMBER); \
	(call)->args[0] = READ(regs, REG_DI); \
	(call)->args[1] = READ(regs, REG_SI); \
	(call)->args[2] = READ(regs, REG_DX); \
	(call)->args[3] = READ(regs, REG_R10); \
	(call)->compat = (u32)READ(regs, REG_CS) == USER32_CS; \
} while (0)
#elif defined(__TARGET_ARCH_arm64)
// struct pt_regs: regs[31], sp, pc, pstate, orig_x0, syscallno. x0 holds the result at exit.
#define READ_CALL(call, regs, READ) do { \
	(call)->number = (u32)READ(regs, 35 * 8); \
	(call)->args[0] = READ(regs, 34 * 8); \
	(call)->args[1] = READ(regs, 1 * 8); \
	(call)->args[2] = READ(regs, 2 * 8); \
	(call)->args[3] = READ(regs, 3 * 8); \
	(call)->compat = (READ(regs, 33 * 8) & 0x10) != 0; /* PSR_MODE32_BIT */ \
} while (0)
#endif

// The process id of a task in the agent's pid namespace; 0: it is not in there. The ids that BPF sees are
// those of the first namespace, the agent may run in a container.
static __always_inline u32 process_of(u64 task)
{
#ifdef AGENT_PIDNS
	u64 pid = read_u64(read_u64(task + OFF_task_struct_group_leader) + OFF_task_struct_thread_pid);
	u32 level = read_u32(pid + OFF_pid_level);

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 8; i++) {
		u64 numbers = pid + OFF_pid_numbers + i * SIZEOF_upid;
		u64 ns;

		if (i > level)
			break;
		ns = read_u64(numbers + OFF_upid_ns);
		if (read_u32(ns + OFF_pid_namespace_ns + OFF_ns_common_inum) == AGENT_PIDNS)
			return read_u32(numbers + OFF_upid_nr);
	}
	return 0;
#else
	return read_u32(task + OFF_task_struct_tgid);
#endif
}

static __always_inline u32 current_process(void)
{
#ifdef AGENT_PIDNS
	return process_of(bpf_get_current_task());
#else
	return bpf_get_current_pid_tgid() >> 32;
#endif
}

#endif
