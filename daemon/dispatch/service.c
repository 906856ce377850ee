/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ares_parse_srv_reply() does not report a TTL, so the answer is read here. Always true: nothing is
 * read beyond its end, and no name is followed: a compressed one ends at its pointer, and c-ares,
 * which counts the steps, expands those of hosts. */
#include "dispatch/service.h"

#include <ares.h>
#include <errno.h>
#include <string.h>

enum {
	HEADER_LEN = 12,
	QUESTION_TAIL = 4,    /* type, class */
	RECORD_HEAD = 10,     /* type, class, TTL, length of the data */
	SERVICE_HEAD = 6,     /* priority, weight, port */
	POINTER = 0xc0,	      /* both bits: the rest of the name is elsewhere; one: reserved */
	TTL_MAX = 0x7fffffff, /* above, it is 0: RFC 2181, section 8 */
};

struct reader {
	const unsigned char *bytes;
	size_t len, at;
};

static uint16_t number_at(const struct reader *reader, size_t at)
{
	return (uint16_t)(reader->bytes[at] << 8 | reader->bytes[at + 1]);
}

static bool has_more(const struct reader *reader, size_t n)
{
	return reader->len - reader->at >= n;
}

/* Each turn is a byte at least. */
static bool skip_name(struct reader *reader)
{
	while (has_more(reader, 1)) {
		unsigned char label = reader->bytes[reader->at];

		if ((label & POINTER) == POINTER) {
			reader->at += 2;
			return reader->at <= reader->len;
		}
		if (label & POINTER || !has_more(reader, 1u + label))
			return false;
		reader->at += 1u + label;
		if (!label)
			return true;
	}
	return false;
}

/* By priority; those of the same stay in order. */
static void add(struct service *service, const struct service_record *record)
{
	unsigned at = service->n;

	service->n_seen++;
	while (at && service->records[at - 1].priority > record->priority)
		at--;
	if (at == SERVICE_RECORDS_MAX)
		return;
	if (service->n < SERVICE_RECORDS_MAX)
		service->n++;
	memmove(&service->records[at + 1], &service->records[at],
		(service->n - 1 - at) * sizeof *record);
	service->records[at] = *record;
}

static int read_record(const struct reader *reader, size_t end, struct service *service)
{
	struct service_record record = {
		.priority = number_at(reader, reader->at),
		.weight = number_at(reader, reader->at + 2),
		.port = number_at(reader, reader->at + 4),
	};
	size_t at = reader->at + SERVICE_HEAD, host_len;
	char *host;
	long len;
	int status =
		ares_expand_name(reader->bytes + at, reader->bytes, (int)reader->len, &host, &len);

	if (status == ARES_ENOMEM)
		return -ENOMEM;
	if (status != ARES_SUCCESS)
		return -EBADMSG;
	host_len = strlen(host);
	if (!host_len)
		service->refused = true;
	else if (host_len + 2 <= sizeof record.host) {
		memcpy(record.host, host, host_len);
		record.host[host_len] = '.';
		if (record.port)
			add(service, &record);
	}
	ares_free_string(host);
	return at + (size_t)len <= end ? 0 : -EBADMSG;
}

static int read_next(struct reader *reader, struct service *service)
{
	uint16_t type, class;
	uint32_t ttl;
	size_t end;
	int r = 0;

	if (!skip_name(reader) || !has_more(reader, RECORD_HEAD))
		return -EBADMSG;
	type = number_at(reader, reader->at);
	class = number_at(reader, reader->at + 2);
	ttl = (uint32_t)number_at(reader, reader->at + 4) << 16 | number_at(reader, reader->at + 6);
	end = reader->at + RECORD_HEAD + number_at(reader, reader->at + 8);
	if (end > reader->len)
		return -EBADMSG;
	reader->at += RECORD_HEAD;
	ttl = ttl > TTL_MAX ? 0 : ttl;
	if (ttl < service->ttl)
		service->ttl = ttl;
	if (type == SERVICE_QUESTION_TYPE && class == SERVICE_QUESTION_CLASS)
		r = end - reader->at > SERVICE_HEAD ? read_record(reader, end, service) : -EBADMSG;
	reader->at = end;
	return r;
}

int service_read(const unsigned char *answer, size_t len, struct service *ret)
{
	struct reader reader = {.bytes = answer, .len = len, .at = HEADER_LEN};
	unsigned questions, records;
	int r = 0;

	*ret = (struct service){.ttl = TTL_MAX};
	if (len < HEADER_LEN)
		return -EBADMSG;
	questions = number_at(&reader, 4);
	records = number_at(&reader, 6);
	for (unsigned i = 0; i < questions; i++) {
		if (!skip_name(&reader) || !has_more(&reader, QUESTION_TAIL))
			return -EBADMSG;
		reader.at += QUESTION_TAIL;
	}
	for (unsigned i = 0; i < records && r == 0; i++)
		r = read_next(&reader, ret);
	if (r < 0)
		return r;
	ret->refused = ret->refused && !ret->n;
	return ret->n || ret->refused ? 0 : -ENOENT;
}
