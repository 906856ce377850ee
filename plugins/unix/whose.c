/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose file it is: sock_diag(7) reports to any process which file a socket is bound to, by device
 * and inode. That cannot be forged, and needs no state. It does not work where netlink is not
 * allowed, for a socket of another network namespace, and for file systems that show other device
 * numbers (overlayfs, btrfs). Then the file's owner, and that no other socket has the name, must
 * suffice: files of other users are never touched.
 */
#include "unix/unix.h"

#include <errno.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { KERNEL_MINOR_BITS = 20, ANSWER_BYTES = 4096 };

/* What the kernel reports of the socket with this inode. 0 or negative errno. */
static ssize_t ask(ino_t inode, void *answer, size_t size)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req request;
	} question = {
		.header = {.nlmsg_len = sizeof question,
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST},
		.request = {.sdiag_family = AF_UNIX,
			    .udiag_states = UINT32_MAX,
			    .udiag_ino = (uint32_t)inode,
			    .udiag_show = UDIAG_SHOW_VFS,
			    .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = send(fd, &question, sizeof question, 0);
	if (n >= 0)
		n = recv(fd, answer, size, MSG_DONTWAIT); /* the kernel answers within send(2) */
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

static int find_vfs(struct nlmsghdr *header, size_t len, struct unix_diag_vfs *ret)
{
	struct unix_diag_msg *message = NLMSG_DATA(header);
	struct rtattr *attribute;
	int left;

	if (!NLMSG_OK(header, len) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof *message))
		return -ENOENT;
	left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *message));
	for (attribute = (struct rtattr *)(message + 1); RTA_OK(attribute, left);
	     attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == UNIX_DIAG_VFS && RTA_PAYLOAD(attribute) >= sizeof *ret) {
			memcpy(ret, RTA_DATA(attribute), sizeof *ret);
			return 0;
		}
	return -ENOENT;
}

static int is_same_device(uint32_t kernels, dev_t seen)
{
	return major(seen) == kernels >> KERNEL_MINOR_BITS &&
	       minor(seen) == (kernels & ((1u << KERNEL_MINOR_BITS) - 1));
}

/* Whether the socket is the only one that is bound to its name, according to the table of names.
 * Accepted sockets have the name, too, but another state; and a datagram socket that was ever
 * connected to keeps that state. */
static int has_name_alone(ino_t inode, const char *path)
{
	FILE *table = fopen("/proc/thread-self/net/unix", "re");
	unsigned long found, ours = 0, others = 0;
	unsigned type, state;
	char line[512];
	int at;

	while (table && fgets(line, sizeof line, table)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %*s %x %x %lu %n", &type, &state, &found, &at) != 3)
			continue;
		if (state != SS_UNCONNECTED && !(type == SOCK_DGRAM && state == SS_CONNECTED))
			continue;
		if (strcmp(line + at, path) != 0)
			continue;
		if (found == inode)
			ours++;
		else
			others++;
	}
	if (table)
		fclose(table);
	return ours == 1 && !others;
}

static int is_users(const struct stat *file, const struct spliced_options *options)
{
	int64_t owner = unix_id(options, UNIX_OPTION_OWNER);

	return file->st_uid == geteuid() || (owner >= 0 && file->st_uid == (uid_t)owner);
}

int unix_is_ours(int fd, const struct stat *file, const struct spliced_options *options)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES] = {0};
	struct unix_diag_vfs vfs;
	struct stat own;
	ssize_t n;

	if (!S_ISSOCK(file->st_mode) || fstat(fd, &own) < 0)
		return 0;
	n = ask(own.st_ino, answer, sizeof answer);
	if (n > 0 && !find_vfs((struct nlmsghdr *)(void *)answer, (size_t)n, &vfs) &&
	    is_same_device(vfs.udiag_vfs_dev, file->st_dev))
		return vfs.udiag_vfs_ino == (uint32_t)file->st_ino;
	return is_users(file, options) && has_name_alone(own.st_ino, unix_path(options));
}
