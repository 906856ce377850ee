/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libFuzzer's way into the framings. The first byte picks one, the second max_frame. The rest is
 * decoded as a stream, in one piece and in two, which must find the same frames; and it is encoded
 * as messages, which must be found again.
 */
#include "net/framing.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { INPUT_MAX = 1 << 16, FRAMES_MAX = 1 << 14 };

struct input {
	enum spliced_framing framing;
	size_t max_frame;
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* What a stream is decoded to: each message behind its length. */
struct decoded {
	int end; /* what the last call said */
	size_t len, consumed;
	uint8_t bytes[INPUT_MAX + FRAMES_MAX * sizeof(size_t)];
};

static void add(struct decoded *decoded, const struct framing_found *found)
{
	must(decoded->len + sizeof found->len + found->len <= sizeof decoded->bytes);
	memcpy(decoded->bytes + decoded->len, &found->len, sizeof found->len);
	memcpy(decoded->bytes + decoded->len + sizeof found->len, found->message, found->len);
	decoded->len += sizeof found->len + found->len;
}

/* Whole frames from the start of a buffer of exactly this size: the sanitizer sees every byte that
 * is read beyond. */
static void decode(const struct input *input, const uint8_t *bytes, size_t len,
		   struct decoded *decoded)
{
	uint8_t *buffer = malloc(len ? len : 1);
	struct framing_found found;
	size_t at = 0;

	memcpy(buffer, bytes, len);
	for (int i = 0; i < FRAMES_MAX; i++) {
		decoded->end = framing_decode(input->framing, buffer + at, len - at,
					      input->max_frame, &found);
		must(decoded->end <= 1);
		if (decoded->end <= 0)
			break;
		must(found.consumed > 0 && found.consumed <= len - at &&
		     found.consumed <= input->max_frame);
		must(found.len <= found.consumed);
		must(!found.len ||
		     ((const uint8_t *)found.message >= buffer + at &&
		      (const uint8_t *)found.message + found.len <= buffer + at + found.consumed));
		add(decoded, &found);
		at += found.consumed;
	}
	decoded->consumed += at;
	free(buffer);
}

static void check_pieces(const struct input *input, const uint8_t *bytes, size_t len)
{
	static struct decoded whole, pieces;
	size_t half = len / 2;

	whole.len = whole.consumed = pieces.len = pieces.consumed = 0;
	decode(input, bytes, len, &whole);
	decode(input, bytes, half, &pieces);
	if (pieces.end >= 0)
		decode(input, bytes + pieces.consumed, len - pieces.consumed, &pieces);
	/* Without edges it is the same bytes in other pieces. */
	if (input->framing == SPLICED_FRAMING_NONE)
		must(whole.consumed == pieces.consumed);
	else
		must(whole.len == pieces.len && !memcmp(whole.bytes, pieces.bytes, whole.len) &&
		     whole.end == pieces.end);
}

/* A frame's bytes behind what is in stream. */
static size_t append(uint8_t *stream, size_t at, const struct iovec *parts, int n)
{
	for (int i = 0; i < n; i++) {
		memcpy(stream + at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	return at;
}

static void check_message(const struct input *input, const uint8_t *bytes, size_t len)
{
	static uint8_t stream[2 * INPUT_MAX + 64], scratch[2 * INPUT_MAX + 64];
	struct iovec parts[FRAMING_PARTS];
	struct framing_found found;
	size_t framed, expected = len;
	int n;

	must(framing_scratch(input->framing, len) <= sizeof scratch);
	n = framing_encode(input->framing, bytes, len, input->max_frame, scratch, parts);
	must(n <= FRAMING_PARTS);
	if (n <= 0)
		return;
	framed = append(stream, 0, parts, n);
	must(framed <= input->max_frame);
	if (input->framing == SPLICED_FRAMING_LINE && len && bytes[len - 1] == '\n')
		expected--;
	for (size_t i = 0; i < framed && input->framing != SPLICED_FRAMING_NONE;
	     i += framed / 16 + 1)
		must(framing_decode(input->framing, stream, i, input->max_frame, &found) == 0);
	must(framing_decode(input->framing, stream, framed, input->max_frame, &found) == 1);
	must(found.consumed == framed && found.len == expected &&
	     !memcmp(found.message, bytes, expected));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct input input;

	if (len < 2 || len > INPUT_MAX)
		return 0;
	input.framing = (enum spliced_framing)(SPLICED_FRAMING_NONE + bytes[0] % 7);
	input.max_frame = bytes[1] & 1 ? 64u + bytes[1] : INPUT_MAX;
	check_pieces(&input, bytes + 2, len - 2);
	check_message(&input, bytes + 2, len - 2);
	return 0;
}
