// The registers that the kernel saves on entry, as its entry code lays them out.
#ifndef OTELAUTO_UAPI_LINUX_PTRACE_H
#define OTELAUTO_UAPI_LINUX_PTRACE_H

#include <linux/types.h>

#if defined(__x86_64__)
struct pt_regs {
	unsigned long r15;
	unsigned long r14;
	unsigned long r13;
	unsigned long r12;
	unsigned long bp;
	unsigned long bx;
	unsigned long r11;
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long cs;
	unsigned long flags;
	unsigned long sp;
	unsigned long ss;
};
_Static_assert(sizeof(struct pt_regs) == 168, "pt_regs");
#elif defined(__aarch64__)
struct user_pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 pstate;
};

struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			u64 regs[31];
			u64 sp;
			u64 pc;
			u64 pstate;
		};
	};
	u64 orig_x0;		// the first argument of a system call; regs[0] holds its result
	s32 syscallno;		// little endian
	u32 unused2;
};
_Static_assert(offsetof(struct pt_regs, orig_x0) == 272, "pt_regs");
_Static_assert(offsetof(struct pt_regs, syscallno) == 280, "pt_regs");
#endif

#endif
