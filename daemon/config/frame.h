/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An endpoint's settings for its messages: framing, max_frame, format, reply_from. */
#pragma once

struct check;
struct config_endpoint;

/* Fills endpoint->framing, max_frame and format from its values and its row, and reports what does
 * not fit them. 0 or -ENOMEM. */
int frame_read(struct check *check, struct config_endpoint *endpoint);

/* ... and what of reply_from does not fit its address, once that is known. */
void frame_check_replies(struct check *check, const struct config_endpoint *endpoint);
