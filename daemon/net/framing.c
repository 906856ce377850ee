/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Framing. A length prefix is checked before its message is read; a frame that is longer than
 * max_frame is refused as soon as its header shows it, or as soon as max_frame bytes have come
 * without its end.
 */
#include "net/framing.h"

#include "base/assert.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	DIGITS_MAX = 10, /* of a length in decimal: more than max_frame ever has */
	SLIP_END = 0xc0,
	SLIP_ESC = 0xdb,
	SLIP_ESC_END = 0xdc,
	SLIP_ESC_ESC = 0xdd,
};

static const char *const names[] = {
	[SPLICED_FRAMING_NONE] = "none",	   [SPLICED_FRAMING_LENGTH16] = "length16",
	[SPLICED_FRAMING_LENGTH32] = "length32",   [SPLICED_FRAMING_LINE] = "line",
	[SPLICED_FRAMING_NETSTRING] = "netstring", [SPLICED_FRAMING_OCTET_COUNT] = "octet-count",
	[SPLICED_FRAMING_SLIP] = "slip",	   [SPLICED_FRAMING_NUL] = "nul",
	[SPLICED_FRAMING_AUTO] = "auto",
};

const char *framing_name(enum spliced_framing framing)
{
	return framing > SPLICED_FRAMING_UNSET && framing <= SPLICED_FRAMING_AUTO ? names[framing]
										  : "";
}

enum spliced_framing framing_from_name(const char *name)
{
	for (unsigned i = SPLICED_FRAMING_NONE; i <= SPLICED_FRAMING_AUTO; i++)
		if (!strcmp(names[i], name))
			return (enum spliced_framing)i;
	return SPLICED_FRAMING_UNSET;
}

size_t framing_scratch(enum spliced_framing framing, size_t len)
{
	return framing == SPLICED_FRAMING_SLIP ? 2 * len + 1 : FRAMING_SCRATCH;
}

/* ---- encoding ---- */

static int encode_length(const void *message, size_t len, unsigned width, uint8_t *scratch,
			 struct iovec *parts)
{
	for (unsigned i = 0; i < width; i++)
		scratch[i] = (uint8_t)(len >> 8 * (width - 1 - i));
	parts[0] = (struct iovec){scratch, width};
	parts[1] = (struct iovec){(void *)message, len};
	return len ? 2 : 1;
}

/* With a byte after each, of which `mark` points to one that lasts. */
static int encode_marked(const char *message, size_t len, const char *mark, struct iovec *parts)
{
	const char *end = len ? memchr(message, *mark, len) : NULL;

	if (end && end != message + len - 1)
		return -EILSEQ;
	parts[0] = (struct iovec){(void *)message, len};
	if (end)
		return 1;
	parts[len ? 1 : 0] = (struct iovec){(void *)mark, 1};
	return len ? 2 : 1;
}

static int encode_decimal(const void *message, size_t len, char separator, bool comma,
			  char *scratch, struct iovec *parts)
{
	int n = 0, digits = snprintf(scratch, FRAMING_SCRATCH, "%zu%c", len, separator);

	parts[n++] = (struct iovec){scratch, (size_t)digits};
	if (len)
		parts[n++] = (struct iovec){(void *)message, len};
	if (comma)
		parts[n++] = (struct iovec){(void *)",", 1};
	return n;
}

static int encode_slip(const uint8_t *message, size_t len, uint8_t *scratch, struct iovec *parts)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (message[i] != SLIP_END && message[i] != SLIP_ESC) {
			scratch[n++] = message[i];
			continue;
		}
		scratch[n++] = SLIP_ESC;
		scratch[n++] = message[i] == SLIP_END ? SLIP_ESC_END : SLIP_ESC_ESC;
	}
	scratch[n++] = SLIP_END;
	assert(n <= 2 * len + 1);
	parts[0] = (struct iovec){scratch, n};
	return 1;
}

static int encode(enum spliced_framing framing, const void *message, size_t len, void *scratch,
		  struct iovec *parts)
{
	switch (framing) {
	case SPLICED_FRAMING_UNSET:
	case SPLICED_FRAMING_NONE:
		parts[0] = (struct iovec){(void *)message, len};
		return len ? 1 : 0;
	case SPLICED_FRAMING_LENGTH16:
		return len > UINT16_MAX ? -EMSGSIZE
					: encode_length(message, len, 2, scratch, parts);
	case SPLICED_FRAMING_LENGTH32:
		return encode_length(message, len, 4, scratch, parts);
	case SPLICED_FRAMING_LINE:
	case SPLICED_FRAMING_AUTO:
		return encode_marked(message, len, "\n", parts);
	case SPLICED_FRAMING_NUL:
		return encode_marked(message, len, "", parts);
	case SPLICED_FRAMING_NETSTRING:
		return encode_decimal(message, len, ':', true, scratch, parts);
	case SPLICED_FRAMING_OCTET_COUNT:
		return encode_decimal(message, len, ' ', false, scratch, parts);
	case SPLICED_FRAMING_SLIP:
		return encode_slip(message, len, scratch, parts);
	}
	return -EINVAL;
}

int framing_encode(enum spliced_framing framing, const void *message, size_t len, size_t max_frame,
		   void *scratch, struct iovec parts[FRAMING_PARTS])
{
	size_t bytes = 0;
	int n;

	/* No frame is shorter than its message. */
	if (len > max_frame)
		return -EMSGSIZE;
	n = encode(framing, message, len, scratch, parts);
	assert(n <= FRAMING_PARTS);
	for (int i = 0; i < n; i++)
		bytes += parts[i].iov_len;
	return bytes > max_frame ? -EMSGSIZE : n;
}

/* ---- decoding ---- */

/* A message behind a header, before a trailer. */
static int found_behind(const uint8_t *buffer, size_t len, size_t max_frame, size_t header,
			uint64_t message, size_t trailer, struct framing_found *found)
{
	if (message > max_frame || header + message + trailer > max_frame)
		return -EMSGSIZE;
	if (len < header + message + trailer)
		return 0;
	*found = (struct framing_found){buffer + header, (size_t)message,
					header + (size_t)message + trailer};
	assert(found->consumed <= len && found->len <= max_frame);
	return 1;
}

static int decode_length(const uint8_t *buffer, size_t len, size_t max_frame, unsigned width,
			 struct framing_found *found)
{
	uint64_t message = 0;

	if (len < width)
		return 0;
	for (unsigned i = 0; i < width; i++)
		message = message << 8 | buffer[i];
	return found_behind(buffer, len, max_frame, width, message, 0, found);
}

static int decode_marked(const uint8_t *buffer, size_t len, size_t max_frame, char mark,
			 struct framing_found *found)
{
	size_t most = len < max_frame ? len : max_frame;
	const uint8_t *end = memchr(buffer, mark, most);

	if (!end)
		return len >= max_frame ? -EMSGSIZE : 0;
	*found = (struct framing_found){buffer, (size_t)(end - buffer), (size_t)(end - buffer) + 1};
	return 1;
}

static int decode_decimal(const uint8_t *buffer, size_t len, size_t max_frame, uint8_t separator,
			  bool comma, struct framing_found *found)
{
	uint64_t message = 0;
	size_t n = 0;
	int r;

	for (; n < len && buffer[n] >= '0' && buffer[n] <= '9'; n++) {
		if (n && buffer[0] == '0')
			return -EPROTO;
		message = message * 10 + (uint64_t)(buffer[n] - '0');
		if (message > max_frame)
			return -EMSGSIZE;
		if (n == DIGITS_MAX)
			return -EPROTO;
	}
	if (n == len)
		return 0;
	if (n == 0 || buffer[n] != separator)
		return -EPROTO;
	r = found_behind(buffer, len, max_frame, n + 1, message, comma, found);
	if (r > 0 && comma && buffer[found->consumed - 1] != ',')
		return -EPROTO;
	return r;
}

/* Bytes of the message in a frame of `len` bytes without its end, or -EPROTO. */
static int64_t unescape(uint8_t *frame, size_t len, bool write)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = frame[i];

		if (byte == SLIP_ESC) {
			if (++i == len || (frame[i] != SLIP_ESC_END && frame[i] != SLIP_ESC_ESC))
				return -EPROTO;
			byte = frame[i] == SLIP_ESC_END ? SLIP_END : SLIP_ESC;
		}
		if (write)
			frame[n] = byte;
		n++;
	}
	return (int64_t)n;
}

static int decode_slip(uint8_t *buffer, size_t len, size_t max_frame, struct framing_found *found)
{
	size_t most = len < max_frame ? len : max_frame;
	const uint8_t *end = memchr(buffer, SLIP_END, most);
	int64_t n;

	if (!end)
		return len >= max_frame ? -EMSGSIZE : 0;
	if (unescape(buffer, (size_t)(end - buffer), false) < 0)
		return -EPROTO;
	n = unescape(buffer, (size_t)(end - buffer), true);
	*found = (struct framing_found){buffer, (size_t)n, (size_t)(end - buffer) + 1};
	return 1;
}

/* RFC 6587, 3.4: a count begins with a digit that is not 0, a message of syslog with '<'. */
static enum spliced_framing tell(enum spliced_framing framing, const uint8_t *buffer)
{
	if (framing != SPLICED_FRAMING_AUTO)
		return framing;
	return *buffer >= '1' && *buffer <= '9' ? SPLICED_FRAMING_OCTET_COUNT
						: SPLICED_FRAMING_LINE;
}

int framing_decode_rest(enum spliced_framing framing, void *buffer, size_t len,
			struct framing_found *found)
{
	enum spliced_framing told = len ? tell(framing, buffer) : SPLICED_FRAMING_UNSET;

	if (told != SPLICED_FRAMING_LINE && told != SPLICED_FRAMING_NUL)
		return 0;
	*found = (struct framing_found){buffer, len, len};
	return 1;
}

int framing_decode(enum spliced_framing framing, void *buffer, size_t len, size_t max_frame,
		   struct framing_found *found)
{
	if (!len)
		return 0;
	switch (tell(framing, buffer)) {
	case SPLICED_FRAMING_UNSET:
	case SPLICED_FRAMING_NONE:
		len = len < max_frame ? len : max_frame;
		*found = (struct framing_found){buffer, len, len};
		return 1;
	case SPLICED_FRAMING_LENGTH16:
		return decode_length(buffer, len, max_frame, 2, found);
	case SPLICED_FRAMING_LENGTH32:
		return decode_length(buffer, len, max_frame, 4, found);
	case SPLICED_FRAMING_LINE:
		return decode_marked(buffer, len, max_frame, '\n', found);
	case SPLICED_FRAMING_NUL:
		return decode_marked(buffer, len, max_frame, '\0', found);
	case SPLICED_FRAMING_AUTO:
		break;
	case SPLICED_FRAMING_NETSTRING:
		return decode_decimal(buffer, len, max_frame, ':', true, found);
	case SPLICED_FRAMING_OCTET_COUNT:
		return decode_decimal(buffer, len, max_frame, ' ', false, found);
	case SPLICED_FRAMING_SLIP:
		return decode_slip(buffer, len, max_frame, found);
	}
	return -EINVAL;
}
