/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pieces of the rooms session, dispatch and net that can be held in the hand: pipes, and what a
 * socket tells of its past. */
#include "dispatch/own_sockets.h"
#include "dispatch/peers.h"
#include "dispatch/worker.h"
#include "ledger/closing.h"
#include "ledger/glance.h"
#include "ledger/ledger.h"
#include "net/socket.h"
#include "session/pipe.h"
#include "session/slot.h"
#include "session/thread.h"
#include "suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

START_TEST(pipes_large_ones_first_then_small)
{
	struct pipes pipes;
	uint32_t size[3];
	int fd[3];

	pipes_init(&pipes, 2);
	for (int i = 0; i < 3; i++) {
		fd[i] = pipe_lend(&pipes, 0, &size[i]);
		ck_assert_int_ge(fd[i], 0);
	}
	/* The kernel may grant fewer large ones to a user who has many; it never grants more than
	 * were asked for. */
	ck_assert_uint_lt(size[2], PIPE_LARGE_BYTES);
	ck_assert_uint_le(pipes.large_made, 2);
	for (int i = 0; i < 3; i++)
		pipe_return(&pipes, fd[i], size[i]);
	ck_assert_uint_eq(pipes.n_large + pipes.n_spare, 3);
	/* Last in, first out. */
	if (pipes.n_large == 2)
		ck_assert_int_eq(pipe_lend(&pipes, 0, &size[0]), fd[1]);
	pipes_done(&pipes);
	close(fd[1]);
}
END_TEST

/* A user's share of large pipes may be held by others for a while. */
START_TEST(pipes_large_ones_are_asked_for_again)
{
	struct pipes pipes;
	uint32_t size = 0;
	int fd = -1;

	pipes_init(&pipes, 2);
	pipes.large_most = 0; /* as after a refusal */
	for (int i = 0; i < 2000 && size < PIPE_LARGE_BYTES; i++) {
		if (fd >= 0)
			pipe_return(&pipes, fd, size);
		fd = pipe_lend(&pipes, 0, &size);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(i < 1000 && size >= PIPE_LARGE_BYTES, 0);
	}
	ck_assert_uint_ge(size, PIPE_LARGE_BYTES);
	pipe_return(&pipes, fd, size);
	pipes_done(&pipes);
}
END_TEST

START_TEST(pipes_one_descriptor_is_both_ends)
{
	struct pipes pipes;
	uint32_t size;
	char buffer[8];
	int fd;

	pipes_init(&pipes, 1);
	fd = pipe_lend(&pipes, 0, &size);
	ck_assert_int_eq(write(fd, "abc", 3), 3);
	ck_assert_int_eq(pipe_adopt(&pipes, fd, &size), 3);
	ck_assert_int_eq(read(fd, buffer, sizeof buffer), 3);
	/* Nobody else holds an end, and yet an empty one is not at its end. */
	ck_assert_int_lt(read(fd, buffer, sizeof buffer), 0);
	ck_assert_int_eq(errno, EAGAIN);
	pipe_discard(&pipes, fd, size);
	pipes_done(&pipes);
}
END_TEST

START_TEST(pipes_tell_when_there_are_none)
{
	struct rlimit before, none;
	struct pipes pipes;
	uint32_t size;
	int next = dup(0);

	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)next;
	pipes_init(&pipes, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(pipe_lend(&pipes, 0, &size), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_ge(pipe_lend(&pipes, 0, &size), 0);
	pipes_done(&pipes);
}
END_TEST

START_TEST(pipes_adopt_refuses_what_is_none)
{
	struct pipes pipes;
	uint32_t size;
	int fd = open("/dev/null", O_RDONLY);

	pipes_init(&pipes, 1);
	ck_assert_int_lt(pipe_adopt(&pipes, fd, &size), 0);
	ck_assert_int_eq(pipe_adopt(&pipes, -1, &size), -EBADF);
	close(fd);
}
END_TEST

START_TEST(sockets_fresh_until_touched)
{
	int client, server;

	suite_connect(&client, &server);
	ck_assert(socket_is_accepted(server));
	ck_assert(socket_is_fresh(server));
	/* The client's own FIN does not make it less fresh; ours does. */
	shutdown(client, SHUT_WR);
	poll(&(struct pollfd){.fd = server, .events = POLLRDHUP}, 1, 1000);
	ck_assert(socket_is_fresh(server));
	shutdown(server, SHUT_WR);
	ck_assert(!socket_is_fresh(server));
	close(client);
	close(server);
	suite_connect(&client, &server);
	socket_set_abort(server);
	ck_assert(socket_is_fresh(server));
	close(server);
	ck_assert_int_eq(recv(client, &(char){0}, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(client);
}
END_TEST

/* A thread that dies between the moment when a socket leaves its record and close(2) leaves its
 * name. */
START_TEST(closing_names_one_socket)
{
	struct ledger_thread threads[2] = {0};
	struct ledger ledger = {.threads = threads, .n_threads = 1};
	struct address peer;
	int client, server, place;

	suite_connect(&client, &server);
	ck_assert_uint_ne(closing_name(client), closing_name(server));
	ck_assert(!closing_names(&ledger, server));
	threads[1].closing = closing_name(server);
	ck_assert(closing_names(&ledger, server));
	ck_assert(!closing_names(&ledger, client));
	ck_assert_int_eq(socket_peer_address(server, &peer), 0);
	threads[1].closing = closing_name_of_peer(server, &peer);
	ck_assert(closing_names(&ledger, server));
	ck_assert(!closing_names(&ledger, client));
	/* The same peer under another number is another connection. */
	threads[1].closing = closing_name_of_peer(client, &peer);
	ck_assert(!closing_names(&ledger, server));
	place = server;
	closing_close(&threads[0], &place, 1);
	ck_assert_int_eq(place, -1);
	ck_assert_uint_eq(threads[0].closing, 0);
	ck_assert_int_eq(fcntl(server, F_GETFD), -1);
	closing_close(&threads[0], &place, 1);
	close(client);
}
END_TEST

START_TEST(sockets_that_listen_are_not_accepted)
{
	struct sockaddr_in address;
	int listener = suite_listen(&address), ends[2], datagram = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert(!socket_is_accepted(listener));
	ck_assert(!socket_is_accepted(datagram));
	ck_assert(!socket_is_accepted(ends[0]));
	close(listener);
	close(datagram);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

static struct address in_address(const char *host, uint16_t port)
{
	struct address ret = {.len = sizeof(struct sockaddr_in)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, host, &in.sin_addr);
	memcpy(&ret.storage, &in, sizeof in);
	return ret;
}

static struct address un_address(const char *path)
{
	struct address ret = {
		.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	strcpy(un.sun_path, path);
	memcpy(&ret.storage, &un, sizeof un);
	return ret;
}

START_TEST(addresses_fit_their_listener)
{
	struct address any = in_address("0.0.0.0", 80), one = in_address("10.0.0.1", 80);
	struct address two = in_address("10.0.0.2", 80), other = in_address("10.0.0.1", 81);
	struct address path = un_address("/run/a"), path_too = un_address("/run/a"),
		       path_other = un_address("/run/b");

	ck_assert(socket_address_fits(&any, &one));
	ck_assert(socket_address_fits(&one, &one));
	ck_assert(!socket_address_fits(&one, &two));
	ck_assert(!socket_address_fits(&any, &other));
	ck_assert(!socket_address_fits(&one, &any));
	ck_assert(!socket_address_fits(&any, &path));
	ck_assert(socket_address_fits(&path, &path_too));
	ck_assert(!socket_address_fits(&path, &path_other));
}
END_TEST

START_TEST(a_leaving_listener_takes_no_new_syn)
{
	struct sockaddr_in address;
	int listener = suite_listen(&address), first = socket(AF_INET, SOCK_STREAM, 0);
	int second = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), accepted;

	/* One is in the queue already: it is accepted, and lives. */
	ck_assert_int_eq(connect(first, (struct sockaddr *)&address, sizeof address), 0);
	socket_stop_syn(listener);
	ck_assert_int_eq(connect(second, (struct sockaddr *)&address, sizeof address), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	accepted = accept(listener, NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	ck_assert_int_eq(write(first, "x", 1), 1);
	ck_assert_int_eq(recv(accepted, &(char){0}, 1, 0), 1);
	/* Nothing comes of the other, within far more than a loopback's round trip. */
	ck_assert_int_eq(poll(&(struct pollfd){.fd = second, .events = POLLOUT}, 1, 100), 0);
	ck_assert_int_eq(socket_tcp_state(second), SOCKET_TCP_SYN_SENT);
	close(listener);
	close(first);
	close(second);
	close(accepted);
}
END_TEST

/* What a stranger chooses of a key: address and port, behind the listener and before the address of
 * ours that he asked. */
enum {
	KEY_BYTES = 42,
	KEY_CHOSEN = 6,
	KEY_AT = 4,
	CHAINS = 4096,
	COLLIDING = 1000,
	CHAIN_MAX = 10
};

static void choose_key(uint8_t key[KEY_BYTES], uint64_t number)
{
	memset(key, 0, KEY_BYTES);
	memcpy(key + KEY_AT, &number, KEY_CHOSEN);
}

/* The longest of the chains that so many keys make under a seed. */
static unsigned longest_chain(const uint64_t *numbers, uint64_t seed)
{
	static unsigned lengths[CHAINS];
	uint8_t key[KEY_BYTES];
	unsigned longest = 0;

	memset(lengths, 0, sizeof lengths);
	for (unsigned i = 0; i < COLLIDING; i++) {
		unsigned *length;

		choose_key(key, numbers[i]);
		length = &lengths[peers_hash(seed, key, sizeof key) % CHAINS];
		longest = ++*length > longest ? *length : longest;
	}
	return longest;
}

START_TEST(peers_chosen_to_collide_do_not_under_a_seed_that_is_drawn)
{
	static uint64_t numbers[COLLIDING];
	uint64_t seeds[2], number = 0;
	uint8_t key[KEY_BYTES];

	for (unsigned found = 0; found < COLLIDING; number++) {
		choose_key(key, number);
		if (peers_hash(0, key, sizeof key) % CHAINS == 0)
			numbers[found++] = number;
	}
	ck_assert_uint_eq(longest_chain(numbers, 0), COLLIDING);
	for (int i = 0; i < 2; i++) {
		seeds[i] = worker_draw_seed();
		ck_assert_uint_le(longest_chain(numbers, seeds[i]), CHAIN_MAX);
	}
	/* Each worker has its own. */
	ck_assert_uint_ne(seeds[0], seeds[1]);
	ck_assert_uint_ne(peers_hash(seeds[0], key, sizeof key),
			  peers_hash(seeds[1], key, sizeof key));
}
END_TEST

enum { OWN_SESSIONS = 256, OWN_KEYS = 100000 };

/* What a thread puts in of itself: a reader can tell whether it is whole. */
static struct own_socket own_of(uint64_t key)
{
	return (struct own_socket){.remote = key * 3,
				   .root = (uint32_t)key,
				   .slot = (uint32_t)key + 1,
				   .serial = (uint32_t)key + 2};
}

static bool own_is_whole(uint64_t key, const struct own_socket *own)
{
	return own->remote == key * 3 && own->root == (uint32_t)key &&
	       own->slot == (uint32_t)key + 1 && own->serial == (uint32_t)key + 2;
}

static void *put_in(void *argument)
{
	struct own_sockets *table = argument;

	for (uint64_t key = 2; key < OWN_KEYS; key++) {
		struct own_socket own = own_of(key % 977 + 2);

		own_sockets_add(table, key % 977 + 2, &own);
		if (key % 7 == 0)
			own_sockets_remove(table, key % 977 + 2);
	}
	return NULL;
}

START_TEST(own_sockets_are_found_whole_or_not_at_all)
{
	struct own_sockets table;
	struct own_socket own;
	pthread_t threads[2];

	ck_assert_int_eq(own_sockets_init(&table, OWN_SESSIONS), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_in, &table), 0);
	for (uint64_t key = 2; key < OWN_KEYS; key++)
		if (own_sockets_find(&table, key % 977 + 2, &own))
			ck_assert(own_is_whole(key % 977 + 2, &own));
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	own_sockets_done(&table);
}
END_TEST

START_TEST(own_sockets_of_the_last_are_known_and_the_oldest_give_way)
{
	struct own_sockets table;
	struct own_socket own;
	unsigned known = 0;

	ck_assert_int_eq(own_sockets_init(&table, OWN_SESSIONS), 0);
	/* 0 and 1 are keys like others. */
	for (uint64_t key = 0; key < 16L * OWN_SESSIONS; key++) {
		own = own_of(key);
		own_sockets_add(&table, key, &own);
		ck_assert(own_sockets_find(&table, key, &own) && own_is_whole(key, &own));
	}
	for (uint64_t key = 15L * OWN_SESSIONS; key < 16L * OWN_SESSIONS; key++)
		known += own_sockets_find(&table, key, &own);
	ck_assert_uint_eq(known, OWN_SESSIONS);
	ck_assert(!own_sockets_find(&table, 5, &own));
	own_sockets_remove(&table, 16L * OWN_SESSIONS - 1);
	ck_assert(!own_sockets_find(&table, 16L * OWN_SESSIONS - 1, &own));
	own_sockets_done(&table);
}
END_TEST

/* A slot that begins another life while it is copied: its record lies across two pages, and who
 * first reads the second one finds it shut, until a handler has opened it and written the next life
 * into both. */
static struct {
	struct ledger_session *record;
	uint8_t *shut;
	size_t page;
	uint32_t life;
} glanced;

static void live_on(void)
{
	struct ledger_session *record = glanced.record;
	uint32_t life = ++glanced.life;

	atomic_store(&record->state, SESSION_FREE);
	atomic_store(&record->state, SESSION_CLAIMED);
	slot_init(record, (uint16_t)life);
	record->generation = life;
	record->route = life * 3;
	record->target = life * 5;
	record->endpoint = life * 7;
	record->address = (uint16_t)life;
	atomic_store(&record->state, SESSION_RELAYING);
}

static void open_and_live_on(int number, siginfo_t *info, void *context)
{
	(void)context;
	if ((uint8_t *)info->si_addr < glanced.shut ||
	    (uint8_t *)info->si_addr >= glanced.shut + glanced.page)
		signal(number, SIG_DFL);
	mprotect(glanced.shut, glanced.page, PROT_READ | PROT_WRITE);
	live_on();
}

/* Whatever was read before, and what after. */
START_TEST(a_glance_is_of_one_life)
{
	struct sigaction action = {.sa_sigaction = open_and_live_on,
				   .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct ledger ledger = {0};
	struct ledger_session copy;
	uint8_t *pages;

	glanced.page = (size_t)sysconf(_SC_PAGESIZE);
	pages = mmap(NULL, 2 * glanced.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	ck_assert_ptr_ne(pages, MAP_FAILED);
	glanced.shut = pages + glanced.page;
	sigaction(SIGSEGV, &action, NULL);
	for (size_t before = _Alignof(struct ledger_session); before < sizeof copy;
	     before += _Alignof(struct ledger_session)) {
		uint32_t life;

		glanced.record = ledger.sessions =
			(struct ledger_session *)(void *)(glanced.shut - before);
		ck_assert(!glance_session(&ledger, 0, &copy));
		live_on();
		life = glanced.life;
		mprotect(glanced.shut, glanced.page, PROT_NONE);
		if (glance_session(&ledger, 0, &copy)) {
			ck_assert_uint_eq(copy.route, copy.generation * 3);
			ck_assert_uint_eq(copy.target, copy.generation * 5);
			ck_assert_uint_eq(copy.endpoint, copy.generation * 7);
			ck_assert_uint_eq(copy.address, copy.generation);
		}
		ck_assert_uint_eq(glanced.life, life + 1);
		ck_assert(glance_session(&ledger, 0, &copy));
		ck_assert_uint_eq(copy.generation, life + 1);
		memset((void *)glanced.record, 0, sizeof copy);
	}
	signal(SIGSEGV, SIG_DFL);
	munmap(pages, 2 * glanced.page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow");
	TCase *tcase = tcase_create("flow");

	tcase_add_test(tcase, pipes_large_ones_first_then_small);
	tcase_add_test(tcase, pipes_large_ones_are_asked_for_again);
	tcase_add_test(tcase, pipes_one_descriptor_is_both_ends);
	tcase_add_test(tcase, pipes_tell_when_there_are_none);
	tcase_add_test(tcase, pipes_adopt_refuses_what_is_none);
	tcase_add_test(tcase, sockets_fresh_until_touched);
	tcase_add_test(tcase, closing_names_one_socket);
	tcase_add_test(tcase, sockets_that_listen_are_not_accepted);
	tcase_add_test(tcase, addresses_fit_their_listener);
	tcase_add_test(tcase, a_leaving_listener_takes_no_new_syn);
	tcase_add_test(tcase, peers_chosen_to_collide_do_not_under_a_seed_that_is_drawn);
	tcase_add_test(tcase, own_sockets_are_found_whole_or_not_at_all);
	tcase_add_test(tcase, own_sockets_of_the_last_are_known_and_the_oldest_give_way);
	tcase_add_test(tcase, a_glance_is_of_one_life);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
