/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reload has changed, for the log. */
#pragma once

struct config;

/* A line each route that is added, changed or removed; of many, the first. */
void changes_log(const struct config *before, const struct config *now);
