/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an endpoint says of its messages: framing, max_frame, format. */
#pragma once

struct check;
struct config_endpoint;

/* Fills endpoint->framing, max_frame and format from its values and its row, and reports what does not fit them. 0 or
 * -ENOMEM. */
int frame_read(struct check *check, struct config_endpoint *endpoint);
