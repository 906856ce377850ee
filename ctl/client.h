/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the daemon on its control socket: one line for the request, one for the answer. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct answer {
	char *line; /* as received, without its newline */
	size_t len;
	json_t *root; /* the same, parsed: an object whose member "ok" is true or false */
};

/*
 * Sends request (borrowed) to the daemon at path and waits for the answer: if patient without
 * limit, else until the daemon has sent nothing for CLIENT_SILENCE seconds. On success the caller
 * ends *ret with client_answer_done(). Otherwise *ret is untouched, and the result is a negative
 * errno of the socket, or -ENAMETOOLONG  path does not fit a socket address -ENODATA       the
 * daemon closed before the answer was whole -ETIMEDOUT     it said nothing for too long -EBADMSG
 * what it said is no answer
 */
int client_ask(const char *path, const json_t *request, bool patient, struct answer *ret);

void client_answer_done(struct answer *answer);

/* The text of a negative result of client_ask(). */
const char *client_error(int r);

enum { CLIENT_SILENCE = 60 };
