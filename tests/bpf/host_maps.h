// The accessors of bpf/core/maps.h over plain memory, so that the state machine runs on the host. One
// connection, one carry for each half, one pipeline; user memory is this process's own.
#ifndef OTELAUTO_HOST_MAPS_H
#define OTELAUTO_HOST_MAPS_H

#include <string.h>
#include <strings.h>
#include "../../bpf/core/state.h"

static struct {
	u64 counts[COUNT_MAX];
	struct carry carries[2];
	int has_carry[2];
	struct pipeline pipeline;
	int has_pipeline;
	int refuse_pipeline;
	u8 path[PATH_BYTES + 1];
	u32 path_len, path_truncated;
} host;

static inline void count_many(u32 id, u64 n)
{
	host.counts[id] += n;
}

static inline void count(u32 id)
{
	count_many(id, 1);
}

static inline long read_user(void *to, u64 n, u64 from)
{
	if (!from)
		return -14;
	memcpy(to, (const void *)from, n);
	return 0;
}

static inline u64 path_seed(void)
{
	return 42;
}

static inline u32 other_method(const struct start_line *l)
{
	static const char *const names[] = {
		"",
#define HTTP_METHOD_TEXT(id, name, text) text,
		HTTP_METHODS(HTTP_METHOD_TEXT)
	};

	for (u32 i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(names[i], (const char *)l->text, METHOD_BYTES))
			return i;
	return METHOD_OTHER;
}

static inline long carry_load(struct carry_key *key, u8 *to)
{
	if (!host.has_carry[key->half])
		return -1;
	memcpy(to, host.carries[key->half].bytes, CARRY_BYTES);
	return 0;
}

static inline long carry_store(struct carry_key *key, u8 *from)
{
	memcpy(host.carries[key->half].bytes, from, CARRY_BYTES);
	host.has_carry[key->half] = 1;
	return 0;
}

static inline long pipeline_add(struct scratch *s, u32 at)
{
	if (host.refuse_pipeline)
		return -1;
	if (!host.has_pipeline) {
		host.pipeline.begin = 0;
		host.has_pipeline = 1;
	}
	host.pipeline.ring[(host.pipeline.begin + at) & PIPELINE_MASK] = s->next;
	return 0;
}

static inline void pipeline_set_bytes(u64 socket, u32 at, u64 bytes)
{
	(void)socket;
	host.pipeline.ring[(host.pipeline.begin + at) & PIPELINE_MASK].request_bytes = bytes;
}

static inline void pipeline_shift(u64 socket, struct exchange *first)
{
	(void)socket;
	*first = host.pipeline.ring[host.pipeline.begin & PIPELINE_MASK];
	host.pipeline.begin++;
}

static inline u32 note_path(struct scratch *s, u32 service)
{
	(void)service;
	host.path_len = s->line.path_len;
	host.path_truncated = s->line.truncated;
	memcpy(host.path, s->window + (s->line.path_at & WINDOW_MASK), s->line.path_len);
	host.path[s->line.path_len] = 0;
	return ROUTE_PENDING;
}

#endif
