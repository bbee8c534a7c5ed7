// Requests that wait for their response: how they queue, end and become something to be counted.
#ifndef OTELAUTO_EXCHANGE_H
#define OTELAUTO_EXCHANGE_H

#include "window.h"

// The errors (errno) after which nothing more comes.
#define ERROR_PIPE 32
#define ERROR_RESET 104
#define ERROR_TIMEOUT 110

// An exchange that becomes no span.
static __always_inline void no_span(struct exchange *e)
{
	e->sampled = SAMPLED_NO;
#ifdef SPANS
	e->span = 0;
	e->thread = 0;
#endif
}

// A request is complete: its body's size is known.
static __always_inline void end_request(struct scratch *s, struct connection *c, struct half *h)
{
	h->phase = PHASE_START;
	if (c->unkept)
		return; // it is one of those
	if (c->waiting == 1)
		c->first.request_bytes = h->body;
	else if (c->waiting > 1)
		pipeline_set_bytes(s->op.socket, c->waiting - 2, h->body);
}

// Takes the first waiting request out of the connection; the next one becomes the first.
static __always_inline void pop(struct connection *c, u64 socket)
{
	struct half *response = &c->half[RESPONSE];

	response->flags = 0;
	response->status = 0;
	response->body = 0;
	response->left = 0;
	// Where bytes were missed, the responses of the others may have been among them.
	if (response->phase != PHASE_TUNNEL && response->phase != PHASE_LOST)
		response->phase = PHASE_START;
	c->waiting--;
	c->first.start_ns = c->last_ns; // of a request of which nothing is known
	no_span(&c->first);
	if (c->waiting) {
		pipeline_shift(socket, &c->first);
	} else if (c->unkept) {
		// Its details had no room: it is counted under the overflow series when it ends.
		c->unkept--;
		c->waiting = 1;
		c->first.path = 0;
		c->first.request_bytes = 0;
		c->first.route = ROUTE_OVERFLOW;
		c->first.method = METHOD_OTHER;
	}
}

// Fills `done` with the first waiting request and what is known of its response, and pops it.
static __always_inline void finish(struct finished *done, struct connection *c, u64 socket, u64 end_ns,
				   u32 fault)
{
	const struct half *request = &c->half[REQUEST], *response = &c->half[RESPONSE];
	const struct exchange *e = &c->first;
	struct red_key *key = &done->key;

	done->path = e->path;
	done->pending = e->route == ROUTE_PENDING;
	done->duration_ns = end_ns > e->start_ns ? end_ns - e->start_ns : 0;
	done->request_bytes = e->request_bytes;
	if (c->waiting == 1 && !c->unkept && request->phase >= PHASE_LENGTH && request->phase <= PHASE_TRAILER)
		done->request_bytes = request->body;
	done->response_bytes = response->body;
	done->sampled = e->sampled;
#ifdef SPANS
	done->span = e->span;
	done->thread = e->thread;
	done->first_ns = response->flags & HALF_SEEN ? response->since_ns : 0;
#endif
	key->path = 0;
	key->service = c->service;
	key->route = e->route;
	key->status = response->flags & HALF_SEEN ? response->status : 0;
	key->server_port = c->server_port;
	key->role = c->role;
	key->method = e->method;
	key->version = e->version ? e->version : response->version;
	key->fault = fault;
	key->tls = c->tls;
	key->shard = 0;
	key->family = 0;
	*(u32 *)key->_pad = 0;
	key->_pad[4] = 0;
	((u64 *)key->address)[0] = 0;
	((u64 *)key->address)[1] = 0;
	if (c->role == ROLE_CLIENT) {
		key->family = c->family;
		((u64 *)key->address)[0] = ((u64 *)c->address)[0];
		((u64 *)key->address)[1] = ((u64 *)c->address)[1];
	}
	pop(c, socket);
}

// The first request that waits will not get a (complete) response: what is it counted as? Sets its end and, in
// `fault`, what went wrong. Returns 0 if nothing can be said of it.
static __always_inline u32 judge_end(const struct connection *c, u64 *end_ns, u32 *fault)
{
	const struct half *response = &c->half[RESPONSE];

	if (response->phase == PHASE_CLOSE && *fault != FAULT_CONNECTION_RESET) {
		*end_ns = c->last_ns; // the end of the stream was the end of the response
		*fault = FAULT_NONE;
	} else if (response->phase == PHASE_LOST) {
		// It may well have been answered: nothing is known of that.
		*end_ns = c->last_ns;
		*fault = FAULT_NONE;
		return response->flags & HALF_SEEN;
	}
	return 1;
}

// An operation failed (error: errno) or the stream ended (0): what does it mean for the requests that wait?
static __always_inline u32 fault_of(struct connection *c, u8 direction, u32 error)
{
	if (error == ERROR_RESET || error == ERROR_PIPE || error == ERROR_TIMEOUT)
		return FAULT_CONNECTION_RESET;
	// The peer closes: a client will get nothing more; a server may still answer.
	if (!error && direction == RECEIVED && c->role == ROLE_CLIENT)
		return FAULT_CONNECTION_CLOSED;
	return FAULT_NONE;
}

// scratch.next waits for its response.
static __always_inline void push(struct scratch *s, struct connection *c)
{
	if (!c->waiting) {
		c->first = s->next;
		c->waiting = 1;
	} else if (c->waiting <= PIPELINE_DEPTH && !c->unkept && !pipeline_add(s, c->waiting - 1)) {
		c->waiting++;
	} else {
		count(COUNT_PIPELINE_OVERFLOW);
		c->unkept++;
	}
}

#endif
