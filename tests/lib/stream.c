/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams that a seed determines: word i is splitmix64 of (seed, i), so that any part can be made
 * anew where it arrives and compared there. That finds a wrong byte, a missing one, one that came
 * twice and one of another session; the trailer finds an end that came too soon but looks right. */
#include "peers.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024 };

static __thread unsigned char received[CHUNK], expected[CHUNK];

struct trailer {
	uint64_t len;
	uint64_t mark;
};

uint64_t stream_mix(uint64_t word)
{
	word += 0x9e3779b97f4a7c15;
	word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
	word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
	return word ^ (word >> 31);
}

void stream_fill(uint64_t seed, uint64_t at, void *bytes, size_t len)
{
	unsigned char *out = bytes;
	uint64_t word, key = stream_mix(seed);
	size_t skip = at % 8, take;

	for (at /= 8; len > 0; at++, skip = 0) {
		word = stream_mix(key + at);
		take = 8 - skip < len ? 8 - skip : len;
		if (take == 8)
			memcpy(out, &word, 8);
		else
			memcpy(out, (unsigned char *)&word + skip, take);
		out += take;
		len -= take;
	}
}

static struct trailer trailer_make(uint64_t seed, uint64_t len)
{
	return (struct trailer){.len = len, .mark = stream_mix(seed ^ stream_mix(len))};
}

/* The errno of a failed read or write, with one word for "nothing for too long". */
static int failure(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
}

int stream_send_bytes(int fd, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	ssize_t n;

	while (len > 0) {
		n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure();
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int stream_receive_bytes(int fd, void *bytes, size_t len)
{
	unsigned char *at = bytes;
	ssize_t n;

	while (len > 0) {
		n = recv(fd, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure();
		if (n == 0)
			return at == (unsigned char *)bytes ? STREAM_END : -ENODATA;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int stream_expect_end(int fd)
{
	unsigned char byte;
	int r;

	r = stream_receive_bytes(fd, &byte, 1);
	if (r == STREAM_END)
		return 0;
	return r < 0 ? r : -EBADMSG;
}

static size_t pace_chunk(struct pace pace, uint64_t left)
{
	size_t chunk = pace.chunk && pace.chunk < CHUNK ? pace.chunk : CHUNK;

	return chunk < left ? chunk : (size_t)left;
}

int stream_send(int fd, uint64_t seed, uint64_t len, struct pace pace)
{
	struct trailer trailer = trailer_make(seed, len);
	uint64_t at = 0;
	size_t chunk;
	int r;

	while (at < len) {
		chunk = pace_chunk(pace, len - at);
		stream_fill(seed, at, expected, chunk);
		r = stream_send_bytes(fd, expected, chunk);
		if (r < 0)
			return r;
		at += chunk;
		if (pace.pause_us)
			usleep(pace.pause_us);
	}
	return stream_send_bytes(fd, &trailer, sizeof(trailer));
}

int stream_expect(int fd, uint64_t seed, uint64_t len, struct pace pace)
{
	struct trailer got, trailer = trailer_make(seed, len);
	uint64_t at = 0;
	ssize_t n;
	int r;

	while (at < len) {
		n = recv(fd, received, pace_chunk(pace, len - at), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure();
		if (n == 0)
			return -ENODATA;
		stream_fill(seed, at, expected, (size_t)n);
		if (memcmp(received, expected, (size_t)n) != 0)
			return -EBADMSG;
		at += (uint64_t)n;
		if (pace.pause_us)
			usleep(pace.pause_us);
	}
	r = stream_receive_bytes(fd, &got, sizeof(got));
	if (r)
		return r == STREAM_END ? -ENODATA : r;
	return memcmp(&got, &trailer, sizeof(got)) == 0 ? 0 : -EBADMSG;
}
