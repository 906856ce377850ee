/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two ends of a relay under test, and the hand that kills it. Nothing here knows the daemon:
 * what is verified through a relay must first hold on a direct connection. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* How a session ended, as the client saw it. */
enum outcome {
	OUTCOME_OK,
	OUTCOME_LOST,	 /* the end came before the last byte */
	OUTCOME_RESET,	 /* ECONNRESET or EPIPE */
	OUTCOME_REFUSED, /* nobody listened */
	OUTCOME_CORRUPT, /* a byte differed, or one came after the last */
	OUTCOME_TIMEOUT, /* nothing moved for so long that something is stuck */
	OUTCOME_LOCAL,	 /* our own trouble: no port, no descriptor */
	OUTCOME_COUNT,
};

/* The outcome of a call that returned r: 0, or a negative errno, of which -ENODATA is an early end
 * and -EBADMSG a wrong byte. */
enum outcome outcome_of(int r);
const char *outcome_name(enum outcome outcome);

/* ---- endpoints: tcp://HOST:PORT, tcp://[HOST]:PORT (tcp4, tcp6 too), unix:///PATH, unix://@NAME
 * ---- */

struct endpoint {
	struct sockaddr_storage address;
	socklen_t len;
	bool greets; /* written greet+tcp://…: the server speaks first */
};

/* -EINVAL when the text is none of the above. */
int endpoint_parse(struct endpoint *ret, const char *text);
/* A listening descriptor, or a negative errno. A UNIX path in the way is removed. */
int endpoint_listen(const struct endpoint *endpoint);
/* A connected, blocking descriptor whose reads and writes give up after the time-out, or a negative
 * errno. A receive_buffer of 0 leaves the kernel's. */
int endpoint_connect(const struct endpoint *endpoint, unsigned timeout_ms, int receive_buffer);
void endpoint_set_timeout(int fd, unsigned timeout_ms);

/* ---- streams: bytes that a seed determines, checked where they arrive ---- */

/* How a stream is handed to the kernel or taken from it: at most `chunk` bytes a call (0: as many
 * as fit), with a pause after each. */
struct pace {
	size_t chunk;
	unsigned pause_us;
};

uint64_t stream_mix(uint64_t word);
/* Bytes at … at + len - 1 of the stream. */
void stream_fill(uint64_t seed, uint64_t at, void *bytes, size_t len);
/* Sends the stream, then a trailer that tells its end. 0 or a negative errno. */
int stream_send(int fd, uint64_t seed, uint64_t len, struct pace pace);
/* Receives exactly that stream and its trailer. 0 or a negative errno as for outcome_of(). */
int stream_expect(int fd, uint64_t seed, uint64_t len, struct pace pace);

int stream_send_bytes(int fd, const void *bytes, size_t len);
/* STREAM_END when the end came before the first byte. */
int stream_receive_bytes(int fd, void *bytes, size_t len);
/* 0 when the next thing is the end; -EBADMSG when it is a byte. */
int stream_expect_end(int fd);

enum { STREAM_END = 1 };

/* ---- sessions: what is said on one connection ---- */

enum ending {
	ENDING_CLIENT, /* the client closes when it has all replies; it may ask again before */
	ENDING_SERVER, /* the server closes after its reply */
	ENDING_HALF, /* the client half-closes after its request; the whole reply must still come */
	ENDING_TRANSFER, /* both directions at once, each half-closed at its own end */
	ENDING_COUNT,
};

/* What one client session will do. */
struct plan {
	uint64_t seed;
	uint64_t request, reply; /* bytes */
	enum ending ending;
	unsigned rounds; /* request and reply so many times; 1 unless ENDING_CLIENT */
	bool greeted;	 /* the server speaks first … */
	bool polite;	 /* … and the client waits for that before it says anything */
	struct pace sending, receiving;
};

/* A plan drawn from the seed: mostly small, sometimes 300 KB, slow or half-closed. */
void session_draw(struct plan *ret, uint64_t seed, bool greeted);
/* Plays the client's part on a connected descriptor, which stays the caller's. 0 or a negative
 * errno. */
int session_ask(int fd, const struct plan *plan);
/* Plays the server's part up to the end. STREAM_END: the client left without a word. */
int session_answer(int fd, bool greets);

/* ---- the commands: argv[0] is the command's name; they return an exit status ---- */

int serve_main(int argc, char **argv);
int swarm_main(int argc, char **argv);
int transfer_main(int argc, char **argv);
int kill_main(int argc, char **argv);

/* Monotonic, in microseconds. */
uint64_t clock_us(void);
/* Set by SIGTERM or SIGINT once peers_watch_signals() was called: finish what is in hand and
 * report. */
extern volatile bool peers_stop;
void peers_watch_signals(void);
/* The number that an option's text is, or the program ends with status 64. */
uint64_t peers_number(const char *option, const char *text);
