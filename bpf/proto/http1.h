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

// The method of a request line, for those that nearly every request has. 0: another one.
static __always_inline u32 http1_common_method(struct start_line *l, u64 word)
{
	if ((u32)word == (u32)WORD('G', 'E', 'T', ' ', 0, 0, 0, 0)) {
		l->method_len = 3;
		return METHOD_GET;
	}
	if ((word & FIRST_BYTES(5)) == WORD('P', 'O', 'S', 'T', ' ', 0, 0, 0)) {
		l->method_len = 4;
		return METHOD_POST;
	}
	if ((word & FIRST_BYTES(5)) == WORD('H', 'E', 'A', 'D', ' ', 0, 0, 0)) {
		l->method_len = 4;
		return METHOD_HEAD;
	}
	if ((u32)word == (u32)WORD('P', 'U', 'T', ' ', 0, 0, 0, 0)) {
		l->method_len = 3;
		return METHOD_PUT;
	}
	if ((word & FIRST_BYTES(7)) == WORD('D', 'E', 'L', 'E', 'T', 'E', ' ', 0)) {
		l->method_len = 6;
		return METHOD_DELETE;
	}
	if ((word & FIRST_BYTES(6)) == WORD('P', 'A', 'T', 'C', 'H', ' ', 0, 0)) {
		l->method_len = 5;
		return METHOD_PATCH;
	}
	if (word == WORD('O', 'P', 'T', 'I', 'O', 'N', 'S', ' ')) {
		l->method_len = 7;
		return METHOD_OPTIONS;
	}
	if (word == WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' ')) {
		l->method_len = 7;
		return METHOD_CONNECT;
	}
	return 0;
}

// Copies any other method into l->text, zero padded, and sets its length; 0: not a token.
static __always_inline void http1_other_method(struct start_line *l, const u8 *window, u32 at)
{
	l->method_len = 0;
#pragma clang loop unroll(disable)
	for (u32 k = 0; k < METHOD_BYTES; k++)
		l->text[k] = 0;
#pragma clang loop unroll(disable)
	for (u32 k = 0; k < METHOD_BYTES; k++) {
		u8 c = byte_at(window, at + k);

		if (c == ' ') {
			l->method_len = k;
			break;
		}
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			break;
		l->text[k] = c;
		FORGET_MEMORY();
	}
}

static __always_inline u64 hash_word(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

// Finds the end of the path at l->path_at and its hash. Only PATH_BYTES of it count.
static __always_inline void http1_path(struct start_line *l, const u8 *window, u64 seed)
{
	u64 hash = seed;

	l->path_len = PATH_BYTES;
	l->truncated = 1;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < PATH_BYTES / 8; i++) {
		u64 word = word_at(window, FROM_MEMORY(l->path_at) + i * 8);
		u64 found = match_bytes(word, ' ') | match_bytes(word, '?') | match_bytes(word, '#');

		if (found) {
			u32 k = lowest_byte(found);

			hash = hash_word(hash, word & FIRST_BYTES(k));
			l->path_len = i * 8 + k;
			l->truncated = 0;
			break;
		}
		hash = hash_word(hash, word);
	}
	FORGET_MEMORY();
	if (l->truncated) {
		u8 after = byte_at(window, FROM_MEMORY(l->path_at) + PATH_BYTES);

		l->truncated = after != ' ' && after != '?' && after != '#';
	}
	hash = hash_word(hash, l->path_len | (u64)l->truncated << 32);
	l->path = hash ? hash : 1;
}

// Absolute form (RFC 9112 section 3.2.2): the path starts at the first slash behind the authority.
// Sets l->path_at, 0: there is no path.
static __always_inline void http1_skip_authority(struct start_line *l, const u8 *window, u32 at)
{
	u64 scheme = word_at(window, at) | LOWER_CASE;
	u32 from = at + 7;

	l->path_at = 0;
	if (scheme == (WORD('h', 't', 't', 'p', 's', ':', '/', '/') | LOWER_CASE))
		from = at + 8;
	else if ((scheme & FIRST_BYTES(7)) != (WORD('h', 't', 't', 'p', ':', '/', '/', 0) | (LOWER_CASE & FIRST_BYTES(7))))
		return;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < AUTHORITY_WORDS; i++) {
		u64 word = word_at(window, from + i * 8);
		u64 found = match_bytes(word, ' ') | match_bytes(word, '?') | match_bytes(word, '#') |
			    match_bytes(word, '/');

		if (found) {
			u32 end = from + i * 8 + lowest_byte(found);

			if (byte_at(window, end) == '/')
				l->path_at = end;
			return;
		}
	}
}

// The version at the end of a whole request line. Returns 0 if there is none.
static __always_inline u32 http1_request_version(struct start_line *l, const u8 *window, u32 end)
{
	u64 version = word_at(window, end - 8);
	u8 minor = version >> 56;

	if (end < l->target + 10 || byte_at(window, end - 9) != ' ')
		return 0;
	if ((version & FIRST_BYTES(7)) != WORD('H', 'T', 'T', 'P', '/', '1', '.', 0))
		return 0;
	if (minor < '0' || minor > '9')
		return 0;
	l->version = minor == '0' ? VERSION_HTTP_1_0 : VERSION_HTTP_1_1;
	l->end = end - 9;
	return 1;
}

// A request line window[at..end); `whole` is 0 if its end has not come yet. Sets l->valid.
static __always_inline void http1_request_line(struct start_line *l, const u8 *window, u32 at,
					       u32 end, u32 whole, u64 seed)
{
	u8 c;

	l->valid = 0;
	l->path = 0;
	l->path_len = 0;
	l->truncated = 0;
	l->version = VERSION_NONE;
	l->end = end;
	l->method = http1_common_method(l, word_at(window, at));
	if (!l->method)
		http1_other_method(l, window, at);
	FORGET_MEMORY();
	if (!l->method_len)
		return;
	l->target = at + l->method_len + 1;
	FORGET_MEMORY();
	if (whole && !http1_request_version(l, window, end))
		return;
	FORGET_MEMORY();
	c = byte_at(window, l->target);
	l->path_at = l->target;
	if (l->method == METHOD_CONNECT) {
		l->valid = 1;
		return;
	}
	if (c != '/' && c != '*') {
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			return;
		http1_skip_authority(l, window, l->target);
	}
	l->valid = 1;
	FORGET_MEMORY();
	if (l->path_at)
		http1_path(l, window, seed);
}

// A status line window[at..end). Sets l->valid, l->status, l->version.
static __always_inline void http1_status_line(struct start_line *l, const u8 *window, u32 at, u32 end)
{
	u64 version = word_at(window, at);
	u64 code = word_at(window, at + 8);
	u8 a = code >> 8, b = code >> 16, c = code >> 24, after = code >> 32, minor = version >> 56;

	l->valid = 0;
	if (end < at + 12 || (version & FIRST_BYTES(7)) != WORD('H', 'T', 'T', 'P', '/', '1', '.', 0))
		return;
	if (minor < '0' || minor > '9' || (u8)code != ' ')
		return;
	if (a < '1' || a > '5' || b < '0' || b > '9' || c < '0' || c > '9')
		return;
	if (end > at + 12 && after != ' ')
		return;
	l->status = (a - '0') * 100 + (b - '0') * 10 + (c - '0');
	l->version = minor == '0' ? VERSION_HTTP_1_0 : VERSION_HTTP_1_1;
	l->valid = 1;
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

// Could these first bytes of a connection that nothing is known of begin a request? Registered methods
// are upper case; other tokens are only taken on connections that are known to speak HTTP.
static __always_inline u32 http1_may_begin_request(u64 word, u32 len)
{
	u8 a = word, b = word >> 8, c = word >> 16;

	if (a < 'A' || a > 'Z')
		return 0;
	if (len > 1 && (b < 'A' || b > 'Z'))
		return 0;
	return len <= 2 || (c >= 'A' && c <= 'Z');
}

#endif
