/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the tables of a family meet what was written. Most endpoints have one leg. `ip` has two,
 * inet6 and inet, which read the same settings; a number as host leaves the one that it fits. All
 * that is known here of inet and inet6 is that `ip` means the two of them.
 */
#include "config/leg.h"

#include "base/arena.h"
#include "base/report.h"
#include "base/text.h"
#include "config/check.h"
#include "config/expect.h"
#include "config/group.h"
#include "config/hear.h"
#include "config/host.h"
#include "config/schema.h"
#include "config/unknown.h"
#include "config/value.h"
#include "language/node.h"
#include "net/callback.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *leg_role_noun(const struct config_endpoint *endpoint)
{
	if (endpoint->role == SPLICED_LISTEN)
		return "listening endpoint";
	return strcmp(endpoint->key, "dial") == 0 ? "dialled endpoint" : "target";
}

/* The text of a setting that must be a string, or may be a number; NULL, reported, if it is none. */
static const char *take_word(struct check *check, const struct config_endpoint *endpoint,
			     struct node *group, const char *name, bool numbers)
{
	struct node *node = node_take(group, name);

	if (!node || node->damaged)
		return NULL;
	if (node->type == NODE_STRING || node->type == NODE_TEXT)
		return node->text;
	if (node->type == NODE_NUMBER && numbers)
		return arena_print(check->scratch, "%" PRId64, node->number);
	check_error(check, node->place, "%s.%s is %s; it must be a string",
		    endpoint->key, name, node_type_name(node));
	return NULL;
}

/* family->plugin.name, or why there is none. */
static int load_family(struct check *check, struct place place, const char *name,
		       const struct family **ret)
{
	char *why = NULL;
	int r;

	r = family_load(check->families, name, ret, &why);
	if (r < 0) {
		*ret = NULL;
		check_error(check, place, "%s", why ? why : strerror(-r));
	}
	free(why);
	return r == -ENOMEM ? r : 0;
}

/* "stream or dgram": the types that a family has. */
static const char *list_types(const struct family *family, char *text, size_t size)
{
	size_t len = 0;

	*text = '\0';
	for (uint32_t i = 0; i < family->plugin.n_rows && len < size; i++) {
		const char *name = family_type_name(family->rows[i].type);

		if (name && !strstr(text, name))
			len += (size_t)snprintf(text + len, size - len, "%s%s", len ? ", " : "",
						name);
	}
	return text;
}

static bool has_protocols(const struct family *family)
{
	for (uint32_t i = 0; i < family->plugin.n_rows; i++)
		if (family->rows[i].name)
			return true;
	return false;
}

static const char *list_protocols(const struct family *family, char *text, size_t size)
{
	size_t len = 0;

	*text = '\0';
	for (uint32_t i = 0; i < family->plugin.n_rows && len < size; i++)
		if (family->rows[i].name)
			len += (size_t)snprintf(text + len, size - len, "%s\"%s\"", len ? ", " : "",
						family->rows[i].name);
	return text;
}

/* What a group says of the row. */
struct wanted {
	int type; /* -1: nothing */
	const char *protocol;
	bool wrong; /* reported */
};

static void read_type(struct check *check, const struct config_endpoint *endpoint,
		      struct node *group, struct wanted *wanted)
{
	static const char *const types[] = {"stream", "dgram", "seqpacket", "rdm", "raw", NULL};
	const struct node *node = node_find(group, "type", strlen("type"));
	const char *text = take_word(check, endpoint, group, "type", false);
	struct text_nearest nearest;

	wanted->type = -1;
	if (!node)
		return;
	wanted->type = text ? family_type_from_name(text) : -1;
	wanted->wrong = wanted->type < 0;
	if (!text || wanted->type >= 0)
		return;
	text_nearest_init(&nearest, text);
	for (const char *const *type = types; *type; type++)
		text_nearest_offer(&nearest, *type);
	if (nearest.best)
		check_error(check, node->place, "%s.type is \"%s\"; did you mean \"%s\"?",
			    endpoint->key, text, nearest.best);
	else
		check_error(check, node->place,
			    "%s.type is \"%s\"; it must be stream, dgram, seqpacket, rdm or raw",
			    endpoint->key, text);
}

static void report_row(struct check *check, const struct config_endpoint *endpoint,
		       const struct family *family, const struct node *group,
		       const struct wanted *wanted)
{
	const struct node *node =
		node_find(group, wanted->protocol ? "protocol" : "type", wanted->protocol ? 8 : 4);
	struct place place = node ? node->place : endpoint->place;
	char text[512];

	if (!family_row(family, wanted->type, NULL))
		check_error(check, place, "%s: family \"%s\" has no type %s yet; it has %s",
			    endpoint->key, endpoint->family,
			    family_type_name(wanted->type), list_types(family, text, sizeof(text)));
	else
		check_error(check, place, "%s.protocol is \"%s\"; family \"%s\" has %s",
			    endpoint->key, wanted->protocol, endpoint->family,
			    list_protocols(family, text, sizeof(text)));
}

/* A socket of the row could be opened in this role. */
static bool check_row(struct check *check, const struct config_endpoint *endpoint,
		      const struct config_leg *leg)
{
	bool listen = endpoint->role == SPLICED_LISTEN;
	uint64_t capabilities = leg->row->capabilities;

	if (!(capabilities & (listen ? SPLICED_CAN_LISTEN : SPLICED_CAN_CONNECT))) {
		check_error(check, endpoint->place,
			    "%s: %s sockets of family \"%s\" cannot %s; use another endpoint",
			    endpoint->key, family_type_name(leg->row->type),
			    leg->family->name, listen ? "listen" : "connect");
		return false;
	}
	return true;
}

/* A key that was meant to be "family": reported as that. */
static bool find_family_key(struct check *check, const struct config_endpoint *endpoint, const struct node *group)
{
	for (const struct node *node = group->first; node; node = node->next) {
		struct text_nearest nearest;

		text_nearest_init(&nearest, node->name);
		text_nearest_offer(&nearest, "family");
		if (!nearest.best)
			continue;
		check_error(check, node->place, "unknown key \"%s.%s\"; did you mean \"%s.family\"?", endpoint->key, node->name, endpoint->key);
		return true;
	}
	return false;
}

int leg_choose(struct check *check, struct node *group, struct config_endpoint *endpoint)
{
	const char *family = take_word(check, endpoint, group, "family", false), *const *names = &family;
	const struct node *node = node_find(group, "family", strlen("family"));
	bool is_ip = family && strcmp(family, "ip") == 0;
	struct wanted wanted = {0};
	unsigned n = is_ip ? 2 : 1;
	int r;

	endpoint->n_legs = 0;
	if (!node && !find_family_key(check, endpoint, group))
		check_error(check, group->place,
			    "%s has no family; set one, such as family = \"inet\"",
			    endpoint->key);
	if (!node || !family)
		return 0;
	endpoint->family = arena_copy_text(check->arena, family);
	if (!endpoint->family)
		return -ENOMEM;
	read_type(check, endpoint, group, &wanted);
	names = is_ip ? schema_ip : names;
	for (unsigned i = 0; i < n; i++) {
		struct config_leg *leg = &endpoint->legs[i];

		r = load_family(check, node->place, names[i], &leg->family);
		if (r < 0 || !leg->family)
			return r;
		if (i == 0 && has_protocols(leg->family))
			wanted.protocol = take_word(check, endpoint, group, "protocol", true);
		if (wanted.wrong)
			return 0;
		leg->row = family_row(leg->family, wanted.type, wanted.protocol);
		if (!leg->row) {
			report_row(check, endpoint, leg->family, group, &wanted);
			return 0;
		}
		if (!check_row(check, endpoint, leg))
			return 0;
	}
	endpoint->n_legs = n;
	return 0;
}

bool leg_takes(const struct family *family, const struct spliced_row *row, enum spliced_role role,
	       const struct spliced_option *option)
{
	return (option->roles == 0 || (option->roles & role)) &&
	       (option->rows == 0 || (option->rows & UINT64_C(1) << (row - family->rows)));
}

const struct spliced_option *leg_find_option(const struct family *family, const char *name)
{
	for (uint32_t i = 0; i < family->plugin.n_options; i++)
		if (strcmp(family->options[i].name, name) == 0)
			return &family->options[i];
	return NULL;
}

/* Did another leg read this option already? It reported what is wrong with it. */
static bool is_repeated(const struct config_endpoint *endpoint, unsigned leg, const char *name)
{
	for (unsigned i = 0; i < leg; i++)
		if (leg_find_option(endpoint->legs[i].family, name))
			return true;
	return false;
}

/* One option of one leg; what another leg could not read is left unset here, too. */
static int read_option(struct check *check, const struct config_endpoint *endpoint, unsigned i_leg,
		       const struct spliced_option *option, const struct node *group, struct node *node,
		       struct config_value *value)
{
	bool repeated = is_repeated(endpoint, i_leg, option->name);
	char key[96];
	int r = 0;

	snprintf(key, sizeof(key), "%s.%s", endpoint->key, option->name);
	if (node) {
		unsigned errors = check->reader.errors;

		node->seen = true;
		r = value_read(check, option, key, node, value);
		node->damaged = node->damaged || check->reader.errors > errors; /* said once is enough */
		return r;
	}
	r = value_set_default(check->arena, option, &value->value);
	if (r == -EINVAL)
		check_error(check, endpoint->place,
			    "family \"%s\": the default of \"%s\" is not one of its values; "
			    "this is a bug in the plugin",
			    endpoint->family, option->name);
	if (r == 0 && value->value.state == SPLICED_UNSET && (option->flags & SPLICED_REQUIRED) &&
	    !repeated && !unknown_means(endpoint, group, option->name))
		check_error(check, endpoint->place, "%s is missing; it must be %s", key,
			    expect_text(option, (char[640]){""}, 640));
	return r == -ENOMEM ? r : 0;
}

static int read_options(struct check *check, struct node *group, struct config_endpoint *endpoint,
			unsigned i_leg)
{
	struct config_leg *leg = &endpoint->legs[i_leg];
	uint32_t n = leg->family->plugin.n_options;
	int r;

	leg->values = arena_take(check->arena, n, sizeof(*leg->values));
	if (!leg->values)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct spliced_option *option = &leg->family->options[i];
		struct node *node = node_find(group, option->name, strlen(option->name));

		if (!leg_takes(leg->family, leg->row, endpoint->role, option))
			continue;
		r = read_option(check, endpoint, i_leg, option, group, node, &leg->values[i]);
		if (r < 0)
			return r;
	}
	leg->options = (struct spliced_options){
		.size = sizeof(leg->options),
		.value_stride = sizeof(*leg->values),
		.host = &hear_host,
		.row = leg->row,
		.role = endpoint->role,
		.n_values = n,
		.values = leg->values,
		.format = endpoint->format ? endpoint->format->name : NULL,
	};
	return 0;
}

/* `ip` with a number keeps the leg that the number fits. The other's own options are then out of
 * place. */
static int drop_unfit_leg(struct arena *scratch, struct node *group,
			  struct config_endpoint *endpoint)
{
	const struct config_leg *leg = &endpoint->legs[0];
	const struct node *node;
	struct host host;
	char *text;

	if (endpoint->n_legs < 2 || leg->family->host_option < 0)
		return 0;
	node = node_find(group, leg->family->options[leg->family->host_option].name,
			 strlen(leg->family->options[leg->family->host_option].name));
	if (!node || !node->text)
		return 0;
	text = arena_take(scratch, strlen(node->text) + 1, 1);
	if (!text)
		return -ENOMEM;
	if (node->type == NODE_TEXT)
		text_decode_percent(node->text, strlen(node->text), text);
	else
		strcpy(text, node->text);
	if (host_parse(text, &host) < 0 || host.len == 0)
		return 0;
	if ((host.kind == HOST_INET) == (endpoint->legs[1].family->plugin.domain == AF_INET)) {
		struct config_leg other = endpoint->legs[0];

		endpoint->legs[0] = endpoint->legs[1];
		endpoint->legs[1] = other; /* not counted, but it may explain an unknown key */
	}
	endpoint->n_legs = 1;
	return 0;
}

/* The bytes of a number, where they are this family's. */
static int set_host(struct check *check, struct config_leg *leg, const struct host *host)
{
	struct spliced_value *value = &leg->values[leg->family->host_option].value;
	int domain = leg->family->plugin.domain;

	if ((domain == AF_INET && host->len != 4) || (domain == AF_INET6 && host->len != 16))
		return 0;
	value->host = arena_copy(check->arena, (const char *)host->bytes, host->len);
	value->host_len = host->len;
	value->host_scope = host->scope;
	return value->host ? 0 : -ENOMEM;
}

/* Puts the address that a listener's name has now in the name's place. */
static int resolve(struct check *check, struct config_leg *leg, struct config_value *value,
		   bool *found)
{
	char text[HOST_TEXT_MAX];
	struct host host;

	*found = host_resolve(value->value.text, leg->family->plugin.domain == AF_INET ? 4 : 16,
			      &host) == 0;
	if (!*found)
		return 0;
	value->value.text = arena_copy_text(check->arena, host_format(&host, text));
	return value->value.text ? set_host(check, leg, &host) : -ENOMEM;
}

/* What the HOST option says, if the family has one. A name ends up in leg->host_name. */
static int read_host(struct check *check, const struct config_endpoint *endpoint,
		     struct config_leg *leg)
{
	struct config_value *value = &leg->values[leg->family->host_option];
	const char *text = value->value.text ? value->value.text : "";
	struct host host;
	bool found;
	int r;

	r = host_parse(text, &host);
	if (r < 0)
		return 0; /* reported */
	if (host.kind == HOST_ANY && endpoint->role == SPLICED_CONNECT)
		check_error(
			check, value->place.line ? value->place : endpoint->place,
			"%s.%s is empty; a %s needs the name or address of a machine",
			endpoint->key, leg->family->options[leg->family->host_option].name,
			leg_role_noun(endpoint));
	leg->interface = host.interface; /* in the value's own text */
	if (host.len)
		return set_host(check, leg, &host);
	if (host.kind != HOST_NAME)
		return 0;
	leg->host_name = value->value.text;
	if (endpoint->role != SPLICED_LISTEN || !check->resolve_listeners)
		return 0;
	r = resolve(check, leg, value, &found);
	if (r == 0 && found)
		leg->host_name = NULL;
	return r;
}

/* Asks the family for the address; for a name, for one of some host, to hear what it says of the
 * rest. -ESRCH: there is one, but somebody whom the options name is not known yet; the socket will say so again. */
static void ask_address(struct check *check, const struct config_route *route,
			const struct config_endpoint *endpoint, struct config_leg *leg)
{
	static const unsigned char some_inet[4] = {127, 0, 0, 1}, some_inet6[16] = {[15] = 1};
	bool is_inet = leg->family->plugin.domain == AF_INET;
	unsigned before = check->reader.report->count;
	size_t len = check->reader.report->len;
	struct address address;
	int64_t r;

	config_hear(check->config, route, endpoint, leg, check->reader.report);
	if (!answers_know(check, ANSWER_ADDRESS, &r, &address, sizeof(address))) {
		r = address_from_options(leg->family, &leg->options, leg->family->host_option,
					 !leg->host_name ? NULL
					 : is_inet	 ? some_inet
							 : some_inet6,
					 is_inet ? 4 : 16, 0, &address);
		if (r == -ESRCH && (check->generation || check->names_may_wait)) {
			report_cut(check->reader.report, len, before);
			r = 0;
		}
		answers_note(check, ANSWER_ADDRESS, r, &address, sizeof(address));
	}
	config_hear_nothing();
	check->reader.errors += check->reader.report->count - before;
	if (r < 0 && check->reader.report->count == before)
		check_error(check, endpoint->place,
			    "%s: family \"%s\" cannot make an address of this: %s",
			    endpoint->key, leg->family->name, strerror((int)-r));
	if (r >= 0 && !leg->host_name)
		leg->address = address;
}

/* What the family says of the leg once and for all. */
static void ask_mute(struct check *check, struct config_leg *leg)
{
	const struct spliced_plugin *plugin = &leg->family->plugin;
	int64_t r = -ENOTSUP;

	if (!(leg->row->capabilities & SPLICED_RECEIVE_ONLY))
		return;
	if (plugin->outgoing && !answers_know(check, ANSWER_MUTE, &r, NULL, 0))
		r = answers_note(check, ANSWER_MUTE, CALLBACK(leg->family, outgoing, plugin->outgoing(&leg->options, NULL, 0)), NULL, 0);
	leg->mute = r < 0;
}

void leg_ask(struct check *check, const struct config_endpoint *endpoint, struct config_leg *leg)
{
	const struct spliced_plugin *plugin = &leg->family->plugin;
	int64_t r;

	/* What somebody else has bound takes nothing of us. */
	if (plugin->needs && !endpoint->values[ENDPOINT_FD].value.text) {
		if (!answers_know(check, ANSWER_NEEDS, &r, NULL, 0))
			r = answers_note(check, ANSWER_NEEDS, CALLBACK(leg->family, needs, plugin->needs(&leg->options)), NULL, 0);
		leg->needs = (uint64_t)r;
	}
	if (plugin->companion && endpoint->role == SPLICED_LISTEN) {
		if (!answers_know(check, ANSWER_COMPANION, &r, NULL, 0))
			r = answers_note(check, ANSWER_COMPANION, CALLBACK(leg->family, companion, plugin->companion(&leg->options, 0)), NULL,
					 0);
		leg->has_companion = r > 0;
	}
}

/* Leaves out a leg whose name has no address of its family, where the other has one. */
static void drop_unresolved(struct check *check, struct config_route *route, struct config_endpoint *endpoint)
{
	bool may_wait = check->generation || check->names_may_wait;
	unsigned n = 0;

	if (endpoint->role != SPLICED_LISTEN || (!check->resolve_listeners && !check->generation))
		return;
	for (unsigned i = 0; i < endpoint->n_legs; i++)
		if (!endpoint->legs[i].host_name)
			endpoint->legs[n++] = endpoint->legs[i];
	if (n == 0 && may_wait)
		route->waits_for_hosts = true;
	else if (n == 0)
		check_error(check, endpoint->place,
			    "listen: \"%s\" does not resolve now; write a number, or an address "
			    "that this machine has",
			    endpoint->legs[0].host_name);
	else
		endpoint->n_legs = n;
}

int leg_read_all(struct check *check, struct config_route *route, struct node *group,
		 struct config_endpoint *endpoint)
{
	unsigned errors = check->reader.errors;
	int r;

	r = drop_unfit_leg(check->scratch, group, endpoint);
	for (unsigned i = 0; i < endpoint->n_legs && r == 0; i++)
		r = read_options(check, group, endpoint, i);
	if (r < 0)
		return r;
	for (const struct node *node = group->first; node; node = node->next)
		if (!node->seen)
			unknown_report(check, endpoint, node);
	if (check->reader.errors > errors)
		return 0;
	for (unsigned i = 0; i < endpoint->n_legs && r == 0 && check->reader.errors == errors; i++)
		if (endpoint->legs[i].family->host_option >= 0)
			r = read_host(check, endpoint, &endpoint->legs[i]);
	if (r < 0 || check->reader.errors > errors)
		return r;
	drop_unresolved(check, route, endpoint);
	for (unsigned i = 0; i < endpoint->n_legs && check->reader.errors == errors; i++)
		ask_address(check, route, endpoint, &endpoint->legs[i]);
	for (unsigned i = 0; i < endpoint->n_legs && check->reader.errors == errors; i++)
		ask_mute(check, &endpoint->legs[i]);
	return 0;
}
