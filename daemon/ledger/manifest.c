/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manifest. */
#include "ledger/manifest.h"

#include "ledger/ledger.h"

struct visitor {
	int (*visit)(int32_t *fd, void *data);
	void *data;
};

static int call(const struct visitor *visitor, int32_t *fd)
{
	return *fd >= 0 ? visitor->visit(fd, visitor->data) : 0;
}

static int visit_listeners(struct ledger *ledger, const struct visitor *visitor)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		for (uint32_t k = 0; ledger->listeners[i].state != LISTENER_FREE &&
				     k < ledger_sockets(&ledger->listeners[i]) && !r;
		     k++)
			r = call(visitor, &ledger->listeners[i].fds[k]);
	return r;
}

static int visit_sessions(struct ledger *ledger, const struct visitor *visitor)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		struct ledger_session *record = &ledger->sessions[i];

		for (int k = 0; record->state != SESSION_FREE && k < 2 && !r; k++) {
			r = call(visitor, &record->fd[k]);
			if (!r)
				r = call(visitor, &record->direction[k].pipe);
			if (!r)
				r = call(visitor, &record->stage[k]);
		}
	}
	return r;
}

int manifest_visit(struct ledger *ledger, int (*visit)(int32_t *fd, void *data), void *data)
{
	struct visitor visitor = {visit, data};
	int r = call(&visitor, &ledger->keeper->control_fd);

	for (int i = 0; i < PASSED_MAX && !r; i++)
		if (*ledger->keeper->passed[i].name)
			r = call(&visitor, &ledger->keeper->passed[i].fd);
	for (int i = 0; i < LEDGER_CONTROLS_MAX && !r; i++)
		if (ledger->controls[i].state != CONTROL_FREE)
			r = call(&visitor, &ledger->controls[i].fd);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX && !r; i++)
		if (ledger->generations[i].number)
			r = call(&visitor, &ledger->generations[i].fd);
	if (!r)
		r = visit_listeners(ledger, &visitor);
	return r ? r : visit_sessions(ledger, &visitor);
}
