// The accessors of bpf/core/maps.h over plain memory, so that the state machine runs on the host. One
// connection, one carry for each half, one pipeline; user memory is this process's own. What an accessor
// answers when an entry is missing is what the kernel's answers.
#ifndef OTELAUTO_HOST_MAPS_H
#define OTELAUTO_HOST_MAPS_H

#include <string.h>
#include "../../bpf/core/state.h"

#define HOST_PATHS 4096

struct host_path {
	u64 hash;
	struct path_text text;
};

static struct {
	u64 counts[COUNT_MAX];
	struct carry carries[2];
	int has_carry[2];
	int refuse_carry;
	struct pipeline pipeline;
	int has_pipeline;
	int refuse_pipeline;
	u32 paths_len;
	u32 collisions;		// two paths of the same hash
	struct host_path paths[HOST_PATHS];
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
	if (host.refuse_carry)
		return -1;
	memcpy(host.carries[key->half].bytes, from, CARRY_BYTES);
	host.has_carry[key->half] = 1;
	return 0;
}

static inline long pipeline_add(struct scratch *s, u32 at)
{
	if (!host.has_pipeline) {
		if (at || host.refuse_pipeline)
			return -1;
		host.pipeline.begin = 0;
		host.has_pipeline = 1;
	}
	host.pipeline.ring[(host.pipeline.begin + at) & PIPELINE_MASK] = s->next;
	return 0;
}

static inline void pipeline_set_bytes(u64 socket, u32 at, u64 bytes)
{
	(void)socket;
	if (host.has_pipeline)
		host.pipeline.ring[(host.pipeline.begin + at) & PIPELINE_MASK].request_bytes = bytes;
}

static inline void pipeline_shift(u64 socket, struct exchange *first)
{
	(void)socket;
	if (host.has_pipeline) {
		*first = host.pipeline.ring[host.pipeline.begin & PIPELINE_MASK];
		host.pipeline.begin++;
		return;
	}
	count(COUNT_PIPELINE_OVERFLOW);
	first->path = 0;
	first->request_bytes = 0;
	first->route = ROUTE_OVERFLOW;
	first->method = METHOD_OTHER;
}

static inline const struct path_text *host_path_text(u64 hash)
{
	for (u32 i = 0; i < host.paths_len; i++)
		if (host.paths[i].hash == hash)
			return &host.paths[i].text;
	return 0;
}

static inline u32 host_note_path(struct scratch *s)
{
	const u8 *text = s->window + (s->line.path_at & WINDOW_MASK);
	const struct path_text *known = host_path_text(s->line.path);
	struct host_path *entry;

	if (known) {
		if (known->len != s->line.path_len || known->truncated != s->line.truncated ||
		    memcmp(known->text, text, known->len))
			host.collisions++;
		return ROUTE_PENDING;
	}
	if (host.paths_len == HOST_PATHS)
		return ROUTE_PENDING;
	entry = &host.paths[host.paths_len++];
	memset(entry, 0, sizeof(*entry));
	entry->hash = s->line.path;
	entry->text.len = s->line.path_len;
	entry->text.truncated = s->line.truncated;
	memcpy(entry->text.text, text, s->line.path_len);
	return ROUTE_PENDING;
}

// Whose path it is does not matter: there is one connection.
#define note_path(s, whose) ((void)(whose), host_note_path(s))

#endif
