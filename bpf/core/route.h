// From a path to its route: the walk over the automaton, and what is done where it leads nowhere.
#ifndef OTELAUTO_ROUTE_H
#define OTELAUTO_ROUTE_H

#include "maps.h"

#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

// The edge for a segment: its own, or the one for any segment.
static __always_inline struct route_edge *next_edge(u32 node, u64 segment)
{
	// Written as words: the verifier does not see through the reuse of half a stack slot.
	u64 step[2] = { segment ? segment : 1, node };
	struct route_edge *edge;

	if (!node)
		return 0;
	edge = route_edges.lookup((struct route_step *)step);
	if (edge)
		return edge;
	step[0] = 0;
	return route_edges.lookup((struct route_step *)step);
}

// Walks the automaton of a service along a path; empty segments do not count. ROUTE_NONE: no match.
// What is carried from byte to byte lives in `w`, for the verifier checks each turn of the loop anew for
// each value that it can tell apart in a register.
static __always_inline u32 walk_routes(struct walk *w, const struct service *of, const struct path_text *path)
{
	u64 basis = FNV_BASIS ^ path_seed();

	w->node = of->root.node;
	w->route = of->root.route;
	w->rest = of->root.rest;
	w->hash = basis;
	w->before = '/';
#pragma clang loop unroll(disable)
	for (u32 i = 0; i <= PATH_BYTES; i++) {
		u8 c = path->text[i & (PATH_BYTES - 1)];

		if (i == PATH_BYTES || i >= FROM_MEMORY(path->len))
			c = '/';
		if (c != '/') {
			w->hash = (w->hash ^ c) * FNV_PRIME;
		} else if (w->before != '/') {
			struct route_edge *edge = next_edge(w->node, w->hash);

			if (!edge)
				return w->rest;
			w->node = edge->node;
			w->route = edge->route;
			w->rest = edge->rest;
			w->hash = basis;
		}
		w->before = c;
		if (i >= FROM_MEMORY(path->len))
			break;
	}
	if (path->truncated || !w->route)
		return w->rest;
	return w->route;
}

// Tells the agent of a path to learn; once.
static __always_inline void report_path(const struct path_key *key, struct path_text *path)
{
	struct event_path *event;

	if (path->reported)
		return;
	event = events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(COUNT_EVENT_LOST);
		return;
	}
	path->reported = 1;
	event->header.kind = EVENT_PATH;
	event->header.len = sizeof(*event);
	event->header.time_ns = bpf_ktime_get_ns();
	event->key.hash = key->hash;
	event->key.service = key->service;
	event->key._pad = 0;
	events.ringbuf_submit(event, 0);
}

// Finds the route of a finished exchange that the cache did not know when the request came. `place` tells
// apart the programs that may interrupt each other.
static __always_inline void settle_route(struct finished *done, u32 place)
{
	u64 key[2] = { done->path, done->key.service }, at = place; // struct path_key
	struct service *of = services.lookup((u32 *)&key[1]);
	struct path_text *path = paths.lookup((struct path_key *)key);
	struct walk *w = walks.lookup((u32 *)&at);
	u32 route, learn;
	struct route_hit hit;

	done->pending = 0;
	if (!of || !path || !w) {
		if (!path)
			count(COUNT_PATH_LOST);
		done->key.route = ROUTE_OTHER;
		return;
	}
	// Before the walk: what it finds may be of an older generation than the service has at its end.
	hit.generation = of->generation;
	route = walk_routes(w, of, path);
	learn = !route && of->unmatched == UNMATCHED_LEARN && !path->truncated;
	if (learn && (done->key.status < 100 || done->key.status >= 400 || done->key.fault)) {
		// Only what succeeds is learned: a scanner's guesses never become routes.
		done->key.route = ROUTE_WILDCARD;
		return;
	}
	if (learn) {
		route = ROUTE_PENDING;
		done->key.path = done->path;
		report_path((struct path_key *)key, path);
	} else if (!route && of->unmatched != UNMATCHED_UNSET) {
		route = ROUTE_WILDCARD; // a path that is too long to be learned, too
	}
	done->key.route = route;
	if (learn)
		return;
	hit.route = route;
	route_cache.update((struct path_key *)key, &hit);
}

#endif
