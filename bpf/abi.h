// The contract between the kernel programs and the agent, and nothing else: types, ids and sizes.
//
// Rules: fixed-width members only (u8 u16 u32 u64, u8[N], char[N]); explicit _pad; no bit-fields,
// no packing, no pointers; the values of enums are written out, only appended, never reused; each
// struct is followed by an assertion of its size. agent/otelauto/abi/_layout.py is generated from
// this file (make generate) and proved by tests/bpf/test_abi_layout.py and by the handshake that
// the loader makes for every struct before a program runs.
#ifndef OTELAUTO_ABI_H
#define OTELAUTO_ABI_H

// The sizes that both sides use.
#define PATH_BYTES 256		// longest path kept, in bytes; longer ones are cut and say so
#define DURATION_BUCKETS 24	// configured bounds (at most 23) and the one above the last
#define SIZE_BUCKETS 16		// configured bounds (at most 15) and the one above the last
#define FINE_BUCKETS 56		// two an octave: 0 is below 2^13 ns, 1 + 2 * l + h begins at 2^(13 + l) * (1 + h / 2) ns
#define METHOD_BYTES 24		// longest registered method name, zero padded
#define TARGET_SLOTS 16384	// a power of two
#define TARGET_SLOT_SHARED 4294967295	// target_slot.pid: several targets have the slot, see targets
#define SPAN_HEAD_BYTES 1024	// the start of a request's head that a span keeps
#define MAX_SERVICES 4096	// service ids are 1 to MAX_SERVICES - 1; 0 means none

// The methods of the IANA HTTP Method Registry (RFC 9110 section 16.1.1): id, name in C, name on the
// wire. Ids are only appended. 0 stands for every other token and is reported as _OTHER.
#define HTTP_METHODS(X) \
	X(1, GET, "GET") \
	X(2, HEAD, "HEAD") \
	X(3, POST, "POST") \
	X(4, PUT, "PUT") \
	X(5, DELETE, "DELETE") \
	X(6, PATCH, "PATCH") \
	X(7, OPTIONS, "OPTIONS") \
	X(8, CONNECT, "CONNECT") \
	X(9, TRACE, "TRACE") \
	X(10, ACL, "ACL") \
	X(11, BASELINE_CONTROL, "BASELINE-CONTROL") \
	X(12, BIND, "BIND") \
	X(13, CHECKIN, "CHECKIN") \
	X(14, CHECKOUT, "CHECKOUT") \
	X(15, COPY, "COPY") \
	X(16, LABEL, "LABEL") \
	X(17, LINK, "LINK") \
	X(18, LOCK, "LOCK") \
	X(19, MERGE, "MERGE") \
	X(20, MKACTIVITY, "MKACTIVITY") \
	X(21, MKCALENDAR, "MKCALENDAR") \
	X(22, MKCOL, "MKCOL") \
	X(23, MKREDIRECTREF, "MKREDIRECTREF") \
	X(24, MKWORKSPACE, "MKWORKSPACE") \
	X(25, MOVE, "MOVE") \
	X(26, ORDERPATCH, "ORDERPATCH") \
	X(27, PRI, "PRI") \
	X(28, PROPFIND, "PROPFIND") \
	X(29, PROPPATCH, "PROPPATCH") \
	X(30, QUERY, "QUERY") \
	X(31, REBIND, "REBIND") \
	X(32, REPORT, "REPORT") \
	X(33, SEARCH, "SEARCH") \
	X(34, UNBIND, "UNBIND") \
	X(35, UNCHECKOUT, "UNCHECKOUT") \
	X(36, UNLINK, "UNLINK") \
	X(37, UNLOCK, "UNLOCK") \
	X(38, UPDATE, "UPDATE") \
	X(39, UPDATEREDIRECTREF, "UPDATEREDIRECTREF") \
	X(40, VERSION_CONTROL, "VERSION-CONTROL")

#define HTTP_METHOD_ENUM(id, name, text) METHOD_##name = id,
enum method {
	METHOD_OTHER = 0,
	HTTP_METHODS(HTTP_METHOD_ENUM)
};

// Who the process is in the exchange.
enum role {
	ROLE_NONE = 0,
	ROLE_SERVER = 1,	// it read the request
	ROLE_CLIENT = 2,	// it wrote the request
};

// The first bytes after which a connection is known to speak it.
enum version {
	VERSION_NONE = 0,
	VERSION_HTTP_1_0 = 1,
	VERSION_HTTP_1_1 = 2,
};

// Why an exchange has no proper end. The names, in lower case and without the prefix, are the values
// of the attribute error.type.
enum fault {
	FAULT_NONE = 0,
	FAULT_CONNECTION_CLOSED = 1,	// the peer closed before the response was complete
	FAULT_CONNECTION_RESET = 2,	// a reset, or a send that failed, ended it
	FAULT_NO_RESPONSE = 3,		// the process itself closed without (completely) answering
	FAULT_CANCELLED = 4,		// client: it closed before the response was complete
};

// What the kernel counts for the agent's own metrics. Per-CPU array, summed by the reader.
enum count {
	COUNT_RESPONSE_UNSEEN = 0,	// exchanges whose response could not be read (io_uring, 32-bit code)
	COUNT_SERIES_OVERFLOW = 1,	// exchanges counted under the overflow series: the aggregate is full
	COUNT_SERIES_LOST = 2,		// exchanges that even the overflow series could not take
	COUNT_PAYLOAD_FAULT = 3,	// user memory that could not be read
	COUNT_PAYLOAD_UNSEEN = 4,	// operations whose payload no register points to (io_uring, splice)
	COUNT_COMPAT_TASK = 5,		// operations of 32-bit processes
	COUNT_ORPHAN_RESPONSE = 6,	// responses to requests from before the agent
	COUNT_PIPELINE_OVERFLOW = 7,	// requests beyond the deepest pipeline that is followed
	COUNT_CARRY_LOST = 8,		// the kept start of a split head was evicted
	COUNT_OPERATION_TOO_LONG = 9,	// one operation held more messages than are followed
	COUNT_PARSE_ERROR = 10,		// bytes where a message had to start that are none
	COUNT_CONNECTION_LOST = 11,	// the connection table could not take an entry
	COUNT_EVENT_LOST = 12,		// the event ring was full
	COUNT_PATH_LOST = 13,		// the path table could not take an entry
	COUNT_TLS_CONNECTION = 14,	// connections of targets that speak TLS and cannot be read
	COUNT_HTTP2_CONNECTION = 15,	// connections of targets that speak HTTP/2 and are not read yet
	COUNT_TUNNEL = 16,		// connections that left HTTP by 101 or CONNECT
	// 17 was a count that nothing ever raised: never reused
	COUNT_SPAN_SENT = 18,		// spans that were given to the agent
	COUNT_SPAN_UNSAMPLED = 19,	// exchanges of traced services that the sampler left out
	COUNT_SPAN_LIMITED = 20,	// sampled ones beyond options.span_limit
	COUNT_SPAN_EVICTED = 21,	// sampled ones whose entry in spans was taken by others
	COUNT_SPAN_UNKEPT = 22,		// sampled ones that spans could not take
	COUNT_SPAN_RING_FULL = 23,	// spans that the ring span_events could not take
	COUNT_SPAN_UNSEEN = 24,		// sampled ones whose response could not be read
	COUNT_MAX = 32,
};

// Event kinds of the ring.
enum event_kind {
	EVENT_EXEC = 1,			// struct event_process: a process runs another program
	EVENT_EXIT = 2,			// struct event_process: the last thread of a target is gone
	EVENT_FORK = 3,			// struct event_process: a target has a child, which inherited its service
	EVENT_LISTEN = 4,		// struct event_listen: a TCP socket listens
	EVENT_PATH = 5,			// struct event_path: a successful exchange with a path that no route matched
	EVENT_SPAN = 6,			// struct event_span, only on the ring span_events
};

// Bits of options.events: which events the agent wants; the others are not sent.
enum event_bit {
	EVENT_BIT_EXEC = 1,
	EVENT_BIT_LISTEN = 2,
};

// Bits of service.spans.
enum span_bit {
	SPAN_BIT_ON = 1,		// exchanges of the service become spans
	SPAN_BIT_PARENT = 2,		// where there is a parent, its decision holds (parentbased_*)
	SPAN_BIT_PROXY = 4,		// what a thread read last is the cause of what it sends next
};

// How the parent of a span was found. Only certain ones are named.
enum parent {
	PARENT_NONE = 0,		// the span is a root
	PARENT_HEADER = 1,		// the request's own traceparent
	PARENT_THREAD = 2,		// client: the request that its thread serves
	PARENT_CAUSE = 3,		// client: the request that a proxy read before (SPAN_BIT_PROXY)
	PARENT_CONNECTION = 4,		// server: the client's span, the two ends of one connection on this host
};

// Bits of event_span.flags.
enum span_flag {
	SPAN_FLAG_HEAD_CUT = 1,		// the head is longer than head[]
	SPAN_FLAG_SAMPLED_PARENT = 2,	// the parent was sampled
	SPAN_FLAG_TRACE_SEEN = 4,	// the head has a traceparent, valid or not
};

// What is done with a path that no route matches (routes.unmatched).
enum unmatched {
	UNMATCHED_UNSET = 0,		// no route
	UNMATCHED_WILDCARD = 1,		// one route for all, ROUTE_WILDCARD
	UNMATCHED_LEARN = 2,		// user space learns it: EVENT_PATH (policies path and heuristic)
};

// Route ids with a meaning of their own; the agent hands out the others.
enum route {
	ROUTE_NONE = 0,			// no route attribute
	ROUTE_WILDCARD = 1,		// "/**"
	ROUTE_OTHER = 2,		// the service has as many routes as it may have
	ROUTE_PENDING = 3,		// red_key.path tells which path; the agent maps it when it reads
	ROUTE_OVERFLOW = 4,		// the explicit overflow series
	ROUTE_FIRST = 16,
};

// Value of targets, key u32 process id (in the agent's pid namespace).
struct target {
	u32 service;
	u32 flags;
};
_Static_assert(sizeof(struct target) == 8, "target");

// Value of target_slots, index process id modulo TARGET_SLOTS: spares nearly all hooks the look-up in targets.
struct target_slot {
	u32 pid;		// the only target that has the slot; 0: none
	u32 service;
};
_Static_assert(sizeof(struct target_slot) == 8, "target_slot");

// One step of the route automaton: value of route_edges and, for the root, part of struct service.
struct route_edge {
	u32 node;		// where the next segment is looked up; 0: nowhere
	u32 route;		// route of a path that ends here; ROUTE_NONE: none
	u32 rest;		// route of a path that has no further edge (trailing *); ROUTE_NONE: none
	u32 _pad;
};
_Static_assert(sizeof(struct route_edge) == 16, "route_edge");

// Key of route_edges. segment is the FNV-1a hash (64 bits, offset basis xor route_seed) of one path
// segment, made 1 if it is 0; 0 stands for any segment.
struct route_step {
	u64 segment;
	u32 node;
	u32 _pad;
};
_Static_assert(sizeof(struct route_step) == 16, "route_step");

// Value of services, index service id.
struct service {
	struct route_edge root;
	u32 generation;		// cached routes of another generation are not valid
	u32 unmatched;		// enum unmatched
	u64 sample_below;	// sampled if the last 8 bytes of the trace id (big endian), halved, are below
	u32 spans;		// SPAN_BIT_*
	u32 _pad;
};
_Static_assert(sizeof(struct service) == 40, "service");

// Key of paths and of route_cache.
struct path_key {
	u64 hash;		// of the path's bytes, up to PATH_BYTES
	u32 service;
	u32 _pad;
};
_Static_assert(sizeof(struct path_key) == 16, "path_key");

// Value of paths: the text of a path that the cache did not know.
struct path_text {
	u16 len;
	u8 truncated;		// 1: the path is longer than PATH_BYTES
	u8 reported;		// 1: EVENT_PATH has been sent
	u8 _pad[4];
	u8 text[PATH_BYTES];	// zero padded; no query, no fragment
};
_Static_assert(sizeof(struct path_text) == 8 + PATH_BYTES, "path_text");

// Value of route_cache, key struct path_key.
struct route_hit {
	u32 route;
	u32 generation;
};
_Static_assert(sizeof(struct route_hit) == 8, "route_hit");

// Key of red, the aggregate: one exported series, but for the shard.
struct red_key {
	u64 path;		// path_key.hash if route is ROUTE_PENDING, else 0
	u32 service;
	u32 route;
	u16 status;		// 0: no response was seen
	u16 server_port;	// host order; 0: none (unix socket)
	u8 role;		// enum role
	u8 method;		// enum method
	u8 version;		// enum version
	u8 fault;		// enum fault
	u8 tls;			// 1: url.scheme is https
	u8 family;		// 4, 6, or 1 for unix; clients only
	u8 shard;		// spreads one series over CPUs; the reader adds the shards up
	u8 _pad[5];
	u8 address[16];		// clients only: the server's address; IPv4 in the first four bytes
};
_Static_assert(sizeof(struct red_key) == 48, "red_key");

// Value of red. All members only grow (modulo 2^32 and 2^64); the number of exchanges is the sum of
// duration[].
struct red_value {
	u64 duration_sum_ns;
	u64 request_bytes;	// bodies; sum over exchanges with a known size
	u64 response_bytes;
	u32 duration[DURATION_BUCKETS];
	u32 request_size[SIZE_BUCKETS];
	u32 response_size[SIZE_BUCKETS];
	u32 fine[FINE_BUCKETS];
};
_Static_assert(sizeof(struct red_value) == 24 + 4 * (DURATION_BUCKETS + 2 * SIZE_BUCKETS + FINE_BUCKETS),
	       "red_value");

// Value of the one element of options.
struct options {
	u64 route_seed;		// hashes of paths and segments start from it, so that nobody outside can make
				// paths that collide; written before the hooks are attached
	u32 events;		// EVENT_BIT_*
	u32 span_limit;		// spans a second on this host; 0: no bound
};
_Static_assert(sizeof(struct options) == 16, "options");

// The head of every record of the event ring.
struct event_header {
	u32 kind;		// enum event_kind
	u32 len;		// of the whole record
	u64 time_ns;		// CLOCK_MONOTONIC
};
_Static_assert(sizeof(struct event_header) == 16, "event_header");

struct event_process {
	struct event_header header;
	u32 pid;		// process id (thread group)
	u32 parent;		// EVENT_FORK: the parent's; else 0
	u32 service;		// service of the process, 0: none
	u32 _pad;
};
_Static_assert(sizeof(struct event_process) == 32, "event_process");

struct event_listen {
	struct event_header header;
	u32 pid;
	u16 port;		// host order
	u16 family;		// AF_INET or AF_INET6
};
_Static_assert(sizeof(struct event_listen) == 24, "event_listen");

struct event_path {
	struct event_header header;
	struct path_key key;
};
_Static_assert(sizeof(struct event_path) == 32, "event_path");

// Value of spans, key the span id: a sampled exchange under way; and the record of the ring span_events, which
// holds head_len bytes of the head, made up to a multiple of 8.
struct event_span {
	struct event_header header;	// time_ns: when it was given to the ring; until then the socket
	u64 start_ns;		// first byte of the request, CLOCK_MONOTONIC
	u64 first_ns;		// first byte of the response; 0: there was none
	u64 duration_ns;	// until the last byte of the response
	u64 request_bytes;	// bodies
	u64 response_bytes;
	u64 path;		// hash, see path_key; 0: no path
	u8 trace[16];		// trace id
	u8 span[8];		// span id
	u8 parent[8];		// the parent's span id; 0: none
	u32 service;
	u32 route;		// red_key.route
	u32 pid;		// process and thread that read (server) or wrote (client) the head
	u32 tid;
	u16 status;		// 0: no response was seen
	u16 server_port;	// host order; 0: none (unix socket)
	u16 client_port;
	u16 head_len;
	u8 role;		// enum role
	u8 method;		// enum method
	u8 version;		// enum version
	u8 fault;		// enum fault
	u8 tls;			// 1: url.scheme is https
	u8 family;		// 4, 6, or 1 for unix
	u8 parent_kind;		// enum parent
	u8 flags;		// SPAN_FLAG_*
	u8 server_address[16];	// IPv4 in the first four bytes
	u8 client_address[16];
	u8 head[SPAN_HEAD_BYTES];	// from the request line on, as it was sent
};
_Static_assert(sizeof(struct event_span) == 160 + SPAN_HEAD_BYTES, "event_span");

#endif
