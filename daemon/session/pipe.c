/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pipes. The pool owns idle pipes, the session's record those that are lent. Large ones are lent
 * first, and the last one returned first, so that light traffic always uses the same pipe, which is
 * in the cache.
 */
#include "session/pipe.h"

#include "base/assert.h"
#include "net/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LARGE_ASKED_EVERY = 1024 };

void pipes_init(struct pipes *pipes, uint32_t most)
{
	*pipes = (struct pipes){.large_most = most < PIPES_LARGE_MAX ? most : PIPES_LARGE_MAX};
	pipes->large_wanted = pipes->large_most;
}

void pipes_done(struct pipes *pipes)
{
	while (pipes->n_large)
		close(pipes->large[--pipes->n_large]);
	while (pipes->n_spare)
		close(pipes->spare[--pipes->n_spare]);
}

static void tell(struct pipes *pipes)
{
	assert(pipes->n_large <= PIPES_LARGE_MAX && pipes->n_spare <= PIPES_SPARE_MAX);
	atomic_store_explicit(&pipes->pooled, pipes->n_large + pipes->n_spare,
			      memory_order_relaxed);
}

/* One read-write descriptor in place of two. */
static int pipe_make(void)
{
	char name[32];
	int ends[2], fd;

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
	fd = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(ends[0]);
	close(ends[1]);
	return fd;
}

static uint32_t size_of(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ);

	return size > 0 ? (uint32_t)size : PIPE_SLOT_BYTES;
}

static uint32_t grow(struct pipes *pipes, int fd)
{
	int size;

	assert(pipes->large_most <= PIPES_LARGE_MAX && pipes->large_wanted <= PIPES_LARGE_MAX);
	if (pipes->large_made < pipes->large_most) {
		size = fcntl(fd, F_SETPIPE_SZ, PIPE_LARGE_BYTES);
		if (size >= PIPE_LARGE_BYTES) {
			pipes->large_made++;
			return (uint32_t)size;
		}
		pipes->large_most = pipes->large_made; /* the kernel grants no more of them now */
		pipes->refused = 0;
	}
	return size_of(fd);
}

/* A frame goes into a pipe whole or not at all. */
static int fit(struct pipes *pipes, int fd, uint32_t at_least, uint32_t *size)
{
	int r;

	assert(at_least <= PIPE_LARGE_BYTES);
	if (fd < 0 || *size >= at_least)
		return fd;
	r = fcntl(fd, F_SETPIPE_SZ, at_least);
	if (r < (int)at_least) {
		r = r < 0 ? -errno : -EPERM;
		pipe_discard(pipes, fd, *size);
		return r;
	}
	*size = (uint32_t)r;
	pipes->large_made += r >= PIPE_LARGE_BYTES;
	return fd;
}

/* A pipe that is lent is in no pool, or it would be lent twice. */
static __attribute__((unused)) bool pipe_is_pooled(const struct pipes *pipes, int fd)
{
	for (uint32_t i = 0; i < pipes->n_large; i++)
		if (pipes->large[i] == fd)
			return true;
	for (uint32_t i = 0; i < pipes->n_spare; i++)
		if (pipes->spare[i] == fd)
			return true;
	return false;
}

/* The kernel limits large pipes per user: one that was refused may be granted later. */
static void ask_again(struct pipes *pipes)
{
	if (pipes->large_most < pipes->large_wanted && ++pipes->refused > LARGE_ASKED_EVERY)
		pipes->large_most = pipes->large_wanted;
}

static int lend_any(struct pipes *pipes, uint32_t *size)
{
	int fd;

	ask_again(pipes);
	if (pipes->n_large) {
		*size = PIPE_LARGE_BYTES;
		return pipes->large[--pipes->n_large];
	}
	if (pipes->large_made >= pipes->large_most && pipes->n_spare) {
		fd = pipes->spare[--pipes->n_spare];
		*size = size_of(fd);
		return fd;
	}
	fd = pipe_make();
	if (fd >= 0)
		*size = grow(pipes, fd);
	return fd;
}

int pipe_lend(struct pipes *pipes, uint32_t at_least, uint32_t *size)
{
	int fd = lend_any(pipes, size);

	tell(pipes);
	assert(fd < 0 || *size >= PIPE_SLOT_BYTES);
	assert_costly(fd < 0 || assert_bytes_in(fd) == 0);
	assert_costly(fd < 0 || !pipe_is_pooled(pipes, fd));
	return fit(pipes, fd, at_least, size);
}

int pipe_lend_small(struct pipes *pipes, uint32_t at_least, uint32_t *size)
{
	int fd = pipes->n_spare ? pipes->spare[--pipes->n_spare] : pipe_make();

	if (fd >= 0)
		*size = size_of(fd);
	tell(pipes);
	return fit(pipes, fd, at_least, size);
}

void pipe_return(struct pipes *pipes, int fd, uint32_t size)
{
	assert(fd >= 0 && size);
	assert_costly(assert_bytes_in(fd) == 0);
	assert_costly(!pipe_is_pooled(pipes, fd));
	if (size >= PIPE_LARGE_BYTES && pipes->n_large < PIPES_LARGE_MAX)
		pipes->large[pipes->n_large++] = fd;
	else if (size < PIPE_LARGE_BYTES && pipes->n_spare < PIPES_SPARE_MAX)
		pipes->spare[pipes->n_spare++] = fd;
	else
		pipe_discard(pipes, fd, size);
	tell(pipes);
}

void pipe_discard(struct pipes *pipes, int fd, uint32_t size)
{
	assert(fd >= 0);
	assert_costly(assert_is_open(fd));
	assert_costly(!pipe_is_pooled(pipes, fd));
	if (size >= PIPE_LARGE_BYTES && pipes->large_made)
		pipes->large_made--;
	close(fd);
}

ssize_t pipe_look(struct pipes *pipes, int fd, uint32_t size, uint8_t *bytes, size_t at_most)
{
	uint32_t copy_size;
	int copy = pipe_lend(pipes, size, &copy_size);
	ssize_t n, len;

	assert(fd >= 0);
	if (copy < 0)
		return -EMFILE;
	n = tee(fd, copy, at_most, SPLICE_F_NONBLOCK);
	len = n > 0 ? read(copy, bytes, (size_t)n) : n;
	if (n > 0 && len == n) {
		pipe_return(pipes, copy, copy_size);
		return n;
	}
	/* It is not empty, so EAGAIN and EINTR are not returned to the caller. */
	n = len >= 0 || fault_of(errno) <= FAULT_SHORTAGE ? -ENOMEM : -errno;
	pipe_discard(pipes, copy, copy_size);
	return n;
}

int pipe_adopt(struct pipes *pipes, int fd, uint32_t *size)
{
	int bytes = 0, r = fcntl(fd, F_GETPIPE_SZ);

	if (r < 0 || ioctl(fd, FIONREAD, &bytes) < 0)
		return -errno;
	*size = (uint32_t)r;
	if (r >= PIPE_LARGE_BYTES)
		pipes->large_made++;
	return bytes;
}
