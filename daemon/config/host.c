/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numeric addresses are told from names here, so that no part of the daemon passes a number to a
 * resolver or a name to inet_pton(3). Text that looks like a number but is not one ("10.0.0.256")
 * is refused, and not looked up.
 */
#include "config/host.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Indices count from 1; those above this are not of an interface. So a file means the same whatever
 * interfaces exist when it is read. */
enum { NAMED = 1 << 30 };

/* As the kernel's dev_valid_name(). */
bool host_is_interface(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < IF_NAMESIZE && strcspn(name, "/: \t\n\v\f\r") == len &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int parse_inet6(const char *text, struct host *host)
{
	const char *scope = strchr(text, '%');
	size_t len = scope ? (size_t)(scope - text) : strlen(text);
	char number[INET6_ADDRSTRLEN];
	int64_t index;

	if (len >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, len);
	number[len] = '\0';
	if (inet_pton(AF_INET6, number, host->bytes) != 1)
		return -EINVAL;
	host->kind = HOST_INET6;
	host->len = 16;
	if (!scope)
		return 0;
	host->interface = scope + 1;
	if (text_parse_number(scope + 1, &index) == 0 && index > 0 && index <= INT32_MAX)
		host->scope = (uint32_t)index;
	else if (host_is_interface(scope + 1))
		host->scope = NAMED | (uint32_t)XXH3_64bits(scope + 1, strlen(scope + 1)) % NAMED;
	return host->scope ? 0 : -ENODEV;
}

/* A host name as resolvers take it; an underscore is no host name, but names have it. */
static bool is_name(const char *text)
{
	size_t len = strlen(text), label = 0;
	bool letter = false;

	if (len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.' && label == 0)
			return false;
		label = text[i] == '.' ? 0 : label + 1;
		if (label > 63 || !(isalnum((unsigned char)text[i]) || strchr("-_.", text[i])))
			return false;
		letter = letter || !(isdigit((unsigned char)text[i]) || text[i] == '.');
	}
	return letter;
}

int host_parse(const char *text, struct host *ret)
{
	*ret = (struct host){.kind = HOST_NAME};
	if (*text == '\0') {
		ret->kind = HOST_ANY;
		return 0;
	}
	if (inet_pton(AF_INET, text, ret->bytes) == 1) {
		ret->kind = HOST_INET;
		ret->len = 4;
		return 0;
	}
	if (strchr(text, ':'))
		return parse_inet6(text, ret);
	return is_name(text) ? 0 : -EINVAL;
}

int host_resolve(const char *name, unsigned len, struct host *ret)
{
	struct addrinfo hints = {.ai_family = len == 4 ? AF_INET : AF_INET6,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;

	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return -ENOENT;
	*ret = (struct host){.kind = len == 4 ? HOST_INET : HOST_INET6, .len = len};
	if (len == 4) {
		memcpy(ret->bytes, &((const struct sockaddr_in *)(void *)found->ai_addr)->sin_addr,
		       4);
	} else {
		const struct sockaddr_in6 *address =
			(const struct sockaddr_in6 *)(void *)found->ai_addr;

		memcpy(ret->bytes, &address->sin6_addr, 16);
		ret->scope = address->sin6_scope_id;
	}
	freeaddrinfo(found);
	return 0;
}

const char *host_format(const struct host *host, char *text)
{
	char name[IF_NAMESIZE];
	size_t len;

	if (!inet_ntop(host->len == 4 ? AF_INET : AF_INET6, host->bytes, text, HOST_TEXT_MAX))
		*text = '\0';
	len = strlen(text);
	if (host->scope && if_indextoname(host->scope, name))
		snprintf(text + len, HOST_TEXT_MAX - len, "%%%s", name);
	else if (host->scope)
		snprintf(text + len, HOST_TEXT_MAX - len, "%%%u", host->scope);
	return text;
}
