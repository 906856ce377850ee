/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/health.h"

#include "base/arena.h"
#include "config/check.h"
#include "config/schema.h"
#include "config/value.h"
#include "language/setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define INTERVAL_MIN_NS INT64_C(10000000)

enum { STATUS_MIN = 100, STATUS_MAX = 599 };

static bool is_set(const struct config_value *value)
{
	return value->value.state == SPLICED_SET;
}

static bool is_said(const struct config_value *values)
{
	for (unsigned i = 0; i < HEALTH_OPTIONS; i++)
		if (is_set(&values[i]))
			return true;
	return values[HEALTH_INTERVAL].location.line != 0;
}

/* Whether another value of the same text is set, so that this one is not inherited. */
static bool is_excluded(const struct config_value *values, unsigned option)
{
	if (option == HEALTH_SEND || option == HEALTH_EXPECT)
		return is_set(&values[HEALTH_HTTP]);
	if (option == HEALTH_HTTP || option == HEALTH_STATUS)
		return is_set(&values[HEALTH_SEND]) || is_set(&values[HEALTH_EXPECT]);
	return false;
}

void health_note_group(const struct setting *group, struct config_value *values)
{
	const struct setting *health = setting_find(group, "health");

	if (health && health->type == SETTING_GROUP && !is_said(values))
		values[HEALTH_INTERVAL].location = health->location;
}

/* Fills in values that are not set. */
static void take_over(struct config_value *values, const struct config_value *from)
{
	const bool http = is_excluded(values, HEALTH_HTTP),
		   words = is_excluded(values, HEALTH_SEND);

	for (unsigned i = 0; i < HEALTH_OPTIONS; i++) {
		if (is_set(&values[i]) || !is_set(&from[i]))
			continue;
		if ((i == HEALTH_HTTP || i == HEALTH_STATUS) && http)
			continue;
		if ((i == HEALTH_SEND || i == HEALTH_EXPECT) && words)
			continue;
		values[i] = from[i];
	}
}

static void clear(struct config_value *values)
{
	for (unsigned i = 0; i < HEALTH_OPTIONS; i++)
		values[i] = (struct config_value){.value.state = SPLICED_UNSET};
}

static void mark_inherited(struct config_value *values, const struct config_value *defaults)
{
	for (unsigned i = 0; i < HEALTH_OPTIONS; i++)
		values[i].inherited = is_set(&values[i]) && is_set(&defaults[i]) &&
				      values[i].location.line == defaults[i].location.line &&
				      values[i].location.file == defaults[i].location.file;
}

void health_inherit(struct config_value *values, const struct config_value *defaults)
{
	bool own = is_said(values);

	if (!is_said(defaults))
		return;
	take_over(values, defaults);
	mark_inherited(values, defaults);
	if (own)
		return;
	if (!values[HEALTH_INTERVAL].location.line)
		values[HEALTH_INTERVAL].location = defaults[HEALTH_INTERVAL].location;
	values[HEALTH_INTERVAL].inherited = true;
}

void health_read_group(struct check *check, const struct setting *group,
		       struct config_endpoint *endpoint)
{
	const struct setting *health = setting_find(group, "health");

	if (!health)
		return;
	if (strcmp(endpoint->key, "target") != 0) {
		check_error(check, health->location,
			    "\"health\" is only for targets, this is a %s; remove it",
			    schema_endpoint_noun(endpoint->key));
		return;
	}
	if (health->type != SETTING_GROUP) {
		check_error(check, health->location,
			    "target.health is %s; it must be a group, such as health: { ... };",
			    setting_type_name(health));
		return;
	}
	health_note_group(group, &endpoint->values[ENDPOINT_HEALTH]);
}

/* ---- what does not fit ---- */

struct fault {
	const struct config_value *value; /* NULL: `health` as a whole */
	const char *what;
};

static bool is_path(const char *text)
{
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			return false;
	return *text == '/';
}

static bool has_port(const struct config_endpoint *endpoint)
{
	for (unsigned i = 0; i < endpoint->n_legs; i++) {
		int domain = endpoint->legs[i].family->plugin.domain;

		if (domain != AF_INET && domain != AF_INET6 && domain != AF_VSOCK)
			return false;
	}
	return true;
}

/* How it is asked, and what is to be answered. */
static bool find_fault_in_words(const struct config_value *values, struct fault *fault)
{
	const struct config_value *http = &values[HEALTH_HTTP], *send = &values[HEALTH_SEND],
				  *expect = &values[HEALTH_EXPECT];

	if (is_set(http) && (is_set(send) || is_set(expect)))
		*fault = (struct fault){
			http,
			"health.http and health.send or health.expect are both set; a check is one or the other"};
	else if (is_set(http) && !is_path(http->value.text))
		*fault = (struct fault){
			http, "health.http must be the path of a request, such as \"/health\""};
	else if (!is_set(http) && is_set(&values[HEALTH_STATUS]))
		*fault = (struct fault){
			&values[HEALTH_STATUS],
			"health.status is set without health.http; set the path of a request"};
	else if (is_set(send) && !is_set(expect))
		*fault = (struct fault){
			send,
			"health.send is set without health.expect; set what the answer must contain"};
	else if (is_set(expect) && !*expect->value.text)
		*fault = (struct fault){expect,
					"health.expect is empty; set what the answer must contain"};
	return fault->what;
}

static bool find_fault(const struct config_endpoint *endpoint, const struct config_value *values,
		       struct fault *fault)
{
	const struct spliced_row *row = endpoint->legs[0].row;
	int64_t interval = values[HEALTH_INTERVAL].value.number;

	*fault = (struct fault){NULL, NULL};
	if (!(row->capabilities & SPLICED_CAN_CONNECT) ||
	    row->capabilities &
		    (SPLICED_FEED | SPLICED_BINDS | SPLICED_RECEIVE_ONLY | SPLICED_FILE))
		fault->what =
			"health: a target of this type is not connected to and cannot be checked; remove it";
	else if (is_set(&values[HEALTH_HTTP]) && row->type != SOCK_STREAM)
		*fault = (struct fault){
			&values[HEALTH_HTTP],
			"health.http is only for stream targets; use health.send and health.expect"};
	else if (is_set(&values[HEALTH_PORT]) && !has_port(endpoint))
		*fault = (struct fault){
			&values[HEALTH_PORT],
			"health.port is set, but addresses of this family have no port; remove it"};
	else if (endpoint->follows_port && !is_set(&values[HEALTH_PORT]))
		fault->what =
			"health.port is missing; the port of this target depends on the client, so set which one is checked";
	else if (row->capabilities & SPLICED_CONNECTIONLESS && !is_set(&values[HEALTH_EXPECT]))
		fault->what =
			"health: a target without connections is checked by a datagram that it answers; set health.send and health.expect";
	else if (row->capabilities & SPLICED_CONNECTIONLESS && !is_set(&values[HEALTH_SEND]))
		fault->what =
			"health: a target without connections does not speak first; set health.send";
	else if (interval && interval < INTERVAL_MIN_NS)
		*fault = (struct fault){
			&values[HEALTH_INTERVAL],
			"health.interval must be at least 10ms, or 0s for no checks"};
	else
		find_fault_in_words(values, fault);
	return fault->what;
}

/* ---- what is asked ---- */

/* "\x00" is a byte. NULL without memory; *wrong: it ends too early. */
static const char *decode(struct check *check, const char *text, size_t *len, bool *wrong)
{
	char *bytes = arena_take(check->arena, strlen(text) + 1, 1), digits[3] = "", *end;

	*len = 0;
	for (; bytes && *text; text++) {
		bytes[*len] = *text;
		if (text[0] == '\\' && text[1] == 'x') {
			strncpy(digits, text + 2, 2);
			bytes[*len] = (char)strtoul(digits, &end, 16);
			*wrong |= end != digits + 2;
			if (*wrong)
				break;
			text += 3;
		}
		++*len;
	}
	return bytes;
}

static bool read_statuses(struct config_health *health, const char *text)
{
	char *end = (char *)text;

	do {
		unsigned long low = strtoul(text, &end, 10), high = low;

		if (end - text != 3)
			return false;
		if (*end == '-') {
			text = end + 1;
			high = strtoul(text, &end, 10);
			if (end - text != 3)
				return false;
		}
		if (low < STATUS_MIN || high > STATUS_MAX || high < low ||
		    health->n_statuses == HEALTH_STATUSES_MAX)
			return false;
		health->statuses[health->n_statuses].low = (uint16_t)low;
		health->statuses[health->n_statuses++].high = (uint16_t)high;
		text = end + 1;
	} while (*end == ',');
	return !*end;
}

static int read_words(struct check *check, const struct config_value *values,
		      struct config_health *health)
{
	static const enum config_health_option options[] = {HEALTH_SEND, HEALTH_EXPECT};
	const char **texts[] = {&health->send, &health->expect};
	size_t *lens[] = {&health->send_len, &health->expect_len};

	for (unsigned i = 0; i < 2; i++) {
		const struct config_value *value = &values[options[i]];
		bool wrong = false;

		if (!is_set(value))
			continue;
		*texts[i] = decode(check, value->value.text, lens[i], &wrong);
		if (!*texts[i])
			return -ENOMEM;
		if (wrong)
			check_error(check, value->location,
				    "%s has \\x without two hexadecimal digits after it",
				    schema_route[ROUTE_HEALTH + options[i]].name);
		else if (*lens[i] > HEALTH_ANSWER_MAX)
			check_error(check, value->location,
				    "%s has %zu bytes; at most %d are allowed",
				    schema_route[ROUTE_HEALTH + options[i]].name, *lens[i],
				    HEALTH_ANSWER_MAX);
	}
	return 0;
}

static void digest(struct config_endpoint *endpoint, struct config_health *health)
{
	const struct spliced_value *mark = &endpoint->values[ENDPOINT_MARK].value;
	const uint64_t numbers[] = {health->interval,	   health->timeout,    health->rise,
				    health->fall,	   health->port,       health->http != NULL,
				    health->send_len,	   health->expect_len, mark->state,
				    (uint64_t)mark->number};
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, numbers, sizeof(numbers));
	if (health->http) {
		XXH3_64bits_update(&state, health->http, strlen(health->http) + 1);
		XXH3_64bits_update(&state, health->status, strlen(health->status) + 1);
	}
	if (health->send)
		XXH3_64bits_update(&state, health->send, health->send_len);
	if (health->expect)
		XXH3_64bits_update(&state, health->expect, health->expect_len);
	for (unsigned i = 0; i < endpoint->n_legs; i++) {
		uint64_t leg = config_leg_digest(endpoint, &endpoint->legs[i]);

		XXH3_64bits_update(&state, &leg, sizeof(leg));
	}
	health->digest = XXH3_64bits_digest(&state) | 1; /* 0 is none */
}

static int build(struct check *check, const struct config_value *values,
		 struct config_endpoint *endpoint)
{
	struct config_health *health = arena_take(check->arena, 1, sizeof(*health));
	int r;

	if (!health)
		return -ENOMEM;
	health->interval = (uint64_t)values[HEALTH_INTERVAL].value.number;
	health->timeout = (uint64_t)values[HEALTH_TIMEOUT].value.number;
	health->rise = (uint32_t)values[HEALTH_RISE].value.number;
	health->fall = (uint32_t)values[HEALTH_FALL].value.number;
	health->port = (uint16_t)values[HEALTH_PORT].value.number;
	health->http = is_set(&values[HEALTH_HTTP]) ? values[HEALTH_HTTP].value.text : NULL;
	health->status = values[HEALTH_STATUS].value.text;
	if (health->http && !read_statuses(health, health->status))
		check_error(
			check, values[HEALTH_STATUS].location,
			"health.status is \"%s\"; it must be an HTTP status from 100 to 599, or several, such as "
			"\"200,204,301-308\"",
			health->status);
	r = read_words(check, values, health);
	if (r < 0)
		return r;
	digest(endpoint, health);
	endpoint->health = health;
	return 0;
}

/* ---- routes ---- */

/* Fills in the remaining defaults. */
static int set_defaults(struct check *check, struct config_value *values)
{
	for (unsigned i = 0; i < HEALTH_OPTIONS; i++) {
		int r = 0;

		if (values[i].value.state == SPLICED_UNSET &&
		    (i != HEALTH_STATUS || is_set(&values[HEALTH_HTTP])))
			r = value_set_default(check->arena, &schema_route[ROUTE_HEALTH + i],
					      &values[i].value);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

/* Whether the route does not set it itself. */
static bool is_inherited(const struct config_value *values)
{
	for (unsigned i = 0; i < HEALTH_OPTIONS; i++)
		if (is_set(&values[i]) && !values[i].inherited)
			return false;
	return values[HEALTH_INTERVAL].inherited;
}

static void report(struct check *check, const struct config_route *route,
		   const struct config_endpoint *endpoint, const struct fault *fault, bool own)
{
	struct location location = own ? endpoint->location : route->values[ROUTE_HEALTH].location;

	if (fault->value && fault->value->location.line)
		location = fault->value->location;
	check_error(check, location, "target %s: %s", endpoint->name, fault->what);
}

/* What a target is checked by: its own words, then its route's. */
static int merge(struct check *check, const struct config_route *route,
		 const struct config_endpoint *endpoint, struct config_value *merged)
{
	memcpy(merged, &endpoint->values[ENDPOINT_HEALTH], HEALTH_OPTIONS * sizeof(*merged));
	take_over(merged, &route->values[ROUTE_HEALTH]);
	return set_defaults(check, merged);
}

static int read_target(struct check *check, struct config_route *route,
		       struct config_endpoint *endpoint)
{
	struct config_value merged[HEALTH_OPTIONS], *own = &endpoint->values[ENDPOINT_HEALTH];
	bool said = is_said(own);
	struct fault fault;
	int r;

	if (!said && !is_said(&route->values[ROUTE_HEALTH]))
		return 0;
	r = merge(check, route, endpoint, merged);
	if (r < 0)
		return r;
	if (said) {
		struct location location = own[HEALTH_INTERVAL].location;

		for (unsigned i = 0; i < HEALTH_OPTIONS && !location.line; i++)
			location = own[i].location;
		own[HEALTH_INTERVAL] = merged[HEALTH_INTERVAL];
		own[HEALTH_INTERVAL].value.state = SPLICED_SET;
		own[HEALTH_INTERVAL].location = location;
	}
	if (!merged[HEALTH_INTERVAL].value.number)
		return 0;
	if (find_fault(endpoint, merged, &fault)) {
		report(check, route, endpoint, &fault, said);
		return 0;
	}
	return build(check, merged, endpoint);
}

/* `defaults` applies to this route only if it fits each target that sets nothing itself. */
static int drop_unfit(struct check *check, struct config_route *route)
{
	struct config_value *values = &route->values[ROUTE_HEALTH], merged[HEALTH_OPTIONS];
	struct fault fault;
	int r;

	for (unsigned i = 0; is_inherited(values) && i < route->n_targets; i++) {
		if (is_said(&route->targets[i].values[ENDPOINT_HEALTH]))
			continue;
		r = merge(check, route, &route->targets[i], merged);
		if (r < 0)
			return r;
		if (find_fault(&route->targets[i], merged, &fault))
			clear(values);
	}
	return 0;
}

int health_read(struct check *check, struct config_route *route)
{
	struct config_value *values = &route->values[ROUTE_HEALTH];
	int r = drop_unfit(check, route);

	if (r == 0 && !is_said(values)) {
		clear(values);
	} else if (r == 0) {
		for (unsigned i = 0; i < HEALTH_OPTIONS && !values[HEALTH_INTERVAL].location.line;
		     i++)
			values[HEALTH_INTERVAL].location = values[i].location;
		values[HEALTH_INTERVAL].value.state = SPLICED_SET;
		if (!is_set(&values[HEALTH_HTTP]) && !is_set(&values[HEALTH_STATUS]))
			values[HEALTH_STATUS].value.state = SPLICED_UNSET;
	}
	for (unsigned i = 0; i < route->n_targets && r == 0; i++) {
		unsigned errors = check->reader.errors;

		r = read_target(check, route, &route->targets[i]);
		if (check->reader.errors > errors)
			break;
	}
	return r;
}

bool health_expects_status(const struct config_health *health, unsigned status)
{
	for (unsigned i = 0; i < health->n_statuses; i++)
		if (status >= health->statuses[i].low && status <= health->statuses[i].high)
			return true;
	return false;
}
