/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log_line.h"

#include "base/event.h"
#include "base/log.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CHARACTER_MAX = 4 }; /* bytes of UTF-8 */

static const struct {
	const char *name, *id;
	/* clang-format off */
} events[LOG_EVENTS_COUNT] = {
#define X(event, name_, id_) [event] = {name_, id_},
	LOG_EVENTS(X)
#undef X
};
/* clang-format on */

/* Where the line is printed to; what does not fit before `end` leaves it as it was. */
struct out {
	char *at, *end;
};

static bool put(struct out *out, const char *bytes, size_t len)
{
	if (len > (size_t)(out->end - out->at))
		return false;
	memcpy(out->at, bytes, len);
	out->at += len;
	return true;
}

static bool put_text(struct out *out, const char *text)
{
	return put(out, text, strlen(text));
}

/* The character at text, and how many bytes it has. */
static bool put_character(struct out *out, const char **text, bool json)
{
	const unsigned char *at = (const unsigned char *)*text;
	size_t length = text_character_len(*text, strnlen(*text, CHARACTER_MAX));

	*text += length ? length : 1;
	if (!length)
		return put_text(out, "\xef\xbf\xbd");
	if (*at < ' ' || *at == 0x7f)
		return put_text(out, " ");
	if (json && (*at == '"' || *at == '\\') && !put_text(out, "\\"))
		return false;
	return put(out, (const char *)at, length);
}

static bool put_value(struct out *out, const char *value, bool json)
{
	while (*value)
		if (!put_character(out, &value, json))
			return false;
	return true;
}

/* ---- the journal ---- */

static void put_journal_field(struct out *out, const char *name, const char *value)
{
	char *before = out->at;

	if (!put_text(out, name) || !put_text(out, "=") || !put_value(out, value, false) ||
	    !put_text(out, "\n"))
		out->at = before;
}

size_t log_line_journal(int level, const struct log_entry *entry, const char *message, char *text)
{
	struct out out = {text, text + LOG_LINE_MAX};
	char number[8];

	snprintf(number, sizeof number, "%d", level);
	put_journal_field(&out, "PRIORITY", number);
	put_journal_field(&out, "SYSLOG_IDENTIFIER", "spliced");
	put_journal_field(&out, "MESSAGE", message);
	if (entry && entry->event)
		put_journal_field(&out, "MESSAGE_ID", events[entry->event].id);
	for (unsigned i = 0; entry && i < entry->n_fields; i++)
		put_journal_field(&out, entry->fields[i].name, entry->fields[i].value);
	return (size_t)(out.at - text);
}

/* ---- JSON ---- */

static void put_json_field(struct out *out, const char *name, const char *value)
{
	char *before = out->at;

	if (!put_text(out, ",\"") || !put_text(out, name) || !put_text(out, "\":\"") ||
	    !put_value(out, value, true) || !put_text(out, "\""))
		out->at = before;
}

static void put_time(struct out *out)
{
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	out->at += strftime(out->at, (size_t)(out->end - out->at), "{\"TIME\":\"%Y-%m-%dT%H:%M:%S",
			    &parts);
	out->at += sprintf(out->at, ".%06ldZ\"", now.tv_nsec / 1000);
}

size_t log_line_json(int level, const struct log_entry *entry, const char *message, char *text)
{
	struct out out = {text, text + LOG_LINE_MAX - sizeof "}\n" + 1};

	put_time(&out);
	out.at += sprintf(out.at, ",\"PRIORITY\":\"%d\"", level);
	put_json_field(&out, "LEVEL", log_level_name(level));
	put_json_field(&out, "MESSAGE", message);
	if (entry && entry->event) {
		put_json_field(&out, "EVENT", events[entry->event].name);
		put_json_field(&out, "MESSAGE_ID", events[entry->event].id);
	}
	for (unsigned i = 0; entry && i < entry->n_fields; i++)
		put_json_field(&out, entry->fields[i].name, entry->fields[i].value);
	out.end += 2;
	put_text(&out, "}\n");
	return (size_t)(out.at - text);
}
