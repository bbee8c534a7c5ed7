// A closed-loop HTTP/1.1 load generator that finishes every request it starts, so that its counts can
// be compared exactly with what anybody else counted. (wrk hangs up with responses in flight.)
//
//   loadgen [-c connections] [-n requests | -d seconds] [-p pipeline] [-r rate] [-b body bytes]
//           [-x] [-u path | -h address -P port] METHOD:PATH:STATUS ...
//
// Targets are taken in turn. {n} in a path becomes the number of the request. -x closes each connection
// after one request. With -d no request starts after that time; those in flight are finished. Prints
// one JSON object; exits 0 if every response had the expected status and no connection failed.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_TARGETS 64
#define MAX_PIPELINE 64
#define READ_BYTES (64 * 1024)
#define HEAD_BYTES 16384	// the longest response head that is understood
#define BUCKETS 512		// latency: 16 per octave of microseconds
#define STALL_SECONDS 30	// nothing arrived for so long: give up and say so

enum phase { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, TRAILER, UNTIL_CLOSE };

struct target {
	char method[32];
	char path[512];
	int status;
	uint64_t responses, unexpected, body_bytes;
};

struct flight {
	int target;
	uint64_t sent_ns;
};

struct conn {
	int fd;
	bool closing;			// the response said so
	enum phase phase;
	uint64_t left;			// bytes of body or chunk still to come
	struct flight flights[MAX_PIPELINE];
	unsigned first, count;
	size_t in_len, out_len, out_sent;
	char in[HEAD_BYTES + READ_BYTES];
	char *out;
	size_t out_size;
};

static struct {
	int connections, pipeline, port;
	uint64_t requests, body_bytes;
	double seconds, rate;
	bool one_shot;
	const char *unix_path, *address;
	struct target targets[MAX_TARGETS];
	int target_count;
} options = { .connections = 1, .pipeline = 1, .port = 80, .address = "127.0.0.1" };

static struct {
	uint64_t started, finished, failed, connects, latency[BUCKETS], latency_sum_ns, latency_max_ns;
	uint64_t statuses[1000], begin_ns, end_ns;
	int epoll;
	char *body;
} run;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void record_latency(uint64_t ns)
{
	uint64_t us = ns / 1000;
	unsigned octave, bucket;

	run.latency_sum_ns += ns;
	if (ns > run.latency_max_ns)
		run.latency_max_ns = ns;
	if (us < 16) {
		bucket = (unsigned)us;
	} else {
		octave = 63u - (unsigned)__builtin_clzll(us);
		bucket = (octave - 3) * 16 + (unsigned)((us >> (octave - 4)) & 15);
	}
	run.latency[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static double latency_us(double share)
{
	uint64_t seen = 0, want = (uint64_t)(share * (double)run.finished);

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += run.latency[i];
		if (seen <= want)
			continue;
		return i < 16 ? i : (double)((uint64_t)(16 + i % 16) << (i / 16 - 1));
	}
	return (double)run.latency_max_ns / 1000;
}

static void conn_open(struct conn *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = in.sin_port };
	struct sockaddr *to = (struct sockaddr *)&in;
	socklen_t len = sizeof(in);
	int one = 1;

	if (options.unix_path) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", options.unix_path);
		to = (struct sockaddr *)&un;
		len = sizeof(un);
	} else if (inet_pton(AF_INET6, options.address, &in6.sin6_addr) == 1) {
		to = (struct sockaddr *)&in6;
		len = sizeof(in6);
	} else if (inet_pton(AF_INET, options.address, &in.sin_addr) != 1) {
		errno = EINVAL;
		die("-h takes a numeric address");
	}
	c->fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	if (connect(c->fd, to, len) < 0)
		die("connect");
	if (!options.unix_path)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->closing = false;
	c->phase = HEAD;
	c->count = c->first = 0;
	c->in_len = c->out_len = c->out_sent = 0;
	if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
		die("epoll_ctl");
	run.connects++;
}

// Sends what is pending; asks for EPOLLOUT if the socket takes no more.
static void conn_flush(struct conn *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };
	ssize_t n;

	while (c->out_sent < c->out_len) {
		n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;	// a full socket, or an error that the next read reports as well
		c->out_sent += (size_t)n;
	}
	if (c->out_sent < c->out_len) {
		event.events |= EPOLLOUT;
	} else {
		c->out_len = c->out_sent = 0;
	}
	if ((event.events & EPOLLOUT) || c->out_size > READ_BYTES)
		epoll_ctl(run.epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static bool may_start(uint64_t now)
{
	if (options.requests)
		return run.started < options.requests;
	return (double)(now - run.begin_ns) < options.seconds * 1e9;
}

static void append(struct conn *c, const char *bytes, size_t n)
{
	if (c->out_len + n > c->out_size) {
		c->out_size = (c->out_len + n) * 2;
		c->out = realloc(c->out, c->out_size);
		if (!c->out)
			die("realloc");
	}
	memcpy(c->out + c->out_len, bytes, n);
	c->out_len += n;
}

// Queues the next request on a connection.
static void start_request(struct conn *c, uint64_t now)
{
	int index = (int)(run.started % (uint64_t)options.target_count);
	struct target *t = &options.targets[index];
	char head[1024], *mark = strstr(t->path, "{n}");
	struct flight *f = &c->flights[(c->first + c->count) % MAX_PIPELINE];
	bool body = options.body_bytes && (t->method[0] == 'P');
	int n;

	n = mark ? snprintf(head, sizeof(head), "%s %.*s%" PRIu64 "%s HTTP/1.1\r\nHost: localhost\r\n", t->method,
			    (int)(mark - t->path), t->path, run.started, mark + 3)
		 : snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: localhost\r\n", t->method, t->path);
	if (options.one_shot)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Connection: close\r\n");
	if (t->method[0] == 'P')
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %" PRIu64 "\r\n",
			      options.body_bytes);
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	append(c, head, (size_t)n);
	if (body)
		append(c, run.body, options.body_bytes);
	f->target = index;
	f->sent_ns = now;
	c->count++;
	run.started++;
}

static void conn_fail(struct conn *c)
{
	run.failed += c->count;
	close(c->fd);
	c->fd = -1;
	c->count = 0;
}

static void fill(struct conn *c)
{
	uint64_t now = now_ns();
	int depth = options.one_shot ? 1 : options.pipeline;

	if (options.rate > 0)
		return;
	if (c->fd < 0 && may_start(now))
		conn_open(c);
	if (c->fd < 0 || c->count)	// a pipeline is refilled when it is empty, as clients do
		return;
	while ((int)c->count < depth && may_start(now))
		start_request(c, now);
	conn_flush(c);
}

static void finish_response(struct conn *c)
{
	struct flight *f = &c->flights[c->first];

	record_latency(now_ns() - f->sent_ns);
	run.finished++;
	c->first = (c->first + 1) % MAX_PIPELINE;
	c->count--;
	c->phase = HEAD;
	if (c->closing || options.one_shot) {
		conn_fail(c);		// nothing is in flight on a connection that is used once
		c->closing = false;
	}
}

static bool has_token(const char *value, const char *end, const char *token)
{
	size_t n = strlen(token);

	for (; value + n <= end; value++)
		if (!strncasecmp(value, token, n))
			return true;
	return false;
}

// Reads a complete head of n bytes. False: this is not HTTP.
static bool take_head(struct conn *c, char *head, size_t n)
{
	struct target *t = &options.targets[c->flights[c->first].target];
	char *line, *end = head + n, *next, *value;
	bool chunked = false, sized = false;
	uint64_t length = 0;
	int status;

	if (n < 12 || strncmp(head, "HTTP/1.", 7) || head[8] != ' ')
		return false;
	status = atoi(head + 9);
	if (status < 100 || status > 999)
		return false;
	if (status < 200 && status != 101)
		return true;		// interim: the answer is still to come
	for (line = strstr(head, "\r\n") + 2; line + 2 < end; line = next) {
		next = strstr(line, "\r\n") + 2;
		value = strchr(line, ':');
		if (!value || value > next)
			continue;
		if (!strncasecmp(line, "content-length:", 15)) {
			length = strtoull(value + 1, NULL, 10);
			sized = true;
		} else if (!strncasecmp(line, "transfer-encoding:", 18)) {
			chunked = has_token(value, next, "chunked");
		} else if (!strncasecmp(line, "connection:", 11)) {
			c->closing = has_token(value, next, "close");
		}
	}
	if (!strncmp(head, "HTTP/1.0", 8) && !sized)
		c->closing = true;
	run.statuses[status]++;
	t->responses++;
	if (status != t->status)
		t->unexpected++;
	if (!strcmp(t->method, "HEAD") || status == 204 || status == 304) {
		finish_response(c);
	} else if (chunked) {
		c->phase = CHUNK_SIZE;
	} else if (sized) {
		c->phase = BODY;
		c->left = length;
		if (!length)
			finish_response(c);
	} else {
		c->phase = UNTIL_CLOSE;
	}
	return true;
}

// Takes what it can from the front of the buffer; returns the bytes taken, 0 if it needs more, or -1.
static ssize_t take(struct conn *c, char *at, size_t n)
{
	struct target *t = &options.targets[c->flights[c->first].target];
	char *end;
	size_t bytes;

	switch (c->phase) {
	case HEAD:
		end = memmem(at, n, "\r\n\r\n", 4);
		if (!end)
			return n > HEAD_BYTES ? -1 : 0;
		end[2] = '\0';		// the string functions stop here; the line above ends before it
		bytes = (size_t)(end - at) + 4;
		return take_head(c, at, bytes - 2) ? (ssize_t)bytes : -1;
	case BODY:
	case CHUNK_DATA:
		bytes = n < c->left ? n : c->left;
		t->body_bytes += bytes;
		c->left -= bytes;
		if (!c->left && c->phase == BODY)
			finish_response(c);
		else if (!c->left)
			c->phase = TRAILER, c->left = 1;	// the CRLF after a chunk
		return (ssize_t)bytes;
	case CHUNK_SIZE:
		end = memmem(at, n, "\r\n", 2);
		if (!end)
			return n > 1024 ? -1 : 0;
		c->left = strtoull(at, NULL, 16);
		c->phase = c->left ? CHUNK_DATA : TRAILER;
		return end - at + 2;
	case TRAILER:
		end = memmem(at, n, "\r\n", 2);
		if (!end)
			return n > HEAD_BYTES ? -1 : 0;
		if (c->left) {
			c->left = 0;
			c->phase = CHUNK_SIZE;
		} else if (end == at) {
			finish_response(c);
		}
		return end - at + 2;
	case UNTIL_CLOSE:
		t->body_bytes += n;
		return (ssize_t)n;
	}
	return -1;
}

static void conn_read(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len, MSG_DONTWAIT), used;
	size_t at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (n == 0 && c->phase == UNTIL_CLOSE)
			finish_response(c);
		if (c->fd >= 0)
			conn_fail(c);
		fill(c);
		return;
	}
	c->in_len += (size_t)n;
	while (c->fd >= 0 && at < c->in_len) {
		if (!c->count) {	// bytes that no request asked for
			run.failed++;
			conn_fail(c);
			break;
		}
		used = take(c, c->in + at, c->in_len - at);
		if (used < 0) {
			conn_fail(c);
			break;
		}
		if (!used)
			break;
		at += (size_t)used;
	}
	if (c->fd >= 0) {
		memmove(c->in, c->in + at, c->in_len - at);
		c->in_len -= at;
	}
	fill(c);
}

// Starts what is due at a fixed rate, on whatever connection is idle. Returns ms until the next.
static int pace(struct conn *conns)
{
	static int turn;
	uint64_t now = now_ns();
	uint64_t due = (uint64_t)((double)(now - run.begin_ns) * options.rate / 1e9) + 1;

	for (int i = 0; i < options.connections && run.started < due && may_start(now); i++) {
		struct conn *c = &conns[turn];

		turn = (turn + 1) % options.connections;
		if (c->fd < 0)
			conn_open(c);
		if (c->count)
			continue;
		start_request(c, now);
		conn_flush(c);
	}
	return 1000 / options.rate < 2 ? 1 : (int)(1000 / options.rate / 2);
}

static void drive(struct conn *conns)
{
	struct epoll_event events[256];
	uint64_t heard = now_ns();
	int wait = 100, n;

	while (run.finished + run.failed < run.started || may_start(now_ns())) {
		if (options.rate > 0)
			wait = pace(conns);
		n = epoll_wait(run.epoll, events, 256, wait);
		if (n > 0)
			heard = now_ns();
		else if (now_ns() - heard > STALL_SECONDS * 1000000000ull)
			break;
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c->fd >= 0 && (events[i].events & EPOLLOUT))
				conn_flush(c);
			if (c->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
				conn_read(c);
		}
		if (run.failed > 1000 + run.finished)
			break;
	}
}

static uint64_t print_report(void)
{
	double seconds = (double)(run.end_ns - run.begin_ns) / 1e9;
	const char *comma = "";
	uint64_t unexpected = 0;

	printf("{\"started\": %" PRIu64 ", \"finished\": %" PRIu64 ", \"failed\": %" PRIu64
	       ", \"connections\": %" PRIu64 ", \"seconds\": %.6f, \"rate\": %.1f, ",
	       run.started, run.finished, run.started - run.finished, run.connects, seconds,
	       (double)run.finished / seconds);
	printf("\"latency_us\": {\"mean\": %.1f, \"p50\": %.0f, \"p95\": %.0f, \"p99\": %.0f, \"max\": %.1f}, ",
	       run.finished ? (double)run.latency_sum_ns / 1000 / (double)run.finished : 0, latency_us(0.5),
	       latency_us(0.95), latency_us(0.99), (double)run.latency_max_ns / 1000);
	printf("\"statuses\": {");
	for (int i = 0; i < 1000; i++) {
		if (!run.statuses[i])
			continue;
		printf("%s\"%d\": %" PRIu64, comma, i, run.statuses[i]);
		comma = ", ";
	}
	printf("}, \"targets\": [");
	for (int i = 0; i < options.target_count; i++) {
		struct target *t = &options.targets[i];

		unexpected += t->unexpected;
		printf("%s{\"method\": \"%s\", \"path\": \"%s\", \"status\": %d, \"responses\": %" PRIu64
		       ", \"unexpected\": %" PRIu64 ", \"body_bytes\": %" PRIu64 "}",
		       i ? ", " : "", t->method, t->path, t->status, t->responses, t->unexpected, t->body_bytes);
	}
	printf("]}\n");
	return unexpected;
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:n:d:p:r:b:xu:h:P:")) != -1) {
		switch (option) {
		case 'c': options.connections = atoi(optarg); break;
		case 'n': options.requests = strtoull(optarg, NULL, 10); break;
		case 'd': options.seconds = atof(optarg); break;
		case 'p': options.pipeline = atoi(optarg); break;
		case 'r': options.rate = atof(optarg); break;
		case 'b': options.body_bytes = strtoull(optarg, NULL, 10); break;
		case 'x': options.one_shot = true; break;
		case 'u': options.unix_path = optarg; break;
		case 'h': options.address = optarg; break;
		case 'P': options.port = atoi(optarg); break;
		default: exit(2);
		}
	}
	for (; optind < argc && options.target_count < MAX_TARGETS; optind++) {
		struct target *t = &options.targets[options.target_count++];

		// Paths with ':' are not needed.
		if (sscanf(argv[optind], "%31[^:]:%511[^:]:%d", t->method, t->path, &t->status) != 3) {
			fprintf(stderr, "loadgen: %s is not METHOD:PATH:STATUS\n", argv[optind]);
			exit(2);
		}
	}
	if (!options.target_count || options.connections < 1 || options.pipeline < 1 ||
	    options.pipeline > MAX_PIPELINE || (options.requests > 0) == (options.seconds > 0)) {
		fprintf(stderr, "loadgen: needs targets and either -n or -d; -p is at most %d\n", MAX_PIPELINE);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct conn *conns;
	uint64_t unexpected;

	parse_options(argc, argv);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc((size_t)options.connections, sizeof(*conns));
	run.body = malloc(options.body_bytes + 1);
	if (run.epoll < 0 || !conns || !run.body)
		die("start");
	memset(run.body, 'b', options.body_bytes);
	for (int i = 0; i < options.connections; i++)
		conn_open(&conns[i]);
	run.begin_ns = now_ns();
	for (int i = 0; i < options.connections; i++)
		fill(&conns[i]);
	drive(conns);
	run.end_ns = now_ns();
	unexpected = print_report();
	return run.finished == run.started && !run.failed && !unexpected ? 0 : 1;
}
