/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings of the daemon itself that can change while it runs. */
#include "keeper/start.h"

#include "base/log.h"
#include "config/config.h"
#include "control/status.h"
#include "ledger/generation.h"
#include "ledger/original.h"

#include <stdio.h>
#include <string.h>

static const struct spliced_value *setting(const struct config *config,
					   enum config_daemon_option option)
{
	return &config->daemon[option].value;
}

void start_set_log_format(const struct config *config)
{
	log_set_format(strcmp(setting(config, DAEMON_LOG_FORMAT)->text, "json") ? LOG_FORMAT_TEXT
										: LOG_FORMAT_JSON);
}

/* Of a configuration that was read just now. */
static const char *find_unread(const struct config *config)
{
	for (unsigned i = 1; i < config->files.n; i++)
		if (!config_can_read(config->files.names[i]))
			return config->files.names[i];
	return "";
}

void start_note_files(struct start *start, const struct config *config)
{
	char *unread = start->ledger.keeper->unread;

	snprintf(unread, sizeof start->ledger.keeper->unread, "%s", find_unread(config));
	original_note_words(&start->ledger, unread, sizeof start->ledger.keeper->unread);
	start->ledger.keeper->file_digest = status_files_digest(config);
	original_note_words(&start->ledger, &start->ledger.keeper->file_digest,
			    sizeof start->ledger.keeper->file_digest);
}

static bool differs(const struct spliced_value *a, const struct spliced_value *b)
{
	if (a->text && b->text)
		return strcmp(a->text, b->text) != 0;
	return !a->text != !b->text || a->number != b->number;
}

/* What the start has decided once and for all. */
static void note_later(const struct config *before, const struct config *now)
{
	static const char upgrade[] =
		"splicectl upgrade, or a restart of the service, which keep all sessions",
			  stop[] = "a stop and a start";
	static const struct {
		enum config_daemon_option option;
		const char *name, *remedy;
	} later[] = {
		{DAEMON_WORKERS, "workers", upgrade},
		{DAEMON_MAX_SESSIONS, "max_sessions", upgrade},
		{DAEMON_LOG_TO, "log.to", upgrade},
		{DAEMON_PLUGIN_DIR, "plugin_dir", upgrade},
		{DAEMON_CONTROL_PATH, "control.path", upgrade},
		{DAEMON_CONTROL_MODE, "control.mode", stop},
		{DAEMON_CONTROL_GROUP, "control.group", stop},
		{DAEMON_USER, "user", stop},
		{DAEMON_GROUP, "group", stop},
	};

	for (size_t i = 0; i < sizeof later / sizeof *later; i++)
		if (differs(setting(before, later[i].option), setting(now, later[i].option)))
			log_notice("daemon.%s has changed: applying it requires %s", later[i].name,
				   later[i].remedy);
}

void start_apply(struct start *start, const struct config *config)
{
	static int applied = -1;
	int level = log_level_from_name(setting(config, DAEMON_LOG_LEVEL)->text);

	if (start->settled)
		note_later(start->generations->next->config, config);
	/* What splicectl set stays until the file's value changes. */
	if (level != applied)
		atomic_store(&start->ledger.keeper->log_level, level);
	applied = level;
	start_set_log_format(config);
	start_note_files(start, config);
}
