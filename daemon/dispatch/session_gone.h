/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An end that was reset is gone. What it had said before is passed on as long as the other end
 * takes it; what the other still says is for nobody. Whoever knows resets is not waited for long: a
 * reset overtakes what has not arrived. Others are told as a direct connection tells them (what
 * they write is refused: SHUT_RD) and get more time, since for them an end looks like a good one.
 */
#pragma once

struct session;

/* Sides whose socket reported an error: was it a reset? */
void session_look_for_errors(struct session *session);

/* An end is gone: for how much longer the other one may take nothing of what is left for it. */
void session_be_patient(struct session *session);

/* Ends a session of which an end is gone: the one that went first is named. */
void session_end_gone(struct session *session);
