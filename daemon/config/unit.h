/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A target's systemd unit: the service that its first client starts. */
#pragma once

#include <stdbool.h>

struct check;
struct config_endpoint;

/* Reads unit and idle_stop of an endpoint, and reports what is wrong with them. */
void unit_read(struct check *check, struct config_endpoint *endpoint);

/* Whether it is the name of a service that can be started, as systemd.unit(5) has it. */
bool unit_name_is_valid(const char *name);
