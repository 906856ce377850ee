/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formats pcap and pcapng, draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng, for every
 * family whose messages have a link type and that has no captures of its own.
 */
#pragma once

#include <spliced/plugin.h>
#include <stdbool.h>

enum { CAPTURE_FORMATS = 2 };

/* The formats, for rows of the plugin that have a link type: bit N is rows[N]. */
void capture_formats(uint64_t rows, struct spliced_format formats[CAPTURE_FORMATS]);

/* Whether a format is one of these. */
bool capture_is_format(const struct spliced_format *format);
