/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said on one connection. The client sends a header and a stream; the server checks every
 * byte and answers with a header and a stream of its own; then one of them ends it, in the way that
 * the header announced. Each side knows what must come next, so that any other thing is a finding.
 * Headers are in the machine's byte order: both ends are here. */
#include "peers.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

static const uint64_t REQUEST_MAGIC = 0x5450524543494c50;
static const uint64_t REPLY_MAGIC = 0x5a50524543494c50;

enum {
	STATUS_OK,
	STATUS_CORRUPT, /* the server found a wrong byte and says so before it gives up */

	GREETING_MAX = 8 * 1024, /* fits into any socket buffer: two that both speak first never
				    wait for each other */
	HALF_CLOSE_REPLY = 200000,
};

struct header {
	uint64_t magic;
	uint64_t seed;
	uint64_t len;	/* of the stream that follows */
	uint64_t reply; /* a request says how much it wants back */
	uint32_t kind;	/* enum ending, or a STATUS_ */
	uint32_t check;
};

static uint32_t header_check(const struct header *header)
{
	return (uint32_t)stream_mix(header->magic ^ stream_mix(header->seed) ^
				    stream_mix(header->len + 3 * header->reply + header->kind));
}

static int header_send(int fd, struct header header)
{
	header.check = header_check(&header);
	return stream_send_bytes(fd, &header, sizeof(header));
}

/* STREAM_END when the other side ended instead. */
static int header_receive(int fd, uint64_t magic, struct header *ret)
{
	int r;

	r = stream_receive_bytes(fd, ret, sizeof(*ret));
	if (r)
		return r;
	return ret->magic == magic && ret->check == header_check(ret) ? 0 : -EBADMSG;
}

static uint64_t draw_size(uint64_t dice)
{
	uint64_t rest = dice >> 8;

	if (dice % 10 < 7)
		return rest % 2048;
	return dice % 10 < 9 ? rest % 65536 : rest % 300000;
}

void session_draw(struct plan *ret, uint64_t seed, bool greeted)
{
	uint64_t dice = stream_mix(seed ^ 0x70656572);

	*ret = (struct plan){
		.seed = seed,
		.request = draw_size(stream_mix(dice + 1)),
		.reply = draw_size(stream_mix(dice + 2)),
		.ending = (enum ending)(dice % ENDING_TRANSFER),
		.rounds = 1,
		.greeted = greeted,
		.polite = dice >> 8 & 1,
	};
	if (ret->ending == ENDING_HALF)
		ret->reply = HALF_CLOSE_REPLY;
	if (ret->ending == ENDING_CLIENT)
		ret->rounds = 1 + (dice >> 16) % 4;
	if ((dice >> 24) % 16 == 0)
		ret->receiving = (struct pace){.chunk = 4096, .pause_us = 200};
	if ((dice >> 32) % 16 == 0)
		ret->sending = (struct pace){.chunk = 1500, .pause_us = 50};
}

/* The reply's header, then its stream. */
static int expect_reply(int fd, const struct plan *plan, uint64_t seed)
{
	struct header header;
	int r;

	r = header_receive(fd, REPLY_MAGIC, &header);
	if (r)
		return r == STREAM_END ? -ENODATA : r;
	if (header.kind != STATUS_OK || header.seed != ~seed || header.len != plan->reply)
		return -EBADMSG;
	return stream_expect(fd, header.seed, header.len, plan->receiving);
}

static int expect_greeting(int fd, const struct plan *plan)
{
	struct header header;
	int r;

	r = header_receive(fd, REPLY_MAGIC, &header);
	if (r)
		return r == STREAM_END ? -ENODATA : r;
	return stream_expect(fd, header.seed, header.len, plan->receiving);
}

static int send_greeting(int fd)
{
	struct header header = {.magic = REPLY_MAGIC};

	if (getrandom(&header.seed, sizeof(header.seed), 0) < 0)
		return -errno;
	header.len = header.seed % GREETING_MAX;
	if (header_send(fd, header) < 0)
		return -ECONNRESET;
	return stream_send(fd, header.seed, header.len, (struct pace){});
}

static int send_request(int fd, const struct plan *plan, uint64_t seed)
{
	int r;

	r = header_send(fd, (struct header){.magic = REQUEST_MAGIC,
					    .seed = seed,
					    .len = plan->request,
					    .reply = plan->reply,
					    .kind = plan->ending});
	if (r == 0)
		r = stream_send(fd, seed, plan->request, plan->sending);
	if (r == 0 && (plan->ending == ENDING_HALF || plan->ending == ENDING_TRANSFER) &&
	    shutdown(fd, SHUT_WR) < 0)
		r = -errno;
	return r;
}

struct sender {
	int fd;
	int r;
	const struct plan *plan;
	uint64_t seed, len;
};

static void *send_all(void *data)
{
	struct sender *sender = data;

	if (sender->plan)
		sender->r = send_request(sender->fd, sender->plan, sender->plan->seed);
	else
		sender->r = stream_send(sender->fd, sender->seed, sender->len, (struct pace){});
	return NULL;
}

/* Both directions at once: the server's stream, and after it what the server thinks of ours. */
static int ask_transfer(int fd, const struct plan *plan)
{
	struct sender sender = {.fd = fd, .plan = plan};
	struct header verdict;
	pthread_t thread;
	int r;

	r = -pthread_create(&thread, NULL, send_all, &sender);
	if (r < 0)
		return r;
	r = stream_expect(fd, ~plan->seed, plan->reply, plan->receiving);
	if (r < 0)
		shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	if (r < 0)
		return r;
	if (sender.r < 0)
		return sender.r;
	r = header_receive(fd, REPLY_MAGIC, &verdict);
	if (r)
		return r == STREAM_END ? -ENODATA : r;
	if (verdict.kind != STATUS_OK || verdict.len != plan->request)
		return -EBADMSG;
	return stream_expect_end(fd);
}

int session_ask(int fd, const struct plan *plan)
{
	unsigned round;
	uint64_t seed;
	int r;

	if (plan->ending == ENDING_TRANSFER)
		return ask_transfer(fd, plan);
	if (plan->greeted && plan->polite) {
		r = expect_greeting(fd, plan);
		if (r < 0)
			return r;
	}
	for (round = 0; round < plan->rounds; round++) {
		seed = stream_mix(plan->seed + round);
		r = send_request(fd, plan, seed);
		if (r == 0 && round == 0 && plan->greeted && !plan->polite)
			r = expect_greeting(fd, plan);
		if (r == 0)
			r = expect_reply(fd, plan, seed);
		if (r < 0)
			return r;
	}
	return plan->ending == ENDING_CLIENT ? 0 : stream_expect_end(fd);
}

static int answer_transfer(int fd, const struct header *request)
{
	struct sender sender = {.fd = fd, .seed = ~request->seed, .len = request->reply};
	struct header verdict = {.magic = REPLY_MAGIC, .len = request->len};
	pthread_t thread;
	int r;

	r = -pthread_create(&thread, NULL, send_all, &sender);
	if (r < 0)
		return r;
	r = stream_expect(fd, request->seed, request->len, (struct pace){});
	if (r == 0)
		r = stream_expect_end(fd);
	pthread_join(thread, NULL);
	if (sender.r < 0)
		return sender.r;
	verdict.kind = r == 0 ? STATUS_OK : STATUS_CORRUPT;
	header_send(fd, verdict);
	return r;
}

static int answer_request(int fd, const struct header *request)
{
	struct header reply = {.magic = REPLY_MAGIC, .seed = ~request->seed, .len = request->reply};
	int r, verdict;

	verdict = stream_expect(fd, request->seed, request->len, (struct pace){});
	if (verdict == 0 && request->kind == ENDING_HALF)
		verdict = stream_expect_end(fd);
	if (verdict == -EBADMSG) {
		reply.kind = STATUS_CORRUPT;
		header_send(fd, reply);
	}
	if (verdict < 0)
		return verdict;
	r = header_send(fd, reply);
	return r < 0 ? r : stream_send(fd, reply.seed, reply.len, (struct pace){});
}

int session_answer(int fd, bool greets)
{
	struct header request;
	bool heard = false;
	int r;

	if (greets) {
		r = send_greeting(fd);
		if (r < 0)
			return r;
	}
	for (;;) {
		r = header_receive(fd, REQUEST_MAGIC, &request);
		if (r == STREAM_END)
			return heard ? 0 : STREAM_END;
		if (r < 0)
			return r;
		heard = true;
		if (request.kind == ENDING_TRANSFER)
			return answer_transfer(fd, &request);
		r = answer_request(fd, &request);
		if (r < 0 || request.kind != ENDING_CLIENT)
			return r;
	}
}
