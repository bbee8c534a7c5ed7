// Every bound of the kernel programs, and nothing else. The loader may override those in #ifndef.
#ifndef OTELAUTO_LIMITS_H
#define OTELAUTO_LIMITS_H

// Bytes of a message head that are looked at in one step. A power of two: offsets are masked with it.
#define WINDOW_BYTES 512
#define WINDOW_MASK (2 * WINDOW_BYTES - 1)
#ifndef WINDOW_WORDS
#define WINDOW_WORDS (WINDOW_BYTES / 8)
#endif

// Line ends that are looked at in 8 bytes. A shorter header line than "a:" is none.
#define LINES_PER_WORD 3

// Longest authority of a request target in absolute form, in words of 8 bytes. Behind a longer one no path
// is looked for.
#define AUTHORITY_WORDS 12

// Longest part of an unfinished line that is kept for the next operation. It holds the longest method,
// a blank, "https://", the longest authority and PATH_BYTES of path, so that a start line which is longer
// than this can be used at once and gives the same path wherever it was cut.
#define CARRY_BYTES (METHOD_BYTES + 8 + 8 * AUTHORITY_WORDS + PATH_BYTES)

// Most bytes of a chunk-size or trailer line that are looked at in one step.
#define CHUNK_LINE_BYTES 64

// Most hexadecimal digits of a chunk size.
#define CHUNK_DIGITS 20

// Most decimal digits of a Content-Length.
#define LENGTH_DIGITS 18

// Most blanks that are skipped before or behind a header's value.
#define VALUE_BLANKS 16

// Steps that one program makes before it calls itself by a tail call (of which the kernel allows 33).
#define STEPS 2

// Requests that wait for their response behind the first one. A power of two.
#define PIPELINE_DEPTH 64
#define PIPELINE_MASK (PIPELINE_DEPTH - 1)

// Empty vectors that are skipped in one step.
#define EMPTY_VECTORS 4

#ifndef MAX_CONNECTIONS
#define MAX_CONNECTIONS 65536
#endif
#ifndef MAX_SERIES
#define MAX_SERIES 8192
#endif
#ifndef MAX_TARGETS
#define MAX_TARGETS 16384
#endif
#ifndef MAX_ROUTE_EDGES
#define MAX_ROUTE_EDGES 16384
#endif
#ifndef MAX_PATHS
#define MAX_PATHS 4096
#endif
#ifndef MAX_CACHED_ROUTES
#define MAX_CACHED_ROUTES 16384
#endif
// Spans under way, and the bytes of the ring that finished ones go through: a second of many thousands.
#ifndef MAX_SPANS
#define MAX_SPANS 4096
#endif
#ifndef SPAN_RING_PAGES
#define SPAN_RING_PAGES 2048
#endif
#ifndef MAX_THREADS
#define MAX_THREADS 4096
#endif
#ifndef MAX_WIRES
#define MAX_WIRES 4096
#endif
#ifndef MAX_CARRIES
#define MAX_CARRIES 2048
#endif
#ifndef MAX_UNIX_SOCKETS
#define MAX_UNIX_SOCKETS 4096
#endif
#ifndef MAX_PIPELINES
#define MAX_PIPELINES 1024
#endif
// One series may be spread over this many entries, so that CPUs do not fight for its cache lines.
#ifndef SHARD_MASK
#define SHARD_MASK 1
#endif
// The bit of a shard that programs use which may interrupt others.
#define SHARED_SHARD 0x80
// Pages of the event ring; a power of two.
#ifndef RING_PAGES
#define RING_PAGES 64
#endif

// 1 if value is above bound, else 0; for values below 2^63. Arithmetic instead of a comparison: BPF has no
// instruction that turns one into a number, so each would be a branch, for the CPU and for the verifier.
#define ABOVE(value, bound) (((u64)(bound) - (u64)(value)) >> 63)

// The configured histogram bounds, as the index of the bucket. Bounds are inclusive (OpenTelemetry).
#ifndef DURATION_BUCKET
#define DURATION_BUCKET(ns) \
	(ABOVE(ns, 0) + ABOVE(ns, 5000000) + ABOVE(ns, 10000000) + ABOVE(ns, 25000000) + \
	 ABOVE(ns, 50000000) + ABOVE(ns, 75000000) + ABOVE(ns, 100000000) + ABOVE(ns, 250000000) + \
	 ABOVE(ns, 500000000) + ABOVE(ns, 750000000) + ABOVE(ns, 1000000000) + \
	 ABOVE(ns, 2500000000) + ABOVE(ns, 5000000000) + ABOVE(ns, 7500000000) + \
	 ABOVE(ns, 10000000000))
#endif
#ifndef REQUEST_SIZE_BUCKET
#define REQUEST_SIZE_BUCKET(bytes) \
	(ABOVE(bytes, 0) + ABOVE(bytes, 32) + ABOVE(bytes, 64) + ABOVE(bytes, 128) + \
	 ABOVE(bytes, 256) + ABOVE(bytes, 512) + ABOVE(bytes, 1024) + ABOVE(bytes, 2048) + \
	 ABOVE(bytes, 4096) + ABOVE(bytes, 8192))
#endif
#ifndef RESPONSE_SIZE_BUCKET
#define RESPONSE_SIZE_BUCKET(bytes) REQUEST_SIZE_BUCKET(bytes)
#endif

#endif
