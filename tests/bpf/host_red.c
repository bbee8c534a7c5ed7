// The aggregate as a library of the host, for ctypes: one small table in the place of the map red.
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

// In the place of maps.h: what red.h needs of it.
#define OTELAUTO_MAPS_H
#include "host_maps.h"

#define HOST_SERIES 8

struct host_series {
	struct red_key key;
	struct red_value value;
};

static struct host_series series[HOST_SERIES];
static u32 series_len, cpu;

static struct red_value *find_series(struct red_key *key)
{
	for (u32 i = 0; i < series_len; i++)
		if (!memcmp(&series[i].key, key, sizeof(*key)))
			return &series[i].value;
	return 0;
}

static long insert_series(struct red_key *key, struct red_value *value)
{
	if (find_series(key) || series_len == HOST_SERIES)
		return -1;
	series[series_len].key = *key;
	series[series_len++].value = *value;
	return 0;
}

static struct red_value *zero_value(u32 *key)
{
	static struct red_value zero;

	return *key ? 0 : &zero;
}

static struct {
	struct red_value *(*lookup)(struct red_key *);
	long (*insert)(struct red_key *, struct red_value *);
} red = { find_series, insert_series };
static struct { struct red_value *(*lookup)(u32 *); } red_zero = { zero_value };

static inline u32 bpf_get_smp_processor_id(void)
{
	return cpu;
}

#include "../../bpf/core/red.h"

void host_clear(u32 on_cpu)
{
	memset(&host, 0, offsetof(__typeof__(host), paths));
	memset(series, 0, sizeof(series));
	series_len = 0;
	cpu = on_cpu;
}

// The agent begins a series: that of a service's overflow.
void host_begin(const struct red_key *key)
{
	struct red_key copy = *key;
	u32 first = 0;

	insert_series(&copy, zero_value(&first));
}

void host_add(const struct red_key *key, u64 duration_ns, u64 request_bytes, u64 response_bytes, u32 shared)
{
	struct finished done = { .key = *key, .duration_ns = duration_ns, .request_bytes = request_bytes,
				 .response_bytes = response_bytes };

	red_add(&done, shared);
}

u32 host_series_len(void)
{
	return series_len;
}

const struct host_series *host_series_at(u32 index)
{
	return &series[index];
}

u64 host_count(u32 id)
{
	return host.counts[id];
}

// Each of these is called for many values at once: a call by ctypes costs more than they do.
void host_fine(const u64 *values, u32 n, u32 *buckets)
{
	for (u32 i = 0; i < n; i++)
		buckets[i] = fine_bucket(values[i]);
}

void host_duration(const u64 *values, u32 n, u32 *buckets)
{
	for (u32 i = 0; i < n; i++)
		buckets[i] = DURATION_BUCKET(values[i]);
}

void host_request_size(const u64 *values, u32 n, u32 *buckets)
{
	for (u32 i = 0; i < n; i++)
		buckets[i] = values[i] < 1ULL << 63 ? REQUEST_SIZE_BUCKET(values[i]) : 0;
}

void host_response_size(const u64 *values, u32 n, u32 *buckets)
{
	for (u32 i = 0; i < n; i++)
		buckets[i] = values[i] < 1ULL << 63 ? RESPONSE_SIZE_BUCKET(values[i]) : 0;
}
