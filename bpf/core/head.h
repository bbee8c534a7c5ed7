// The head of a message: its start line, and what its header lines say of the body. A head may come in any
// number of pieces; a step deals with one window of it.
#ifndef OTELAUTO_HEAD_H
#define OTELAUTO_HEAD_H

#include "exchange.h"
#include "../proto/http1_start.h"

// What happens at the end of a step, in this order.
enum action {
	ACT_FINISH = 1,		// the response of the first waiting request is over
	ACT_DROP = 2,		// its response could not be read
	ACT_PUSH = 4,		// scratch.next waits for its response
	ACT_SPAN = 8,		// the window is part of the head of a request that may become a span
};

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
	no_span(e);
	if (e->path)
		e->route = note_path(s, c);
}

// The start line is complete, or as much of it as will ever be looked at. Sets line.valid.
static __always_inline void start_line(struct scratch *s, struct connection *c, struct half *h,
				       u32 index, u32 end, u32 whole)
{
	struct half *response = &c->half[RESPONSE];

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
		// A client that does not send ahead has had all responses.
		if (c->waiting <= 1 && response->phase == PHASE_LOST)
			response->phase = PHASE_START;
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
#ifdef SPANS
	if (now->index == REQUEST && (now->starts || c->head_span) && is_traced(c->service))
		now->act |= ACT_SPAN;
	FORGET_MEMORY();
#endif
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

#endif
