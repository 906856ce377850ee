/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

struct check;
struct config_endpoint;
struct config_leg;
struct config_route;

/* Asks the family of a leg for its address. Errors are reported. */
void ask_address(struct check *check, const struct config_route *route,
		 const struct config_endpoint *endpoint, struct config_leg *leg);

/* Asks whether any message may be sent to it. */
void ask_mute(struct check *check, struct config_leg *leg);

/* Asks the family of a leg, whose route is valid, what it needs from the system and whether it has
 * a sidecar. */
void ask_system(struct check *check, const struct config_endpoint *endpoint,
		struct config_leg *leg);
