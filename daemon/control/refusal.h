/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Negative answers, with the reason. */
#pragma once

#include <jansson.h>

struct config;
struct config_route;

/* Never NULL, which says that there is nothing to refuse: without memory, JSON's null. */
json_t *refusal_say(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* There is no such route, or the route has no such target: the nearest name, or all that fit. */
json_t *refusal_route(const struct config *config, const char *name)
	__attribute__((returns_nonnull));
json_t *refusal_target(const struct config_route *route, const char *name)
	__attribute__((returns_nonnull));
