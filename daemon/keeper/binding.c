/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bindings. The family checked which file is ours when it was bound; device and inode are in the
 * record from then on. A record of a release that did not note them accepts the file that exists.
 */
#include "keeper/binding.h"

#include "base/log.h"
#include "config/config.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/original.h"
#include "net/address.h"
#include "net/socket.h"

#include <spliced/plugin.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
	LOOKS = 2048
}; /* listeners that are looked at in a row, once a second: a look is a system call of a microsecond
      or two */

/* NULL: no file. */
static const char *path_of(const struct config_leg *leg)
{
	const struct sockaddr_un *address = (const void *)&leg->address.storage;

	return address->sun_family == AF_UNIX && leg->address.len > sizeof address->sun_family &&
			       address->sun_path[0]
		       ? address->sun_path
		       : NULL;
}

void binding_note(struct ledger_listener *record, const struct config_leg *leg)
{
	const char *path = path_of(leg);
	struct stat file;

	if (!path || lstat(path, &file) < 0)
		return;
	record->file_device = file.st_dev;
	record->file_inode = file.st_ino;
}

static int look_at_file(struct ledger *ledger, struct ledger_listener *record,
			const struct config_leg *leg, const char *path)
{
	struct stat file;

	if (lstat(path, &file) < 0)
		return errno == ENOENT || errno == ENOTDIR ? -errno : 0; /* else it is unknown */
	if (!record->file_inode) {
		original_restore_listener(ledger, record);
		binding_note(record, leg);
		original_note_listener(ledger, record);
	}
	return record->file_device == file.st_dev && record->file_inode == file.st_ino
		       ? 0
		       : -EADDRINUSE;
}

static int look(struct ledger *ledger, struct ledger_listener *record, const struct config_leg *leg)
{
	const char *path = path_of(leg);

	if (atomic_load(&record->useless))
		return -EBADFD;
	/* The family sees to a feed's place itself: its check(). */
	if (leg->row->capabilities & SPLICED_FEED)
		return 0;
	if (path)
		return look_at_file(ledger, record, leg, path);
	return ledger_sockets(record) && record->fds[0] >= 0 &&
			       socket_has_lost_device(record->fds[0])
		       ? -ENODEV
		       : 0;
}

void binding_wait(struct ledger *ledger, struct ledger_listener *record, int error)
{
	original_restore_listener(ledger, record);
	if (record->waits == -error)
		return;
	record->waits = -error;
	original_note_listener(ledger, record);
}

/* What the service manager has bound is its own. */
static bool may_be_lost(const struct ledger_listener *record,
			const struct config_endpoint *endpoint, const struct config_leg *leg)
{
	return record->state == LISTENER_OPEN && leg && !endpoint->values[ENDPOINT_FD].value.text;
}

bool bindings_check(struct ledger *ledger, struct generation *newest)
{
	static uint32_t next;
	uint32_t high = ledger_listeners_high(ledger);
	unsigned looks = 0;
	bool lost = false;

	for (uint32_t i = 0; i < high && looks < LOOKS; i++) {
		struct ledger_listener *record = &ledger->listeners[next++ % high];
		const struct config_endpoint *endpoint = generation_listens(newest, record);
		const struct config_leg *leg = generation_listens_by(newest, record);
		int r, before = record->waits;

		if (record->generation != newest->number || !may_be_lost(record, endpoint, leg))
			continue;
		looks++;
		r = look(ledger, record, leg);
		if (!r || !before)
			binding_wait(ledger, record, r);
		if (r && !before)
			log_warning(
				"route %s: %s: its file or interface is gone (%s): no new client can reach it until it is bound again",
				generation_route(newest, newest->number, record->route)->name,
				endpoint->text, strerror(-r));
		lost |= r && !before;
	}
	return lost;
}
