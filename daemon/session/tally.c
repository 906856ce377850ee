/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tally. Its counts are in the ledger: those of a route in a column for each thread, a
 * session's waiting messages also in its flow's record. */
#include "session/tally.h"

#include "base/assert.h"
#include "config/config.h"
#include "ledger/generation.h"
#include "session/session.h"
#include "session/thread.h"

#include <sys/ioctl.h>

void tally_receive(const struct session *session, unsigned s, uint64_t count)
{
	assert(s < 2);
	if (!session->side[s].format)
		ledger_count(&session_counter(session)->received[s], count);
}

/* ---- batches ---- */

static struct mmsghdr *headers_of(struct ledger_thread *record)
{
	return record->batch == BATCH_TAKEN ? record->in : record->out;
}

static _Atomic uint64_t *count_of(const struct ledger *ledger, uint32_t thread)
{
	const struct ledger_thread *record = &ledger->threads[thread];
	struct ledger_counter *counter = ledger_counter(ledger, thread, record->batch_route);

	return record->batch == BATCH_TAKEN ? &counter->received[record->batch_direction]
					    : &counter->messages[record->batch_direction];
}

void tally_begin(const struct thread *thread, enum ledger_batch batch, uint32_t route_slot,
		 unsigned d, unsigned count)
{
	const struct ledger_counter *counter =
		ledger_counter(thread->worker->ledger, thread->index, route_slot);
	struct ledger_thread *record = thread->record;

	assert(d < 2 && count <= LEDGER_BATCH_MAX);
	assert(record->batch == BATCH_NONE);
	record->batch_route = route_slot;
	record->batch_direction = d;
	record->batch_size = count;
	record->batch_before = batch == BATCH_TAKEN ? counter->received[d] : counter->messages[d];
	for (unsigned i = 0; i < count; i++)
		(batch == BATCH_TAKEN ? record->in : record->out)[i].msg_len = BATCH_UNTOUCHED;
	atomic_store_explicit(&record->batch, batch, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

void tally_begin_batch(const struct session *session, enum ledger_batch batch, unsigned d,
		       unsigned count)
{
	tally_begin(session->thread, batch,
		    session->generation->route_slots[session_record(session)->route], d, count);
}

void tally_end(const struct thread *thread, uint64_t done)
{
	ledger_count(count_of(thread->worker->ledger, thread->index), done);
	atomic_store_explicit(&thread->record->batch, BATCH_NONE, memory_order_release);
}

/* How much the kernel did in a call whose result the dead worker did not get, or did not count. */
static void finish_batch(const struct ledger *ledger, uint32_t thread)
{
	struct ledger_thread *record = &ledger->threads[thread];
	const struct mmsghdr *headers = headers_of(record);
	_Atomic uint64_t *count = count_of(ledger, thread);
	uint32_t done = 0;

	if (record->batch == BATCH_NONE)
		return;
	while (done < record->batch_size && headers[done].msg_len != BATCH_UNTOUCHED)
		done++;
	if (*count - record->batch_before <= LEDGER_BATCH_MAX)
		*count = record->batch_before + done;
	atomic_store_explicit(&record->batch, BATCH_NONE, memory_order_release);
}

/* ---- pipes ---- */

static void announce(const struct session *session, unsigned d, enum ledger_held_step step,
		     uint32_t after, uint64_t until)
{
	struct ledger_flow *flow = session_flow(session);

	flow->after[d] = after;
	flow->until[d] = (uint32_t)until;
	atomic_store_explicit(&flow->step[d], step, memory_order_release);
	/* A compiler fence is enough: only a crash of this process must not overtake the stores. */
	atomic_signal_fence(memory_order_seq_cst);
}

static void rest(const struct session *session, unsigned d)
{
	atomic_store_explicit(&session_flow(session)->step[d], HELD_RESTS, memory_order_release);
}

/* For an heir, which may find that a message was sent but not received. */
static void note_way(const struct session *session, unsigned d)
{
	struct ledger_thread *record = session->thread->record;

	record->batch_route = session->generation->route_slots[session_record(session)->route];
	record->batch_direction = d;
}

void tally_put(const struct session *session, unsigned d, uint64_t count, size_t bytes)
{
	assert(d < 2);
	assert(session_record(session)->direction[d].pipe >= 0 || !count);
	note_way(session, d);
	announce(session, d, HELD_PUT, session_flow(session)->held[d] + (uint32_t)count,
		 session->direction[d].fill + bytes);
}

void tally_was_put(const struct session *session, unsigned d, bool done)
{
	struct ledger_flow *flow = session_flow(session);
	uint32_t count = flow->after[d] - flow->held[d];

	if (done) {
		atomic_store_explicit(&flow->held[d], flow->after[d], memory_order_release);
		ledger_count(&session_counter(session)->waiting, count);
	}
	rest(session, d);
}

void tally_take(const struct session *session, unsigned d, uint64_t count, size_t bytes)
{
	uint32_t held = session_flow(session)->held[d], fill = session->direction[d].fill;

	announce(session, d, HELD_TAKEN, count < held ? held - (uint32_t)count : 0,
		 bytes < fill ? fill - bytes : 0);
}

void tally_was_taken(const struct session *session, unsigned d, bool done)
{
	const struct ledger_flow *flow = session_flow(session);

	if (done && flow->held[d] > flow->after[d])
		tally_let_go(session, d, flow->held[d] - flow->after[d]);
	rest(session, d);
}

void tally_let_go(const struct session *session, unsigned d, uint64_t count)
{
	_Atomic uint32_t *held = &session_flow(session)->held[d];

	assert(d < 2);
	count = count < *held ? count : *held;
	atomic_fetch_sub_explicit(held, (uint32_t)count, memory_order_relaxed);
	ledger_count(&session_counter(session)->waiting, -count);
}

void tally_send_held(const struct session *session, unsigned d)
{
	_Atomic uint64_t *messages = &session_counter(session)->messages[d];
	uint32_t held = session_flow(session)->held[d];

	if (!held)
		return;
	announce(session, d, HELD_SENT, 0, *messages + held);
	ledger_count(messages, held);
	atomic_signal_fence(memory_order_seq_cst);
	tally_let_go(session, d, held);
	rest(session, d);
}

void tally_lose_held(const struct session *session, unsigned d)
{
	uint32_t held;

	/* The flow of a session that only relays is not touched. */
	if (!session->exchanges && session_record(session)->direction[d].pipe < 0)
		return;
	held = session_flow(session)->held[d];
	tally_let_go(session, d, held);
	ledger_count(&session_counter(session)->dropped[DROPPED_UNREACHABLE], held);
}

void tally_return(const struct session *session, unsigned d)
{
	assert(d < 2);
	ledger_count(&session_counter(session)->returned[d], 1);
}

/* ---- adoption ---- */

static void count_sent(struct ledger_flow *flow, unsigned d, struct ledger_counter *counter)
{
	if (flow->step[d] != HELD_SENT) {
		flow->until[d] = (uint32_t)counter->messages[d] + flow->held[d];
		atomic_store_explicit(&flow->step[d], HELD_SENT, memory_order_release);
	}
	if ((uint32_t)counter->messages[d] != flow->until[d])
		ledger_count(&counter->messages[d], flow->held[d]);
	atomic_store_explicit(&flow->held[d], 0, memory_order_release);
}

/* Whether the action that the previous worker announced was done. */
static bool is_done(const struct ledger_flow *flow, unsigned d, uint32_t bytes)
{
	switch ((enum ledger_held_step)flow->step[d]) {
	case HELD_PUT:
		return bytes >= flow->until[d];
	case HELD_TAKEN:
		return bytes <= flow->until[d];
	case HELD_RESTS:
	case HELD_SENT:
		break;
	}
	return false;
}

/* Counts what is in the pipe: if it is empty without a recorded read, all was moved to its sink. */
static void settle_held(const struct ledger_session *record, struct ledger_flow *flow, unsigned d,
			struct ledger_counter *counter)
{
	int bytes = 0;

	if (ioctl(record->direction[d].pipe, FIONREAD, &bytes) < 0)
		flow->held[d] = 0;
	if (is_done(flow, d, (uint32_t)bytes))
		atomic_store_explicit(&flow->held[d], flow->after[d], memory_order_release);
	if (flow->step[d] == HELD_SENT || (!bytes && flow->held[d]))
		count_sent(flow, d, counter);
	flow->step[d] = HELD_RESTS;
	ledger_count(&counter->waiting, flow->held[d]);
}

static void adopt_session(const struct worker *worker, uint32_t slot)
{
	const struct ledger_session *record = &worker->ledger->sessions[slot];
	const struct generation *generation =
		generation_find(worker->generations, record->generation);
	struct ledger_flow *flow = &worker->ledger->flows[slot];

	/* The flow of a session that only relays is not touched: it has messages in a pipe, or
	 * none. */
	for (unsigned d = 0; d < 2; d++)
		if (record->direction[d].pipe >= 0)
			settle_held(record, flow, d,
				    ledger_counter(worker->ledger, record->thread,
						   generation->route_slots[record->route]));
}

/* A thread that received more than is accounted for had messages in hand, which are lost. If it
 * received less, messages were sent already that will be received again. */
static void balance(const struct ledger *ledger, uint32_t thread, uint32_t slot)
{
	const struct ledger_thread *record = &ledger->threads[thread];
	struct ledger_counter *counter = ledger_counter(ledger, thread, slot);
	unsigned way = record->batch_route == slot ? record->batch_direction : 0;
	uint64_t missing = 0;

	for (unsigned d = 0; d < 2; d++)
		missing += counter->received[d] - counter->messages[d] + counter->returned[d];
	for (unsigned i = 0; i < DROPPED_REASONS; i++)
		missing -= counter->dropped[i];
	missing -= counter->waiting;
	if ((int64_t)missing > 0)
		ledger_count(&counter->dropped[DROPPED_CRASH], missing);
	else
		ledger_count(&counter->received[way], -missing);
}

static bool has_format(const struct config_route *route)
{
	bool found = false;

	for (unsigned i = 0; i < route->n_listen; i++)
		found |= route->listen[i].format != NULL;
	for (unsigned i = 0; i < route->n_dial; i++)
		found |= route->dial[i].format != NULL;
	for (unsigned i = 0; i < route->n_targets; i++)
		found |= route->targets[i].format != NULL;
	return found;
}

void tally_adopt(const struct worker *worker)
{
	const struct ledger *ledger = worker->ledger;
	const struct generation *newest = worker->generations;

	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		finish_batch(ledger, thread);
	for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
		for (uint32_t i = 0; i < ledger_routes_high(ledger); i++)
			if (ledger->routes[i].used)
				ledger_counter(ledger, thread, i)->waiting = 0;
	for (uint32_t i = 0; i < ledger_sessions_high(ledger); i++)
		if (ledger->sessions[i].state != SESSION_FREE)
			adopt_session(worker, i);
	for (unsigned i = 0; i < newest->config->n_routes; i++)
		if (!has_format(&newest->config->routes[i]))
			for (uint32_t thread = 0; thread <= ledger->n_threads; thread++)
				balance(ledger, thread, newest->route_slots[i]);
}
