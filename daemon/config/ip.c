/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An endpoint of `ip` has two legs, inet6 and inet. A number as host leaves the one that it fits,
 * and a listening name with an address of each makes two endpoints of it. Nothing else in this room
 * knows of `ip`.
 */
#include "config/ip.h"

#include "base/arena.h"
#include "base/text.h"
#include "config/config.h"
#include "config/host.h"
#include "language/setting.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* What accepts on both binds inet6 first. */
const char *const ip_families[IP_FAMILIES] = {"inet6", "inet"};

bool ip_is_name(const char *name)
{
	return strcmp(name, IP_NAME) == 0;
}

unsigned ip_expand(const char *const *name, const char *const **ret)
{
	*ret = ip_is_name(*name) ? ip_families : name;
	return ip_is_name(*name) ? IP_FAMILIES : 1;
}

int ip_keep_fitting(struct arena *scratch, const struct setting *group,
		    struct config_endpoint *endpoint)
{
	const struct config_leg *leg = &endpoint->legs[0];
	const struct setting *setting;
	struct host host;
	int option;
	char *text;

	if (endpoint->n_legs < 2)
		return 0;
	option = family_host_option(leg->family, leg->row, endpoint->role);
	if (option < 0)
		return 0;
	setting = setting_find(group, leg->family->options[option].name);
	if (!setting || !setting->text)
		return 0;
	text = arena_take(scratch, strlen(setting->text) + 1, 1);
	if (!text)
		return -ENOMEM;
	if (setting->type == SETTING_TEXT)
		text_decode_percent(setting->text, strlen(setting->text), text);
	else
		strcpy(text, setting->text);
	if (host_parse(text, &host) < 0 || host.len == 0)
		return 0;
	if ((host.kind == HOST_INET) == (endpoint->legs[1].row->domain == AF_INET)) {
		struct config_leg other = endpoint->legs[0];

		endpoint->legs[0] = endpoint->legs[1];
		endpoint->legs[1] = other; /* not counted, but it may explain an unknown key */
	}
	endpoint->n_legs = 1;
	return 0;
}

bool ip_is_divided(const struct config_endpoint *endpoint)
{
	const struct config_leg *a = &endpoint->legs[0], *b = &endpoint->legs[1];

	return endpoint->n_legs == IP_FAMILIES && a->host_option >= 0 &&
	       a->values[a->host_option].value.host && b->values[b->host_option].value.host;
}

struct config_endpoint ip_divide(const struct config_endpoint *endpoint, unsigned leg)
{
	struct config_endpoint one = *endpoint;

	one.legs[0] = endpoint->legs[leg];
	one.legs[1] = (struct config_leg){0};
	one.n_legs = 1;
	one.family = one.legs[0].family->name;
	return one;
}
