/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Framing: message boundaries on a stream. Pure functions over buffers; nothing is kept between two
 * calls.
 *
 * Lengths are in bytes. max_frame limits a frame as it is on the stream, with header, escapes and
 * end.
 */
#pragma once

#include <spliced/plugin.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	FRAMING_PARTS = 3,    /* most iovecs of one frame */
	FRAMING_SCRATCH = 16, /* bytes of a header */
};

/* The word in a config ("octet-count"), and back (SPLICED_FRAMING_UNSET: none). */
const char *framing_name(enum spliced_framing framing);
enum spliced_framing framing_from_name(const char *name);

/* Bytes that framing_encode() may need as scratch for a message of this length. */
size_t framing_scratch(enum spliced_framing framing, size_t len);

/*
 * Frames a message: parts[0 .. n) point into message, into scratch (framing_scratch() bytes) and at
 * constants, and are the frame in order. NONE is the message alone; for LINE a message that ends in
 * LF gets no second one, and so with NUL; AUTO is LINE. Returns n, at most FRAMING_PARTS (0:
 * nothing is to be written: a message without bytes under NONE); -EMSGSIZE: the frame is larger
 * than max_frame; -EILSEQ: these bytes cannot be framed so (LF inside a LINE, a zero byte inside a
 * NUL).
 */
int framing_encode(enum spliced_framing framing, const void *message, size_t len, size_t max_frame,
		   void *scratch, struct iovec parts[FRAMING_PARTS]);

/* One frame found at the start of what a stream holds. */
struct framing_found {
	const void *message; /* into the buffer (SLIP unescapes there, in place) */
	size_t len;
	size_t consumed; /* bytes of the frame, to be taken off the stream */
};

/*
 * Looks for one whole frame at the start of buffer. 1: found; 0: more bytes are needed; -EMSGSIZE:
 * the frame is larger than max_frame; -EPROTO: these bytes are no frame. NONE finds all there is,
 * at most max_frame bytes. An empty buffer needs more. SLIP changes the buffer's bytes up to
 * found->consumed only when it returns 1.
 */
int framing_decode(enum spliced_framing framing, void *buffer, size_t len, size_t max_frame,
		   struct framing_found *found);

/* For bytes left at EOF in which framing_decode() found no whole frame: 1 if they are a message
 * nevertheless, as an unterminated line is; else 0. */
int framing_decode_rest(enum spliced_framing framing, void *buffer, size_t len,
			struct framing_found *found);
