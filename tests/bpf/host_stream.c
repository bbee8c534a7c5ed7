// The kernel's state machine as a library of the host, for ctypes: bytes of operations in, exchanges out.
// One connection at a time; tests/bpf/stream.py drives it.
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#include "host_maps.h"
#include "../../bpf/core/stream.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

#define HOST_EXCHANGES 4096
#define HOST_STEPS 100000

struct host_vector {
	u64 base;
	u64 len;
};

// A finished exchange, for struct Finished of tests/bpf/stream.py.
struct host_exchange {
	u64 start_ns;
	u64 end_ns;
	u64 request_bytes;
	u64 response_bytes;
	u32 route;
	u16 status;
	u16 path_len;
	u8 role;
	u8 method;
	u8 version;
	u8 fault;
	u8 truncated;
	u8 has_path;
	u8 _pad[2];
	u8 path[PATH_BYTES];
};

static struct scratch scratch;
static struct connection connection;
static struct host_exchange exchanges[HOST_EXCHANGES];
static u32 exchanges_len;

// A new connection, as if its first bytes had been plausible.
void host_open(u32 role)
{
	memset(&host, 0, offsetof(__typeof__(host), paths));
	memset(&connection, 0, sizeof(connection));
	ASAN_UNPOISON_MEMORY_REGION(&scratch, sizeof(scratch));
	memset(&scratch, 0xa5, sizeof(scratch)); // what an earlier operation left
	// Behind the window lies what the accessors of this file do not use: nobody may touch it.
	ASAN_POISON_MEMORY_REGION(&scratch.path, sizeof(scratch) - offsetof(struct scratch, path));
	exchanges_len = 0;
	connection.role = role;
	connection.service = 1;
	connection.server_port = 80;
}

static void emit(const struct finished *done, u64 end_ns)
{
	const struct path_text *text = host_path_text(done->path);
	struct host_exchange *e = &exchanges[exchanges_len % HOST_EXCHANGES];

	exchanges_len++;
	memset(e, 0, sizeof(*e));
	e->start_ns = end_ns - done->duration_ns;
	e->end_ns = end_ns;
	e->request_bytes = done->request_bytes;
	e->response_bytes = done->response_bytes;
	e->route = done->key.route;
	e->status = done->key.status;
	e->role = done->key.role;
	e->method = done->key.method;
	e->version = done->key.version;
	e->fault = done->key.fault;
	if (!done->path || !text)
		return;
	e->has_path = 1;
	e->path_len = text->len;
	e->truncated = text->truncated;
	memcpy(e->path, text->text, text->len);
}

// An operation of `bytes` bytes; without vectors its payload cannot be seen. Returns the steps that it took.
u32 host_operation(u32 direction, u64 now_ns, u32 bytes, const struct host_vector *vectors, u32 count_of)
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
	while (op->left && steps < HOST_STEPS) {
		if (step(&scratch, &connection))
			emit(&scratch.done, connection.last_ns);
		steps++;
	}
	return steps;
}

// The stream ended (error 0) or an operation failed, and one request that waits ends with it. Returns 1 if
// there may be more.
u32 host_end(u32 direction, u64 now_ns, u32 error)
{
	struct operation *op = &scratch.op;
	u32 waited = connection.waiting;

	op->socket = 1;
	op->now_ns = now_ns;
	op->direction = direction;
	op->left = 0;
	op->error = error;
	if (step(&scratch, &connection))
		emit(&scratch.done, scratch.done.key.fault ? now_ns : connection.last_ns);
	return connection.waiting && connection.waiting != waited;
}

// The connection closes: one request that waits ends with it, as end_waiting() of bpf/probes/life.h says.
// Returns 1 if there may be more.
u32 host_close(u64 now_ns, u32 fault)
{
	u64 end_ns = now_ns;
	u32 known;

	if (!connection.waiting)
		return 0;
	known = judge_end(&connection, &end_ns, &fault);
	finish(&scratch.done, &connection, 1, end_ns, fault);
	if (known)
		emit(&scratch.done, scratch.done.key.fault ? now_ns : connection.last_ns);
	else
		count(COUNT_RESPONSE_UNSEEN);
	return connection.waiting;
}

u32 host_exchanges(void)
{
	return exchanges_len;
}

const struct host_exchange *host_exchange(u32 index)
{
	return &exchanges[index];
}

u64 host_count(u32 id)
{
	return host.counts[id];
}

u32 host_collisions(void)
{
	return host.collisions;
}

u32 host_waiting(void)
{
	return connection.waiting + connection.unkept;
}

u32 host_phase(u32 half)
{
	return connection.half[half].phase;
}

// The maps lose what they hold of this connection, as the least recently used entries do.
void host_evict(void)
{
	host.has_carry[0] = 0;
	host.has_carry[1] = 0;
	host.has_pipeline = 0;
}

// The maps take no new entry.
void host_refuse(u32 refuse)
{
	host.refuse_carry = refuse;
	host.refuse_pipeline = refuse;
}
