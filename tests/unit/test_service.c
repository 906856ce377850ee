/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers with SRV records: what is read of good ones, and that bad ones are refused. */
#include "dispatch/service.h"

#include "suite.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

struct answer {
	unsigned char bytes[8192];
	size_t len;
	unsigned n;
};

static void put(struct answer *answer, const void *bytes, size_t len)
{
	memcpy(answer->bytes + answer->len, bytes, len);
	answer->len += len;
}

static void put_number(struct answer *answer, unsigned number)
{
	put(answer, (unsigned char[]){(unsigned char)(number >> 8), (unsigned char)number}, 2);
}

/* A question for "_s._t.x" in an answer that has no records yet. */
static void begin(struct answer *answer)
{
	static const unsigned char head[] = {0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0};

	*answer = (struct answer){.len = 0};
	put(answer, head, sizeof head);
	put(answer, "\2_s\2_t\1x\0\0\41\0\1", 13);
}

static void begin_record(struct answer *answer, unsigned type, uint32_t ttl, size_t len)
{
	put(answer, "\300\14", 2);
	put_number(answer, type);
	put_number(answer, 1);
	put_number(answer, ttl >> 16);
	put_number(answer, ttl & UINT16_MAX);
	put_number(answer, (unsigned)len);
	answer->bytes[6] = (unsigned char)(++answer->n >> 8);
	answer->bytes[7] = (unsigned char)answer->n;
}

/* host: in the wire's form, with its end. */
static void add(struct answer *answer, uint32_t ttl, unsigned priority, unsigned weight,
		unsigned port, const char *host, size_t len)
{
	begin_record(answer, SERVICE_QUESTION_TYPE, ttl, 6 + len);
	put_number(answer, priority);
	put_number(answer, weight);
	put_number(answer, port);
	put(answer, host, len);
}

/* In memory of just this size: a sanitizer sees what is read beyond. */
static int read_copy(const struct answer *answer, size_t len, struct service *ret)
{
	unsigned char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, answer->bytes, len);
	r = service_read(copy, len, ret);
	free(copy);
	return r;
}

static void begin_three(struct answer *answer)
{
	begin(answer);
	begin_record(answer, 5, 7, 2); /* an alias */
	put(answer, "\300\14", 2);
	add(answer, 60, 20, 0, 80, "\1b\1x", 5);
	add(answer, 50, 10, 3, 8080, "\1a\300\22", 4);
	add(answer, 40, 20, 65535, 65535, "\1c", 3);
	add(answer, 40, 0, 1, 0, "\1d", 3); /* no port */
}

START_TEST(records_are_sorted_by_priority)
{
	struct answer answer;
	struct service service;

	begin_three(&answer);
	ck_assert_int_eq(read_copy(&answer, answer.len, &service), 0);
	ck_assert_uint_eq(service.n, 3);
	ck_assert_uint_eq(service.ttl, 7);
	ck_assert(!service.refused);
	ck_assert_str_eq(service.records[0].host, "a.x.");
	ck_assert_uint_eq(service.records[0].port, 8080);
	ck_assert_str_eq(service.records[1].host, "b.x.");
	ck_assert_uint_eq(service_weight(service_pack(20, service.records[1].weight)), 1);
	ck_assert_str_eq(service.records[2].host, "c.");
	ck_assert_uint_eq(service_weight(service_pack(20, service.records[2].weight)), 65535);
	ck_assert_uint_eq(service_priority(service_pack(20, 65535)), 20);
}
END_TEST

START_TEST(no_prefix_is_an_answer)
{
	struct answer answer;
	struct service service;

	begin_three(&answer);
	for (size_t len = 0; len < answer.len; len++)
		ck_assert_int_eq(read_copy(&answer, len, &service), -EBADMSG);
}
END_TEST

/* Each byte, with each value: it is read, or refused. */
START_TEST(any_byte_may_be_wrong)
{
	struct answer answer;
	struct service service;

	begin_three(&answer);
	for (size_t at = 0; at < answer.len; at++) {
		unsigned char before = answer.bytes[at];

		for (unsigned value = 0; value < 256; value++) {
			answer.bytes[at] = (unsigned char)value;
			int r = read_copy(&answer, answer.len, &service);

			ck_assert(r == 0 || r == -ENOENT || r == -EBADMSG);
			ck_assert_uint_le(service.n, SERVICE_RECORDS_MAX);
		}
		answer.bytes[at] = before;
	}
}
END_TEST

START_TEST(a_dot_refuses)
{
	struct answer answer;
	struct service service;

	begin(&answer);
	ck_assert_int_eq(read_copy(&answer, answer.len, &service), -ENOENT);
	add(&answer, UINT32_C(0x80000000), 0, 0, 0, "", 1);
	ck_assert_int_eq(read_copy(&answer, answer.len, &service), 0);
	ck_assert(service.refused);
	ck_assert_uint_eq(service.ttl, 0);
	add(&answer, 5, 0, 0, 80, "\1a", 3);
	ck_assert_int_eq(read_copy(&answer, answer.len, &service), 0);
	ck_assert(!service.refused);
	ck_assert_uint_eq(service.n, 1);
}
END_TEST

START_TEST(the_lowest_priorities_are_kept)
{
	struct answer answer;
	struct service service;

	begin(&answer);
	for (unsigned i = 0; i < 200; i++)
		add(&answer, 5, 200 - i, 0, 80, "\1a", 3);
	ck_assert_int_eq(read_copy(&answer, answer.len, &service), 0);
	ck_assert_uint_eq(service.n, SERVICE_RECORDS_MAX);
	ck_assert_uint_eq(service.n_seen, 200);
	for (unsigned i = 0; i < service.n; i++)
		ck_assert_uint_eq(service.records[i].priority, i + 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("service");
	TCase *tcase = tcase_create("answers");

	tcase_add_test(tcase, records_are_sorted_by_priority);
	tcase_add_test(tcase, no_prefix_is_an_answer);
	tcase_add_test(tcase, any_byte_may_be_wrong);
	tcase_add_test(tcase, a_dot_refuses);
	tcase_add_test(tcase, the_lowest_priorities_are_kept);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
