// The mark by which BCC knows a kernel tree, and the configuration that its helpers.h insists on.
#ifndef OTELAUTO_LINUX_KCONFIG_H
#define OTELAUTO_LINUX_KCONFIG_H

#define CONFIG_BPF_SYSCALL 1
#define CONFIG_BPF_EVENTS 1
#define CONFIG_64BIT 1
#if defined(__x86_64__)
#define CONFIG_X86_64 1
#elif defined(__aarch64__)
#define CONFIG_ARM64 1
#else
#error "otelauto supports x86_64 and arm64"
#endif

#endif
