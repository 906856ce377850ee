/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims: which descriptors the records of a ledger name, while it is validated. A descriptor of
 * the keeper or a listener cannot be a session's; one that two records name belongs to neither. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct validating;

/* The keeper's own, or a listener's: no other record may name it. */
void claim_keep(const struct validating *v, int fd);
void claim_keep_own(const struct validating *v);

/* A descriptor that a record names: open, of that kind (S_IFSOCK, S_IFIFO), and not one that is
 * kept. -1 is none. */
bool claim_fd(struct validating *v, int fd, mode_t kind);
bool claim_is_twice(const struct validating *v, int fd);

/* A feed's, for its session. False: it has one already. */
bool claim_feed(struct validating *v, int fd);
