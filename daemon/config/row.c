/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which family and row an endpoint means, by its family, type and protocol. A family is loaded
 * here, when the first endpoint names it.
 */
#include "config/row.h"

#include "base/arena.h"
#include "base/text.h"
#include "config/check.h"
#include "config/ip.h"
#include "language/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of a setting that must be a string, or may be a number; NULL, reported, if it is
 * none. */
static const char *take_word(struct check *check, const struct config_endpoint *endpoint,
			     struct setting *group, const char *name, bool numbers)
{
	struct setting *setting = setting_take(group, name);

	if (!setting || setting->damaged)
		return NULL;
	if (setting->type == SETTING_STRING || setting->type == SETTING_TEXT)
		return setting->text;
	if (setting->type == SETTING_NUMBER && numbers)
		return arena_print(check->scratch, "%" PRId64, setting->number);
	check_error(check, setting->location, "%s.%s is %s; it must be a string", endpoint->key,
		    name, setting_type_name(setting));
	return NULL;
}

/* family->plugin.name, or why there is none. */
static int load_family(struct check *check, struct location location, const char *name,
		       const struct family **ret)
{
	char *why = NULL;
	int r;

	r = family_load(check->families, name, ret, &why);
	if (r < 0) {
		*ret = NULL;
		check_error(check, location, "%s", why ? why : strerror(-r));
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

/* The settings of a group that select the row. */
struct wanted {
	int type; /* -1: nothing */
	const char *protocol;
	bool wrong; /* reported */
};

static void read_type(struct check *check, const struct config_endpoint *endpoint,
		      struct setting *group, struct wanted *wanted)
{
	static const char *const types[] = {"stream", "dgram", "seqpacket", "rdm", "raw", NULL};
	const struct setting *setting = setting_find(group, "type");
	const char *text = take_word(check, endpoint, group, "type", false);
	struct text_nearest nearest;

	wanted->type = -1;
	if (!setting)
		return;
	wanted->type = text ? family_type_from_name(text) : -1;
	wanted->wrong = wanted->type < 0;
	if (!text || wanted->type >= 0)
		return;
	text_nearest_init(&nearest, text);
	for (const char *const *type = types; *type; type++)
		text_nearest_offer(&nearest, *type);
	if (nearest.best)
		check_error(check, setting->location, "%s.type is \"%s\"; did you mean \"%s\"?",
			    endpoint->key, text, nearest.best);
	else
		check_error(check, setting->location,
			    "%s.type is \"%s\"; it must be stream, dgram, seqpacket, rdm or raw",
			    endpoint->key, text);
}

static void report_row(struct check *check, const struct config_endpoint *endpoint,
		       const struct family *family, const struct setting *group,
		       const struct wanted *wanted)
{
	const struct setting *setting = setting_find(group, wanted->protocol ? "protocol" : "type");
	struct location location = setting ? setting->location : endpoint->location;
	char text[512];

	if (!family_row(family, wanted->type, NULL))
		check_error(check, location, "%s: family \"%s\" has no type %s yet; it has %s",
			    endpoint->key, endpoint->family, family_type_name(wanted->type),
			    list_types(family, text, sizeof(text)));
	else
		check_error(check, location, "%s.protocol is \"%s\"; family \"%s\" has %s",
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
		check_error(check, endpoint->location,
			    "%s: %s sockets of family \"%s\" cannot %s; use another endpoint",
			    endpoint->key, family_type_name(leg->row->type), leg->family->name,
			    listen ? "listen" : "connect");
		return false;
	}
	return true;
}

/* A key that was meant to be "family": reported as that. */
static bool find_family_key(struct check *check, const struct config_endpoint *endpoint,
			    const struct setting *group)
{
	for (const struct setting *setting = group->first; setting; setting = setting->next) {
		struct text_nearest nearest;

		text_nearest_init(&nearest, setting->name);
		text_nearest_offer(&nearest, "family");
		if (!nearest.best)
			continue;
		check_error(check, setting->location,
			    "unknown key \"%s.%s\"; did you mean \"%s.family\"?", endpoint->key,
			    setting->name, endpoint->key);
		return true;
	}
	return false;
}

int row_choose(struct check *check, struct setting *group, struct config_endpoint *endpoint)
{
	const char *family = take_word(check, endpoint, group, "family", false), *const * names;
	const struct setting *setting = setting_find(group, "family");
	struct wanted wanted = {0};
	unsigned n;
	int r;

	endpoint->n_legs = 0;
	if (!setting && !find_family_key(check, endpoint, group))
		check_error(check, group->location,
			    "%s has no family; set one, such as family = \"inet\"", endpoint->key);
	if (!setting || !family)
		return 0;
	endpoint->family = arena_copy_text(check->arena, family);
	if (!endpoint->family)
		return -ENOMEM;
	read_type(check, endpoint, group, &wanted);
	n = ip_expand(&family, &names);
	for (unsigned i = 0; i < n; i++) {
		struct config_leg *leg = &endpoint->legs[i];

		r = load_family(check, setting->location, names[i], &leg->family);
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
