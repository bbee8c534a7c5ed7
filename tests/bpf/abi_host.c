// Compiled, never run: the kernel-user contract as an ordinary compiler sees it. With -Wpadded -Werror
// any hole that is not written out as _pad is an error, and the header's own assertions check sizes.
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#include "../../bpf/abi.h"
