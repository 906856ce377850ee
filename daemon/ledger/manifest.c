/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manifest. */
#include "ledger/manifest.h"

#include "ledger/ledger.h"

/* Parts of a place. They never change: another release may have written them (cargo.h). */
enum { RECORD_SHIFT = 16, SECTION_SHIFT = 56 };

struct visitor {
	int (*visit)(int32_t *fd, uint64_t place, void *data);
	void *data;
};

static int call(const struct visitor *visitor, int32_t *fd, enum ledger_section_id section,
		uint32_t record, uint32_t which)
{
	return *fd >= 0 ? visitor->visit(fd,
					 (uint64_t)section << SECTION_SHIFT |
						 (uint64_t)record << RECORD_SHIFT | which,
					 visitor->data)
			: 0;
}

static int visit_listeners(struct ledger *ledger, const struct visitor *visitor)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_listeners_high(ledger); i++)
		for (uint32_t k = 0; ledger->listeners[i].state != LISTENER_FREE &&
				     k < ledger_sockets(&ledger->listeners[i]) && !r;
		     k++)
			r = call(visitor, &ledger->listeners[i].fds[k], LEDGER_LISTENERS, i, k);
	return r;
}

enum { SESSION_FD, SESSION_PIPE, SESSION_STAGE, SESSION_PLACES };

static int visit_sessions(struct ledger *ledger, const struct visitor *visitor)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++) {
		struct ledger_session *record = &ledger->sessions[i];

		for (uint32_t k = 0; record->state != SESSION_FREE && k < 2 && !r; k++) {
			int32_t *fds[] = {&record->fd[k], &record->direction[k].pipe,
					  &record->stage[k]};

			for (uint32_t j = SESSION_FD; j < SESSION_PLACES && !r; j++)
				r = call(visitor, fds[j], LEDGER_SESSIONS, i,
					 k * SESSION_PLACES + j);
		}
	}
	return r;
}

int manifest_visit_places(struct ledger *ledger,
			  int (*visit)(int32_t *fd, uint64_t place, void *data), void *data)
{
	struct visitor visitor = {visit, data};
	int r = call(&visitor, &ledger->keeper->control_fd, LEDGER_KEEPER, 0, 0);

	for (uint32_t i = 0; i < PASSED_MAX && !r; i++)
		if (*ledger->keeper->passed[i].name)
			r = call(&visitor, &ledger->keeper->passed[i].fd, LEDGER_KEEPER, 0, 1 + i);
	for (uint32_t i = 0; i < LEDGER_CONTROLS_MAX && !r; i++)
		if (ledger->controls[i].state != CONTROL_FREE)
			r = call(&visitor, &ledger->controls[i].fd, LEDGER_CONTROLS, i, 0);
	for (uint32_t i = 0; i < LEDGER_GENERATIONS_MAX && !r; i++)
		if (ledger->generations[i].number)
			r = call(&visitor, &ledger->generations[i].fd, LEDGER_GENERATIONS, i, 0);
	if (!r)
		r = visit_listeners(ledger, &visitor);
	return r ? r : visit_sessions(ledger, &visitor);
}

struct plain_visitor {
	int (*visit)(int32_t *fd, void *data);
	void *data;
};

static int call_plain(int32_t *fd, uint64_t place, void *data)
{
	const struct plain_visitor *visitor = data;

	(void)place;
	return visitor->visit(fd, visitor->data);
}

int manifest_visit(struct ledger *ledger, int (*visit)(int32_t *fd, void *data), void *data)
{
	struct plain_visitor visitor = {visit, data};

	return manifest_visit_places(ledger, call_plain, &visitor);
}
