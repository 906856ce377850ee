/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may come. Users and groups are the daemon's own words, for listeners that know their peers'
 * credentials; addresses are read for each listening row that says what its peers' are
 * (net/network.h), and anything else by the listening families. Where several take one text, there
 * are several rules that share it.
 */
#include "config/rule.h"

#include "base/arena.h"
#include "base/report.h"
#include "base/text.h"
#include "config/check.h"
#include "language/setting.h"
#include "net/callback.h"
#include "net/identity.h"
#include "net/network.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>

struct list {
	struct config_route *route;
	const char *key; /* "allow" */
	struct config_rule *rules;
	unsigned n;
};

static int add(struct check *check, struct list *list, const struct config_rule *rule)
{
	list->rules = arena_grow(check->arena, list->rules, list->n, sizeof(*list->rules));
	if (!list->rules)
		return -ENOMEM;
	list->rules[list->n++] = *rule;
	return 0;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool knows_credentials(const struct config_route *route)
{
	for (unsigned i = 0; i < route->n_listen; i++)
		for (unsigned j = 0; j < route->listen[i].n_legs; j++)
			if (route->listen[i].legs[j].row->capabilities & SPLICED_CREDENTIALS)
				return true;
	return false;
}

/* uid:N and gid:N. */
static bool read_id(struct check *check, const struct list *list, const struct setting *setting,
		    uint32_t *id)
{
	int64_t number;

	if (text_parse_number(setting->text + 4, &number) == 0 && number >= 0 &&
	    number < UINT32_MAX) {
		*id = (uint32_t)number;
		return true;
	}
	check_error(
		check, setting->location,
		"%s: \"%s\" needs a number from 0 to %u after \"%.4s\"; for a name write \"%s\"",
		list->key, setting->text, UINT32_MAX - 1, setting->text,
		*setting->text == 'u' ? "user:NAME" : "group:NAME");
	return false;
}

/* A name in a generation was not known when it was written. The name service is not asked when it
 * is read. */
static bool may_ask(const struct check *check)
{
	return !check->generation || check->resolves_names;
}

static bool look_up(enum config_rule_kind kind, const char *name, uint32_t *id)
{
	const struct passwd *user = kind == RULE_UID ? getpwnam(name) : NULL;
	const struct group *group = kind == RULE_GID ? getgrnam(name) : NULL;

	if (user)
		*id = user->pw_uid;
	if (group)
		*id = group->gr_gid;
	return user || group;
}

/* "user:NAME", "group:NAME" */
static bool read_name(struct check *check, const struct list *list, const struct setting *setting,
		      struct config_rule *rule)
{
	const char *name = strchr(setting->text, ':') + 1;
	bool is_user = rule->kind == RULE_UID;

	if (may_ask(check) && look_up(rule->kind, name, &rule->id))
		return true;
	if (!check_may_wait(check))
		check_error(
			check, setting->location,
			"%s: there is no %s \"%s\"; name one that exists, or write \"%s:NUMBER\"",
			list->key, is_user ? "user" : "group", name, is_user ? "uid" : "gid");
	return false;
}

/* In a user namespace that does not map the id no process can be seen with it: the rule would never
 * match. */
static bool check_mapped(struct check *check, const struct list *list,
			 const struct setting *setting, const struct config_rule *rule)
{
	enum identity kind = rule->kind == RULE_UID ? IDENTITY_UID : IDENTITY_GID;

	if (check->generation || identity_is_mapped(kind, rule->id))
		return true;
	check_error(
		check, setting->location,
		"%s: \"%s\" means %s %u, which is not mapped in spliced's user namespace (/proc/self/%s), so that peers cannot be recognized "
		"by it; start spliced without a user namespace (PrivateUsers=no), or map the id",
		list->key, setting->text, kind == IDENTITY_UID ? "the user" : "the group", rule->id,
		kind == IDENTITY_UID ? "uid_map" : "gid_map");
	return false;
}

static int add_id(struct check *check, struct list *list, const struct setting *setting,
		  struct config_rule *rule)
{
	bool well;

	rule->kind = starts_with(setting->text, "uid:") || starts_with(setting->text, "user:")
			     ? RULE_UID
			     : RULE_GID;
	if (list->route->n_listen && !knows_credentials(list->route)) {
		check_error(
			check, setting->location,
			"%s: \"%s\" needs a listener that knows the users of its peers, such as family "
			"\"unix\"; use an address",
			list->key, setting->text);
		return 0;
	}
	if (starts_with(setting->text, "uid:") || starts_with(setting->text, "gid:"))
		well = read_id(check, list, setting, &rule->id);
	else
		well = read_name(check, list, setting, rule);
	if (!well && check_may_wait(check) && setting->text[1] != 'i') {
		rule->kind = RULE_UNKNOWN;
		list->route->waits_for_names = true;
		return add(check, list, rule);
	}
	return well && check_mapped(check, list, setting, rule) ? add(check, list, rule) : 0;
}

/* Has an endpoint before this one asked the family already? */
static bool is_asked(const struct config_route *route, unsigned endpoint, unsigned leg)
{
	const struct family *family = route->listen[endpoint].legs[leg].family;

	for (unsigned i = 0; i <= endpoint; i++)
		for (unsigned j = 0; j < (i == endpoint ? leg : route->listen[i].n_legs); j++)
			if (route->listen[i].legs[j].family == family)
				return true;
	return false;
}

/* Offers the rule to one family. Positive: it took it. */
static int offer(struct check *check, struct list *list, const struct family *family,
		 struct config_rule *rule, char *why, size_t size)
{
	char text[256] = "";
	int64_t r = -EINVAL;

	rule->rule = (struct spliced_rule){.size = sizeof(rule->rule)};
	if (family->plugin.rule &&
	    !answers_know(check, ANSWER_RULE, &r, rule->rule.bytes, sizeof(rule->rule.bytes))) {
		r = CALLBACK(family, rule,
			     family->plugin.rule(rule->text, &rule->rule, text, sizeof(text)));
		answers_note(check, ANSWER_RULE, r, rule->rule.bytes, sizeof(rule->rule.bytes));
	}
	if (r < 0) {
		if (!*why)
			memcpy(why, text, size < sizeof(text) ? size : sizeof(text));
		return 0;
	}
	rule->kind = RULE_ADDRESS;
	rule->family = family;
	return add(check, list, rule) < 0 ? -ENOMEM : 1;
}

/* The daemon's own reading, for rows whose peers' addresses it knows. Positive: it took it, here or
 * for another listener. */
static int read_network(struct check *check, struct list *list, const struct spliced_row *row,
			struct config_rule *rule, char *why, size_t size)
{
	char text[256] = "";

	if (network_parse(row, rule->text, &rule->network, text, sizeof(text)) < 0) {
		if (!*why)
			memcpy(why, text, size < sizeof(text) ? size : sizeof(text));
		return 0;
	}
	for (unsigned i = list->n; i > 0 && list->rules[i - 1].text == rule->text; i--)
		if (!list->rules[i - 1].family &&
		    list->rules[i - 1].network.kind == rule->network.kind &&
		    list->rules[i - 1].network.len == rule->network.len)
			return 1;
	rule->kind = RULE_ADDRESS;
	rule->family = NULL;
	return add(check, list, rule) < 0 ? -ENOMEM : 1;
}

/* Whether listeners of the route have peers with addresses, which rules could match. */
static bool knows_addresses(const struct config_route *route)
{
	for (unsigned i = 0; i < route->n_listen; i++)
		for (unsigned j = 0; j < route->listen[i].n_legs; j++)
			if (route->listen[i].legs[j].family->plugin.rule ||
			    network_is_known(route->listen[i].legs[j].row))
				return true;
	return false;
}

/* "group:www-data" for "www-data" if there is such a group; or NULL. */
static const char *find_identity(const struct check *check, const char *name, char *text,
				 size_t size)
{
	if (!may_ask(check) || strlen(name) > size / 2)
		return NULL;
	if (getgrnam(name))
		snprintf(text, size, "group:%s", name);
	else if (getpwnam(name))
		snprintf(text, size, "user:%s", name);
	else
		return NULL;
	return text;
}

static bool is_everybody(const char *text)
{
	static const char *const words[] = {"all", "any", "*", "everyone", "everybody", "world"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(words[i], text) == 0)
			return true;
	return false;
}

/* What may stand there, by what the listeners know of their peers. */
static const char *expected_rules(const struct config_route *route)
{
	int domain = route->n_listen ? route->listen[0].legs[0].row->domain : AF_UNSPEC;

	if (domain == AF_INET || domain == AF_INET6)
		return "an address or a network, such as \"10.0.0.0/8\", or \"@LIST\"; names are not looked up";
	if (route->n_listen && !knows_credentials(route))
		return "an address of its family, or \"@LIST\"";
	if (route->n_listen && !knows_addresses(route))
		return "\"uid:N\", \"user:NAME\", \"gid:N\", \"group:NAME\" or \"@LIST\"";
	return "an address, \"uid:N\", \"user:NAME\", \"gid:N\", \"group:NAME\" or \"@LIST\"";
}

static void report_rule(struct check *check, const struct list *list, const struct setting *setting)
{
	const struct config_route *route = list->route;
	const char *expected = expected_rules(route), *nearest;
	char text[128];

	if (is_everybody(setting->text) && strcmp(list->key, "allow") == 0)
		check_error(check, setting->location,
			    "allow: \"%s\" is not a rule; without allow, all clients are accepted",
			    setting->text);
	else if (is_everybody(setting->text))
		check_error(check, setting->location,
			    "deny: \"%s\" is not a rule; use allow = [ ] to refuse all clients",
			    setting->text);
	else if (knows_credentials(route) &&
		 (nearest = find_identity(check, setting->text, text, sizeof(text))))
		check_error(check, setting->location,
			    "%s: \"%s\" is not a rule; did you mean \"%s\"?", list->key,
			    setting->text, nearest);
	else if (route->n_listen && knows_credentials(route) && !knows_addresses(route))
		check_error(
			check, setting->location,
			"%s: \"%s\" is not a rule here: peers of family \"%s\" have no addresses; it must be %s",
			list->key, setting->text, route->listen[0].family, expected);
	else
		check_error(check, setting->location, "%s: \"%s\" is not a rule; it must be %s",
			    list->key, setting->text, expected);
}

/* Reports a rule that no family accepted; why: the error of the first one, or "". */
static void report_untaken(struct check *check, const struct list *list,
			   const struct setting *setting, const char *why)
{
	if (*why)
		check_error(check, setting->location, "%s: %s", list->key, why);
	else
		report_rule(check, list, setting);
}

/* The listeners are wrong, which was reported: a rule that no family at all accepts is wrong in any
 * case. */
static int ask_any(struct check *check, struct list *list, const struct setting *setting,
		   struct config_rule *rule)
{
	struct report ignored = {0};
	struct spliced_rule tried = {.size = sizeof(tried)};
	char text[256], why[256] = "";
	bool taken = false;

	if (check->generation)
		return 0;
	families_load_all(check->families, &ignored);
	report_done(&ignored);
	for (const struct family *family = check->families->first; family && !taken;
	     family = family->next) {
		for (uint32_t i = 0; i < family->plugin.n_rows && !taken; i++) {
			taken = network_parse(&family->rows[i], rule->text, &rule->network, text,
					      sizeof(text)) == 0;
			if (!*why)
				memcpy(why, text, sizeof(why));
		}
		if (taken)
			break;
		*text = '\0';
		taken = family->plugin.rule &&
			CALLBACK(family, rule,
				 family->plugin.rule(rule->text, &tried, text, sizeof(text))) >= 0;
		if (!*why)
			memcpy(why, text, sizeof(why));
	}
	if (!taken)
		report_untaken(check, list, setting, why);
	return 0;
}

static int add_address(struct check *check, struct list *list, const struct setting *setting,
		       struct config_rule *rule)
{
	const struct config_route *route = list->route;
	char why[256] = "";
	bool taken = false;
	int r;

	if (route->n_listen == 0)
		return ask_any(check, list, setting, rule);
	for (unsigned i = 0; i < route->n_listen; i++) {
		for (unsigned j = 0; j < route->listen[i].n_legs; j++) {
			const struct config_leg *leg = &route->listen[i].legs[j];

			r = read_network(check, list, leg->row, rule, why, sizeof(why));
			if (r == 0 && !is_asked(route, i, j))
				r = offer(check, list, leg->family, rule, why, sizeof(why));
			if (r < 0)
				return r;
			taken = taken || r > 0;
		}
	}
	if (!taken)
		report_untaken(check, list, setting, why);
	return 0;
}

static int read_rule(struct check *check, struct list *list, const struct setting *setting)
{
	struct config_rule rule = {.location = setting->location};

	if (text_utf8_len(setting->text, strlen(setting->text)) < strlen(setting->text)) {
		check_error(check, setting->location,
			    "%s contains a string with bytes that are not UTF-8", list->key);
		return 0;
	}
	rule.text = arena_copy_text(check->arena, setting->text);
	if (!rule.text)
		return -ENOMEM;
	if (starts_with(rule.text, "uid:") || starts_with(rule.text, "gid:") ||
	    starts_with(rule.text, "user:") || starts_with(rule.text, "group:"))
		return add_id(check, list, setting, &rule);
	return add_address(check, list, setting, &rule);
}

static void report_list(struct check *check, const struct list *list, const struct setting *setting)
{
	struct text_nearest nearest;

	text_nearest_init(&nearest, setting->text + 1);
	for (const struct setting *known = check->lists ? check->lists->first : NULL; known;
	     known = known->next)
		text_nearest_offer(&nearest, known->name);
	if (nearest.best)
		check_error(check, setting->location,
			    "%s: there is no list \"%s\"; did you mean \"@%s\"?", list->key,
			    setting->text, nearest.best);
	else
		check_error(check, setting->location,
			    "%s: there is no list \"%s\"; define it in lists: { ... };", list->key,
			    setting->text);
}

static int expand(struct check *check, struct list *list, const struct setting *setting)
{
	const struct setting *found =
		check->lists ? setting_find(check->lists, setting->text + 1) : NULL;
	int r = 0;

	if (!found) {
		report_list(check, list, setting);
		return 0;
	}
	for (const struct setting *element = found->first; element && r == 0;
	     element = element->next)
		if (element->type == SETTING_STRING && *element->text != '@' && !element->damaged)
			r = read_rule(check, list, element);
	return r;
}

int rule_read_list(struct check *check, struct config_route *route, const char *key,
		   const struct setting *setting, struct config_rule **rules, unsigned *n_rules)
{
	struct list list = {.route = route, .key = key};
	int r = 0;

	if (setting->type != SETTING_LIST && !setting->damaged)
		check_error(check, setting->location,
			    "%s is %s; it must be a list of strings, such as [ \"10.0.0.0/8\" ]",
			    key, setting_type_name(setting));
	for (const struct setting *element = setting->first;
	     setting->type == SETTING_LIST && element && r == 0; element = element->next) {
		if (element->damaged)
			continue;
		if (element->type != SETTING_STRING)
			check_error(
				check, element->location,
				"%s contains %s; it may contain only strings, such as \"10.0.0.0/8\"",
				key, setting_type_name(element));
		else
			r = *element->text == '@' ? expand(check, &list, element)
						  : read_rule(check, &list, element);
	}
	*rules = list.rules;
	*n_rules = list.n;
	return r;
}

static void check_list(struct check *check, const struct setting *list)
{
	if (list->type != SETTING_LIST) {
		check_error(
			check, list->location,
			"lists.%s is %s; it must be a list of strings, such as [ \"10.0.0.0/8\" ]",
			list->name, setting_type_name(list));
		return;
	}
	for (const struct setting *element = list->first; element; element = element->next) {
		if (element->damaged)
			continue;
		if (element->type != SETTING_STRING)
			check_error(check, element->location,
				    "lists.%s contains %s; it may contain only strings", list->name,
				    setting_type_name(element));
		else if (*element->text == '@')
			check_error(
				check, element->location,
				"lists.%s contains \"%s\"; a list cannot contain another list, write out "
				"its entries",
				list->name, element->text);
	}
}

void rule_check_lists(struct check *check, const struct setting *lists)
{
	if (lists->type != SETTING_GROUP) {
		check_error(check, lists->location,
			    "lists is %s; it must be a group, such as lists: { NAME = [ ... ]; };",
			    setting_type_name(lists));
		return;
	}
	for (const struct setting *list = lists->first; list; list = list->next)
		check_list(check, list);
}
