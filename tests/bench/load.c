/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two ends of a relay under load: servers, and clients that keep it busy. One thread each, as
 * few system calls as the work allows, and bytes are copied in and out as real programs do. Nothing
 * is verified here, only counted.
 *
 * A server prints its address, then serves until it is killed. A client and whoever started it take
 * turns, so that the relay's CPU clock can be read while nothing moves:
 *
 *     client:  ready          connected; where there are requests, one was answered on each
 * connection starter: a newline client:  COUNT SECONDS  bytes, requests or connections: every one
 * of them has arrived starter: the end of input, upon which the client closes what is open
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	MESSAGE = 64,	   /* bytes of a request, and of its reply */
	CHUNK = 256 << 10, /* bytes of a bulk transfer that one call moves at most */
	BATCH = 64,	   /* events taken at once */
	BACKLOG = 4096,
};

struct address {
	struct sockaddr_storage bytes;
	socklen_t len;
};

static char chunk[CHUNK];

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what,
		errno ? strerror(errno) : "the connection ended early");
	exit(1);
}

static double clock_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- sockets ---- */

static struct address address_unix(const char *path)
{
	struct address address = {.len = sizeof(struct sockaddr_un)};
	struct sockaddr_un *local = (struct sockaddr_un *)&address.bytes;

	local->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof local->sun_path) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(local->sun_path, path);
	return address;
}

static struct address address_tcp(const char *port)
{
	struct address address = {.len = sizeof(struct sockaddr_in)};
	struct sockaddr_in *inet = (struct sockaddr_in *)&address.bytes;

	inet->sin_family = AF_INET;
	inet->sin_port = htons((uint16_t)atoi(port));
	inet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

/* unix:PATH, or tcp:PORT of 127.0.0.1. */
static struct address address_parse(const char *text)
{
	if (strncmp(text, "unix:", 5) == 0)
		return address_unix(text + 5);
	if (strncmp(text, "tcp:", 4) == 0)
		return address_tcp(text + 4);
	errno = EINVAL;
	die(text);
}

static int socket_make(const struct address *address, int flags)
{
	int fd = socket(address->bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

/* Blocks, and yet does not: on the loopback the handshake is over when connect() looks for it. */
static int socket_connect(const struct address *address)
{
	int fd = socket_make(address, 0);

	if (connect(fd, (const struct sockaddr *)&address->bytes, address->len) < 0)
		die("connect");
	return fd;
}

static int socket_listen(const struct address *address)
{
	int fd = socket_make(address, SOCK_NONBLOCK);

	if (bind(fd, (const struct sockaddr *)&address->bytes, address->len) < 0 ||
	    listen(fd, BACKLOG) < 0)
		die("listen");
	return fd;
}

/* At most len bytes: how many; 0 at the end of the stream; negative when none can be moved now. */
static ssize_t take(int fd, size_t len)
{
	return recv(fd, chunk, len, MSG_DONTWAIT);
}

static ssize_t give(int fd, size_t len)
{
	return send(fd, chunk, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* After a call that said -1: it may go better later. */
static bool is_later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void take_message(int fd)
{
	errno = 0;
	if (recv(fd, chunk, MESSAGE, MSG_WAITALL) != MESSAGE)
		die("recv");
}

static void give_message(int fd)
{
	if (send(fd, chunk, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
		die("send");
}

/* ---- events, level-triggered ---- */

static int set_make(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		die("epoll_create1");
	return set;
}

static void set_watch(int set, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(set, operation, fd, &event) < 0)
		die("epoll_ctl");
}

static int set_wait(int set, struct epoll_event *ready)
{
	int n = epoll_wait(set, ready, BATCH, -1);

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	return n;
}

/* ---- servers: what one does with a connection that is ready; false closes it ---- */

static bool serve_sink(int set, int fd)
{
	ssize_t n = take(fd, CHUNK);

	(void)set;
	return n > 0 || (n < 0 && is_later());
}

static bool serve_echo(int set, int fd)
{
	ssize_t n = take(fd, CHUNK);

	(void)set;
	return n > 0 ? give(fd, (size_t)n) == n : n < 0 && is_later();
}

/* The first byte starts it, the end of the stream stops it. */
static bool serve_source(int set, int fd)
{
	ssize_t n = take(fd, CHUNK);

	if (n > 0)
		set_watch(set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
	else if (n == 0 || !is_later())
		return false;
	return give(fd, CHUNK) > 0 || is_later();
}

static void accept_all(int set, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		set_watch(set, EPOLL_CTL_ADD, fd, EPOLLIN);
	if (!is_later() && errno != ECONNABORTED)
		die("accept4");
}

static void print_address(int listener, const char *text)
{
	struct sockaddr_in inet = {.sin_family = AF_UNSPEC};
	socklen_t len = sizeof inet;

	getsockname(listener, (struct sockaddr *)&inet, &len);
	if (inet.sin_family == AF_INET)
		printf("tcp:%u\n", ntohs(inet.sin_port));
	else
		puts(text);
	fflush(stdout);
}

__attribute__((noreturn)) static void serve(const char *text, bool (*step)(int set, int fd))
{
	struct address address = address_parse(text);
	struct epoll_event ready[BATCH];
	int listener = socket_listen(&address), set = set_make();

	set_watch(set, EPOLL_CTL_ADD, listener, EPOLLIN);
	print_address(listener, text);
	for (;;) {
		int n = set_wait(set, ready);

		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;

			if (fd == listener)
				accept_all(set, listener);
			else if (!step(set, fd))
				close(fd);
		}
	}
}

/* ---- clients ---- */

/* What a client is asked for. */
struct load {
	struct address address;
	int connections;
	double seconds;
	int *fds; /* of the connections, where they last */
	int set;
};

/* Waits for the starter's newline; at the end of its input nobody wants the result any more. */
static void say_ready(void)
{
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		exit(0);
}

static void say_result(uint64_t count, double seconds)
{
	printf("%llu %.6f\n", (unsigned long long)count, seconds);
	fflush(stdout);
	while (getchar() != EOF)
		;
}

static void connect_all(struct load *load)
{
	for (int i = 0; i < load->connections; i++)
		load->fds[i] = socket_connect(&load->address);
}

static void exchange_all(struct load *load, int from, int to)
{
	for (int i = from; i < to; i++) {
		give_message(load->fds[i]);
		take_message(load->fds[i]);
	}
}

static void watch_all(struct load *load, int operation, uint32_t events)
{
	for (int i = 0; i < load->connections; i++)
		set_watch(load->set, operation, load->fds[i], events);
}

/* The server's end of stream comes when it has everything, or has sent everything. */
static void stop_bulk(struct load *load, bool up)
{
	for (int i = 0; i < load->connections; i++)
		shutdown(load->fds[i], SHUT_WR);
	if (up)
		watch_all(load, EPOLL_CTL_MOD, EPOLLIN);
}

/* Moves what can be moved on one stream: how many bytes. Counts a stream that has ended out of
 * *open. */
static uint64_t step_bulk(int fd, bool sends, int *open)
{
	ssize_t n = sends ? give(fd, CHUNK) : take(fd, CHUNK);

	if (n > 0)
		return (uint64_t)n;
	if (n < 0 && !is_later())
		die("bulk");
	if (n == 0) {
		close(fd);
		--*open;
	}
	return 0;
}

static void load_bulk(struct load *load, bool up)
{
	struct epoll_event ready[BATCH];
	int open = load->connections;
	bool stopped = false;
	uint64_t bytes = 0;
	double start;

	connect_all(load);
	say_ready();
	start = clock_seconds();
	for (int i = 0; !up && i < open; i++)
		give(load->fds[i], 1);
	watch_all(load, EPOLL_CTL_ADD, up ? EPOLLOUT : EPOLLIN);
	while (open) {
		int n = set_wait(load->set, ready);

		for (int i = 0; i < n; i++)
			bytes += step_bulk(ready[i].data.fd, up && !stopped, &open);
		if (!stopped && clock_seconds() - start >= load->seconds) {
			stopped = true;
			stop_bulk(load, up);
		}
	}
	say_result(bytes, clock_seconds() - start);
}

static void load_bulk_up(struct load *load)
{
	load_bulk(load, true);
}

static void load_bulk_down(struct load *load)
{
	load_bulk(load, false);
}

static void load_request(struct load *load)
{
	struct epoll_event ready[BATCH];
	int waiting = load->connections;
	uint64_t count = 0;
	double start, now;

	connect_all(load);
	exchange_all(load, 0, load->connections);
	watch_all(load, EPOLL_CTL_ADD, EPOLLIN);
	say_ready();
	start = now = clock_seconds();
	for (int i = 0; i < load->connections; i++)
		give_message(load->fds[i]);
	while (waiting) {
		int n = set_wait(load->set, ready);

		for (int i = 0; i < n; i++, count++) {
			take_message(ready[i].data.fd);
			if (now - start < load->seconds)
				give_message(ready[i].data.fd);
			else
				waiting--;
		}
		now = clock_seconds();
	}
	say_result(count, now - start);
}

static void begin_connection(const struct load *load)
{
	int fd = socket_connect(&load->address);

	give_message(fd);
	set_watch(load->set, EPOLL_CTL_ADD, fd, EPOLLIN);
}

static void load_connection(struct load *load)
{
	struct epoll_event ready[BATCH];
	int open = load->connections;
	uint64_t count = 0;
	double start, now;

	say_ready();
	start = now = clock_seconds();
	for (int i = 0; i < open; i++)
		begin_connection(load);
	while (open) {
		int n = set_wait(load->set, ready);

		for (int i = 0; i < n; i++, count++) {
			take_message(ready[i].data.fd);
			close(ready[i].data.fd);
			if (now - start < load->seconds)
				begin_connection(load);
			else
				open--;
		}
		now = clock_seconds();
	}
	say_result(count, now - start);
}

static void open_idle(struct load *load, int from, int to)
{
	for (int i = from; i < to; i++) {
		load->fds[i] = socket_connect(&load->address);
		exchange_all(load, i, i + 1);
	}
}

/* The first tenth before `ready`, so that what a relay makes once for all sessions is there
 * already. */
static void load_idle(struct load *load)
{
	int first = load->connections / 10;
	double start;

	open_idle(load, 0, first);
	say_ready();
	start = clock_seconds();
	open_idle(load, first, load->connections);
	say_result((uint64_t)(load->connections - first), clock_seconds() - start);
}

/* ---- the commands ---- */

static const struct {
	const char *name;
	bool (*step)(int set, int fd);
	void (*run)(struct load *load);
} verbs[] = {
	{.name = "sink", .step = serve_sink},		{.name = "source", .step = serve_source},
	{.name = "echo", .step = serve_echo},		{.name = "bulk-up", .run = load_bulk_up},
	{.name = "bulk-down", .run = load_bulk_down},	{.name = "request", .run = load_request},
	{.name = "connection", .run = load_connection}, {.name = "idle", .run = load_idle},
};

static void run_load(char **argument, void (*run)(struct load *load))
{
	struct load load = {
		.address = address_parse(argument[0]),
		.connections = atoi(argument[1]),
		.seconds = atof(argument[2]),
		.set = set_make(),
	};

	load.fds = calloc((size_t)load.connections, sizeof *load.fds);
	if (!load.fds)
		die("calloc");
	run(&load);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc >= 3 && i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		if (verbs[i].step && argc == 3)
			serve(argv[2], verbs[i].step);
		if (verbs[i].run && argc == 5 && atoi(argv[3]) > 0) {
			run_load(argv + 2, verbs[i].run);
			return 0;
		}
	}
	fputs("usage: load sink|source|echo tcp:PORT|unix:PATH\n"
	      "       load bulk-up|bulk-down|request|connection|idle tcp:PORT|unix:PATH "
	      "CONNECTIONS SECONDS\n",
	      stderr);
	return 64;
}
