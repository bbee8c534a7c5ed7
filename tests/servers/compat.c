// A server without a C library, for 32-bit code on a 64-bit kernel: it answers every connection once, by
// int 0x80.  compat PORT
typedef unsigned int u32;

static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

#define SYS_EXIT 1
#define SYS_READ 3
#define SYS_WRITE 4
#define SYS_CLOSE 6
#define SYS_SOCKETCALL 102
#define CALL_SOCKET 1
#define CALL_BIND 2
#define CALL_LISTEN 4
#define CALL_ACCEPT 5

static long sockets(long number, long a, long b, long c)
{
	long args[5] = { a, b, c, 0, 0 };

	return call(SYS_SOCKETCALL, number, (long)args, 0);
}

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

// Serves one connection after the other; the port is the program's only argument.
void serve(long *stack)
{
	const char *text = (const char *)stack[2];
	struct { unsigned short family, port; u32 address, rest[2]; } at = { 2, 0, 0x0100007f, { 0, 0 } };
	static char request[4096];
	u32 port = 0;
	long listener;

	while (*text)
		port = port * 10 + (u32)(*text++ - '0');
	at.port = (unsigned short)(port << 8 | port >> 8);
	listener = sockets(CALL_SOCKET, 2, 1, 0);
	if (sockets(CALL_BIND, listener, (long)&at, sizeof(at)) || sockets(CALL_LISTEN, listener, 16, 0))
		call(SYS_EXIT, 1, 0, 0);
	for (;;) {
		long peer = sockets(CALL_ACCEPT, listener, 0, 0);

		call(SYS_READ, peer, (long)request, sizeof(request));
		call(SYS_WRITE, peer, (long)answer, sizeof(answer) - 1);
		call(SYS_CLOSE, peer, 0, 0);
	}
}

__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall serve\n");
