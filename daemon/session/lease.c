/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases. A move can be interrupted at any instruction: tee(2) copies all bytes into the small
 * pipe, or the move is given up; one store puts that pipe into the record; then the large one is
 * emptied. What surprised us: a piece that came by splice(2) uses one slot however large it is, so
 * that 512 KiB may fit into a pipe of 64 KiB. Many small pieces need a larger one; if the kernel
 * grants none, the large pipe stays in use.
 */
#include "session/lease.h"

#include "base/assert.h"
#include "base/clock.h"
#include "session/buffers.h"
#include "session/hand.h"
#include "session/pipe.h"
#include "session/session.h"
#include "session/thread.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

static bool is_large(const struct session *session, unsigned d)
{
	return session_record(session)->direction[d].pipe >= 0 &&
	       session->direction[d].pipe_size >= PIPE_LARGE_BYTES;
}

/* A pipe with the same bytes in it, of at least that size; -1: a larger one is needed, or there is
 * none. */
static int copy(struct pipes *pipes, int pipe, uint32_t bytes, uint32_t at_least, uint32_t *size)
{
	int small = pipe_lend_small(pipes, at_least, size);

	if (small >= 0 && tee(pipe, small, bytes, SPLICE_F_NONBLOCK) != (ssize_t)bytes) {
		pipe_discard(pipes, small, *size);
		return -1;
	}
	return small < 0 ? -1 : small;
}

static void move(struct session *session, unsigned d)
{
	struct pipes *pipes = &session->thread->pipes;
	struct ledger_direction *direction = &session_record(session)->direction[d];
	uint32_t size, old_size = session->direction[d].pipe_size,
		       bytes = session->direction[d].fill;
	int old = direction->pipe, small = copy(pipes, old, bytes, 0, &size);

	assert(old >= 0 && old_size >= PIPE_LARGE_BYTES && bytes);
	for (uint32_t at_least = 2 * PIPE_SMALL_BYTES; small < 0 && at_least < PIPE_LARGE_BYTES;
	     at_least *= 2)
		small = copy(pipes, old, bytes, at_least, &size);
	if (small < 0)
		return;
	assert_costly(assert_bytes_in(small) == (int)bytes);
	assert(small != old);
	direction->pipe = small;
	session->direction[d].pipe_size = size;
	session->direction[d].proof = LEASE_PROOF;
	if (bytes <= BUFFERS_SCRATCH &&
	    read(old, session->thread->buffers->scratch, bytes) == (ssize_t)bytes)
		pipe_return(pipes, old, old_size);
	else
		pipe_discard(pipes, old, old_size);
}

/* True: keep watching it. */
static bool look(struct thread *thread, struct lease *lease)
{
	struct session *session = session_at(thread, lease->slot);
	unsigned d = lease->direction;
	uint64_t bytes;

	assert(d < 2);
	if (session->thread != thread || !session->direction[d].leased)
		return false;
	bytes = session_record(session)->direction[d].bytes;
	if (session_record(session)->state != SESSION_RELAYING || !is_large(session, d) ||
	    !session->direction[d].fill || session->side[!d].writable) {
		session->direction[d].leased = false;
		return false;
	}
	if (bytes != lease->bytes) {
		lease->bytes = bytes;
		return true;
	}
	session->direction[d].leased = false;
	hand_session(session);
	move(session, d);
	return false;
}

static void arm(struct leases *leases)
{
	struct loop *loop = &leases->thread->loop;

	if (leases->count && !timer_is_set(&leases->timer))
		timer_set(&loop->timers, &leases->timer,
			  loop->now + LEASE_MOMENT_MS * NSEC_PER_MSEC);
}

static void fire(struct timer *timer)
{
	struct leases *leases = (struct leases *)((char *)timer - offsetof(struct leases, timer));
	uint32_t kept = 0;

	assert(leases->count <= LEASES_MAX);
	for (uint32_t i = 0; i < leases->count; i++)
		if (look(leases->thread, &leases->leases[i]))
			leases->leases[kept++] = leases->leases[i];
	leases->count = kept;
	arm(leases);
}

void leases_init(struct leases *leases, struct thread *thread)
{
	leases->thread = thread;
	leases->timer.fire = fire;
}

void lease_note(struct session *session, unsigned d)
{
	struct leases *leases = &session->thread->leases;

	assert(d < 2);
	if (session->direction[d].leased || !is_large(session, d) || !session->direction[d].fill ||
	    leases->count == LEASES_MAX)
		return;
	assert(leases->count < LEASES_MAX);
	session->direction[d].leased = true;
	leases->leases[leases->count++] = (struct lease){
		session_slot(session), d, session_record(session)->direction[d].bytes};
	arm(leases);
}
