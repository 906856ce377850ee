/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operators copy endpoints from other programs: a bare path, HOST:PORT, *:PORT, a port, socat's
 * SCHEME:ADDRESS, a URL. Each has one spelling here, which the error shows, so that it can be
 * copied.
 */
#include "config/spelling.h"

#include "base/arena.h"
#include "base/text.h"
#include "config/check.h"
#include "config/ip.h"
#include "config/schema.h"
#include "language/setting.h"
#include "net/family.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROPOSAL_MAX = 512 };

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* HOST:PORT, :PORT, *:PORT, [ADDRESS]:PORT. */
static bool is_host_and_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	bool is_bracketed = *text == '[' && colon && colon > text && colon[-1] == ']';

	if (!colon || !is_number(colon + 1) || strpbrk(text, "/@?&= "))
		return false;
	return is_bracketed || memchr(text, ':', (size_t)(colon - text)) == NULL;
}

static bool is_scheme(struct check *check, const char *text, size_t len)
{
	for (const struct schema_scheme *known = schema_schemes; known->scheme; known++)
		if (strlen(known->scheme) == len && strncasecmp(known->scheme, text, len) == 0)
			return true;
	for (const struct family *family = check->families->first; family; family = family->next)
		if (strlen(family->name) == len && strncasecmp(family->name, text, len) == 0)
			return true;
	return strncasecmp(text, "unix", len) == 0 && len == 4;
}

/* "SCHEME:ADDRESS", as socat and others write it. False: it is none. */
static bool propose_prefixed(struct check *check, const char *text, char *proposal, size_t size)
{
	size_t len = strcspn(text, ":");
	const char *address = text + len + (text[len] == ':');
	char scheme[32];

	if (text[len] != ':' || len == 0 || len >= sizeof(scheme) || !is_scheme(check, text, len))
		return false;
	for (size_t i = 0; i <= len; i++)
		scheme[i] = i < len ? (char)tolower((unsigned char)text[i]) : '\0';
	while (address[0] == '/' && address[1] == '/')
		address++;
	if (is_number(address))
		snprintf(proposal, size, "%s://:%s", scheme, address);
	else
		snprintf(proposal, size, "%s://%s", scheme, address);
	return true;
}

/* What the string was meant to be, or NULL. */
static const char *propose(struct check *check, const char *text, char *proposal, size_t size)
{
	if (*text == '/' || *text == '@')
		snprintf(proposal, size, "unix://%s", text);
	else if (is_number(text) && strlen(text) <= 5)
		snprintf(proposal, size, "tcp://:%s", text);
	else if (*text == '*' && is_host_and_port(text))
		snprintf(proposal, size, "tcp://%s", text + 1);
	else if (propose_prefixed(check, text, proposal, size))
		return proposal;
	else if (is_host_and_port(text))
		snprintf(proposal, size, "tcp://%s", text);
	else
		return NULL;
	return proposal;
}

void spelling_report_string(struct check *check, const struct setting *string)
{
	char proposal[PROPOSAL_MAX];

	if (strlen(string->text) < PROPOSAL_MAX / 2 &&
	    propose(check, string->text, proposal, sizeof(proposal)))
		check_error(check, string->location, "\"%s\" is not an endpoint; write \"%s\"",
			    string->text, proposal);
	else
		check_error(
			check, string->location,
			"\"%s\" is not an endpoint; write SCHEME://ADDRESS, such as \"tcp://localhost:80\"",
			string->text);
}

/* Schemes of what sockets carry. */
static const struct {
	const char *scheme, *instead;
} layers[] = {
	{"http", "tcp"}, {"https", "tcp"}, {"ws", "tcp"},   {"wss", "tcp"},    {"tls", "tcp"},
	{"ssl", "tcp"},	 {"file", "unix"}, {"ipc", "unix"}, {"local", "unix"},
};

static const char *find_layer(const char *scheme)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		if (strcmp(layers[i].scheme, scheme) == 0)
			return layers[i].instead;
	return NULL;
}

/* The family that a scheme belongs to by its table here, whether or not it is installed; else the
 * scheme itself. */
static const char *family_of(const char *scheme)
{
	for (const struct schema_scheme *known = schema_schemes; known->scheme; known++)
		if (strcmp(known->scheme, scheme) == 0)
			return known->family;
	return scheme;
}

static bool is_family_of_ours(const char *family)
{
	for (const char *const *name = schema_families; *name; name++)
		if (strcmp(*name, family) == 0)
			return true;
	return false;
}

/* A family of this project's that could not be loaded. False: it is none. */
static bool report_missing(struct check *check, const struct setting *string, const char *scheme)
{
	const char *family = family_of(scheme);
	const struct family *found;
	char *why = NULL;
	int r;

	if (!is_family_of_ours(family))
		return false;
	r = family_load(check->families, family, &found, &why);
	if (r == -ENOENT && check->families->first && strcmp(family, "bluetooth") == 0)
		check_error(
			check, string->location,
			"\"%s\": family \"bluetooth\" is not installed in %s; install the package spliced-bluetooth",
			string->text, check->families->dir);
	else if (r == -ENOENT && check->families->first)
		check_error(check, string->location, "\"%s\": family \"%s\" is not installed in %s",
			    string->text, family, check->families->dir);
	else if (r == -ENOENT)
		check_error(check, string->location,
			    "\"%s\": no families are installed in %s, the daemon's plugin_dir",
			    string->text, check->families->dir);
	else if (r < 0)
		check_error(check, string->location, "\"%s\": %s", string->text,
			    why ? why : strerror(-r));
	free(why);
	return r < 0;
}

static const char *find_nearest(const struct check *check, const char *scheme)
{
	struct text_nearest nearest;

	text_nearest_init(&nearest, scheme);
	for (const struct schema_scheme *known = schema_schemes; known->scheme; known++)
		text_nearest_offer(&nearest, known->scheme);
	text_nearest_offer(&nearest, IP_NAME);
	for (const struct family *family = check->families->first; family; family = family->next)
		text_nearest_offer(&nearest, family->name);
	return nearest.best;
}

void spelling_report_scheme(struct check *check, const struct setting *string, const char *scheme)
{
	char *small = arena_copy_text(check->scratch, scheme);
	const char *nearest;

	for (char *at = small; at && *at; at++)
		*at = (char)tolower((unsigned char)*at);
	if (!small || report_missing(check, string, scheme))
		return;
	nearest = find_layer(small) ? find_layer(small) : find_nearest(check, small);
	if (nearest)
		check_error(check, string->location,
			    "\"%s\": unknown scheme \"%s\"; did you mean \"%s\"?", string->text,
			    scheme, nearest);
	else
		check_error(
			check, string->location,
			"\"%s\": unknown scheme \"%s\"; it must be tcp, tcp4, tcp6, udp, udp4, udp6 or a family's name",
			string->text, scheme);
}
