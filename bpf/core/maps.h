// All maps, and the only functions that touch them or user memory. For each map: key, value, who
// writes, who reads, when an entry dies. BCC rewrites map calls only in the main file's text, so the
// agent expands the includes before BCC sees them, and no macro may call a map.
#ifndef OTELAUTO_MAPS_H
#define OTELAUTO_MAPS_H

#include "state.h"

// Process id -> its service. Written by the agent (discovery) and by the fork probe (a child inherits);
// read first thing in each hook; dies with the process (exit probe).
BPF_TABLE("hash", u32, struct target, targets, MAX_TARGETS);

// Process id modulo TARGET_SLOTS -> the target that has this slot. Written with targets, which it only makes
// quicker: an array is looked up without a call.
BPF_TABLE("array", u32, struct target_slot, target_slots, TARGET_SLOTS);

// Service id -> routes and policy. Written by the agent before the first target of the service; lives on.
BPF_TABLE("array", u32, struct service, services, MAX_SERVICES);

// struct sock * -> state of the connection. Written by the hooks on sockets; dies with the socket
// (tcp_destroy_sock) or as the least recently used; unix sockets are told apart by their inode.
BPF_TABLE("lru_hash", u64, struct connection, connections, MAX_CONNECTIONS);

// struct sock * of a connection over a unix socket -> nothing. Written where the connection is first seen; the
// agent has each looked at when it collects; dies with the connection or as the least recently used.
BPF_TABLE("lru_hash", u64, u32, unix_sockets, MAX_UNIX_SOCKETS);

// Half of a connection -> the start of a line that was cut. Written and read by the hooks on sockets;
// dies as the least recently used, for only split heads need one.
BPF_TABLE("lru_hash", struct carry_key, struct carry, carries, MAX_CARRIES);

// struct sock * -> requests that wait behind the first. Written and read by the hooks on sockets; dies as
// the least recently used, for only pipelining clients need one.
BPF_TABLE("lru_hash", u64, struct pipeline, pipelines, MAX_PIPELINES);

// Route automaton: step -> edge. Written by the agent; read where a path is not in route_cache.
BPF_TABLE("hash", struct route_step, struct route_edge, route_edges, MAX_ROUTE_EDGES);

// Path -> its route. Written by the route programs and by the agent; read for each request; dies as the
// least recently used, or by service.generation.
BPF_TABLE("lru_hash", struct path_key, struct route_hit, route_cache, MAX_CACHED_ROUTES);

// Path -> its text, for paths that were not in route_cache. Written by the hooks on sockets; read by the
// route programs and the agent; dies as the least recently used.
BPF_TABLE("lru_hash", struct path_key, struct path_text, paths, MAX_PATHS);

// The aggregate. Written where an exchange ends; read by the agent, which deletes the series of services
// that are gone and of paths that it has given a route.
BPF_TABLE("hash", struct red_key, struct red_value, red, MAX_SERIES);

// One empty value of red, to begin a series with. Never written.
BPF_TABLE("array", u32, struct red_value, red_zero, 1);

// Method text -> enum method. Written by the agent before the hooks are attached.
BPF_TABLE("hash", struct method_text, u32, methods, 128);

// Written by the agent, read by the probes of processes.
BPF_TABLE("array", u32, struct options, option, 1);

// Index enum count. Written everywhere, read by the agent.
BPF_TABLE("percpu_array", u32, u64, counts, COUNT_MAX);

// Working memory of the operation under way on this CPU.
BPF_TABLE("percpu_array", u32, struct scratch, scratches, 1);

// Working memory of a walk over the automaton, index enum place.
BPF_TABLE("percpu_array", u32, struct walk, walks, PLACE_MAX);

#ifdef SPANS
// Span id -> the sampled exchange under way. Written by the span program; read and deleted where the exchange
// ends; dies as the least recently used, which is counted when it is missed.
BPF_TABLE("lru_hash", u64, struct event_span, spans, MAX_SPANS);

// Working memory of the span program, where a head begins.
BPF_TABLE("percpu_array", u32, struct event_span, fresh_spans, 1);

// Thread (as bpf_get_current_pid_tgid() names it) -> the requests that it has read and that wait for their
// response. Written and read by the span program and where exchanges end; dies as the least recently used.
BPF_TABLE("lru_hash", u64, struct thread_requests, threads, MAX_THREADS);

// struct sock * of a connection that a proxy opens -> the request it is for. Written where it connects; dies
// with its first request, or as the least recently used.
BPF_TABLE("lru_hash", u64, struct request_context, causes, MAX_WIRES);

// The two ends of a connection -> what its client, a traced process, asked last. Written where a client's head
// is complete; read by the server's side, if it is on this host; dies as the least recently used.
BPF_TABLE("lru_hash", struct wire_key, struct wire, wires, MAX_WIRES);

// How many spans this second has had.
BPF_TABLE("array", u32, struct budget, budgets, 1);

// Finished spans for the agent.
BPF_RINGBUF_OUTPUT(span_events, SPAN_RING_PAGES);
#endif

// Events for the agent.
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

// Index enum jump. Filled by the agent.
BPF_PROG_ARRAY(jumps, 8);

// Never used: the loader compares the layouts of records that no map holds with what the agent expects.
BPF_TABLE("array", u32, struct event_process, abi_event_process, 1);
BPF_TABLE("array", u32, struct event_listen, abi_event_listen, 1);
BPF_TABLE("array", u32, struct event_path, abi_event_path, 1);
BPF_TABLE("array", u32, struct event_span, abi_event_span, 1);

// Keys of 32 bits are written as 64: a stack slot of which only half is written counts as still in use, and
// the verifier tells states apart by what an earlier use has left there.

static __always_inline void count_many(u32 id, u64 n)
{
	u64 key = id;
	u64 *value = counts.lookup((u32 *)&key);

	if (value)
		__sync_fetch_and_add(value, n);
}

static __always_inline void count(u32 id)
{
	count_many(id, 1);
}

#ifdef SPANS
static __always_inline u32 is_traced(u64 service)
{
	struct service *of = services.lookup((u32 *)&service);

	return of && (of->spans & SPAN_BIT_ON);
}
#endif

// The service of a process, 0: it is no target.
static __always_inline u32 service_of(u64 process)
{
	u64 index = process & (TARGET_SLOTS - 1);
	struct target_slot *slot = target_slots.lookup((u32 *)&index);
	struct target *target;

	if (!slot || !slot->pid)
		return 0;
	if (slot->pid == (u32)process)
		return slot->service;
	if (slot->pid != TARGET_SLOT_SHARED)
		return 0;
	target = targets.lookup((u32 *)&process);
	return target ? target->service : 0;
}

// Makes a process a target. The agent, which knows them all, sets the slot right if two do so at a time.
static __always_inline void add_target(u64 process, u32 service)
{
	u64 index = process & (TARGET_SLOTS - 1);
	struct target_slot *slot = target_slots.lookup((u32 *)&index);
	struct target target = { .service = service };

	targets.update((u32 *)&process, &target);
	if (!slot)
		return;
	if (slot->pid && slot->pid != (u32)process) {
		slot->pid = TARGET_SLOT_SHARED;
		return;
	}
	slot->service = service;
	slot->pid = process;
}

static __always_inline void remove_target(u64 process)
{
	u64 index = process & (TARGET_SLOTS - 1);
	struct target_slot *slot = target_slots.lookup((u32 *)&index);

	targets.delete((u32 *)&process);
	if (slot && slot->pid == (u32)process)
		slot->pid = 0;
}

static __always_inline long read_user(void *to, u64 n, u64 from)
{
	return bpf_probe_read_user(to, n, (void *)from);
}

static __always_inline u64 path_seed(void)
{
	u64 first = 0;
	struct options *options = option.lookup((u32 *)&first);

	return options ? options->route_seed : 0;
}

static __always_inline u32 other_method(const struct start_line *l)
{
	struct method_text key;
	u32 *id;

	__builtin_memcpy(key.text, l->text, METHOD_BYTES);
	id = methods.lookup(&key);
	return id ? *id : METHOD_OTHER;
}

static __always_inline long carry_load(struct carry_key *key, u8 *to)
{
	struct carry *kept = carries.lookup(key);

	if (!kept)
		return -1;
	return bpf_probe_read_kernel(to, CARRY_BYTES, kept->bytes);
}

static __always_inline long carry_store(struct carry_key *key, u8 *from)
{
	return carries.update(key, (struct carry *)from);
}

static __always_inline long pipeline_add(struct scratch *s, u32 at)
{
	u64 socket = s->op.socket;
	struct pipeline *p = pipelines.lookup(&socket);

	if (!p) {
		if (at)
			return -1; // evicted with what it held
		s->pipeline.begin = 0;
		if (pipelines.update(&socket, &s->pipeline))
			return -1;
		p = pipelines.lookup(&socket);
		if (!p)
			return -1;
	}
	p->ring[(p->begin + at) & PIPELINE_MASK] = s->next;
	return 0;
}

static __always_inline void pipeline_set_bytes(u64 socket, u32 at, u64 bytes)
{
	struct pipeline *p = pipelines.lookup(&socket);

	if (p)
		p->ring[(p->begin + at) & PIPELINE_MASK].request_bytes = bytes;
}

static __always_inline void pipeline_shift(u64 socket, struct exchange *first)
{
	struct pipeline *p = pipelines.lookup(&socket);

	if (p) {
		*first = p->ring[p->begin & PIPELINE_MASK];
		p->begin++;
		return;
	}
	// Evicted: what the request was is not known any more.
	count(COUNT_PIPELINE_OVERFLOW);
	first->path = 0;
	first->request_bytes = 0;
	first->route = ROUTE_OVERFLOW;
	first->method = METHOD_OTHER;
}

// The route of a path as far as the cache knows it, else ROUTE_PENDING.
static __always_inline u32 cached_route(u32 service, u64 path)
{
	u64 key[2] = { path, service }; // struct path_key
	struct route_hit *hit = route_cache.lookup((struct path_key *)key);
	struct service *of;

	if (!hit)
		return ROUTE_PENDING;
	of = services.lookup((u32 *)&key[1]);
	if (!of || of->generation != hit->generation)
		return ROUTE_PENDING;
	return hit->route;
}

// The route of the path in scratch.line; keeps the text of one that the cache does not know.
static __always_inline u32 note_path(struct scratch *s, struct connection *c)
{
	u64 key[2] = { s->line.path, c->service }; // struct path_key
	struct service *of = services.lookup((u32 *)&key[1]);
	u64 len = s->line.path_len;
	u32 route;

	if (!of)
		return ROUTE_NONE;
	if (c->path == key[0] && c->generation == of->generation)
		return c->route;
	route = cached_route(c->service, key[0]);
	if (route != ROUTE_PENDING) {
		c->path = key[0];
		c->route = route;
		c->generation = of->generation;
		return route;
	}
	if (paths.lookup((struct path_key *)key))
		return route;
	__builtin_memset(&s->path, 0, sizeof(s->path));
	s->path.truncated = s->line.truncated;
	s->path.len = len;
	OPAQUE(len);
	if (len > PATH_BYTES)
		return route;
	bpf_probe_read_kernel(s->path.text, len, s->window + (s->line.path_at & WINDOW_MASK & ~7U) +
						     (s->line.path_at & 7U));
	if (paths.update((struct path_key *)key, &s->path))
		count(COUNT_PATH_LOST);
	return route;
}

#endif
