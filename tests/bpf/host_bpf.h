// What BCC and the kernel give to the programs, for the host: maps are lists, a tail call is a jump, helpers
// copy memory, and the kernel's structs are small ones of the same relations.
#ifndef OTELAUTO_HOST_BPF_H
#define OTELAUTO_HOST_BPF_H

#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct bpf_raw_tracepoint_args {
	u64 args[8];
};

// ---- what the programs read of the kernel ----

struct fake_sock {
	u16 family, type, num, dport;	// dport in network order
	u32 err, daddr;
	u64 socket, peer;
	u8 v6_daddr[16];
};

struct fake_socket {
	struct { u64 file, sk; } socket;
	u64 i_ino;			// the inode lies behind the socket
	u16 i_mode;
};

struct fake_file {
	u64 inode, private_data;
};

#define FAKE_FILES 16
static struct {
	struct fake_file files[FAKE_FILES];
	struct fake_socket sockets[FAKE_FILES];
	struct fake_sock socks[FAKE_FILES];
	u64 fd[FAKE_FILES];
	struct { u64 fd; u32 max_fds; } table;
	struct { u64 fdt; } open;
	struct { u64 files, signal; u32 tgid; } task;
	struct { u32 live; } signal;
} fake;

#define OFF_sock_common_skc_family offsetof(struct fake_sock, family)
#define OFF_sock_sk_type offsetof(struct fake_sock, type)
#define OFF_sock_common_skc_num offsetof(struct fake_sock, num)
#define OFF_sock_common_skc_dport offsetof(struct fake_sock, dport)
#define OFF_sock_common_skc_daddr offsetof(struct fake_sock, daddr)
#define OFF_sock_common_skc_v6_daddr offsetof(struct fake_sock, v6_daddr)
#define OFF_sock_sk_err offsetof(struct fake_sock, err)
#define OFF_sock_sk_socket offsetof(struct fake_sock, socket)
#define OFF_unix_sock_peer offsetof(struct fake_sock, peer)
#define SIZEOF_socket sizeof(((struct fake_socket *)0)->socket)
#define OFF_inode_i_ino 0
#define OFF_inode_i_mode 8
#define OFF_socket_file 0
#define OFF_socket_sk 8
#define OFF_file_f_inode offsetof(struct fake_file, inode)
#define OFF_file_private_data offsetof(struct fake_file, private_data)
#define OFF_fdtable_fd offsetof(__typeof__(fake.table), fd)
#define OFF_fdtable_max_fds offsetof(__typeof__(fake.table), max_fds)
#define OFF_files_struct_fdt 0
#define OFF_task_struct_files offsetof(__typeof__(fake.task), files)
#define OFF_task_struct_signal offsetof(__typeof__(fake.task), signal)
#define OFF_task_struct_tgid offsetof(__typeof__(fake.task), tgid)
#define OFF_signal_struct_live 0

// ---- helpers ----

static u64 now_ns;

static long copy(void *to, u64 n, const void *from)
{
	if ((u64)from < 4096)
		return -14;
	memcpy(to, from, n);
	return 0;
}

#define bpf_probe_read_user(to, n, from) copy(to, n, from)
#define bpf_probe_read_kernel(to, n, from) copy(to, n, from)
#define bpf_ktime_get_ns() now_ns
#define bpf_get_smp_processor_id() 0
#define bpf_get_current_task() ((u64)&fake.task)
#define bpf_get_current_pid_tgid() ((u64)fake.task.tgid << 32)

// ---- maps ----

struct entry {
	struct entry *next;
	u8 bytes[];			// key, then value
};

struct host_map {
	const char *kind;
	u32 key, value, most, len;
	struct entry *first;
	u8 *array;
	struct host_map *next;		// all maps, for the driver
	const char *name;
};

static struct host_map *every_map;

static void *map_lookup(struct host_map *map, const void *key)
{
	if (strstr(map->kind, "array")) {
		u32 index = *(const u32 *)key;

		if (!map->array)
			map->array = calloc(map->most, map->value);
		return index < map->most ? map->array + (u64)index * map->value : 0;
	}
	for (struct entry *e = map->first; e; e = e->next)
		if (!memcmp(e->bytes, key, map->key))
			return e->bytes + map->key;
	return 0;
}

static long map_delete(struct host_map *map, const void *key)
{
	for (struct entry **at = &map->first; *at; at = &(*at)->next) {
		struct entry *gone = *at;

		if (memcmp(gone->bytes, key, map->key))
			continue;
		*at = gone->next;
		free(gone);
		map->len--;
		return 0;
	}
	return -2;
}

static long map_update(struct host_map *map, const void *key, const void *value, u32 only_new)
{
	void *known = map_lookup(map, key);
	struct entry *e, *last;

	if (known && only_new)
		return -17;
	if (known) {
		memmove(known, value, map->value);
		return 0;
	}
	if (map->len >= map->most && !strstr(map->kind, "lru"))
		return -7;
	if (map->len >= map->most) {
		for (last = map->first; last->next; last = last->next)
			;
		map_delete(map, last->bytes);
	}
	e = malloc(sizeof(*e) + map->key + map->value);
	memcpy(e->bytes, key, map->key);
	memcpy(e->bytes + map->key, value, map->value);
	e->next = map->first;
	map->first = e;
	map->len++;
	return 0;
}

#define BPF_TABLE(kind, K, V, map, n) \
	static struct host_map map##_map = { kind, sizeof(K), sizeof(V), n, 0, 0, 0, 0, #map }; \
	static V *map##_lookup(K *key) { return map_lookup(&map##_map, key); } \
	static long map##_update(K *key, V *value) { return map_update(&map##_map, key, value, 0); } \
	static long map##_insert(K *key, V *value) { return map_update(&map##_map, key, value, 1); } \
	static long map##_delete(K *key) { return map_delete(&map##_map, key); } \
	static const struct { \
		V *(*lookup)(K *); \
		long (*update)(K *, V *); \
		long (*insert)(K *, V *); \
		long (*delete)(K *); \
	} map = { map##_lookup, map##_update, map##_insert, map##_delete }; \
	__attribute__((constructor)) static void map##_register(void) \
	{ \
		map##_map.next = every_map; \
		every_map = &map##_map; \
	}

#define HOST_EVENTS 64
static u8 event_bytes[HOST_EVENTS][64];
static u32 events_len, refuse_events;

static void *reserve_event(u64 size)
{
	(void)size;
	return refuse_events || events_len == HOST_EVENTS ? 0 : event_bytes[events_len];
}

static void submit_event(void *event, u64 flags)
{
	(void)event;
	(void)flags;
	events_len++;
}

#define BPF_RINGBUF_OUTPUT(name, pages) \
	static const struct { \
		void *(*ringbuf_reserve)(u64); \
		void (*ringbuf_submit)(void *, u64); \
	} name = { reserve_event, submit_event }

// The kernel allows 33 tail calls (MAX_TAIL_CALL_CNT); one more falls through.
#define HOST_TAIL_CALLS 33
static jmp_buf tail;
static u32 tails, deepest;

static void tail_call(void *ctx, u32 index)
{
	(void)ctx;
	if (tails == HOST_TAIL_CALLS)
		return;
	tails++;
	longjmp(tail, index + 1);
}

#define BPF_PROG_ARRAY(name, n) static const struct { void (*call)(void *, u32); } name = { tail_call }

#endif
