// The header traceparent (W3C Trace Context, level 2, section 3.2) on a window of bytes. Pure, like http1.h.
#ifndef OTELAUTO_TRACEPARENT_H
#define OTELAUTO_TRACEPARENT_H

#include "http1.h"

#define TRACEPARENT_BYTES 55	// version 00: 2 + 1 + 32 + 1 + 16 + 1 + 2
#define TRACEPARENT_SAMPLED 1

// One lower-case hexadecimal digit, 16: it is none. Without a branch: see ABOVE.
static __always_inline u64 hex_digit(u8 c)
{
	u64 digit = (u8)(c - '0'), letter = (u8)(c - 'a');
	u64 is_digit = 1 - ABOVE(digit, 9), is_letter = 1 - ABOVE(letter, 5);

	return digit * is_digit + (letter + 10) * is_letter + 16 * (1 - (is_digit | is_letter));
}

// Two digits; above 255: they are none.
static __always_inline u64 hex_byte(const u8 *window, u32 at)
{
	u64 high = hex_digit(byte_at(window, at)), low = hex_digit(byte_at(window, at + 1));

	return (high << 4) | low | ((high | low) & 16) << 4;
}

static __always_inline void trace_reset(struct trace_context *t)
{
	__builtin_memset(t, 0, sizeof(*t));
}

// Takes the digits of `n` bytes; what is none of them, and that not all are zero, is noted in `t`.
static __always_inline u32 hex_bytes(struct trace_context *t, u8 *to, const u8 *window, u32 at, u32 n)
{
	t->any = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < n; i++) {
		u64 value = hex_byte(window, FROM_MEMORY(t->at) + at + 2 * i);

		t->bad |= value >> 8;
		t->any |= value;
		to[i] = value;
		FORGET_MEMORY();
	}
	return FROM_MEMORY(t->any);
}

// The value window[at..end), blanks around it included. Sets t->valid and what it says.
static __always_inline void traceparent(struct trace_context *t, const u8 *window, u32 at, u32 end)
{
	u64 version, flags;
	u32 any;

	trace_reset(t);
	t->at = at;
	t->end = end;
#pragma clang loop unroll(disable)
	for (u32 k = 0; k < VALUE_BLANKS && is_blank(byte_at(window, FROM_MEMORY(t->at))); k++) {
		t->at++;
		FORGET_MEMORY();
	}
#pragma clang loop unroll(disable)
	for (u32 k = 0; k < VALUE_BLANKS && is_blank(byte_at(window, FROM_MEMORY(t->end) - 1)); k++) {
		t->end--;
		FORGET_MEMORY();
	}
	at = FROM_MEMORY(t->at);
	end = FROM_MEMORY(t->end);
	version = hex_byte(window, at);
	if (end < at + TRACEPARENT_BYTES || version >= 255)
		return;
	// Section 3.2.4: a later version may say more behind another dash.
	if (end > at + TRACEPARENT_BYTES && (!version || byte_at(window, at + TRACEPARENT_BYTES) != '-'))
		return;
	if (byte_at(window, at + 2) != '-' || byte_at(window, at + 35) != '-' || byte_at(window, at + 52) != '-')
		return;
	any = hex_bytes(t, t->trace, window, 3, sizeof(t->trace));
	if (!any)
		return;
	any = hex_bytes(t, t->parent, window, 36, sizeof(t->parent));
	flags = hex_byte(window, FROM_MEMORY(t->at) + 53);
	t->sampled = flags & TRACEPARENT_SAMPLED;
	t->valid = any && !FROM_MEMORY(t->bad) && flags < 256;
}

#endif
