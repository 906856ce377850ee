/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch/health_judge.h"

#include "config/health.h"

#include <stdio.h>
#include <string.h>

enum { EXCERPT_BYTES = 24, EXCERPT_MAX = 4 * EXCERPT_BYTES + 4, EXPECTED_BYTES = 12 };

/* So that it can be read in a log: others' bytes as \xNN. Returns text. */
static const char *excerpt(const char *bytes, size_t len, size_t most, char text[EXCERPT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < len && i < most; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\')
			text[n++] = (char)byte;
		else
			n += (size_t)snprintf(text + n, EXCERPT_MAX - n, "\\x%02x", byte);
	}
	snprintf(text + n, EXCERPT_MAX - n, "%s", len > most ? "..." : "");
	return text;
}

static enum health_verdict judge_http(const struct config_health *health, const char *answer,
				      size_t len, bool ended, char *error, size_t size)
{
	static const char version[] = "HTTP/1.";
	size_t begun = len < sizeof version - 1 ? len : sizeof version - 1;
	char text[EXCERPT_MAX];
	unsigned status;

	if (!memcmp(answer, version, begun) && !ended && !memchr(answer, '\n', len))
		return VERDICT_WAITS;
	if (begun < sizeof version - 1 || memcmp(answer, version, begun) != 0 ||
	    sscanf(answer + begun, "%*1u %3u", &status) != 1)
		snprintf(error, size, "the answer is not HTTP: \"%s\"",
			 excerpt(answer, len, EXCERPT_BYTES, text));
	else if (health_expects_status(health, status))
		return VERDICT_WELL;
	else
		snprintf(error, size, "HTTP status %u, expected %s", status, health->status);
	return VERDICT_WRONG;
}

static enum health_verdict judge_text(const struct config_health *health, const char *answer,
				      size_t len, bool ended, char *error, size_t size)
{
	char got[EXCERPT_MAX], expected[EXCERPT_MAX];

	if (memmem(answer, len, health->expect, health->expect_len))
		return VERDICT_WELL;
	if (!ended)
		return VERDICT_WAITS;
	snprintf(error, size, "the answer \"%s\" does not contain \"%s\"",
		 excerpt(answer, len, EXCERPT_BYTES / 2, got),
		 excerpt(health->expect, health->expect_len, EXPECTED_BYTES, expected));
	return VERDICT_WRONG;
}

enum health_verdict health_judge(const struct config_health *health, const char *answer, size_t len,
				 bool ended, char *error, size_t size)
{
	if (!len && !ended)
		return VERDICT_WAITS;
	if (!len) {
		snprintf(error, size, "the connection was closed without an answer");
		return VERDICT_WRONG;
	}
	return (health->http ? judge_http : judge_text)(health, answer, len, ended, error, size);
}
