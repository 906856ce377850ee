/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit: after a worker's death, whether every byte taken out of one connection was put into
 * the other, or is in the pipe between. Only where the kernel has the counts: two TCP connections,
 * both ESTABLISHED.
 */
#pragma once

#include <stdint.h>

struct ledger_session;

enum audit_result { AUDIT_RIGHT, AUDIT_WRONG, AUDIT_UNKNOWN };

/* The audit of one relaying session; *missing: number of missing bytes (negative: too many). */
enum audit_result audit_session(const struct ledger_session *record, int64_t *missing);
