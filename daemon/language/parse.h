/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a file's text to a tree: the only part that uses libconfig. */
#pragma once

struct reader;
struct setting;
struct source;

/* Gives the root group of a source, of reader->arena; NULL after a syntax error, which is
 * reported. 0 or -ENOMEM. */
int parse_source(struct reader *reader, const struct source *source, struct setting **ret);
