/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lifeboat. Both sides visit the ledger in one order (manifest.h), which is that of the
 * descriptors on their way. What surprised us: the manager drops descriptors with POLLHUP from its
 * store, except with FDPOLL=0; and descriptors in flight in a socket count against RLIMIT_NOFILE of
 * the sender, unix(7).
 */
#include "keeper/lifeboat.h"

#include "base/report.h"
#include "ledger/cargo.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
	BATCH = 253 /* SCM_MAX_FD */,
	BOAT_BUFFER = 4 << 20,
	LIST_SINCE = 4, /* version of the ledger */
};

static int boat = -1, boat_list = -1;

/* First comes the ledger, and with it the list of all that follows (ledger/cargo.h). It is not in
 * the messages, which fill the socket by their size; its memfd is open from the start. Release 0.2
 * sent none: there, only the order identifies them. */
struct batch {
	int socket, count;
	int fds[BATCH];
	bool cut; /* there was no room for all */
};

static int send_batch(struct batch *batch)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * BATCH)];
	} control;
	char byte = 0;
	struct iovec part = {&byte, 1};
	size_t size = sizeof(int) * (size_t)batch->count;
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = CMSG_SPACE(size)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	if (!batch->count)
		return 0;
	memset(&control, 0, sizeof control);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), batch->fds, size);
	batch->count = 0;
	return sendmsg(batch->socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int load_one(int32_t *fd, void *data)
{
	struct batch *batch = data;

	batch->fds[batch->count++] = *fd;
	return batch->count == BATCH ? send_batch(batch) : 0;
}

int lifeboat_send(struct ledger *ledger)
{
	struct batch batch = {.socket = boat, .count = 2, .fds = {ledger->fd, boat_list}};
	int r = cargo_write(ledger, boat_list);

	if (!r)
		r = send_batch(&batch);
	if (!r)
		r = manifest_visit(ledger, load_one, &batch);
	if (!r)
		r = send_batch(&batch);
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
	boat_list = memfd_create("spliced-cargo", MFD_CLOEXEC);
	if (boat_list < 0 || ledger_keep_fd(ledger, boat_list) < 0 ||
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

/* The next descriptors out of the lifeboat, into batch->fds. 1; 0: no more; or negative errno. */
static int unload(struct batch *batch)
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
	ssize_t n = recvmsg(batch->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;

	if (n <= 0)
		return n < 0 && errno != EAGAIN ? -errno : 0;
	cmsg = CMSG_FIRSTHDR(&header);
	batch->cut = header.msg_flags & MSG_CTRUNC;
	batch->count = 0;
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
		batch->count = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(batch->fds, CMSG_DATA(cmsg), cmsg->cmsg_len - CMSG_LEN(0));
	}
	return 1;
}

struct unloading {
	struct batch batch;
	int next;
	bool failed;
};

/* Release 0.2: the numbers in the ledger are those of another process: each becomes ours, or none,
 * by the order in which they come. */
static int unload_one(int32_t *fd, void *data)
{
	struct unloading *unloading = data;

	*fd = -1;
	if (!unloading->failed && unloading->next == unloading->batch.count) {
		unloading->next = 0;
		unloading->failed = unload(&unloading->batch) <= 0 || unloading->batch.cut ||
				    !unloading->batch.count;
	}
	if (!unloading->failed)
		*fd = unloading->batch.fds[unloading->next++];
	return 0;
}

static int unload_in_order(struct batch *batch, struct ledger *old)
{
	struct unloading unloading = {.batch.socket = batch->socket};

	manifest_visit(old, unload_one, &unloading);
	return unloading.failed ? -EPROTO : 0;
}

static void report_damage(const struct cargo_damage *damage, struct report *report)
{
	static const struct cargo_damage none;

	if (memcmp(damage, &none, sizeof none) != 0)
		report_add(
			report,
			"what the service manager returned does not match the ledger: %u descriptors are missing, %u are unknown, %u belong to "
			"no record, %u records name another's, %u entries of the list are damaged; records without their own descriptor are "
			"dropped",
			damage->missing, damage->unknown, damage->unnamed, damage->refused,
			damage->entries);
}

/* Each gets its place by the list that came with the ledger. */
static int unload_by_list(struct batch *batch, int file, struct ledger *old, struct report *report)
{
	struct cargo cargo;
	int r = cargo_read(&cargo, file);

	while (!r && (r = unload(batch)) > 0) {
		for (int i = 0; i < batch->count; i++)
			cargo_take(&cargo, batch->fds[i]);
		r = 0;
	}
	cargo_settle(&cargo, old);
	report_damage(&cargo.damage, report);
	cargo_done(&cargo);
	return r;
}

/* Whether the release that wrote this ledger sends a list. */
static bool has_list(int ledger_fd)
{
	uint32_t version = 0;

	return pread(ledger_fd, &version, sizeof version,
		     offsetof(struct ledger_header, version)) == sizeof version &&
	       version >= LIST_SINCE;
}

/* The ledger, and the list or -1. */
static int unload_first(struct batch *batch, struct ledger *old, int *list)
{
	int r = unload(batch);

	*list = -1;
	if (r <= 0)
		return r;
	if (batch->cut || batch->count > 2 || batch->count < 1 + has_list(batch->fds[0]))
		r = -EPROTO;
	else
		r = ledger_open(old, batch->fds[0]);
	if (r == 0 && batch->count == 2)
		*list = batch->fds[1];
	while (r < 0 && batch->count)
		close(batch->fds[--batch->count]);
	return r < 0 ? r : 1;
}

int lifeboat_take(int fd, struct ledger *old, struct report *report)
{
	struct batch batch = {.socket = fd};
	int list, r = unload_first(&batch, old, &list);

	if (r <= 0)
		return r;
	r = list >= 0 ? unload_by_list(&batch, list, old, report) : unload_in_order(&batch, old);
	if (list >= 0)
		close(list);
	return r < 0 ? r : 1;
}
