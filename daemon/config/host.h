/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The value of a HOST option: every address, a number, or a name. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum host_kind { HOST_ANY, HOST_INET, HOST_INET6, HOST_NAME };

struct host {
	enum host_kind kind;
	unsigned char bytes[16]; /* INET: 4, INET6: 16, in network byte order */
	unsigned len;
	uint32_t scope; /* interface index, or 0; where the text names an interface, a number that
			   stands for this name and is no index */
	const char *interface; /* the scope, in the text: net/scope.h knows its index; NULL: there
				  is none */
};

/* Reads the text; looks up no name. 0; -EINVAL: neither a number nor a name; -ENODEV: no interface
 * can be called so. Whether there is one shows when a socket is bound or connected, in its network
 * namespace. */
int host_parse(const char *text, struct host *ret);

/* Looks a name up, for this many bytes of address (4 or 16), and waits for the answer. 0; -ENOENT:
 * it has no such address, or it cannot be looked up now. */
int host_resolve(const char *name, unsigned len, struct host *ret);

enum { HOST_TEXT_MAX = 80 };
/* A number as text, with its scope. Returns text. */
const char *host_format(const struct host *host, char *text);

/* Can an interface be called so? */
bool host_is_interface(const char *name);
