// The aggregate: rate, errors and duration of finished exchanges. The only writer of the map red.
#ifndef OTELAUTO_RED_H
#define OTELAUTO_RED_H

#include "maps.h"

// See FINE_BUCKETS.
static __always_inline u32 fine_bucket(u64 ns)
{
	u64 value = ns >> 13, log, shift;
	u32 index;

	log = ABOVE(value, 0xffff) << 4;
	shift = ABOVE(value >> log, 0xff) << 3;
	log += shift;
	shift = ABOVE(value >> log, 0xf) << 2;
	log += shift;
	shift = ABOVE(value >> log, 3) << 1;
	log += shift;
	log += ABOVE(value >> log, 1);
	index = ABOVE(value, 0) * (1 + 2 * log + ((ns >> (12 + log)) & 1));
	return index < FINE_BUCKETS ? index : FINE_BUCKETS - 1;
}

static __always_inline struct red_value *red_series(struct red_key *key)
{
	struct red_value *value = red.lookup(key), *zero;
	u64 first = 0;

	if (value)
		return value;
	zero = red_zero.lookup((u32 *)&first);
	if (!zero)
		return 0;
	// Another CPU may have begun the series meanwhile: then its entry counts.
	red.insert(key, zero);
	return red.lookup(key);
}

// The series under which an exchange is counted that has no room of its own: service and role are kept.
// The agent begins it with the service.
static __always_inline struct red_value *red_overflow(struct red_key *key)
{
	struct red_key other = { .service = key->service, .route = ROUTE_OVERFLOW, .role = key->role };
	struct red_value *value = red.lookup(&other);

	count(value ? COUNT_SERIES_OVERFLOW : COUNT_SERIES_LOST);
	return value;
}

// Adds to a member of a series. Where each CPU has a shard of its own, and interrupts have other shards, no
// two programs write the same entry at a time, and a plain addition is exact; it costs a third.
#ifdef SHARDS_ARE_OWN
#define RED_ADD(member, n, shared) do { \
	if (shared) \
		__sync_fetch_and_add(&(member), n); \
	else \
		(member) += (n); \
} while (0)
#else
#define RED_ADD(member, n, shared) __sync_fetch_and_add(&(member), n)
#endif

// Counts an exchange. `shared` is 1 in programs that may interrupt others or themselves.
static __always_inline void red_add(struct finished *done, u32 shared)
{
	struct red_value *value;
	u64 duration, request, response, fine; // 64 bits wide: what is checked is then what is used

	done->key.shard = (bpf_get_smp_processor_id() & SHARD_MASK) | (shared ? SHARED_SHARD : 0);
	value = red_series(&done->key);
	if (!value) {
		value = red_overflow(&done->key);
		shared = 1;
	}
	if (!value)
		return;
	duration = DURATION_BUCKET(done->duration_ns);
	request = REQUEST_SIZE_BUCKET(done->request_bytes);
	response = RESPONSE_SIZE_BUCKET(done->response_bytes);
	fine = fine_bucket(done->duration_ns);
	OPAQUE(duration);
	OPAQUE(request);
	OPAQUE(response);
	OPAQUE(fine);
	if (duration >= DURATION_BUCKETS || request >= SIZE_BUCKETS || response >= SIZE_BUCKETS ||
	    fine >= FINE_BUCKETS)
		return;
	RED_ADD(value->duration_sum_ns, done->duration_ns, shared);
	RED_ADD(value->duration[duration], 1, shared);
	RED_ADD(value->request_size[request], 1, shared);
	RED_ADD(value->response_size[response], 1, shared);
	RED_ADD(value->fine[fine], 1, shared);
	if (done->request_bytes)
		RED_ADD(value->request_bytes, done->request_bytes, shared);
	if (done->response_bytes)
		RED_ADD(value->response_bytes, done->response_bytes, shared);
}

#endif
