/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Assertions: what the code relies on, executed. One that fails is a mistake in this program: it
 * logs file, line and expression, and aborts, so that the heir continues without what went wrong.
 * Both are for our own mistakes only: what comes from a peer, an operator, the kernel or another
 * process's ledger is checked and refused. The keeper asserts nothing that a word of the ledger can
 * make false, since no process takes over from it.
 *
 * assert() is in every build, also with NDEBUG: on the data path it only compares values in memory.
 * assert_costly() is compiled in with --enable-dev only: it may make system calls, which must leave
 * errno alone where they succeed.
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>

_Noreturn void assert_fail(const char *file, unsigned line, const char *expression)
	__attribute__((cold));

#undef assert
#define assert(expression)                             \
	(__builtin_expect(!!(expression), 1) ? (void)0 \
					     : assert_fail(__FILE__, __LINE__, #expression))

#ifdef SPLICED_DEV
#define assert_costly(expression) assert(expression)
#else
#define assert_costly(expression) ((void)sizeof(!!(expression)))
#endif

/* For assert_costly(): whether a descriptor is open, and how many bytes a pipe has; -1: it is not a
 * pipe. */
static inline bool assert_is_open(int fd)
{
	return fd >= 0 && fcntl(fd, F_GETFD) >= 0;
}

static inline int assert_bytes_in(int pipe)
{
	int bytes = 0;

	/* Twice: fault injection may have made the first call fail. */
	return ioctl(pipe, FIONREAD, &bytes) < 0 && ioctl(pipe, FIONREAD, &bytes) < 0 ? -1 : bytes;
}
