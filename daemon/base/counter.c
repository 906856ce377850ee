/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/counter.h"

/* clang-format off */
const struct counter counters[COUNTERS_COUNT] = {
#define X(number, path, metric, direction, kind, unit, label, help) [number] = {path, metric, direction, kind, unit, label, help},
	COUNTERS(X)
#undef X
};

const struct counter_reason counter_refusals[REFUSED_REASONS] = {
#define X(number, name, help) [number] = {name, help},
	REFUSALS(X)
#undef X
};

const struct counter_reason counter_drops[DROPPED_REASONS] = {
#define X(number, name, help) [number] = {name, help},
	DROPS(X)
#undef X
};
/* clang-format on */
