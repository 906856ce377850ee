/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may come. Users and groups are the daemon's own words, for listeners that know their peers'
 * credentials; anything else is for the listening families to read. Where two of them take one text
 * (`ip`: inet and inet6), there are two rules that share it.
 */
#include "config/rule.h"

#include "base/text.h"
#include "config/check.h"
#include "config/node.h"
#include "config/owner.h"
#include "net/callback.h"
#include "net/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

struct list {
	struct config_route *route;
	const char *key; /* "allow" */
	struct config_rule *rules;
	unsigned n;
};

static int add(struct check *check, struct list *list, const struct config_rule *rule)
{
	list->rules = owner_grow(check->owner, list->rules, list->n, sizeof(*list->rules));
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
static bool read_id(struct check *check, const struct list *list, const struct node *node,
		    uint32_t *id)
{
	int64_t number;

	if (text_parse_number(node->text + 4, &number) == 0 && number >= 0 && number < UINT32_MAX) {
		*id = (uint32_t)number;
		return true;
	}
	check_error(
		check, node->place,
		"%s: \"%s\" has no number from 0 to %u behind \"%.4s\"; for a name write \"%s\"",
		list->key, node->text, UINT32_MAX - 1, node->text,
		*node->text == 'u' ? "user:NAME" : "group:NAME");
	return false;
}

/* What a generation names was not known when it was written. Whoever reads it does not ask the name service. */
static bool may_ask(const struct check *check)
{
	return !check->generation || check->resolves_names;
}

static bool may_wait(const struct check *check)
{
	return check->generation || check->names_may_wait;
}

static bool read_user(struct check *check, const struct list *list, const struct node *node,
		      uint32_t *id)
{
	const char *name = node->text + strlen("user:");
	const struct passwd *user = may_ask(check) ? getpwnam(name) : NULL;

	if (user)
		*id = user->pw_uid;
	else if (!may_wait(check))
		check_error(check, node->place,
			    "%s: there is no user \"%s\"; name one that exists, or write "
			    "\"uid:NUMBER\"",
			    list->key, name);
	return user;
}

static bool read_group(struct check *check, const struct list *list, const struct node *node,
		       uint32_t *id)
{
	const char *name = node->text + strlen("group:");
	const struct group *group = may_ask(check) ? getgrnam(name) : NULL;

	if (group)
		*id = group->gr_gid;
	else if (!may_wait(check))
		check_error(check, node->place,
			    "%s: there is no group \"%s\"; name one that exists, or write "
			    "\"gid:NUMBER\"",
			    list->key, name);
	return group;
}

/* In a user namespace that does not map it nobody can be seen to have the id: the rule would allow, or deny, nobody. */
static bool check_mapped(struct check *check, const struct list *list, const struct node *node, const struct config_rule *rule)
{
	enum identity kind = rule->kind == RULE_UID ? IDENTITY_UID : IDENTITY_GID;

	if (check->generation || identity_is_mapped(kind, rule->id))
		return true;
	check_error(check, node->place,
		    "%s: \"%s\" means %s %u, whom the user namespace that spliced is in does not map (/proc/self/%s), so that it can tell "
		    "nobody by it; start it without such a namespace (PrivateUsers=no), or map the id",
		    list->key, node->text, kind == IDENTITY_UID ? "the user" : "the group", rule->id,
		    kind == IDENTITY_UID ? "uid_map" : "gid_map");
	return false;
}

static int add_id(struct check *check, struct list *list, const struct node *node,
		  struct config_rule *rule)
{
	bool well;

	rule->kind = starts_with(node->text, "uid:") || starts_with(node->text, "user:") ? RULE_UID
											 : RULE_GID;
	if (list->route->n_listen && !knows_credentials(list->route)) {
		check_error(check, node->place,
			    "%s: \"%s\" needs a listener that knows its peers' users, as family "
			    "\"unix\"; use an address",
			    list->key, node->text);
		return 0;
	}
	if (starts_with(node->text, "uid:") || starts_with(node->text, "gid:"))
		well = read_id(check, list, node, &rule->id);
	else if (rule->kind == RULE_UID)
		well = read_user(check, list, node, &rule->id);
	else
		well = read_group(check, list, node, &rule->id);
	if (!well && may_wait(check) && node->text[1] != 'i') {
		rule->kind = RULE_UNKNOWN;
		list->route->waits_for_names = true;
		return add(check, list, rule);
	}
	return well && check_mapped(check, list, node, rule) ? add(check, list, rule) : 0;
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

	if (family->plugin.rule && !answers_know(check, ANSWER_RULE, &r, &rule->rule, sizeof(rule->rule))) {
		r = CALLBACK(family, rule, family->plugin.rule(rule->text, &rule->rule, text, sizeof(text)));
		answers_note(check, ANSWER_RULE, r, &rule->rule, sizeof(rule->rule));
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

static int add_address(struct check *check, struct list *list, const struct node *node,
		       struct config_rule *rule)
{
	const struct config_route *route = list->route;
	char why[256] = "";
	bool taken = route->n_listen == 0; /* nobody to ask: something else is wrong */
	int r;

	for (unsigned i = 0; i < route->n_listen; i++) {
		for (unsigned j = 0; j < route->listen[i].n_legs; j++) {
			if (is_asked(route, i, j))
				continue;
			r = offer(check, list, route->listen[i].legs[j].family, rule, why,
				  sizeof(why));
			if (r < 0)
				return r;
			taken = taken || r > 0;
		}
	}
	if (!taken && *why)
		check_error(check, node->place, "%s: %s", list->key, why);
	else if (!taken)
		check_error(
			check, node->place,
			"%s: \"%s\" is no rule; write an address as family \"%s\" does, \"uid:N\", "
			"\"user:NAME\", \"@LIST\"",
			list->key, node->text, route->listen[0].family);
	return 0;
}

static int read_rule(struct check *check, struct list *list, const struct node *node)
{
	struct config_rule rule = {.place = node->place};

	if (text_utf8_len(node->text, strlen(node->text)) < strlen(node->text)) {
		check_error(check, node->place, "%s holds a string with bytes that are not UTF-8", list->key);
		return 0;
	}
	rule.text = owner_copy_text(check->owner, node->text);
	if (!rule.text)
		return -ENOMEM;
	if (starts_with(rule.text, "uid:") || starts_with(rule.text, "gid:") ||
	    starts_with(rule.text, "user:") || starts_with(rule.text, "group:"))
		return add_id(check, list, node, &rule);
	return add_address(check, list, node, &rule);
}

static void report_list(struct check *check, const struct list *list, const struct node *node)
{
	struct text_nearest nearest;

	text_nearest_init(&nearest, node->text + 1);
	for (const struct node *known = check->lists ? check->lists->first : NULL; known;
	     known = known->next)
		text_nearest_offer(&nearest, known->name);
	if (nearest.best)
		check_error(check, node->place,
			    "%s: there is no list \"%s\"; did you mean \"@%s\"?", list->key,
			    node->text, nearest.best);
	else
		check_error(check, node->place,
			    "%s: there is no list \"%s\"; define it in lists: { ... };", list->key,
			    node->text);
}

static int expand(struct check *check, struct list *list, const struct node *node)
{
	const struct node *found =
		check->lists ? node_find(check->lists, node->text + 1, strlen(node->text + 1))
			     : NULL;
	int r = 0;

	if (!found) {
		report_list(check, list, node);
		return 0;
	}
	for (const struct node *element = found->first; element && r == 0; element = element->next)
		if (element->type == NODE_STRING && *element->text != '@' && !element->damaged)
			r = read_rule(check, list, element);
	return r;
}

int rule_read_list(struct check *check, struct config_route *route, const char *key,
		   const struct node *node, struct config_rule **rules, unsigned *n_rules)
{
	struct list list = {.route = route, .key = key};
	int r = 0;

	if (node->type != NODE_LIST && !node->damaged)
		check_error(check, node->place,
			    "%s is %s; it must be a list of strings, as [ \"10.0.0.0/8\" ]", key,
			    node_type_name(node));
	for (const struct node *element = node->first; node->type == NODE_LIST && element && r == 0;
	     element = element->next) {
		if (element->damaged)
			continue;
		if (element->type != NODE_STRING)
			check_error(check, element->place,
				    "%s holds %s; it must hold strings, as \"10.0.0.0/8\"", key,
				    node_type_name(element));
		else
			r = *element->text == '@' ? expand(check, &list, element)
						  : read_rule(check, &list, element);
	}
	*rules = list.rules;
	*n_rules = list.n;
	return r;
}

static void check_list(struct check *check, const struct node *list)
{
	if (list->type != NODE_LIST) {
		check_error(check, list->place,
			    "lists.%s is %s; it must be a list of strings, as [ \"10.0.0.0/8\" ]",
			    list->name, node_type_name(list));
		return;
	}
	for (const struct node *element = list->first; element; element = element->next) {
		if (element->damaged)
			continue;
		if (element->type != NODE_STRING)
			check_error(check, element->place,
				    "lists.%s holds %s; it must hold strings", list->name,
				    node_type_name(element));
		else if (*element->text == '@')
			check_error(check, element->place,
				    "lists.%s holds \"%s\"; a list holds no other list, write out "
				    "what is in it",
				    list->name, element->text);
	}
}

void rule_check_lists(struct check *check, const struct node *lists)
{
	if (lists->type != NODE_GROUP) {
		check_error(check, lists->place,
			    "lists is %s; it must be a group, as lists: { NAME = [ ... ]; };",
			    node_type_name(lists));
		return;
	}
	for (const struct node *list = lists->first; list; list = list->next)
		check_list(check, list);
}
