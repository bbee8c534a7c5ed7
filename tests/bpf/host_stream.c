// The kernel's state machine as a library of the host, for ctypes: bytes of operations in, exchanges out.
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
#define __always_inline inline __attribute__((always_inline))

#include "host_maps.h"
#include "../../bpf/core/stream.h"

struct host_vector {
	u64 base;
	u64 len;
};

static struct scratch scratch;
static struct connection connection;

// A new connection, as if its first bytes had been plausible.
void host_open(u32 role)
{
	memset(&host, 0, sizeof(host));
	memset(&connection, 0, sizeof(connection));
	memset(&scratch, 0xa5, sizeof(scratch)); // what an earlier operation left
	connection.role = role;
	connection.service = 1;
	connection.server_port = 80;
}

// An operation of `bytes` bytes; without vectors its payload cannot be seen. Calls `emit` for each
// exchange that it finishes. Returns the steps that it took.
u32 host_operation(u32 direction, u64 now_ns, u32 bytes, const struct host_vector *vectors, u32 count_of,
		   void (*emit)(const struct finished *, const u8 *, u32))
{
	struct operation *op = &scratch.op;
	u32 steps = 0;

	op->socket = 1;
	op->now_ns = now_ns;
	op->direction = direction;
	op->left = bytes;
	op->segment = 0;
	op->vector = (u64)vectors;
	op->vectors = count_of;
	op->unseen = !count_of;
	while (op->left && steps < 100000) {
		if (step(&scratch, &connection))
			emit(&scratch.done, host.path, host.path_len);
		steps++;
	}
	return steps;
}

u64 host_count(u32 id)
{
	return host.counts[id];
}

u32 host_waiting(void)
{
	return connection.waiting;
}

u32 host_phase(u32 half)
{
	return connection.half[half].phase;
}

void host_refuse_pipeline(u32 refuse)
{
	host.refuse_pipeline = refuse;
}
