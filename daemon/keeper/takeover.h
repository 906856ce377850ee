/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takeover: continues with what another process of this program left. */
#pragma once

struct config;
struct ledger;
struct predecessor;
struct report;
struct start;

/* Makes start's ledger and generations from what was left. 0; or negative errno, with the reason
 * in report: then its sessions end. */
int takeover_run(struct start *start, const struct config *boot, int log_fd,
		 struct predecessor *predecessor, struct report *report);

/* Sockets that the service manager passed are recorded with the ledger. */
void takeover_note_passed(struct ledger *ledger);
