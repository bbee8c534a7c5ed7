// The kernel's walk over the route automaton as a library of the host, for ctypes. The maps are arrays
// that the test fills.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
#define __always_inline inline __attribute__((always_inline))

// In the place of maps.h: what route.h needs of it.
#define OTELAUTO_MAPS_H
#include "../../bpf/core/state.h"

static const struct {
	struct route_step step;
	struct route_edge edge;
} *steps;
static u32 steps_len;

static struct route_edge *find_edge(struct route_step *step)
{
	for (u32 i = 0; i < steps_len; i++)
		if (steps[i].step.segment == step->segment && steps[i].step.node == step->node)
			return (struct route_edge *)&steps[i].edge;
	return 0;
}

static struct { struct route_edge *(*lookup)(struct route_step *); } route_edges = { find_edge };
static struct { struct service *(*lookup)(u32 *); } services;
static struct { struct path_text *(*lookup)(struct path_key *); } paths;
static struct { struct walk *(*lookup)(u32 *); } walks;
static struct { long (*update)(struct path_key *, struct route_hit *); } route_cache;
static struct {
	void *(*ringbuf_reserve)(u64);
	void (*ringbuf_submit)(void *, u64);
} events;

static inline void count(u32 id)
{
	(void)id;
}

static inline u64 path_seed(void)
{
	return ROUTE_SEED;
}

static inline u64 bpf_ktime_get_ns(void)
{
	return 0;
}

#include "../../bpf/core/route.h"

u32 host_walk(const void *table, u32 len, const struct service *of, const u8 *text, u32 text_len, u32 truncated)
{
	struct path_text path = { .len = text_len, .truncated = truncated };
	struct walk w;

	memcpy(path.text, text, text_len);
	steps = table;
	steps_len = len;
	return walk_routes(&w, of, &path);
}
