// The unit in which BPF_RINGBUF_OUTPUT counts. The loader defines PAGE_SIZE from sysconf(3): arm64
// kernels have pages of 4, 16 or 64 KiB.
#ifndef OTELAUTO_ASM_PAGE_H
#define OTELAUTO_ASM_PAGE_H

#ifndef PAGE_SIZE
#define PAGE_SIZE 4096UL
#endif

#endif
