/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handing over. Both sides visit the ledger in one order (manifest.h), so that a descriptor needs no name on its way. What surprised
 * us: the manager drops descriptors from its store that say POLLHUP, but for FDPOLL=0; and it counts what is on its way in a socket
 * against RLIMIT_NOFILE of the sender, unix(7).
 */
#include "keeper/handover.h"

#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "keeper/prepare.h"
#include "keeper/start.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "net/callback.h"
#include "net/passed.h"
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { BATCH = 253 /* SCM_MAX_FD */, BOAT_BUFFER = 4 << 20 };

#define BOAT_NAME "spliced-lifeboat"
#define LEDGER_VARIABLE "SPLICED_LEDGER"

static int boat = -1;

/* ---- what both ways need ---- */

static int set_cloexec(int32_t *fd, void *data)
{
	return fcntl(*fd, F_SETFD, data ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

static int close_one(int32_t *fd, void *data)
{
	(void)data;
	close(*fd);
	*fd = -1;
	return 0;
}

static void give_up(struct ledger *old)
{
	if (!old->header)
		return;
	manifest_visit(old, close_one, NULL);
	ledger_done(old);
}

/* ---- the lifeboat ---- */

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
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(size)};
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

/* What is cut must not look complete, where the family can say so; a good end takes it back. Not so a listener's, which those that it
 * accepts would inherit. leave: also take back what the socket asked of the kernel beyond its own life. */
static void cut(const struct ledger_session *record, unsigned side, struct generation *newest, bool leave)
{
	const struct config_leg *leg = generation_leg(newest, record, side);

	if (record->fd[side] < 0 || !leg)
		return;
	if (leave && leg->row->capabilities & SPLICED_FEED && leg->family->plugin.leave)
		CALLBACK_VOID(leg->family, leave, leg->family->plugin.leave(record->fd[side], &leg->options));
	if (leg->row->capabilities & SPLICED_RESET)
		socket_set_abort(record->fd[side]);
}

static void cut_all(const struct ledger *ledger, struct generation *newest, bool leave)
{
	for (uint32_t i = 0; i < ledger->keeper->sessions_high; i++)
		for (unsigned side = 0; ledger->sessions[i].state != SESSION_FREE && side < 2; side++)
			cut(&ledger->sessions[i], side, newest, leave);
}

void handover_abandon(struct ledger *ledger, struct generation *newest)
{
	cut_all(ledger, newest, true);
}

bool handover_send(struct ledger *ledger, struct generation *newest)
{
	struct cargo cargo = {.socket = boat, .count = 1, .fds = {ledger->fd}};
	int r;

	if (boat < 0)
		return false;
	/* If nobody comes for them. */
	cut_all(ledger, newest, false);
	r = send_batch(&cargo);
	if (!r)
		r = manifest_visit(ledger, load_one, &cargo);
	if (!r)
		r = send_batch(&cargo);
	/* EPIPE: the manager keeps none, FileDescriptorStoreMax= is 0. */
	if (r < 0 && r != -EPIPE)
		log_error("the sessions cannot wait for the next start: %s", strerror(-r));
	return !r;
}

void handover_launch(struct ledger *ledger)
{
	int ends[2], size = BOAT_BUFFER, r;

	if (!getenv("NOTIFY_SOCKET") || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return;
	if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	/* Of an earlier start there is an empty one. */
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" BOAT_NAME);
	r = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" BOAT_NAME, &ends[1], 1);
	close(ends[1]);
	if (r <= 0 || ledger_keep_fd(ledger, ends[0]) < 0)
		close(ends[0]);
	else
		boat = ends[0];
}

/* The next descriptors out of the lifeboat, into cargo->fds. Their number, 0: no more; or negative errno. */
static int unload(struct cargo *cargo)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * BATCH)];
	} control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
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

/* The numbers in the ledger are those of another process: each becomes ours, or none. */
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

static int take_boat(int fd, struct ledger *old)
{
	struct unloading unloading = {.cargo.socket = fd};
	int r = unload(&unloading.cargo);

	if (r <= 0)
		return r;
	if (r != 1)
		return -EPROTO;
	r = ledger_open(old, unloading.cargo.fds[0]);
	if (r < 0) {
		close(unloading.cargo.fds[0]);
		return r;
	}
	unloading.cargo.count = 0;
	manifest_visit(old, unload_one, &unloading);
	if (unloading.failed) {
		give_up(old);
		return -EPROTO;
	}
	return 1;
}

/* All that the manager passes: the lifeboat, or -1; and sockets to listen on. */
static int take_passed(struct report *report)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), boat_fd = -1, r;

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (!strcmp(names[i], BOAT_NAME)) {
			boat_fd = fd;
		} else {
			r = passed_add(names[i], fd);
			if (r == -EEXIST)
				report_add(report, "systemd passes several sockets as \"%s\", and the first counts: give each unit "
						   "one ListenStream=, or its own FileDescriptorName=", names[i]);
			else if (r < 0)
				report_add(report, "what systemd passes as \"%s\" is not used: %s", names[i], strerror(-r));
		}
		free(names[i]);
	}
	free(names);
	return boat_fd;
}

/* ---- upgrade ---- */

static int take_exec(const char *number, struct ledger *old)
{
	int fd = atoi(number), r;

	unsetenv(LEDGER_VARIABLE);
	if (fd <= STDERR_FILENO || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -EBADF;
	r = ledger_open(old, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = manifest_visit(old, set_cloexec, old);
	return r < 0 ? r : 1;
}

int handover_take(struct ledger *old, struct report *report)
{
	const char *number = getenv(LEDGER_VARIABLE);
	int fd = -1, r;

	*old = (struct ledger){.fd = -1};
	if (number) {
		r = take_exec(number, old);
	} else {
		fd = take_passed(report);
		r = fd >= 0 ? take_boat(fd, old) : 0;
	}
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		report_add(report, "what the last spliced left cannot be taken over, and its sessions end: %s", strerror(-r));
		give_up(old);
	}
	return r;
}

static int program_path(char *path, size_t size)
{
	static const char deleted[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	/* The file was replaced: its name is that of the new one. */
	if ((size_t)n > strlen(deleted) && !strcmp(path + n - strlen(deleted), deleted))
		path[(size_t)n - strlen(deleted)] = '\0';
	return 0;
}

int handover_exec(struct ledger *ledger, char *const *arguments)
{
	char path[4096], number[16];
	int r = program_path(path, sizeof path);

	if (!r)
		r = manifest_visit(ledger, set_cloexec, NULL);
	if (!r && fcntl(ledger->fd, F_SETFD, 0) < 0)
		r = -errno;
	if (!r) {
		snprintf(number, sizeof number, "%d", ledger->fd);
		setenv(LEDGER_VARIABLE, number, 1);
		execv(path, arguments);
		r = -errno;
		unsetenv(LEDGER_VARIABLE);
	}
	fcntl(ledger->fd, F_SETFD, FD_CLOEXEC);
	manifest_visit(ledger, set_cloexec, ledger);
	return r;
}

struct check {
	struct ledger *ledger;
	char *const *arguments;
	const char *config_path, *plugin_dir;
};

static void run_check(const struct prepare *prepare, void *data)
{
	const struct check *check = data;
	struct ledger *ledger = check->ledger;
	char path[4096], number[16];
	char *words[] = {check->arguments[0], "-t", "-c", (char *)check->config_path, "--adopts", number, NULL, NULL, NULL};

	if (check->plugin_dir) {
		words[6] = "--plugin-dir";
		words[7] = (char *)check->plugin_dir;
	}
	snprintf(number, sizeof number, "%d", ledger->fd);
	dup2(prepare->report_fd, STDOUT_FILENO);
	dup2(prepare->report_fd, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	fcntl(ledger->fd, F_SETFD, 0);
	for (int i = 0; i < LEDGER_GENERATIONS_MAX; i++)
		if (ledger->generations[i].number)
			fcntl(ledger->generations[i].fd, F_SETFD, 0);
	if (!program_path(path, sizeof path))
		execv(path, words);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
	_exit(EX_UNAVAILABLE);
}

int handover_check(struct prepare *prepare, struct ledger *ledger, const struct start *start)
{
	struct check check = {ledger, start->arguments, start->path, start->plugin_dir};

	return prepare_start_check(prepare, ledger, run_check, &check);
}

int handover_try(int fd, struct families *families, struct report *report)
{
	struct ledger old;
	int r = ledger_open(&old, fd);

	if (r < 0) {
		report_add(report, "this release does not understand the sessions of the one that runs: restart it, when they may end");
		return r;
	}
	for (int i = 0; i < LEDGER_GENERATIONS_MAX && !r; i++) {
		struct config *config = NULL;

		if (!old.generations[i].number)
			continue;
		r = config_read_generation(old.generations[i].fd, families, &config, report);
		config_free(config);
	}
	return r;
}
