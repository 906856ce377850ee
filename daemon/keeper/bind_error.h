/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bind errors: why a listening endpoint could not be opened, and what to do about it. */
#pragma once

struct config;
struct config_endpoint;
struct config_route;
struct report;

/* Adds a line for the error (negative errno) of a call, with file and line of the endpoint. Returns
 * the error. */
int bind_error_add(const struct config *config, const struct config_route *route,
		   const struct config_endpoint *endpoint, const char *call, int error,
		   struct report *report);
