/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of counters as JSON, for programs that read splicectl's or the metrics' numbers. */
#include "config/describe_counters.h"

#include "base/counter.h"
#include "net/family.h"

static const char *kind_name(enum counter_kind kind)
{
	switch (kind) {
	case COUNTER:
		return "counter";
	case GAUGE:
		return "gauge";
	}
	return NULL;
}

static json_t *list_counters(void)
{
	json_t *list = json_array();

	for (int i = 0; i < COUNTERS_COUNT; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:s}", "path",
					counters[i].path, "metric", counters[i].metric, "direction",
					counters[i].direction, "kind", kind_name(counters[i].kind),
					"unit", counters[i].unit, "help", counters[i].help));
	return list;
}

static json_t *list_reasons(const struct counter_reason *reasons, int n)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", reasons[i].name, "help",
						      reasons[i].help));
	return list;
}

json_t *describe_family_counters(const struct family *family)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < family->plugin.n_counters; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "name", family->counters[i].name,
						"help", family->counters[i].doc));
	return list;
}

static json_t *list_families(const struct families *families)
{
	json_t *ret = json_object();

	for (const struct family *family = families->first; family; family = family->next)
		if (family->plugin.n_counters)
			json_object_set_new(ret, family->name, describe_family_counters(family));
	return ret;
}

json_t *describe_counters(const struct families *families)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "name", COUNTERS_NAME, "summary",
			 COUNTERS_SUMMARY, "counters", list_counters(), "refused",
			 list_reasons(counter_refusals, REFUSED_REASONS), "dropped",
			 list_reasons(counter_drops, DROPPED_REASONS), "plugins",
			 list_families(families));
}
