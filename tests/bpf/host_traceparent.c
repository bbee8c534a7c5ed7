// The parser of traceparent as a library of the host, for ctypes; tests/bpf/test_traceparent.py drives it.
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define SPANS

#include "../../bpf/proto/traceparent.h"

// Parses text[0..n) at offset `at` of a window. Returns 1 if it is valid; out: trace, parent, sampled.
int host_traceparent(const u8 *text, u32 n, u32 at, u8 *out)
{
	static u8 window[2 * WINDOW_BYTES + 16];
	struct trace_context t;

	memset(window, 0xa5, sizeof(window));
	memcpy(window + at, text, n);
	memset(&t, 0xa5, sizeof(t));
	traceparent(&t, window, at, at + n);
	memcpy(out, t.trace, 16);
	memcpy(out + 16, t.parent, 8);
	out[24] = t.sampled;
	return t.valid;
}
