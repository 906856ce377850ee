/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A side that was reset is gone. What it had sent before is forwarded as long as the other side
 * takes it; what the other still sends is discarded. A side whose family has resets is not given
 * long: a reset overtakes what has not arrived. Others are notified as by a direct connection
 * (their writes are refused: SHUT_RD) and get more time, since to them an abort looks like a normal
 * end.
 */
#pragma once

struct session;

/* Sides whose socket reported an error: was it a reset? */
void session_look_for_errors(struct session *session);

/* A side is gone: for how much longer the other may take nothing of the remaining data. */
void session_be_patient(struct session *session);

/* Ends a session with a side that is gone: the one that went first is reported. */
void session_end_gone(struct session *session);
