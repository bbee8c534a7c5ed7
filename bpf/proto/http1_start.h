// Start lines of HTTP/1.x (RFC 9112 sections 3 and 4): method, path and version; status. Pure functions, under the
// law of http1.h.
#ifndef OTELAUTO_HTTP1_START_H
#define OTELAUTO_HTTP1_START_H

#include "http1.h"

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
