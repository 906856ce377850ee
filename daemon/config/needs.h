/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a configuration takes of the system: capabilities(7), as a mask where bit N is CAP number N,
 * and socket families. */
#pragma once

#include <stdint.h>

struct config;
struct config_endpoint;

/* Capabilities that opening the endpoint's sockets takes beyond an ordinary user's. */
uint64_t needs_of_endpoint(const struct config_endpoint *endpoint);
uint64_t needs_of_config(const struct config *config);

/* What would be used besides where it is there: buffers past the system's limit. */
uint64_t needs_wishes(const struct config *config);

/* Calls for each endpoint of the enabled routes. */
void needs_each_endpoint(const struct config *config,
			 void (*visit)(const struct config_endpoint *endpoint, void *data),
			 void *data);
