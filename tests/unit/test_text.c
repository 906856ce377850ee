/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers with units, percent-encoding, and the word that was meant. */
#include "base/text.h"

#include "suite.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

typedef int parser(const char *text, int64_t *ret);

struct number {
	const char *text;
	int r;
	int64_t value;
};

static void assert_parses(parser *parse, const struct number *numbers)
{
	for (; numbers->text; numbers++) {
		int64_t value = -77;
		int r = parse(numbers->text, &value);

		ck_assert_msg(r == numbers->r, "\"%s\" gives %d, not %d", numbers->text, r,
			      numbers->r);
		ck_assert_msg(value == (r < 0 ? -77 : numbers->value), "\"%s\" is %lld",
			      numbers->text, (long long)value);
	}
}

START_TEST(numbers)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"010", 0, 10},
		{"-5", 0, -5},
		{"+5", 0, 5},
		{"0xff000000", 0, 0xff000000},
		{"0XfF", 0, 255},
		{"-0x1", 0, -1},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, 0},
		{"0x8000000000000000", -ERANGE, 0},
		{"99999999999999999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"0x", -EINVAL, 0},
		{"--5", -EINVAL, 0},
		{" 5", -EINVAL, 0},
		{"5 ", -EINVAL, 0},
		{"5a", -EINVAL, 0},
		{"1.5", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{NULL, 0, 0},
	};

	assert_parses(text_parse_number, cases);
}
END_TEST

START_TEST(durations)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"5", 0, 5 * SECOND},
		{"250ms", 0, SECOND / 4},
		{"250 ms", 0, SECOND / 4},
		{"1min", 0, 60 * SECOND},
		{"1m", 0, 60 * SECOND},
		{"1M", 0, 2629800 * SECOND},
		{"1h 30min", 0, 5400 * SECOND},
		{"1h30min", 0, 5400 * SECOND},
		{"2 hours 3 minutes 4seconds", 0, 7384 * SECOND},
		{"1us 1ns", 0, 1001},
		{"1\xc2\xb5s", 0, 1000},
		{"1\xce\xbcs", 0, 1000},
		{"106751d", 0, INT64_C(106751) * 86400 * SECOND},
		{"106752d", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
		{"9223372036s 9223372036s", -ERANGE, 0},
		{"", -EINVAL, 0},
		{" 5s", -EINVAL, 0},
		{"5s ", -EINVAL, 0},
		{"5 s x", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"-5s", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"5parsecs", -EINVAL, 0},
		{"5S", -EINVAL, 0},
		{"99999999999999999999parsecs", -EINVAL, 0},
		{NULL, 0, 0},
	};

	assert_parses(text_parse_duration, cases);
}
END_TEST

START_TEST(sizes)
{
	static const struct number cases[] = {
		{"0", 0, 0},
		{"64K", 0, 65536},
		{"64k", 0, 65536},
		{"1M", 0, 1 << 20},
		{"3G", 0, INT64_C(3) << 30},
		{"8388607T", 0, INT64_C(8388607) << 40},
		{"8388608T", -ERANGE, 0},
		{"100B", 0, 100},
		{"64KB", -EINVAL, 0},
		{"64KiB", -EINVAL, 0},
		{"1K1K", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"K", -EINVAL, 0},
		{NULL, 0, 0},
	};

	assert_parses(text_parse_size, cases);
}
END_TEST

START_TEST(rates)
{
	static const struct number cases[] = {
		{"100/s", 0, 100},    {"10M/s", 0, 10 << 20},	  {"100", 0, 100},
		{"100/", -EINVAL, 0}, {"100/min", -EINVAL, 0},	  {"/s", -EINVAL, 0},
		{"", -EINVAL, 0},     {"8388608T/s", -ERANGE, 0}, {NULL, 0, 0},
	};

	assert_parses(text_parse_rate, cases);
}
END_TEST

START_TEST(modes)
{
	static const struct number cases[] = {
		{"0660", 0, 0660},	{"660", 0, 0660}, {"7777", 0, 07777},
		{"07777", 0, 07777},	{"0", 0, 0},	  {"17777", -EINVAL, 0},
		{"0888", -EINVAL, 0},	{"", -EINVAL, 0}, {"rw-rw", -EINVAL, 0},
		{"000660", -EINVAL, 0}, {NULL, 0, 0},
	};

	assert_parses(text_parse_mode, cases);
}
END_TEST

START_TEST(booleans)
{
	bool yes = false;

	ck_assert_int_eq(text_parse_bool("true", &yes), 0);
	ck_assert(yes);
	ck_assert_int_eq(text_parse_bool("off", &yes), 0);
	ck_assert(!yes);
	ck_assert_int_eq(text_parse_bool("TRUE", &yes), -EINVAL);
	ck_assert_int_eq(text_parse_bool("", &yes), -EINVAL);
}
END_TEST

/* What is printed reads as the same, in the largest unit. */
START_TEST(formats)
{
	static const struct {
		const char *(*format)(int64_t value, char *text);
		parser *parse;
		int64_t value;
		const char *text;
	} cases[] = {
		{text_format_duration, text_parse_duration, 0, "0s"},
		{text_format_duration, text_parse_duration, 1, "1ns"},
		{text_format_duration, text_parse_duration, 90 * SECOND, "90s"},
		{text_format_duration, text_parse_duration, 120 * SECOND, "2min"},
		{text_format_duration, text_parse_duration, 14 * 86400 * SECOND, "14d"},
		{text_format_duration, text_parse_duration, INT64_MAX, "9223372036854775807ns"},
		{text_format_size, text_parse_size, 0, "0"},
		{text_format_size, text_parse_size, 1023, "1023"},
		{text_format_size, text_parse_size, 3 << 20, "3M"},
		{text_format_size, text_parse_size, INT64_MAX, "9223372036854775807"},
		{text_format_rate, text_parse_rate, 0, "0/s"},
		{text_format_rate, text_parse_rate, 1 << 20, "1M/s"},
		{text_format_rate, text_parse_rate, INT64_MAX, "9223372036854775807/s"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[TEXT_NUMBER_MAX];
		int64_t value;

		ck_assert_str_eq(cases[i].format(cases[i].value, text), cases[i].text);
		ck_assert_int_eq(cases[i].parse(text, &value), 0);
		ck_assert_int_eq(value, cases[i].value);
	}
}
END_TEST

START_TEST(percent_decodes)
{
	char decoded[32];

	ck_assert_int_eq(text_decode_percent("a%20b+%C3%bc%2", 12, decoded), 0);
	ck_assert_str_eq(decoded, "a b+\xc3\xbc");
	ck_assert_int_eq(text_decode_percent("", 0, decoded), 0);
	ck_assert_str_eq(decoded, "");
	ck_assert_int_eq(text_decode_percent("%", 1, decoded), -EINVAL);
	ck_assert_int_eq(text_decode_percent("%4", 2, decoded), -EINVAL);
	ck_assert_int_eq(text_decode_percent("%4g", 3, decoded), -EINVAL);
	ck_assert_int_eq(text_decode_percent("%-1", 3, decoded), -EINVAL);
	ck_assert_int_eq(text_decode_percent("%00", 3, decoded), -EINVAL);
	ck_assert_int_eq(text_decode_percent("%410", 2, decoded), -EINVAL);
}
END_TEST

START_TEST(percent_encodes)
{
	char text[16];

	ck_assert_uint_eq(text_encode_percent("/a b", "/", text, sizeof text), 6);
	ck_assert_str_eq(text, "/a%20b");
	ck_assert_uint_eq(text_encode_percent("\xff%", "", text, sizeof text), 6);
	ck_assert_str_eq(text, "%FF%25");
	/* A full text ends before what does not fit. */
	ck_assert_uint_eq(text_encode_percent("ab cd", "", text, 5), 7);
	ck_assert_str_eq(text, "ab");
	ck_assert_uint_eq(text_encode_percent("abcdef", "", text, 4), 6);
	ck_assert_str_eq(text, "abc");
	ck_assert_uint_eq(text_encode_percent("abc", "", NULL, 0), 3);
}
END_TEST

/* Every byte comes back. */
START_TEST(percent_round_trip)
{
	char all[256], encoded[800], decoded[800];

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	text_encode_percent(all, "/@:", encoded, sizeof encoded);
	ck_assert_int_eq(text_decode_percent(encoded, strlen(encoded), decoded), 0);
	ck_assert_str_eq(decoded, all);
}
END_TEST

START_TEST(distances)
{
	char longest[64], longer[65];

	memset(longest, 'a', sizeof longest);
	longest[63] = '\0';
	memset(longer, 'a', sizeof longer);
	longer[64] = '\0';
	ck_assert_uint_eq(text_distance("", ""), 0);
	ck_assert_uint_eq(text_distance("", "abc"), 3);
	ck_assert_uint_eq(text_distance("port", "prot"), 1);
	ck_assert_uint_eq(text_distance("port", "ports"), 1);
	ck_assert_uint_eq(text_distance("kitten", "sitting"), 3);
	ck_assert_uint_eq(text_distance("ca", "abc"), 3);
	ck_assert_uint_eq(text_distance(longest, longest), 0);
	ck_assert_uint_eq(text_distance(longest, ""), 63);
	ck_assert_uint_eq(text_distance(longer, "a"), UINT_MAX);
	ck_assert_uint_eq(text_distance("a", longer), UINT_MAX);
}
END_TEST

static const char *nearest(const char *word)
{
	static const char *const words[] = {"listen", "target", "timeout", "limit", "to"};
	struct text_nearest search;

	text_nearest_init(&search, word);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		text_nearest_offer(&search, words[i]);
	return search.best;
}

START_TEST(nearest_words)
{
	ck_assert_str_eq(nearest("lisen"), "listen");
	ck_assert_str_eq(nearest("tiemuot"), "timeout");
	ck_assert_str_eq(nearest("taget"), "target");
	ck_assert_str_eq(nearest("ot"), "to");
	ck_assert_ptr_null(nearest("zzz"));
	ck_assert_ptr_null(nearest("proxy"));
	ck_assert_ptr_null(nearest(""));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *cases = tcase_create("text");

	tcase_add_test(cases, numbers);
	tcase_add_test(cases, durations);
	tcase_add_test(cases, sizes);
	tcase_add_test(cases, rates);
	tcase_add_test(cases, modes);
	tcase_add_test(cases, booleans);
	tcase_add_test(cases, formats);
	tcase_add_test(cases, percent_decodes);
	tcase_add_test(cases, percent_encodes);
	tcase_add_test(cases, percent_round_trip);
	tcase_add_test(cases, distances);
	tcase_add_test(cases, nearest_words);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
