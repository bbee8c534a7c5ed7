// All the kernel programs of the system-call front end as a library of the host, for ctypes. What is
// compiled is what BCC compiles, the accessors of maps.h included; tests/bpf/kernel.py drives it.
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
#define __TARGET_ARCH_x86

#include "host_bpf.h"
#include "../../bpf/probes/socket.h"
#include "../../bpf/probes/syscall_exit.h"
#include "../../bpf/probes/life.h"
#include "../../bpf/probes/unix.h"

static struct bpf_raw_tracepoint_args ctx;

static void run(int (*program)(struct bpf_raw_tracepoint_args *))
{
	tails = 0;
	switch (setjmp(tail)) {
	case 0:
		program(&ctx);
		break;
	case 1 + JUMP_STEPS:
		on_steps(&ctx);
		break;
	case 1 + JUMP_ROUTE:
		on_route(&ctx);
		break;
	case 1 + JUMP_END:
		inet_sock_set_state(&ctx);
		break;
	case 1 + JUMP_UNIX:
		on_unix(&ctx);
		break;
	default:
		abort();
	}
	if (tails > deepest)
		deepest = tails;
}

// ---- for the driver ----

void host_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	for (struct host_map *map = every_map; map; map = map->next) {
		while (map->first)
			map_delete(map, map->first->bytes);
		free(map->array);
		map->array = 0;
	}
	memset(working_memory(), 0xa5, sizeof(struct scratch)); // what an earlier operation left
	events_len = 0;
	refuse_events = 0;
	deepest = 0;
	fake.table.fd = (u64)fake.fd;
	fake.table.max_fds = FAKE_FILES;
	fake.open.fdt = (u64)&fake.table;
	fake.task.files = (u64)&fake.open;
	fake.task.signal = (u64)&fake.signal;
	fake.task.tgid = 100;
}

// A socket of the process at this descriptor; ports in host order.
u64 host_socket(u32 fd, u32 family, u32 type, u32 port, u32 peer_port, const u8 *address, u64 inode)
{
	struct fake_sock *sk = &fake.socks[fd];
	struct fake_socket *socket = &fake.sockets[fd];

	memset(sk, 0, sizeof(*sk));
	sk->family = family;
	sk->type = type;
	sk->num = port;
	sk->dport = __builtin_bswap16(peer_port);
	memcpy(&sk->daddr, address, 4);
	memcpy(sk->v6_daddr, address, 16);
	sk->socket = (u64)socket;
	socket->socket.file = (u64)&fake.files[fd];
	socket->socket.sk = (u64)sk;
	socket->i_ino = inode;
	socket->i_mode = MODE_SOCKET | 0777;
	fake.files[fd].inode = (u64)&socket->i_ino;
	fake.files[fd].private_data = (u64)socket;
	fake.fd[fd] = (u64)&fake.files[fd];
	return (u64)sk;
}

// Another kind of file.
void host_file(u32 fd)
{
	host_socket(fd, 0, 0, 0, 0, (const u8 *)&fake.socks[fd], 1);
	fake.sockets[fd].i_mode = 0100644;
}

void host_error_of(u32 fd, u32 error)
{
	fake.socks[fd].err = error;
}

void host_process(u32 pid)
{
	fake.task.tgid = pid;
}

// The exit of a system call of a process with 64 bits, or 32.
void host_syscall(u64 now, u64 number, const u64 *args, u64 result, u32 compat)
{
	u64 regs[21] = { 0 };

	regs[REG_NUMBER / 8] = number;
	regs[(compat ? REG_BX : REG_DI) / 8] = args[0];
	regs[REG_SI / 8] = args[1];
	regs[REG_DX / 8] = args[2];
	regs[REG_R10 / 8] = args[3];
	regs[REG_CS / 8] = compat ? USER32_CS : 0x33;
	now_ns = now;
	ctx.args[0] = (u64)regs;
	ctx.args[1] = result;
	run(sys_exit);
}

void host_state(u64 now, u64 sk, u32 before, u32 after)
{
	now_ns = now;
	ctx.args[0] = sk;
	ctx.args[1] = before;
	ctx.args[2] = after;
	run(inet_sock_set_state);
}

void host_destroy(u64 sk)
{
	ctx.args[0] = sk;
	run(tcp_destroy_sock);
}

void host_target(u32 pid, u32 service)
{
	add_target(pid, service);
}

void host_no_target(u32 pid)
{
	remove_target(pid);
}

static struct host_map *find_map(const char *name)
{
	struct host_map *map = every_map;

	while (map && strcmp(map->name, name))
		map = map->next;
	return map;
}

void host_map_set(const char *name, const void *key, const void *value)
{
	struct host_map *map = find_map(name);

	if (strstr(map->kind, "array"))
		memcpy(map_lookup(map, key), value, map->value);
	else
		map_update(map, key, value, 0);
}

u32 host_map_len(const char *name)
{
	return find_map(name)->len;
}

u32 host_map_entry_bytes(const char *name)
{
	return find_map(name)->key + find_map(name)->value;
}

// Key and value of one entry.
const void *host_map_at(const char *name, u32 index)
{
	struct entry *e = find_map(name)->first;

	while (index--)
		e = e->next;
	return e->bytes;
}

u64 host_count(u32 id)
{
	return *(u64 *)map_lookup(&counts_map, &id);
}

u32 host_events(void)
{
	return events_len;
}

const void *host_event(u32 index)
{
	return event_bytes[index];
}

void host_refuse_events(void)
{
	refuse_events = 1;
}

u32 host_deepest(void)
{
	return deepest;
}
