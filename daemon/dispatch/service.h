/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer to a question for SRV records, as the name server has sent it: RFC 1035, RFC 2782. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SERVICE_RECORDS_MAX = 64, /* of an answer that are used */
	SERVICE_HOST_MAX = 256,
	SERVICE_QUESTION_TYPE = 33, /* SRV */
	SERVICE_QUESTION_CLASS = 1, /* IN */
};

struct service_record {
	uint16_t priority, weight, port;
	char host[SERVICE_HOST_MAX]; /* with the dot at its end: no search domain completes it */
};

struct service {
	struct service_record records[SERVICE_RECORDS_MAX]; /* by priority, then as they came */
	unsigned n;
	unsigned n_seen; /* more than n: those of the highest priority numbers were left out */
	bool refused;	 /* the only record's target is ".": the service is not offered */
	uint32_t ttl;	 /* seconds: the shortest of all records, aliases too */
};

/* Reads an answer of len bytes. 0; -ENOENT: it has no such record; -EBADMSG: it is not well formed;
 * -ENOMEM. */
int service_read(const unsigned char *answer, size_t len, struct service *ret);

/* A record's priority and weight in the word that a target's record has of them. */
static inline uint32_t service_pack(uint16_t priority, uint16_t weight)
{
	return (uint32_t)priority << 16 | weight;
}

static inline uint32_t service_priority(uint32_t packed)
{
	return packed >> 16;
}

/* Its share: a weight of 0 is one share, so that it is chosen seldom beside others that have a
 * weight, and in turn beside others that have none. */
static inline uint32_t service_weight(uint32_t packed)
{
	return packed & UINT16_MAX ? packed & UINT16_MAX : 1;
}
