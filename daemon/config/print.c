/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The canonical text: the resulting configuration, one setting a line. It is valid configuration
 * and reads as the same config again; `defaults`, `lists`, endpoint strings, users' names are
 * resolved in it. Of an endpoint's options only those that were set are printed: the family may
 * change its defaults.
 *
 * The locations of a generation depend on one setting a line.
 */
#include "config/print.h"

#include "base/arena.h"
#include "config/schema.h"
#include "config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct printer {
	FILE *file;
	struct print_lines *lines; /* or NULL */
	unsigned indent;
	bool no_memory;
};

static const struct location nowhere;

static void begin_line(struct printer *printer, struct location location)
{
	struct print_lines *lines = printer->lines;

	fprintf(printer->file, "%*s", 2 * (int)printer->indent, "");
	if (!lines || printer->no_memory)
		return;
	lines->locations =
		arena_grow(lines->arena, lines->locations, lines->n, sizeof(*lines->locations));
	if (lines->locations)
		lines->locations[lines->n++] = location;
	else
		printer->no_memory = true;
}

static void open_group(struct printer *printer, struct location location, const char *name, int len,
		       char bracket)
{
	begin_line(printer, location);
	fprintf(printer->file, bracket == '{' ? "%.*s: %c\n" : "%.*s = %c\n", len, name, bracket);
	printer->indent++;
}

static void close_group(struct printer *printer, const char *end)
{
	printer->indent--;
	begin_line(printer, nowhere);
	fprintf(printer->file, "%s\n", end);
}

static void print_option(struct printer *printer, const struct spliced_option *option,
			 const char *name, const struct config_value *value)
{
	begin_line(printer, value->location);
	fprintf(printer->file, "%s = ", name);
	value_print(printer->file, option, &value->value);
	fputs(";\n", printer->file);
}

/* Prints the values of a table in which names with a dot are adjacent, group by group. */
static void print_table(struct printer *printer, const struct spliced_option *options, size_t n,
			const struct config_value *values)
{
	size_t open_len = 0;
	const char *open = "";

	for (size_t i = 0; i < n; i++) {
		const char *name = options[i].name, *dot = strchr(name, '.');
		size_t len = dot ? (size_t)(dot - name) : 0;

		if (values[i].value.state == SPLICED_UNSET)
			continue;
		if (open_len && (len != open_len || memcmp(open, name, len) != 0)) {
			close_group(printer, "};");
			open_len = 0;
		}
		if (len && !open_len)
			open_group(printer, nowhere, name, (int)len, '{');
		open = name;
		open_len = len;
		print_option(printer, &options[i], dot ? dot + 1 : name, &values[i]);
	}
	if (open_len)
		close_group(printer, "};");
}

static void print_word(struct printer *printer, struct location location, const char *name,
		       const char *text)
{
	begin_line(printer, location);
	fprintf(printer->file, "%s = ", name);
	value_print_string(printer->file, text);
	fputs(";\n", printer->file);
}

static void print_leg(struct printer *printer, const struct config_endpoint *endpoint,
		      const struct config_leg *leg)
{
	for (uint32_t i = 0; i < leg->family->plugin.n_options; i++) {
		const struct spliced_option *option = &leg->family->options[i];

		if (leg->values[i].value.state != SPLICED_SET)
			continue;
		if (leg != endpoint->legs && family_option(endpoint->legs[0].family, option->name))
			continue;
		print_option(printer, option, option->name, &leg->values[i]);
	}
}

/* n_options: the first ones of schema_endpoint. */
static void print_endpoint(struct printer *printer, const struct config_endpoint *endpoint,
			   unsigned n_options, bool is_last)
{
	const struct spliced_row *row = endpoint->legs[0].row;

	begin_line(printer, endpoint->location);
	fputs("{\n", printer->file);
	printer->indent++;
	print_word(printer, endpoint->location, "family", endpoint->family);
	print_word(printer, endpoint->location, "type", family_type_name(row->type));
	if (row->name && !family_option(endpoint->legs[0].family, "protocol"))
		print_word(printer, endpoint->location, "protocol", row->name);
	for (unsigned i = 0; i < endpoint->n_legs; i++)
		print_leg(printer, endpoint, &endpoint->legs[i]);
	print_table(printer, schema_endpoint, n_options, endpoint->values);
	close_group(printer, is_last ? "}" : "},");
}

/* The places of a name are read from one endpoint. */
static void print_endpoints(struct printer *printer, const char *key,
			    const struct config_endpoint *endpoints, unsigned n)
{
	unsigned last = n;

	while (last && endpoints[last - 1].place > 1)
		last--;
	open_group(printer, nowhere, key, (int)strlen(key), '(');
	for (unsigned i = 0; i < n; i++)
		if (endpoints[i].place <= 1)
			print_endpoint(printer, &endpoints[i], ENDPOINT_OPTIONS, i + 1 == last);
	close_group(printer, ");");
}

/* Two families' rules of one text are one word. */
static bool is_same_word(const struct config_rule *a, const struct config_rule *b)
{
	return a->text == b->text;
}

static void print_rule(struct printer *printer, const struct config_rule *rule, bool is_last)
{
	begin_line(printer, rule->location);
	if (rule->kind == RULE_ADDRESS || rule->kind == RULE_UNKNOWN)
		value_print_string(printer->file, rule->text);
	else
		fprintf(printer->file, "\"%s:%u\"", rule->kind == RULE_UID ? "uid" : "gid",
			rule->id);
	fputs(is_last ? "\n" : ",\n", printer->file);
}

static void print_rules(struct printer *printer, const char *key, const struct config_rule *rules,
			unsigned n)
{
	open_group(printer, nowhere, key, (int)strlen(key), '[');
	for (unsigned i = 0; i < n; i++) {
		unsigned next = i + 1;

		while (next < n && is_same_word(&rules[i], &rules[next]))
			next++;
		print_rule(printer, &rules[i], next == n);
		i = next - 1;
	}
	close_group(printer, "];");
}

static void print_route(struct printer *printer, const struct config_route *route)
{
	open_group(printer, route->location, route->name, (int)strlen(route->name), '{');
	print_table(printer, schema_route, ROUTE_OPTIONS, route->values);
	if (route->n_listen)
		print_endpoints(printer, "listen", route->listen, route->n_listen);
	if (route->n_dial)
		print_endpoints(printer, "dial", route->dial, route->n_dial);
	print_endpoints(printer, "target", route->targets, route->n_targets);
	if (route->has_allow)
		print_rules(printer, "allow", route->allow, route->n_allow);
	if (route->n_deny)
		print_rules(printer, "deny", route->deny, route->n_deny);
	close_group(printer, "};");
}

int print_config(const struct config *config, FILE *file, struct print_lines *lines)
{
	struct printer printer = {.file = file, .lines = lines};

	open_group(&printer, nowhere, "daemon", (int)strlen("daemon"), '{');
	print_table(&printer, schema_daemon, DAEMON_OPTIONS, config->daemon);
	close_group(&printer, "};");
	open_group(&printer, nowhere, "routes", (int)strlen("routes"), '{');
	for (unsigned i = 0; i < config->n_routes; i++)
		print_route(&printer, &config->routes[i]);
	close_group(&printer, "};");
	return printer.no_memory ? -ENOMEM : ferror(file) ? -EIO : 0;
}

int config_print(const struct config *config, FILE *file)
{
	return print_config(config, file, NULL);
}

static int digest_config(struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);
	int r;

	if (!file)
		return -ENOMEM;
	r = print_config(config, file, NULL);
	if (fclose(file) != 0 || r < 0)
		r = -ENOMEM;
	else
		config->digest = XXH3_64bits(text, len);
	free(text);
	return r;
}

/* Text of which parts are digested: what was printed since the part before. */
struct parts {
	struct printer printer;
	char *text;
	size_t len, taken;
};

/* 0: no memory. */
static uint64_t digest_part(struct parts *parts)
{
	size_t from = parts->taken;

	if (fflush(parts->printer.file) != 0)
		return 0;
	parts->taken = parts->len;
	return XXH3_64bits(parts->text + from, parts->len - from);
}

static void digest_endpoints(struct parts *parts, struct config_endpoint *endpoints, unsigned n,
			     XXH3_state_t *whole)
{
	uint64_t rest;

	for (unsigned i = 0; i < n; i++) {
		if (endpoints[i].place > 1) {
			endpoints[i].digest = endpoints[i - 1].digest;
			continue;
		}
		print_endpoint(&parts->printer, &endpoints[i], ENDPOINT_WEIGHT, true);
		endpoints[i].digest = digest_part(parts);
		XXH3_64bits_update(whole, &endpoints[i].digest, sizeof(endpoints[i].digest));
		print_table(&parts->printer, schema_endpoint + ENDPOINT_WEIGHT,
			    ENDPOINT_OPTIONS - ENDPOINT_WEIGHT,
			    endpoints[i].values + ENDPOINT_WEIGHT);
		rest = digest_part(parts);
		XXH3_64bits_update(whole, &rest, sizeof(rest));
	}
	XXH3_64bits_update(whole, &n, sizeof(n));
}

/* Whether a session can continue when this value changes: one that has its target does not need
 * another. */
static bool means_nothing_to_sessions(unsigned option)
{
	return option == ROUTE_BALANCE ||
	       (option >= ROUTE_RETRY_ATTEMPTS && option <= ROUTE_ON_DOWN);
}

/* The options that mean something to sessions, or the others. */
static void print_options(struct parts *parts, const struct config_route *route, bool to_sessions)
{
	struct config_value values[ROUTE_OPTIONS];

	for (unsigned i = 0; i < ROUTE_OPTIONS; i++) {
		values[i] = route->values[i];
		if (means_nothing_to_sessions(i) == to_sessions)
			values[i] = (struct config_value){.value.state = SPLICED_UNSET};
	}
	print_table(&parts->printer, schema_route, ROUTE_OPTIONS, values);
}

static void digest_route(struct parts *parts, struct config_route *route)
{
	XXH3_state_t whole;
	uint64_t rest;

	print_options(parts, route, true);
	if (route->has_allow)
		print_rules(&parts->printer, "allow", route->allow, route->n_allow);
	if (route->n_deny)
		print_rules(&parts->printer, "deny", route->deny, route->n_deny);
	route->own_digest = digest_part(parts);
	print_options(parts, route, false);
	rest = digest_part(parts);
	XXH3_64bits_reset(&whole);
	XXH3_64bits_update(&whole, &rest, sizeof(rest));
	XXH3_64bits_update(&whole, route->name, strlen(route->name));
	XXH3_64bits_update(&whole, &route->own_digest, sizeof(route->own_digest));
	digest_endpoints(parts, route->listen, route->n_listen, &whole);
	digest_endpoints(parts, route->dial, route->n_dial, &whole);
	digest_endpoints(parts, route->targets, route->n_targets, &whole);
	route->digest = XXH3_64bits_digest(&whole);
}

int print_digest(struct config *config)
{
	struct parts parts = {0};
	int r = digest_config(config);

	if (r < 0)
		return r;
	parts.printer.file = open_memstream(&parts.text, &parts.len);
	if (!parts.printer.file)
		return -ENOMEM;
	for (unsigned i = 0; i < config->n_routes; i++)
		digest_route(&parts, &config->routes[i]);
	r = fclose(parts.printer.file) != 0 ? -ENOMEM : 0;
	free(parts.text);
	return r;
}
