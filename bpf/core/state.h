// What the programs remember between two operations, and the working memory of one. Only types.
#ifndef OTELAUTO_STATE_H
#define OTELAUTO_STATE_H

#include "../abi.h"
#include "../limits.h"

// Keeps the compiler from using what it knows of a value, so that a check on it stays for the verifier.
#define OPAQUE(value) asm volatile("" : "+r"(value))

// Reads a value from memory even where the compiler still has it in a register: what the verifier has not
// followed there, it does not tell apart.
#define FROM_MEMORY(value) (*(const volatile __typeof__(value) *)&(value))

// Makes the compiler forget what it knows of memory, for the same reason.
#define FORGET_MEMORY() asm volatile("" : : : "memory")

// Indices of the tail call map jumps.
enum jump {
	JUMP_STEPS = 0,		// (further) steps of an operation
	JUMP_ROUTE = 1,		// the route of the exchange in scratch.done, then JUMP_STEPS
	JUMP_END = 2,		// further exchanges of a connection that ends
	JUMP_UNIX = 3,		// whether the unix socket op.closed is closed, then JUMP_STEPS if op.resume
	JUMP_SPAN = 4,		// what a window of a request's head is to its span, then JUMP_STEPS
};

enum direction {
	RECEIVED = 0,
	SENT = 1,
};

// The two halves of a connection.
enum half_index {
	REQUEST = 0,
	RESPONSE = 1,
};

// Where one half of a connection is (RFC 9112).
enum phase {
	PHASE_START = 0,	// a start line has to come
	PHASE_HEAD = 1,		// header lines
	PHASE_LENGTH = 2,	// body, left bytes to come
	PHASE_CHUNK_SIZE = 3,	// a chunk-size line has to come
	PHASE_CHUNK_DATA = 4,	// chunk data and its line end, left bytes to come
	PHASE_TRAILER = 5,	// lines after the last chunk
	PHASE_CLOSE = 6,	// body that ends with the stream
	PHASE_TUNNEL = 7,	// not HTTP (any more): 101, CONNECT, TLS, HTTP/2
	PHASE_LOST = 8,		// bytes were missed: a start line at the start of an operation heals it
};

enum half_flag {
	HALF_CHUNKED = 1,	// Transfer-Encoding ends with chunked
	HALF_LENGTH = 2,	// Content-Length is in left
	HALF_SKIP_LINE = 4,	// the rest of a line that was too long is still to come
	HALF_INTERIM = 8,	// the head of a 1xx response
	HALF_SEEN = 16,		// the start line of the current message has been seen
	HALF_CODED = 32,	// Transfer-Encoding is there, and its last coding is not chunked
};

// One half of a connection.
struct half {
	u64 since_ns;		// first byte of the message under way
	u64 left;		// body bytes to come, see phase
	u64 body;		// body bytes seen, without the framing
	u16 carry;		// bytes of an unfinished line in the map carries
	u16 status;		// response only
	u8 phase;
	u8 flags;
	u8 version;
	u8 _pad;
};

// A request that waits for the end of its response.
struct exchange {
	u64 start_ns;
	u64 path;		// hash, 0: no path
	u64 request_bytes;
	u32 route;
	u8 method;
	u8 version;
	u8 sampled;		// enum sampled
	u8 _pad;
#ifdef SPANS
	u64 span;		// span id, 0: the service is not traced
	u64 thread;		// servers: the thread that read the head
#endif
};

// Value of connections, key struct sock *.
struct connection {
	struct half half[2];	// index enum half_index
	struct exchange first;	// the oldest that waits; the others are in pipelines
	u64 last_ns;		// the last operation that carried bytes of the response
	u64 inode;		// unix sockets only: tells one user of the address from the next
	u32 service;
	u16 server_port;
	u16 unkept;		// requests behind the pipeline that had no room in it
	u8 role;
	u8 family;
	u8 waiting;		// requests that wait: first and those in pipelines
	u8 tls;
	u32 sent;		// TCP: sequence number behind the last byte that was seen to be sent
	u8 address[16];
	u64 path;		// hash of the path before, and its route: connections repeat themselves
	u32 route;
	u32 generation;
#ifdef SPANS
	u64 head_span;		// of a request whose head is not complete
#endif
};

// Value of pipelines, key struct sock *: a ring of the requests behind connection.first.
struct pipeline {
	u32 begin;
	u32 _pad;
	struct exchange ring[PIPELINE_DEPTH];
};

// Key of carries.
struct carry_key {
	u64 socket;
	u64 half;
};

// Value of carries: the start of an unfinished line.
struct carry {
	u8 bytes[CARRY_BYTES];
};

// One operation on a socket and how far it has been followed.
struct operation {
	u64 socket;
	u64 now_ns;
	u64 ptr;		// the rest of the current segment in user memory
	u64 vector;		// the iovecs behind it
	u32 vectors;
	u32 segment;		// bytes of the rest of the current segment
	u32 left;		// bytes of the operation that have not been followed yet
	u32 service;
	u32 error;		// errno, if it failed
	u8 direction;
	u8 unseen;		// the payload cannot be found
	u8 begun;		// its first step is done
	u8 fresh;		// it is the first on its connection
	u8 resume;		// it goes on when the end of another connection has been dealt with
	u8 nowait;		// the call was asked not to wait
	u8 _pad[2];
	u64 closed;		// that other connection's socket
};

// What a scan of the window found.
struct scan {
	u32 len;		// bytes in the window
	u32 _pad1;
	u32 line;		// start of the line under way
	u32 used;		// end of what has been dealt with
	u32 first;		// start and end (without the line feed) of the start line
	u32 first_end;
	u32 length_at;		// start of the value of Content-Length, 0: none
	u32 coding_end;		// end of the value of Transfer-Encoding, 0: none
	u8 start;		// a start line is expected
	u8 skip;
	u8 lines;		// the start line is complete
	u8 complete;		// the empty line was found
	u8 stopped;		// complete lines are left behind used
	u8 traces;		// how many times traceparent was found
	u8 _pad[2];
	u32 trace_at;		// start and end of the value of the last traceparent
	u32 trace_end;
};

// What a traceparent says.
struct trace_context {
	u8 trace[16];
	u8 parent[8];
	u32 at;			// where its value begins and ends
	u32 end;
	u32 any;		// bits of what was read last: 0 if all of it is zero
	u32 bad;		// not 0: something was no digit
	u8 sampled;
	u8 valid;
	u8 _pad[6];
};

// What became of an exchange of a traced service.
enum sampled {
	SAMPLED_NO = 0,
	SAMPLED_YES = 1,
	SAMPLED_OPEN = 2,	// its head is not complete
};

// What a start line says.
struct start_line {
	u64 path;		// hash
	u32 path_at;
	u32 path_len;
	u16 status;
	u8 method;
	u8 version;
	u8 truncated;		// the path is longer than PATH_BYTES
	u8 valid;
	u8 method_len;
	u8 _pad;
	u32 target;		// where the request target begins
	u32 end;		// where it ends
	u8 text[METHOD_BYTES];	// a method that is none of the common ones
};

// Who walks: programs that can interrupt each other on one CPU have places of their own.
enum place {
	PLACE_ROUTE = 0,
	PLACE_STATE = 1,
	PLACE_MAX = 2,
};

// Key of methods.
struct method_text {
	u8 text[METHOD_BYTES];
};

// What a finished exchange is counted by.
struct finished {
	struct red_key key;
	u64 path;		// hash
	u64 duration_ns;
	u64 request_bytes;
	u64 response_bytes;
	u32 pending;		// 1: the route is still to be found
	u32 sampled;		// enum sampled
#ifdef SPANS
	u64 span;
	u64 thread;
	u64 first_ns;		// first byte of the response, 0: there was none
#endif
};

#ifdef SPANS
// A request that another one may be part of.
struct request_context {
	u64 trace[2];
	u64 span;		// 0: none
	u64 parent;		// its parent as its own traceparent named it
	u32 sampled;
	u32 _pad;
};

// Value of threads, key the id of a thread: the requests that it has read and that have no response yet.
struct thread_requests {
	struct request_context last;	// the last one; span 0: none that could be the cause of anything
	u64 socket;		// its connection
	u32 waiting;		// how many
	u32 _pad;
};

// Key of wires: a connection of this host as its client sees it.
struct wire_key {
	u64 client[2];		// addresses; unix sockets: struct sock * of the two ends
	u64 server[2];
	u64 net;		// loopback addresses are another host in another network namespace
	u16 client_port;
	u16 server_port;
	u32 _pad;
};

// Value of wires: what its client asked last.
struct wire {
	struct request_context last;
	u64 since_ns;		// when it was sent
	u32 ambiguous;		// it is one of several on the way, or the server has read it already
	u32 _pad;
};

// The one element of budgets.
struct budget {
	u64 since_ns;		// when this second began
	u64 used;
};
#endif

// How far a walk over the route automaton has come.
struct walk {
	u64 hash;
	u32 node;
	u32 route;
	u32 rest;
	u32 before;		// the byte before
	struct finished done;	// of the program that ends connections
};

// What a step knows so far, in memory for the same reason as FROM_MEMORY.
struct step_state {
	u64 end_ns;		// when the exchange that ends has ended
	u32 fault;		// enum fault of it
	u32 act;		// enum action: what there is to do at its end
	u32 len;		// bytes in the window
	u32 kept;		// those of them that were kept from the operation before
	u32 rest;		// those behind the last complete line
	u32 index;		// enum half_index
	u8 starts;		// a start line has to come
	u8 more;		// the segment goes on behind the window
	u8 _pad[6];
};

// Working memory of one operation, per CPU: the programs on sockets run without preemption, and
// none of them runs in an interrupt.
struct scratch {
	struct operation op;
	struct step_state now;
	struct scan scan;
	struct start_line line;
	struct finished done;
	struct exchange next;
	struct trace_context trace;
	u8 window[2 * WINDOW_BYTES + 16];
	// What few operations need, apart from the rest: each page of it costs a walk of the page tables.
	struct path_text path;
	struct connection fresh;
	struct pipeline pipeline;
};

#endif
