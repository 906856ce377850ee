/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every program of unit tests ends with, and a pair of connected TCP sockets. */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Runs the suite. An exit status. */
static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A listening socket on a loopback port of the kernel's choice. */
static inline int suite_listen(struct sockaddr_in *address)
{
	socklen_t len = sizeof *address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)address, &len), 0);
	return fd;
}

static inline void suite_connect(int *connecting, int *accepting)
{
	struct sockaddr_in address;
	int listener = suite_listen(&address);

	*connecting = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(*connecting, (struct sockaddr *)&address, sizeof address), 0);
	*accepting = accept(listener, NULL, NULL);
	ck_assert_int_ge(*accepting, 0);
	close(listener);
}
