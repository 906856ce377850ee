/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lifeboat. Both sides visit the ledger in one order (manifest.h), which is that of the
 * descriptors on their way. What surprised us: the manager drops descriptors with POLLHUP from its
 * store, except with FDPOLL=0; and descriptors in flight in a socket count against RLIMIT_NOFILE of
 * the sender, unix(7).
 */
#include "keeper/lifeboat.h"

#include "base/sparse.h"
#include "config/limit.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { BATCH = 253 /* SCM_MAX_FD */, BOAT_BUFFER = 4 << 20 };

static int boat = -1, boat_numbers = -1;

/* First comes the ledger, and with it a memfd of the numbers by which it knows the descriptors
 * that follow, in their order: so a wrong word in it cannot lead to another record's descriptor,
 * and their number is known. They are not in the messages, which fill the socket by their size;
 * the memfd is open from the start. Release 0.2 sent none: there, only the order identifies
 * them. */
struct cargo {
	int socket, count;
	int fds[BATCH];
};

static int send_batch(struct cargo *cargo)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * BATCH)];
	} control;
	char byte = 0;
	struct iovec part = {&byte, 1};
	size_t size = sizeof(int) * (size_t)cargo->count;
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = CMSG_SPACE(size)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	if (!cargo->count)
		return 0;
	memset(&control, 0, sizeof control);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), cargo->fds, size);
	cargo->count = 0;
	return sendmsg(cargo->socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int load_one(int32_t *fd, void *data)
{
	struct cargo *cargo = data;

	cargo->fds[cargo->count++] = *fd;
	return cargo->count == BATCH ? send_batch(cargo) : 0;
}

static int write_batch(struct cargo *numbers)
{
	size_t size = sizeof *numbers->fds * (size_t)numbers->count;

	numbers->count = 0;
	return write(boat_numbers, numbers->fds, size) == (ssize_t)size ? 0 : -EIO;
}

static int write_one(int32_t *fd, void *data)
{
	struct cargo *numbers = data;

	numbers->fds[numbers->count++] = *fd;
	return numbers->count == BATCH ? write_batch(numbers) : 0;
}

static int write_numbers(struct ledger *ledger)
{
	struct cargo numbers = {0};
	int r;

	if (ftruncate(boat_numbers, 0) < 0 || lseek(boat_numbers, 0, SEEK_SET) < 0)
		return -errno;
	r = manifest_visit(ledger, write_one, &numbers);
	return r ? r : write_batch(&numbers);
}

int lifeboat_send(struct ledger *ledger)
{
	struct cargo cargo = {.socket = boat, .count = 2, .fds = {ledger->fd, boat_numbers}};
	int r = write_numbers(ledger);

	if (!r)
		r = send_batch(&cargo);
	if (!r)
		r = manifest_visit(ledger, load_one, &cargo);
	if (!r)
		r = send_batch(&cargo);
	return r;
}

bool lifeboat_is_launched(void)
{
	return boat >= 0;
}

void lifeboat_launch(struct ledger *ledger)
{
	int ends[2], size = BOAT_BUFFER, r;

	if (!getenv("NOTIFY_SOCKET"))
		return;
	boat_numbers = memfd_create("spliced-numbers", MFD_CLOEXEC);
	if (boat_numbers < 0 || ledger_keep_fd(ledger, boat_numbers) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return;
	if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	/* Of an earlier start there is an empty one. */
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" LIFEBOAT_NAME);
	r = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" LIFEBOAT_NAME, &ends[1], 1);
	close(ends[1]);
	if (r <= 0 || ledger_keep_fd(ledger, ends[0]) < 0)
		close(ends[0]);
	else
		boat = ends[0];
}

/* The next descriptors out of the lifeboat, into cargo->fds. Their number, 0: no more; or negative
 * errno. */
static int unload(struct cargo *cargo)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * BATCH)];
	} control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof control};
	ssize_t n = recvmsg(cargo->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;

	if (n <= 0)
		return n < 0 && errno != EAGAIN ? -errno : 0;
	cmsg = CMSG_FIRSTHDR(&header);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS || header.msg_flags & MSG_CTRUNC)
		return -EPROTO;
	cargo->count = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(cargo->fds, CMSG_DATA(cmsg), cmsg->cmsg_len - CMSG_LEN(0));
	return cargo->count;
}

struct unloading {
	struct cargo cargo;
	int next;
	bool failed;
};

/* Release 0.2: the numbers in the ledger are those of another process: each becomes ours, or none,
 * by the order in which they come. */
static int unload_one(int32_t *fd, void *data)
{
	struct unloading *unloading = data;

	*fd = -1;
	if (!unloading->failed && unloading->next == unloading->cargo.count) {
		unloading->next = 0;
		unloading->failed = unload(&unloading->cargo) <= 0;
	}
	if (!unloading->failed)
		*fd = unloading->cargo.fds[unloading->next++];
	return 0;
}

static int unload_in_order(struct cargo *cargo, struct ledger *old)
{
	struct unloading unloading = {.cargo.socket = cargo->socket};

	manifest_visit(old, unload_one, &unloading);
	return unloading.failed ? -EPROTO : 0;
}

/* By the number that the other process knew it by: ours, plus one; 0: none. */
struct ours {
	int size;
	int32_t *fds;
};

static int renumber(int32_t *fd, void *data)
{
	const struct ours *ours = data;

	*fd = ours->fds && *fd < ours->size ? ours->fds[*fd] - 1 : -1;
	return 0;
}

static void note_number(const struct ours *ours, int32_t number, int fd)
{
	if (number < 0 || number >= ours->size || ours->fds[number])
		close(fd);
	else
		ours->fds[number] = fd + 1;
}

/* 0: all that have a number have come. */
static int unload_all(struct cargo *cargo, int file, const struct ours *ours)
{
	int32_t numbers[BATCH];
	int r;

	if (lseek(file, 0, SEEK_SET) < 0)
		return -errno;
	while ((r = unload(cargo)) > 0) {
		ssize_t size = (ssize_t)sizeof *numbers * r;
		bool known = read(file, numbers, (size_t)size) == size;

		for (int i = 0; i < r; i++)
			note_number(ours, known ? numbers[i] : -1, cargo->fds[i]);
		if (!known)
			return -EPROTO;
	}
	return r || !read(file, numbers, sizeof *numbers) ? r : -EPROTO;
}

static int unload_by_number(struct cargo *cargo, int file, struct ledger *old)
{
	size_t size = limit_numbers() * sizeof(int32_t);
	struct ours ours = {(int)limit_numbers(), sparse_new(size)};
	int r = ours.fds ? unload_all(cargo, file, &ours) : -ENOMEM;

	for (int i = 0; r && ours.fds && i < ours.size; i++)
		if (ours.fds[i])
			close(ours.fds[i] - 1);
	if (r) {
		sparse_free(ours.fds, size);
		ours.fds = NULL;
	}
	manifest_visit(old, renumber, &ours);
	sparse_free(ours.fds, size);
	return r;
}

int lifeboat_take(int fd, struct ledger *old)
{
	struct cargo cargo = {.socket = fd};
	int r = unload(&cargo), numbers = r == 2 ? cargo.fds[1] : -1;

	if (r <= 0)
		return r;
	r = r <= 2 ? ledger_open(old, cargo.fds[0]) : -EPROTO;
	if (r < 0) {
		while (cargo.count)
			close(cargo.fds[--cargo.count]);
		return r;
	}
	r = numbers >= 0 ? unload_by_number(&cargo, numbers, old) : unload_in_order(&cargo, old);
	if (numbers >= 0)
		close(numbers);
	return r < 0 ? r : 1;
}
