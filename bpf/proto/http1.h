// HTTP/1.x (RFC 9112) on a window of bytes: pure functions, no maps, no helpers, no state of their own.
// They also compile with the host's compiler (tests/bpf), where they meet a reference parser.
//
// Offsets into the window are masked, not checked: a wrong offset reads other bytes of the window
// and never beyond it. Values that steer a loop live in memory (struct scan), because the verifier
// follows scalars in registers but not in maps: so each turn of a loop is checked once.
#ifndef OTELAUTO_HTTP1_H
#define OTELAUTO_HTTP1_H

#include "../core/state.h"

#define BYTES_OF(c) (0x0101010101010101ULL * (u8)(c))
#define HIGH_BITS 0x8080808080808080ULL
#define LOWER_CASE 0x2020202020202020ULL

// Eight characters as the u64 that a load of them gives (little endian).
#define WORD(a, b, c, d, e, f, g, h) \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | \
	 (u64)(f) << 40 | (u64)(g) << 48 | (u64)(h) << 56)
#define FIRST_BYTES(n) ((1ULL << (8 * (n))) - 1)

typedef u64 __attribute__((may_alias, aligned(1))) unaligned_u64;

static __always_inline u64 word_at(const u8 *window, u32 at)
{
	return *(const u64 *)(window + (at & WINDOW_MASK));
}

static __always_inline u8 byte_at(const u8 *window, u32 at)
{
	return window[at & WINDOW_MASK];
}

// The high bit of each byte that equals c; the lowest one is exact, those above may be wrong.
static __always_inline u64 match_bytes(u64 word, u8 c)
{
	u64 x = word ^ BYTES_OF(c);

	return (x - BYTES_OF(1)) & ~x & HIGH_BITS;
}

// The index of the byte whose high bit is the lowest one set.
static __always_inline u32 lowest_byte(u64 mask)
{
	u64 lowest = mask & (0 - mask);

	return (u32)(((((lowest >> 7) - 1) & BYTES_OF(1)) * BYTES_OF(1)) >> 56);
}

// A header line is complete: is it one that tells the body's length?
static __always_inline void http1_header(struct scan *s, const u8 *window, u32 line, u32 end)
{
	u64 name = word_at(window, line) | LOWER_CASE;

	if (name == WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
		u64 rest = word_at(window, line + 8) | LOWER_CASE;

		if ((rest & FIRST_BYTES(7)) == (WORD('l', 'e', 'n', 'g', 't', 'h', ':', 0) & FIRST_BYTES(7)))
			s->length_at = line + 15;
	} else if (name == WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
		u64 rest = word_at(window, line + 8) | LOWER_CASE;
		u64 last = word_at(window, line + 16) | LOWER_CASE;

		if (rest == WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') &&
		    (last & 0xffff) == (WORD('g', ':', 0, 0, 0, 0, 0, 0) & 0xffff))
			s->coding_end = end;
	}
#ifdef SPANS
	if (name == WORD('t', 'r', 'a', 'c', 'e', 'p', 'a', 'r') &&
	    ((word_at(window, line + 8) | LOWER_CASE) & FIRST_BYTES(4)) == WORD('e', 'n', 't', ':', 0, 0, 0, 0)) {
		s->trace_at = line + 12;
		s->trace_end = end;
		s->traces += s->traces < 2;
	}
#endif
}

// A line ends at the line feed at `at`. Returns 1 at the empty line that ends the head.
static __always_inline u32 http1_line(struct scan *s, const u8 *window, u32 at)
{
	u32 line = FROM_MEMORY(s->line), end = at;

	s->line = at + 1;
	s->used = at + 1;
	if (FROM_MEMORY(s->skip)) {
		s->skip = 0;
		return 0;
	}
	if (at > line && byte_at(window, at - 1) == '\r')
		end--;
	if (FROM_MEMORY(s->start)) {
		// RFC 9112 section 2.2: empty lines before a request line are ignored.
		if (end == line)
			return 0;
		s->start = 0;
		s->lines = 1;
		s->first = line;
		s->first_end = end;
		return 0;
	}
	if (end == line) {
		s->complete = 1;
		return 1;
	}
	http1_header(s, window, line, end);
	return 0;
}

// Looks at the lines of window[0..s->len). The caller has set len, start and skip and cleared the rest.
static __always_inline void http1_scan(struct scan *s, const u8 *window)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < WINDOW_WORDS; i++) {
		u64 found;

		if (i * 8 >= FROM_MEMORY(s->len))
			return;
		found = match_bytes(*(const u64 *)(window + i * 8), '\n');
#pragma clang loop unroll(disable)
		for (u32 k = 0; k < LINES_PER_WORD && found; k++) {
			u32 at = i * 8 + lowest_byte(found);

			if (at >= FROM_MEMORY(s->len))
				return;
			// Above the lowest one a mask bit may be false (see match_bytes).
			if (byte_at(window, at) == '\n' && http1_line(s, window, at))
				return;
			FORGET_MEMORY();
			found &= found - 1;
		}
		if (found) {
			s->stopped = 1; // so many empty lines: the rest is left for the next step
			return;
		}
	}
}

static __always_inline u32 is_blank(u8 c)
{
	return c == ' ' || c == '\t';
}

// The number at s->length_at; all ones if there is none or it has too many digits. Of a list of the same
// number (RFC 9110 section 8.6) the first is taken.
static __always_inline u64 http1_length(struct scan *s, const u8 *window)
{
	u64 value = 0;

#pragma clang loop unroll(disable)
	for (u32 k = 0; k < VALUE_BLANKS; k++) {
		if (!is_blank(byte_at(window, FROM_MEMORY(s->length_at))))
			break;
		s->length_at++;
		FORGET_MEMORY();
	}
#pragma clang loop unroll(disable)
	for (u32 k = 0; k <= LENGTH_DIGITS; k++) {
		u8 c = byte_at(window, FROM_MEMORY(s->length_at) + k);

		if (c < '0' || c > '9')
			return k && (is_blank(c) || c == '\r' || c == '\n' || c == ',') ? value : ~0ULL;
		value = value * 10 + (c - '0');
	}
	return ~0ULL;
}

// Whether the last coding of the value that ends at s->coding_end is "chunked" (RFC 9112 section 6.1).
static __always_inline u32 http1_chunked(struct scan *s, const u8 *window)
{
	u64 word;
	u8 before;

#pragma clang loop unroll(disable)
	for (u32 k = 0; k < VALUE_BLANKS; k++) {
		if (!is_blank(byte_at(window, FROM_MEMORY(s->coding_end) - 1)))
			break;
		s->coding_end--;
		FORGET_MEMORY();
	}
	word = word_at(window, FROM_MEMORY(s->coding_end) - 8);
	before = word;
	return (word | LOWER_CASE) >> 8 == WORD('c', 'h', 'u', 'n', 'k', 'e', 'd', 0) &&
	       (is_blank(before) || before == ',' || before == ':');
}
// The size in the chunk-size line at the start of the window (RFC 9112 section 7.1); all ones: none.
static __always_inline u64 http1_chunk_size(const u8 *window)
{
	u64 value = 0, over = 0;

#pragma clang loop unroll(disable)
	for (u32 k = 0; k <= CHUNK_DIGITS; k++) {
		u8 c = window[k], lower = c | 0x20, digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (lower >= 'a' && lower <= 'f')
			digit = lower - 'a' + 10;
		else
			return k && !over && (is_blank(c) || c == ';' || c == '\r' || c == '\n') ? value : ~0ULL;
		over |= value >> 44; // no body is that long
		value = value << 4 | digit;
	}
	return ~0ULL;
}

// The length of the first line of window[0..len) with its line feed, 0: it is not complete.
static __always_inline u32 http1_first_line(const u8 *window, u32 len)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < CHUNK_LINE_BYTES / 8; i++) {
		u64 found = match_bytes(*(const u64 *)(window + i * 8), '\n');

		if (found) {
			u32 at = i * 8 + lowest_byte(found) + 1;

			return at <= len ? at : 0;
		}
	}
	return 0;
}

#endif
