/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The family unix: names, and above all its files: who owns them, who may open them, who removes
 * whose. */
#include "../plugins/endpoint.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct families families;
static const struct family *family;
static struct endpoint endpoint;
static char dir[64], path[160];

static void set_up(void)
{
	umask(022);
	family = endpoint_family(&families, "unix");
	compile_directory(dir);
	snprintf(path, sizeof path, "%s/socket", dir);
}

static void tear_down(void)
{
	families_done(&families);
	compile_clean(dir);
}

#define make(role, ...) endpoint_make(&endpoint, family, NULL, role, __VA_ARGS__, NULL)
#define assert_says(text) \
	ck_assert_msg(strstr(endpoint_error, text), "\"%s\" is not in \"%s\"", text, endpoint_error)

static int address(const struct spliced_options *options, struct address *ret)
{
	return address_from_options(family, options, -1, NULL, 0, 0, ret);
}

static const char *describe(const struct address *of)
{
	static char text[ADDRESS_TEXT_MAX];

	return address_describe(family, &family->rows[0], of, text, sizeof text);
}

static const char *const names[] = {
	"/run/x.sock",
	"@abstract",
	"@/looks/like/a/path",
	"/run/50%.sock",
	"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaa",
	"@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaa",
};

START_TEST(reads_and_describes)
{
	struct address got;

	ck_assert_int_le(strlen(names[_i]), 107);
	ck_assert_int_eq(address(make(SPLICED_CONNECT, "path", names[_i]), &got), 0);
	ck_assert_str_eq(describe(&got), names[_i]);
	ck_assert_int_eq(address(make(SPLICED_LISTEN, "path", names[_i]), &got), 0);
	ck_assert_str_eq(describe(&got), names[_i]);
}
END_TEST

START_TEST(describes_what_others_bind)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX,
				 .sun_path = {0, 'a', 0, '\n', 'b', ' ', (char)0xff}};
	struct address of = {.len = offsetof(struct sockaddr_un, sun_path) + 7};
	struct address inet = {.len = 16, .storage = {.ss_family = AF_INET}};
	char text[8];

	memcpy(&of.storage, &un, sizeof un);
	ck_assert_str_eq(describe(&of), "@a%00%0Ab%20%FF");
	ck_assert_int_eq(family->plugin.describe(&family->rows[0], address_sockaddr(&of), of.len,
						 text, sizeof text),
			 -ENOSPC);
	of.len = sizeof(sa_family_t);
	ck_assert_str_eq(describe(&of), "(unnamed)");
	ck_assert_int_eq(family->plugin.describe(&family->rows[0], address_sockaddr(&of), of.len,
						 text, sizeof text),
			 -ENOSPC);
	ck_assert_str_eq(describe(&inet), "?");
	/* A full sun_path has no NUL. */
	memset(un.sun_path, 'x', sizeof un.sun_path);
	memcpy(&of.storage, &un, sizeof un);
	of.len = sizeof un;
	ck_assert_int_eq(strlen(describe(&of)), sizeof un.sun_path);
}
END_TEST

static const struct {
	enum spliced_role role;
	const char *path, *option, *value, *says;
} refusals[] = {
	{SPLICED_CONNECT, "", "path", "", "is not the path or name of a socket"},
	{SPLICED_CONNECT, "", "path", "@", "is not the path or name of a socket"},
	{SPLICED_CONNECT, "", "path",
	 "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaaaaaaaaaaaaaaaaaa",
	 "108 bytes; the path of a socket has at most 107"},
	{SPLICED_LISTEN, "@a", "mode", "0600",
	 "an abstract socket has no file, and therefore no mode"},
	{SPLICED_LISTEN, "@a", "owner", "root", "and therefore no owner"},
	{SPLICED_LISTEN, "/a", "mode", "04755", "at most 0777"},
	{SPLICED_LISTEN, "/a", "owner", "no-such-user", "there is no user \"no-such-user\""},
	{SPLICED_LISTEN, "/a", "group", "no-such-group", "there is no group \"no-such-group\""},
	{SPLICED_LISTEN, "/a", "owner", "4294967295", "there is no user"},
	{SPLICED_LISTEN, "/a", "owner", "-1", "there is no user"},
	{SPLICED_LISTEN, "/a", "group", "", "there is no group"},
};

START_TEST(refuses_addresses)
{
	struct address got;

	ck_assert_int_lt(address(make(refusals[_i].role, "path", refusals[_i].path,
				      refusals[_i].option, refusals[_i].value),
				 &got),
			 0);
	assert_says(refusals[_i].says);
}
END_TEST

/* socket, prepare, bind with reclaim, bound, listen: as the daemon does. Returns the descriptor or
 * negative errno. */
static int listener_of_type(int type, const struct spliced_options *options, struct address *ret)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	r = address(options, ret);
	if (!r)
		r = family->plugin.prepare(fd, options);
	if (!r && bind(fd, address_sockaddr(ret), ret->len) < 0) {
		r = -errno;
		if (r == -EADDRINUSE)
			r = family->plugin.reclaim(options, address_sockaddr(ret), ret->len);
		if (!r && bind(fd, address_sockaddr(ret), ret->len) < 0)
			r = -errno;
	}
	if (!r)
		r = family->plugin.bound(fd, options);
	if (!r && type != SOCK_DGRAM && listen(fd, 16) < 0)
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

static int listener(const struct spliced_options *options, struct address *ret)
{
	return listener_of_type(SOCK_STREAM, options, ret);
}

/* Binds without any care, as another program does. */
static int stranger(int type, bool listens)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	if (listens)
		ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

static struct stat status(void)
{
	struct stat st;

	ck_assert_msg(lstat(path, &st) == 0, "%s: %s", path, strerror(errno));
	return st;
}

static bool exists(void)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

START_TEST(mode_is_what_was_asked)
{
	struct address at;
	int fd;

	umask(077);
	fd = listener(make(SPLICED_LISTEN, "path", path, "mode", "0666"), &at);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(status().st_mode & 07777, 0666);
	/* A reload, on the open socket. */
	ck_assert_int_eq(
		family->plugin.prepare(fd, make(SPLICED_LISTEN, "path", path, "mode", "0640")), 0);
	ck_assert_int_eq(family->plugin.bound(fd, &endpoint.options), 0);
	ck_assert_uint_eq(status().st_mode & 07777, 0640);
	/* One that says no mode any more leaves it. */
	ck_assert_int_eq(family->plugin.bound(fd, make(SPLICED_LISTEN, "path", path)), 0);
	ck_assert_uint_eq(status().st_mode & 07777, 0640);
	close(fd);
}
END_TEST

START_TEST(mode_is_never_wider)
{
	const struct spliced_options *options = make(SPLICED_LISTEN, "path", path, "mode", "0600");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct address at;

	umask(0);
	ck_assert_int_eq(address(options, &at), 0);
	ck_assert_int_eq(family->plugin.prepare(fd, options), 0);
	ck_assert_int_eq(bind(fd, address_sockaddr(&at), at.len), 0);
	ck_assert_uint_eq(status().st_mode & 07777, 0600);
	close(fd);
}
END_TEST

START_TEST(umask_decides_without_a_mode)
{
	struct address at;
	int fd;

	umask(027);
	fd = listener(make(SPLICED_LISTEN, "path", path), &at);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(status().st_mode & 07777, 0750);
	close(fd);
}
END_TEST

START_TEST(owner_and_group_are_what_was_asked)
{
	struct address at;
	int fd;

	if (geteuid() != 0) {
		printf("skipped: only root can give a file away\n");
		return;
	}
	fd = listener(make(SPLICED_LISTEN, "path", path, "owner", "4321", "group", "daemon", "mode",
			   "0660"),
		      &at);
	ck_assert_msg(fd >= 0, "%s", endpoint_error);
	ck_assert_uint_eq(status().st_uid, 4321);
	ck_assert_uint_ne(status().st_gid, 0);
	ck_assert_uint_eq(status().st_mode & 07777, 0660);
	ck_assert_int_eq(family->plugin.bound(fd, make(SPLICED_LISTEN, "path", path, "owner",
						       "root", "group", "0")),
			 0);
	ck_assert_uint_eq(status().st_uid, 0);
	ck_assert_uint_eq(status().st_gid, 0);
	close(fd);
}
END_TEST

START_TEST(changes_no_file_of_others)
{
	const struct spliced_options *options = make(SPLICED_LISTEN, "path", path, "mode", "0600");
	int fd = stranger(SOCK_STREAM, false), other;
	char target[96];

	snprintf(target, sizeof target, "%s/target", dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(family->plugin.bound(fd, options), -ENOENT);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	ck_assert_int_eq(family->plugin.bound(fd, options), -ENOTSOCK);
	assert_says("then replaced by another file");
	ck_assert_uint_eq(status().st_mode & 07777, 0644);
	ck_assert_int_eq(rename(path, target), 0);
	ck_assert_int_eq(symlink(target, path), 0);
	ck_assert_int_eq(family->plugin.bound(fd, options), -ENOTSOCK);
	close(fd);
	/* Nor a socket that a link leads to. */
	ck_assert_int_eq(unlink(path), 0);
	fd = stranger(SOCK_STREAM, false);
	ck_assert_int_eq(rename(path, target), 0);
	ck_assert_int_eq(symlink(target, path), 0);
	ck_assert_int_eq(family->plugin.bound(fd, options), -ENOTSOCK);
	close(fd);
	/* Nor, at a reload, a socket that took our place. */
	ck_assert_int_eq(unlink(path), 0);
	fd = stranger(SOCK_STREAM, false);
	ck_assert_int_eq(family->plugin.bound(fd, options), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(family->plugin.bound(fd, options), 0);
	ck_assert_int_eq(unlink(path), 0);
	other = stranger(SOCK_STREAM, true);
	ck_assert_int_eq(family->plugin.bound(fd, options), -ESTALE);
	ck_assert_uint_ne(status().st_mode & 07777, 0600);
	close(fd);
	close(other);
}
END_TEST

START_TEST(a_dead_socket_is_replaced)
{
	struct address at;
	int fd;

	close(stranger(SOCK_STREAM, true));
	ck_assert(exists());
	fd = listener(make(SPLICED_LISTEN, "path", path), &at);
	ck_assert_msg(fd >= 0, "%d %s", fd, endpoint_error);
	close(fd);
	/* Whatever type it was of. */
	unlink(path);
	close(stranger(SOCK_DGRAM, false));
	fd = listener(make(SPLICED_LISTEN, "path", path), &at);
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

static const struct {
	int type;
	bool listens;
} live[] = {{SOCK_STREAM, true}, {SOCK_STREAM, false}, {SOCK_SEQPACKET, true}, {SOCK_DGRAM, false}};

START_TEST(a_live_socket_never_is)
{
	int fd = stranger(live[_i].type, live[_i].listens), full[3];
	struct address at;
	ino_t inode = status().st_ino;

	ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", path), &at), -EADDRINUSE);
	ck_assert_uint_eq(status().st_ino, inode);
	if (live[_i].listens) {
		/* It noticed nothing; and a full queue does not make it dead. */
		ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		ck_assert_int_lt(accept(fd, NULL, NULL), 0);
		ck_assert_int_eq(errno, EAGAIN);
		for (size_t i = 0; i < 3; i++) {
			full[i] = socket(AF_UNIX, live[_i].type | SOCK_NONBLOCK, 0);
			connect(full[i], address_sockaddr(&at), at.len);
		}
		ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", path), &at), -EADDRINUSE);
		ck_assert_uint_eq(status().st_ino, inode);
		for (size_t i = 0; i < 3; i++)
			close(full[i]);
	}
	close(fd);
}
END_TEST

START_TEST(another_file_never_is)
{
	struct address at;
	char target[96];

	close(open(path, O_CREAT | O_WRONLY, 0644));
	ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", path), &at), -EADDRINUSE);
	assert_says("exists and is not a socket: move it away");
	ck_assert(S_ISREG(status().st_mode));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", path), &at), -EADDRINUSE);
	ck_assert(S_ISFIFO(status().st_mode));
	/* A link to a dead socket is somebody's decision, too. */
	ck_assert_int_eq(unlink(path), 0);
	close(stranger(SOCK_STREAM, true));
	snprintf(target, sizeof target, "%s/dead", dir);
	ck_assert_int_eq(rename(path, target), 0);
	ck_assert_int_eq(symlink(target, path), 0);
	ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", path), &at), -EADDRINUSE);
	ck_assert(S_ISLNK(status().st_mode));
}
END_TEST

START_TEST(unlink_is_the_operators_word)
{
	struct address at;
	int fd;

	close(stranger(SOCK_STREAM, true));
	ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", path, "unlink", "false"), &at),
			 -EADDRINUSE);
	ck_assert(exists());
	fd = listener(make(SPLICED_LISTEN, "path", path), &at);
	ck_assert_int_ge(fd, 0);
	close(fd);
	family->plugin.unlink(make(SPLICED_LISTEN, "path", path, "unlink", "false"),
			      address_sockaddr(&at), at.len);
	ck_assert(exists());
}
END_TEST

static void unbind(int fd)
{
	struct address at;

	ck_assert_int_eq(address(make(SPLICED_LISTEN, "path", path), &at), 0);
	family->plugin.unlink(&endpoint.options, address_sockaddr(&at), at.len);
	if (fd >= 0)
		family->plugin.release(fd, &endpoint.options);
}

START_TEST(the_end_removes_our_file)
{
	struct address at;
	int fd, client, accepted;

	fd = listener(make(SPLICED_LISTEN, "path", path, "mode", "0600"), &at);
	ck_assert_int_ge(fd, 0);
	/* Clients that stay, one accepted and one not yet, change nothing. */
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(client, address_sockaddr(&at), at.len), 0);
	accepted = accept(fd, NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	close(client);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(client, address_sockaddr(&at), at.len), 0);
	unbind(fd);
	ck_assert(!exists());
	unbind(fd);
	close(fd);
	close(client);
	close(accepted);
	/* Where it was closed first the file is a dead one. */
	close(listener(make(SPLICED_LISTEN, "path", path), &at));
	ck_assert(exists());
	unbind(fd);
	ck_assert(!exists());
}
END_TEST

/* The kernel calls it connected as soon as one client is, and for ever. */
START_TEST(the_end_removes_a_file_of_datagrams)
{
	struct address at;
	int fd = listener_of_type(SOCK_DGRAM, make(SPLICED_LISTEN, "path", path), &at), client;

	ck_assert_int_ge(fd, 0);
	client = socket(AF_UNIX, SOCK_DGRAM, 0);
	ck_assert_int_eq(connect(client, address_sockaddr(&at), at.len), 0);
	unbind(fd);
	ck_assert(!exists());
	close(fd);
	close(client);
	/* Not that of a stranger who took its place. */
	fd = listener_of_type(SOCK_DGRAM, make(SPLICED_LISTEN, "path", path), &at);
	ck_assert_int_eq(unlink(path), 0);
	client = stranger(SOCK_DGRAM, false);
	unbind(fd);
	ck_assert(exists());
	close(client);
	close(fd);
}
END_TEST

START_TEST(the_end_removes_nobody_elses)
{
	const struct spliced_options *options = make(SPLICED_LISTEN, "path", path);
	char detour[160];
	struct address at;
	int fd, other;

	/* Somebody removed our file and took its place. */
	fd = listener(options, &at);
	ck_assert_int_eq(unlink(path), 0);
	other = stranger(SOCK_STREAM, false);
	unbind(fd);
	ck_assert(exists());
	close(other);
	/* Under a name that leads to the same. */
	ck_assert_int_eq(unlink(path), 0);
	snprintf(detour, sizeof detour, "%s", path);
	snprintf(path, sizeof path, "%s/../%s/socket", dir, dir + strlen("/tmp/"));
	other = stranger(SOCK_STREAM, true);
	strcpy(path, detour);
	unbind(fd);
	ck_assert(exists());
	close(other);
	/* Another of our own, which a reload opened. */
	ck_assert_int_eq(unlink(path), 0);
	other = listener(make(SPLICED_LISTEN, "path", path), &at);
	ck_assert_int_ge(other, 0);
	unbind(fd);
	ck_assert(exists());
	close(other);
	/* Or no socket at all. */
	ck_assert_int_eq(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	unbind(fd);
	ck_assert(exists());
	close(fd);
}
END_TEST

START_TEST(an_abstract_socket_has_no_file)
{
	char name[64];
	const struct spliced_options *options;
	struct address at;
	int fd;

	snprintf(name, sizeof name, "@spliced-test-%d", getpid());
	options = make(SPLICED_LISTEN, "path", name);
	fd = listener(options, &at);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(listener(options, &at), -EADDRINUSE);
	family->plugin.unlink(options, address_sockaddr(&at), at.len);
	close(fd);
	fd = listener(options, &at);
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

#define CAP(number) (UINT64_C(1) << (number))

START_TEST(needs_capabilities)
{
	char own[16], other[16], group[16];

	snprintf(own, sizeof own, "%u", geteuid());
	snprintf(other, sizeof other, "%u", geteuid() + 1);
	snprintf(group, sizeof group, "%u", getegid());
	ck_assert_uint_eq(
		family->plugin.privileges(make(SPLICED_LISTEN, "path", path, "mode", "0600")), 0);
	ck_assert_uint_eq(family->plugin.privileges(
				  make(SPLICED_LISTEN, "path", path, "owner", own, "group", group)),
			  0);
	ck_assert_uint_eq(
		family->plugin.privileges(make(SPLICED_LISTEN, "path", path, "owner", other)),
		CAP(CAP_CHOWN) | CAP(CAP_FOWNER));
	ck_assert_uint_eq(family->plugin.privileges(
				  make(SPLICED_LISTEN, "path", path, "group", "4294967290")),
			  CAP(CAP_CHOWN));
	ck_assert_uint_eq(family->plugin.privileges(make(SPLICED_CONNECT, "path", path)), 0);
}
END_TEST

/* HALF_CLOSE, SPLICE, CREDENTIALS: what the row promises is what the kernel does. */
START_TEST(capabilities_hold)
{
	int fd, client, accepted, ends[2];
	struct ucred credentials;
	socklen_t len = sizeof credentials;
	struct address at;
	char text[16];

	fd = listener(make(SPLICED_LISTEN, "path", path), &at);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(client, address_sockaddr(&at), at.len), 0);
	accepted = accept(fd, NULL, NULL);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(client, "hello", 5), 5);
	ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
	ck_assert_int_eq(splice(accepted, NULL, ends[1], NULL, 65536, 0), 5);
	ck_assert_int_eq(splice(accepted, NULL, ends[1], NULL, 65536, 0), 0);
	ck_assert_int_eq(splice(ends[0], NULL, accepted, NULL, 65536, 0), 5);
	ck_assert_int_eq(read(client, text, sizeof text), 5);
	ck_assert_int_eq(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &credentials, &len), 0);
	ck_assert_int_eq(credentials.uid, geteuid());
	ck_assert(!(family->rows[0].capabilities & SPLICED_READERS));
	close(fd);
	close(client);
	close(accepted);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(says_when_calls_fail)
{
	struct address at;
	int fd;

	ck_assert_int_eq(
		family->plugin.prepare(-1, make(SPLICED_LISTEN, "path", path, "mode", "0600")),
		-EBADF);
	assert_says("cannot set the mode");
	ck_assert_int_eq(listener(make(SPLICED_LISTEN, "path", "/nowhere/at/all"), &at), -ENOENT);
	if (geteuid() != 0)
		return;
	/* Without the right to give files away. */
	fd = stranger(SOCK_STREAM, false);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(chown(path, 4321, 4321), 0);
	ck_assert_int_eq(seteuid(4321), 0);
	ck_assert_int_eq(family->plugin.bound(fd, make(SPLICED_LISTEN, "path", path, "owner", "1")),
			 -EPERM);
	assert_says("cannot give");
	close(fd);
	/* Or to remove them: the directory is root's. */
	ck_assert_int_eq(family->plugin.reclaim(make(SPLICED_LISTEN, "path", path), NULL, 0),
			 -EADDRINUSE);
	assert_says("cannot remove");
	/* Nor to ask who lives. */
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(chown(path, 0, 0), 0);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(seteuid(4321), 0);
	ck_assert_int_eq(family->plugin.reclaim(make(SPLICED_LISTEN, "path", path), NULL, 0),
			 -EADDRINUSE);
	ck_assert(exists());
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

/* Of another family, and as short: what an heir asks about a connection under a wildcard that is
 * not IP. */
START_TEST(any_vsock_context_fits)
{
	const struct family *vsock = endpoint_family(&families, "vsock");
	struct sockaddr_vm any = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 7000};
	struct sockaddr_vm one = {.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 7000};
	struct sockaddr_vm two = {.svm_family = AF_VSOCK, .svm_cid = 4, .svm_port = 7000};
	struct sockaddr_vm port = {.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 7001};

#define fits(a, b)                                                                            \
	vsock->plugin.fits(NULL, (struct sockaddr *)&(a), sizeof(a), (struct sockaddr *)&(b), \
			   sizeof(b))
	ck_assert_int_eq(fits(any, one), 1);
	ck_assert_int_eq(fits(one, one), 1);
	ck_assert_int_eq(fits(one, two), 0);
	ck_assert_int_eq(fits(one, any), 0);
	ck_assert_int_eq(fits(any, port), 0);
#undef fits
}
END_TEST

#define ADD_ROWS(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, sizeof(table) / sizeof *(table))

int main(void)
{
	Suite *suite = suite_create("unix");
	TCase *tcase = tcase_create("unix");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 30);
	ADD_ROWS(tcase, reads_and_describes, names);
	tcase_add_test(tcase, describes_what_others_bind);
	ADD_ROWS(tcase, refuses_addresses, refusals);
	tcase_add_test(tcase, mode_is_what_was_asked);
	tcase_add_test(tcase, mode_is_never_wider);
	tcase_add_test(tcase, umask_decides_without_a_mode);
	tcase_add_test(tcase, owner_and_group_are_what_was_asked);
	tcase_add_test(tcase, changes_no_file_of_others);
	tcase_add_test(tcase, a_dead_socket_is_replaced);
	ADD_ROWS(tcase, a_live_socket_never_is, live);
	tcase_add_test(tcase, another_file_never_is);
	tcase_add_test(tcase, unlink_is_the_operators_word);
	tcase_add_test(tcase, the_end_removes_our_file);
	tcase_add_test(tcase, the_end_removes_a_file_of_datagrams);
	tcase_add_test(tcase, the_end_removes_nobody_elses);
	tcase_add_test(tcase, an_abstract_socket_has_no_file);
	tcase_add_test(tcase, needs_capabilities);
	tcase_add_test(tcase, capabilities_hold);
	tcase_add_test(tcase, says_when_calls_fail);
	tcase_add_test(tcase, any_vsock_context_fits);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
