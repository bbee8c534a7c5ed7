// The state machine of one connection: what the bytes of an operation do to it. Everything here works
// on struct scratch and struct connection; maps and user memory are reached through the accessors of
// core/maps.h, which the host tests replace by their own.
//
// One step deals with one window of a head, one piece of a body or one framing line. It ends with at
// most one finished exchange in scratch.done, which the caller commits.
#ifndef OTELAUTO_STREAM_H
#define OTELAUTO_STREAM_H

#include "state.h"
#include "../proto/http1.h"

// The errors (errno) after which nothing more comes.
#define ERROR_PIPE 32
#define ERROR_RESET 104
#define ERROR_TIMEOUT 110

// What happens at the end of a step, in this order.
enum action {
	ACT_FINISH = 1,		// the response of the first waiting request is over
	ACT_DROP = 2,		// its response could not be read
	ACT_PUSH = 4,		// scratch.next waits for its response
};

static __always_inline struct half *half_of(struct connection *c, u32 index)
{
	OPAQUE(index);
	return (struct half *)((u8 *)c->half + (index & 1) * sizeof(struct half));
}

static __always_inline u32 half_index(const struct operation *op, const struct connection *c)
{
	return op->direction ^ (c->role == ROLE_CLIENT);
}

// Goes to the next segment that holds bytes. Returns 0 if there is none in sight.
static __always_inline u32 next_segment(struct operation *op)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < EMPTY_VECTORS && !op->segment && op->vectors; i++) {
		u64 vector[2];

		if (read_user(vector, sizeof(vector), op->vector)) {
			count(COUNT_PAYLOAD_FAULT);
			op->vectors = 0;
			break;
		}
		op->ptr = vector[0];
		op->segment = vector[1] < op->left ? vector[1] : op->left;
		op->vector += sizeof(vector);
		op->vectors--;
	}
	return op->segment;
}

static __always_inline void advance(struct operation *op, u32 n)
{
	op->ptr += n;
	op->segment -= n;
	op->left -= n;
}

static __always_inline void consume_all(struct operation *op)
{
	op->segment = 0;
	op->left = 0;
}

static __always_inline void lose(struct operation *op, struct half *h)
{
	consume_all(op);
	h->phase = PHASE_LOST;
	h->carry = 0;
}

// Fills the window with what is kept of an unfinished line and at most `want` bytes in all.
// Returns the bytes in the window; 0: nothing could be read, and the half is lost or the step comes again.
static __always_inline u32 fill(struct scratch *s, struct half *h, u32 index, u32 want)
{
	struct operation *op = &s->op;
	u64 kept = h->carry, n; // 64 bits wide: what is checked is then what is used

	if (op->unseen)
		goto unseen;
	if (!next_segment(op)) {
		if (op->vectors)
			return 0; // so many empty ones: the next step goes on
		goto unseen;
	}
	OPAQUE(kept);
	if (kept > CARRY_BYTES)
		goto unseen;
	if (kept) {
		struct carry_key key = { .socket = op->socket, .half = index };

		if (carry_load(&key, s->window)) {
			count(COUNT_CARRY_LOST);
			lose(op, h);
			return 0;
		}
	}
	n = op->segment;
	if (n > want - kept)
		n = want - kept;
	OPAQUE(n);
	if (n > WINDOW_BYTES)
		goto unseen;
	if (read_user(s->window + kept, n, op->ptr)) {
		count(COUNT_PAYLOAD_FAULT);
		lose(op, h);
		return 0;
	}
	return kept + n;
unseen:
	count(COUNT_PAYLOAD_UNSEEN);
	lose(op, h);
	return 0;
}

// Keeps window[at..at + n) for the next operation and ends this segment.
static __always_inline void keep(struct scratch *s, struct half *h, u32 index, u32 at, u32 n)
{
	struct carry_key key = { .socket = s->op.socket, .half = index };

	h->carry = n;
	if (n && carry_store(&key, s->window + (at & (WINDOW_BYTES - 1)))) {
		count(COUNT_CARRY_LOST);
		h->carry = 0;
		h->phase = PHASE_LOST;
	}
}

static __always_inline void begin_message(struct half *h)
{
	h->left = 0;
	h->body = 0;
	h->status = 0;
	h->flags = 0;
	h->phase = PHASE_START;
}

// The request of scratch.line begins: prepares scratch.next.
static __always_inline void begin_request(struct scratch *s, struct connection *c, struct half *h)
{
	struct exchange *e = &s->next;

	e->start_ns = h->since_ns;
	e->request_bytes = 0;
	e->version = s->line.version;
	e->method = s->line.method ? s->line.method : other_method(&s->line);
	e->path = s->line.path;
	e->route = ROUTE_NONE;
	if (e->path)
		e->route = note_path(s, c);
}

// The start line is complete, or as much of it as will ever be looked at. Sets line.valid.
static __always_inline void start_line(struct scratch *s, struct connection *c, struct half *h,
				       u32 index, u32 end, u32 whole)
{
	const struct half *response = &c->half[RESPONSE];

	if (index == REQUEST) {
		http1_request_line(&s->line, s->window, s->scan.first, end, whole, path_seed());
		FORGET_MEMORY();
		if (!s->line.valid)
			return;
		begin_message(h);
		begin_request(s, c, h);
		s->now.act = ACT_PUSH;
		if (c->waiting && response->phase == PHASE_CLOSE)
			s->now.act |= ACT_FINISH;
		else if (c->waiting && response->phase == PHASE_LOST)
			s->now.act |= response->flags & HALF_SEEN ? ACT_FINISH : ACT_DROP;
	} else {
		http1_status_line(&s->line, s->window, s->scan.first, end);
		FORGET_MEMORY();
		if (!s->line.valid)
			return;
		if (!c->waiting) {
			count(COUNT_ORPHAN_RESPONSE);
			s->line.valid = 0;
			return;
		}
		// The end of the response before this one was missed.
		if (h->phase == PHASE_LOST && (h->flags & HALF_SEEN)) {
			s->now.act = ACT_FINISH;
			return;
		}
		begin_message(h);
		h->status = s->line.status;
		h->version = s->line.version;
		if (h->status < 200 && h->status != 101)
			h->flags |= HALF_INTERIM;
	}
	h->flags |= HALF_SEEN;
	h->phase = PHASE_HEAD;
}

static __always_inline void tunnel(struct connection *c)
{
	c->half[REQUEST].phase = PHASE_TUNNEL;
	c->half[RESPONSE].phase = PHASE_TUNNEL;
	count(COUNT_TUNNEL);
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

// The empty line has come: how long is the body (RFC 9112 section 6.3)?
static __always_inline void head_end(struct scratch *s, struct connection *c, struct half *h, u32 index)
{
	u32 bodiless = 0;

	if (index == RESPONSE) {
		if (h->flags & HALF_INTERIM) {
			begin_message(h);
			return;
		}
		if (h->status == 101 || (c->first.method == METHOD_CONNECT && h->status < 300)) {
			tunnel(c);
			s->now.act |= ACT_FINISH;
			return;
		}
		bodiless = c->first.method == METHOD_HEAD || h->status == 204 || h->status == 304;
	}
	if (h->flags & HALF_CHUNKED) {
		h->phase = PHASE_CHUNK_SIZE;
	} else if ((h->flags & HALF_LENGTH) && !(h->flags & HALF_CODED)) {
		h->phase = h->left ? PHASE_LENGTH : PHASE_START;
		bodiless |= !h->left;
	} else {
		h->phase = index == RESPONSE ? PHASE_CLOSE : PHASE_START;
	}
	if (bodiless && index == RESPONSE)
		s->now.act |= ACT_FINISH;
}

// Takes over what the scan found of the body's length.
static __always_inline void note_framing(struct scratch *s, struct half *h)
{
	if (s->scan.length_at) {
		u64 length = http1_length(&s->scan, s->window);

		h->flags &= ~HALF_LENGTH;
		h->left = 0;
		if (length != ~0ULL) {
			h->left = length;
			h->flags |= HALF_LENGTH;
		}
	}
	if (s->scan.coding_end) {
		h->flags &= ~(HALF_CHUNKED | HALF_CODED);
		h->flags |= http1_chunked(&s->scan, s->window) ? HALF_CHUNKED : HALF_CODED;
	}
}

// The bytes are no start line: wait for the start of another operation. What was kept may be what spoils
// this one, which then is looked at without.
static __always_inline void no_start_line(struct scratch *s, struct half *h)
{
	if (h->phase == PHASE_START)
		count(COUNT_PARSE_ERROR);
	if (s->now.kept) {
		h->phase = PHASE_LOST;
		h->carry = 0;
		return;
	}
	lose(&s->op, h);
}

// Could the window begin what has to come? Spares junk the scan, and the carries their junk.
static __always_inline u32 may_begin(const u8 *window, u32 len, u32 index, u32 phase)
{
	u64 word = *(const u64 *)window;
	u8 c = word;

	if (index == REQUEST && phase == PHASE_LOST)
		return http1_may_begin_request(word, len);
	if (index == RESPONSE) {
		u64 mask = len < 7 ? FIRST_BYTES(len) : FIRST_BYTES(7);

		return (word & mask) == (WORD('H', 'T', 'T', 'P', '/', '1', '.', 0) & mask);
	}
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '\r' || c == '\n' ||
	       (c >= '0' && c <= '9');
}

// The first lines of a message: a start line as far as it has come. Returns 0 if it is none or not yet one.
static __always_inline u32 begin_head(struct scratch *s, struct connection *c)
{
	struct step_state *now = &s->now;
	struct half *h = half_of(c, now->index);
	struct scan *scan = &s->scan;

	if (!scan->lines) {
		scan->first = scan->used;
		scan->first_end = now->len;
	}
	FORGET_MEMORY();
	// Empty lines that came before are no part of the message.
	if (scan->first >= now->kept)
		h->since_ns = s->op.now_ns;
	// A line that is longer than what can be kept is used without its end.
	if (!scan->lines && (scan->stopped || now->rest < (now->more ? WINDOW_BYTES : CARRY_BYTES)))
		return 1;
	FORGET_MEMORY();
	start_line(s, c, h, now->index, scan->first_end, scan->lines);
	FORGET_MEMORY();
	if (!s->line.valid)
		no_start_line(s, h);
	// The end of an earlier response was missed: the same bytes again, for the next one.
	return s->line.valid && (now->index == REQUEST || !now->act);
}

// A window of a head has been scanned: goes to its end, or keeps what is left of the last line.
static __always_inline void leave_head(struct scratch *s, struct connection *c)
{
	struct step_state *now = &s->now;
	struct half *h = half_of(c, now->index);
	struct scan *scan = &s->scan;

	if (scan->used)
		h->flags &= ~HALF_SKIP_LINE;
	note_framing(s, h);
	FORGET_MEMORY();
	h->carry = 0;
	if (scan->complete || ((now->more || scan->stopped) && scan->used > now->kept)) {
		advance(&s->op, scan->used - now->kept);
		if (scan->complete)
			head_end(s, c, h, now->index);
		return;
	}
	advance(&s->op, now->len - now->kept);
	if (now->rest >= CARRY_BYTES || (now->rest && (h->flags & HALF_SKIP_LINE)))
		h->flags |= HALF_SKIP_LINE;
	else
		keep(s, h, now->index, scan->used, now->rest);
}

// A window of a head.
static __always_inline void head_step(struct scratch *s, struct connection *c, struct half *h)
{
	struct step_state *now = &s->now;
	struct scan *scan = &s->scan;

	now->starts = h->phase != PHASE_HEAD;
	now->kept = h->carry;
	now->len = fill(s, h, now->index, WINDOW_BYTES);
	FORGET_MEMORY();
	if (!now->len)
		return;
	if (now->starts && !may_begin(s->window, now->len, now->index, h->phase)) {
		no_start_line(s, h);
		return;
	}
	__builtin_memset(scan, 0, sizeof(*scan));
	scan->len = now->len;
	scan->start = now->starts;
	scan->skip = !now->starts && (h->flags & HALF_SKIP_LINE);
	FORGET_MEMORY();
	http1_scan(scan, s->window);
	FORGET_MEMORY();
	now->rest = now->len - scan->used;
	// More bytes of the same segment follow the window: they may complete the line.
	now->more = s->op.segment > now->len - now->kept;
	FORGET_MEMORY();
	if (now->starts && !begin_head(s, c))
		return;
	FORGET_MEMORY();
	leave_head(s, c);
}

// A piece of a body.
static __always_inline void body_step(struct scratch *s, struct connection *c, struct half *h, u32 index)
{
	struct operation *op = &s->op;
	u64 n = op->left;

	if (h->phase == PHASE_CLOSE || n <= h->left) {
		consume_all(op);
	} else {
		// The message ends inside this operation: go there segment by segment.
		if (op->unseen || !next_segment(op)) {
			if (!op->unseen && op->vectors)
				return; // so many empty ones: the next step goes on
			count(COUNT_PAYLOAD_UNSEEN);
			lose(op, h);
			return;
		}
		n = h->left < op->segment ? h->left : op->segment;
		advance(op, n);
	}
	h->body += n;
	if (h->phase == PHASE_CLOSE)
		return;
	h->left -= n;
	if (h->left)
		return;
	if (h->phase == PHASE_CHUNK_DATA) {
		h->body -= 2; // the line end behind the data
		h->phase = PHASE_CHUNK_SIZE;
	} else if (index == RESPONSE) {
		s->now.act = ACT_FINISH;
	} else {
		end_request(s, c, h);
	}
}

// A complete trailer line, or the empty one behind the last.
static __always_inline void trailer_line(struct scratch *s, struct connection *c, struct half *h, u32 index,
					 u32 line)
{
	u32 empty = line == 1 || (line == 2 && s->window[0] == '\r');

	if (h->flags & HALF_SKIP_LINE)
		h->flags &= ~HALF_SKIP_LINE;
	else if (empty && index == RESPONSE)
		s->now.act = ACT_FINISH;
	else if (empty)
		end_request(s, c, h);
}

// A chunk-size line or a trailer line.
static __always_inline void line_step(struct scratch *s, struct connection *c, struct half *h, u32 index)
{
	struct step_state *now = &s->now;
	u32 line;
	u64 size;

	now->kept = h->carry;
	now->len = fill(s, h, index, CHUNK_LINE_BYTES);
	FORGET_MEMORY();
	if (!now->len)
		return;
	now->rest = http1_first_line(s->window, now->len);
	FORGET_MEMORY();
	line = now->rest;
	h->carry = 0;
	advance(&s->op, (line ? line : now->len) - now->kept);
	if (line && h->phase == PHASE_TRAILER) {
		trailer_line(s, c, h, index, line);
		return;
	}
	if (!line && now->len < CHUNK_LINE_BYTES) {
		keep(s, h, index, 0, now->len);
		return;
	}
	if (!line && h->phase == PHASE_TRAILER) {
		h->flags |= HALF_SKIP_LINE;
		return;
	}
	size = http1_chunk_size(s->window);
	if (size == ~0ULL) {
		count(COUNT_PARSE_ERROR);
		lose(&s->op, h);
		return;
	}
	if (!line) {
		// A long extension: its start stands for the line until the line ends.
		keep(s, h, index, 0, CHUNK_LINE_BYTES / 2);
		return;
	}
	h->left = size + 2;
	h->phase = size ? PHASE_CHUNK_DATA : PHASE_TRAILER;
}

// Takes the first waiting request out of the connection; the next one becomes the first.
static __always_inline void pop(struct connection *c, u64 socket)
{
	struct half *response = &c->half[RESPONSE];

	response->flags = 0;
	response->status = 0;
	response->body = 0;
	response->left = 0;
	if (response->phase != PHASE_TUNNEL)
		response->phase = PHASE_START;
	c->waiting--;
	c->first.start_ns = c->last_ns; // of a request of which nothing is known
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

// The first request that waits will not get a (complete) response. Returns 1 if `done` is to be committed.
static __always_inline u32 end_one(struct finished *done, struct connection *c, u64 sk, u64 now, u32 fault)
{
	const struct half *response = &c->half[RESPONSE];
	u64 end = now;

	if (response->phase == PHASE_CLOSE && fault != FAULT_CONNECTION_RESET) {
		end = c->last_ns; // the end of the stream was the end of the response
		fault = FAULT_NONE;
	} else if (response->phase == PHASE_LOST) {
		// It may well have been answered: nothing is known of that.
		fault = FAULT_NONE;
		end = c->last_ns;
		if (!(response->flags & HALF_SEEN)) {
			count(COUNT_RESPONSE_UNSEEN);
			pop(c, sk);
			return 0;
		}
	}
	finish(done, c, sk, end, fault);
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

// One step. Returns 1 if scratch.done is to be committed; the operation is over when op.left is 0.
static __always_inline u32 step(struct scratch *s, struct connection *c)
{
	struct half *h;
	u32 phase;

	s->now.index = half_index(&s->op, c);
	s->now.act = 0;
	FORGET_MEMORY();
	h = half_of(c, s->now.index);
	phase = h->phase;
	if (s->now.index == RESPONSE)
		c->last_ns = s->op.now_ns;
	if (phase == PHASE_TUNNEL)
		consume_all(&s->op);
	else if (phase == PHASE_LENGTH || phase == PHASE_CHUNK_DATA || phase == PHASE_CLOSE)
		body_step(s, c, h, s->now.index);
	else if (phase == PHASE_CHUNK_SIZE || phase == PHASE_TRAILER)
		line_step(s, c, h, s->now.index);
	else
		head_step(s, c, h);
	FORGET_MEMORY();
	if (s->now.act & ACT_FINISH) {
		finish(&s->done, c, s->op.socket, c->last_ns, FAULT_NONE);
	} else if (s->now.act & ACT_DROP) {
		count(COUNT_RESPONSE_UNSEEN);
		pop(c, s->op.socket);
	}
	FORGET_MEMORY();
	if (s->now.act & ACT_PUSH)
		push(s, c);
	FORGET_MEMORY();
	return s->now.act & ACT_FINISH;
}

#endif
