/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A feed of IPv4 datagrams whose format does what a message says, in the worker, and answers with
 * how it went: "NAME 0", or "NAME ERRNO". A message is a name of the table below and, where it
 * needs one, an argument: a number or a path. Its address() waits where it is told to.
 *
 * Nothing that succeeds here harms: what would is asked for in a way that the kernel refuses for
 * another reason, which is another number than a filter's.
 */
#include <spliced/plugin.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPTION_HOST, OPTION_PORT };

/* clang-format off */
static const struct spliced_row rows[] = {
	{.type = SOCK_DGRAM, .protocol = 0, .name = "feed", .pattern = "HOST:PORT",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_BOUNDARIES | SPLICED_FEED, .max_message = 65507},
};

static const struct spliced_option options_table[] = {
	[OPTION_HOST] = {.name = "host", .type = SPLICED_HOST, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "IPv4 address"},
	[OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 1, .max = 65535,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN, .doc = "Port number"},
};
/* clang-format on */

/* What a descriptor that was opened for it is. */
static long closed(long fd)
{
	return fd < 0 ? -1 : close((int)fd);
}

static long do_execve(const char *argument)
{
	char *const arguments[] = {"none", NULL};

	(void)argument;
	return execve("/nonexistent/program", arguments, arguments);
}

static long do_execveat(const char *argument)
{
	char *const arguments[] = {"none", NULL};

	(void)argument;
	return syscall(SYS_execveat, -1, "none", arguments, arguments, 0);
}

static long reap(long pid)
{
	if (pid == 0)
		_exit(0);
	return pid < 0 || waitpid((pid_t)pid, NULL, 0) < 0 ? -1 : 0;
}

static long do_fork(const char *argument)
{
	(void)argument;
	return reap(fork());
}

static long do_clone(const char *argument)
{
	(void)argument;
	return reap(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static long do_clone3(const char *argument)
{
	(void)argument;
	return syscall(SYS_clone3, NULL, 0);
}

static void *run_thread(void *data)
{
	return data;
}

static long do_thread(const char *argument)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run_thread, NULL);

	(void)argument;
	if (!r)
		r = pthread_join(thread, NULL);
	errno = r;
	return r ? -1 : 0;
}

/* Of a process that we do not trace. */
static long do_ptrace(const char *argument)
{
	return ptrace(PTRACE_CONT, atoi(argument), NULL, NULL);
}

static long do_vm_read(const char *argument)
{
	char buffer[8];
	struct iovec local = {buffer, sizeof buffer}, remote = {(void *)4096, sizeof buffer};

	return process_vm_readv(atoi(argument), &local, 1, &remote, 1, 0);
}

static long do_vm_write(const char *argument)
{
	char buffer[8] = "";
	struct iovec local = {buffer, sizeof buffer}, remote = {(void *)4096, sizeof buffer};

	return process_vm_writev(atoi(argument), &local, 1, &remote, 1, 0);
}

static long do_kill(const char *argument)
{
	return kill(atoi(argument), 0);
}

static long do_tgkill(const char *argument)
{
	return syscall(SYS_tgkill, atoi(argument), atoi(argument), 0);
}

static long do_tkill(const char *argument)
{
	return syscall(SYS_tkill, atoi(argument), 0);
}

static long do_sigqueue(const char *argument)
{
	return sigqueue(atoi(argument), 0, (union sigval){0});
}

static long do_raise(const char *argument)
{
	(void)argument;
	return syscall(SYS_tgkill, getpid(), gettid(), 0);
}

static long do_pidfd(const char *argument)
{
	return closed(syscall(SYS_pidfd_open, atoi(argument), 0));
}

/* A descriptor that becomes ready sends its owner a signal. */
static long do_own(const char *argument)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    r = fcntl(fd, F_SETOWN, atoi(argument)), error = errno;

	close(fd);
	errno = error;
	return r;
}

static long do_own_socket(const char *argument)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), pid = atoi(argument),
	    r = ioctl(fd, FIOSETOWN, &pid), error = errno;

	close(fd);
	errno = error;
	return r;
}

/* The same call, with what the kernel does not look at. */
static long do_own_wide(const char *argument)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), pid = atoi(argument), error;
	long r = syscall(SYS_ioctl, fd, FIOSETOWN | 1ul << 32, &pid);

	error = errno;
	close(fd);
	errno = error;
	return r;
}

/* Types on a terminal; this is none. */
static long do_type(const char *argument)
{
	(void)argument;
	return ioctl(-1, TIOCSTI, "");
}

static long do_socket(const char *argument)
{
	return closed(socket(atoi(argument), SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static long do_listen(const char *argument)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = listen(fd, 1), error = errno;

	(void)argument;
	close(fd);
	errno = error;
	return r;
}

static long do_io_uring(const char *argument)
{
	char parameters[120] = {0};

	(void)argument;
	return closed(syscall(SYS_io_uring_setup, 1, parameters));
}

static long do_io_uring_enter(const char *argument)
{
	(void)argument;
	return syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0);
}

static long do_bpf(const char *argument)
{
	(void)argument;
	return syscall(SYS_bpf, -1, NULL, 0);
}

static long do_mount(const char *argument)
{
	(void)argument;
	return syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
}

static long do_unshare(const char *argument)
{
	(void)argument;
	return unshare(0);
}

static long do_setns(const char *argument)
{
	(void)argument;
	return setns(-1, CLONE_NEWNET);
}

static long do_chroot(const char *argument)
{
	(void)argument;
	return chroot("/nonexistent/root");
}

static long do_setuid(const char *argument)
{
	(void)argument;
	return syscall(SYS_setuid, getuid());
}

static long do_dumpable(const char *argument)
{
	(void)argument;
	return prctl(PR_SET_PTRACER, -2, 0, 0, 0);
}

static long do_name(const char *argument)
{
	char name[16];

	(void)argument;
	return prctl(PR_GET_NAME, name) || prctl(PR_SET_NAME, name) ? -1 : 0;
}

static long do_limit(const char *argument)
{
	struct rlimit limit;

	(void)argument;
	return getrlimit(RLIMIT_NOFILE, &limit) || setrlimit(RLIMIT_NOFILE, &limit) ? -1 : 0;
}

static long do_memory(const char *argument)
{
	char *memory =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argument;
	if (memory == MAP_FAILED)
		return -1;
	memory[0] = 1;
	return mprotect(memory, 1 << 20, PROT_READ) || munmap(memory, 1 << 20) ? -1 : 0;
}

static long do_code(const char *argument)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argument;
	return memory == MAP_FAILED ? -1 : munmap(memory, 4096);
}

static long do_code_later(const char *argument)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r = memory == MAP_FAILED ? -1 : mprotect(memory, 4096, PROT_READ | PROT_EXEC),
	    error = errno;

	(void)argument;
	munmap(memory, 4096);
	errno = error;
	return r;
}

static long do_read(const char *argument)
{
	return closed(open(argument, O_RDONLY | O_CLOEXEC));
}

static long do_write(const char *argument)
{
	return closed(open(argument, O_WRONLY | O_CLOEXEC));
}

static long do_create(const char *argument)
{
	return closed(open(argument, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static long do_list(const char *argument)
{
	return closed(open(argument, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static long do_unlink(const char *argument)
{
	return unlink(argument);
}

static long do_mkdir(const char *argument)
{
	return mkdir(argument, 0700);
}

static long do_chmod(const char *argument)
{
	return chmod(argument, 0600);
}

static long do_rename(const char *argument)
{
	return rename(argument, argument);
}

/* More memory than a small control group has. */
static long do_eat(const char *argument)
{
	enum { MEAL = 200 << 20 };
	char *bytes = malloc(MEAL);

	(void)argument;
	if (!bytes)
		return -1;
	memset(bytes, 1, MEAL);
	free(bytes);
	return 0;
}

static long do_abort(const char *argument)
{
	(void)argument;
	abort();
}

static long do_crash(const char *argument)
{
	(void)argument;
	*(volatile int *)(uintptr_t)getpgid(-1) = 0;
	__builtin_trap();
}

/* The time as people have it. */
static long do_zone(const char *argument)
{
	time_t now = time(NULL);
	struct tm tm;

	(void)argument;
	localtime_r(&now, &tm);
	errno = (int)(labs(tm.tm_gmtoff) / 60);
	return -1;
}

#define ATTEMPT(name)            \
	{                        \
#name, do_##name \
	}

static const struct attempt {
	const char *name;
	long (*run)(const char *argument);
} attempts[] = {
	ATTEMPT(execve),     ATTEMPT(execveat), ATTEMPT(fork),		 ATTEMPT(clone),
	ATTEMPT(clone3),     ATTEMPT(thread),	ATTEMPT(ptrace),	 ATTEMPT(vm_read),
	ATTEMPT(vm_write),   ATTEMPT(kill),	ATTEMPT(tgkill),	 ATTEMPT(tkill),
	ATTEMPT(sigqueue),   ATTEMPT(raise),	ATTEMPT(pidfd),		 ATTEMPT(own),
	ATTEMPT(own_socket), ATTEMPT(own_wide), ATTEMPT(type),		 ATTEMPT(socket),
	ATTEMPT(listen),     ATTEMPT(io_uring), ATTEMPT(io_uring_enter), ATTEMPT(bpf),
	ATTEMPT(mount),	     ATTEMPT(unshare),	ATTEMPT(setns),		 ATTEMPT(chroot),
	ATTEMPT(setuid),     ATTEMPT(dumpable), ATTEMPT(name),		 ATTEMPT(limit),
	ATTEMPT(memory),     ATTEMPT(code),	ATTEMPT(code_later),	 ATTEMPT(read),
	ATTEMPT(write),	     ATTEMPT(create),	ATTEMPT(list),		 ATTEMPT(unlink),
	ATTEMPT(mkdir),	     ATTEMPT(chmod),	ATTEMPT(rename),	 ATTEMPT(eat),
	ATTEMPT(abort),	     ATTEMPT(crash),	ATTEMPT(zone),
};

static int answer(const char *request, char *text, size_t size)
{
	size_t len = strcspn(request, " ");
	const char *argument = request[len] ? request + len + 1 : "";

	for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
		if (strlen(attempts[i].name) == len && !strncmp(attempts[i].name, request, len)) {
			errno = 0;
			return snprintf(text, size, "%s %d", attempts[i].name,
					attempts[i].run(argument) < 0 ? errno : 0);
		}
	return snprintf(text, size, "%s is not known", request);
}

/* One frame a message. */
static int obey_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
		       void *frame, size_t size)
{
	uint8_t *done = consumer->state;
	char request[512];

	*done = !*done;
	if (!*done)
		return 0;
	snprintf(request, sizeof request, "%.*s", (int)message->len, (const char *)message->data);
	return answer(request, frame, size);
}

static const struct spliced_format formats[] = {
	{.name = "obey",
	 .doc = "Does what the message says, and tells how it went",
	 .rows = 1,
	 .framing = SPLICED_FRAMING_LINE,
	 .state_size = 1,
	 .encode = obey_encode},
};

/* Whoever checks a configuration can be held: for as long as the file is there that the environment
 * names. */
static void wait_while_held(void)
{
	const char *hold = getenv("CAPTIVE_HOLD");

	while (hold && !access(hold, F_OK))
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static int captive_address(const struct spliced_options *options, struct sockaddr_storage *address,
			   socklen_t *len)
{
	const struct spliced_value *host = spliced_value(options, OPTION_HOST);
	struct sockaddr_in in = {.sin_family = AF_INET};

	wait_while_held();
	if (inet_pton(AF_INET, host->text, &in.sin_addr) != 1)
		return -EADDRNOTAVAIL;
	in.sin_port = htons((uint16_t)spliced_value(options, OPTION_PORT)->number);
	memset(address, 0, sizeof *address);
	memcpy(address, &in, sizeof in);
	*len = sizeof in;
	return 0;
}

static int captive_describe(const struct spliced_row *row, const struct sockaddr *address,
			    socklen_t len, char *text, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	char number[INET_ADDRSTRLEN];

	(void)row;
	if (len < sizeof *in || in->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	inet_ntop(AF_INET, &in->sin_addr, number, sizeof number);
	return (size_t)snprintf(text, size, "%s:%u", number, ntohs(in->sin_port)) < size ? 0
											 : -ENOSPC;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "captive",
	.domain = AF_INET,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = sizeof options_table / sizeof *options_table,
	.n_formats = sizeof formats / sizeof *formats,
	.rows = rows,
	.options = options_table,
	.formats = formats,
	.summary = "IPv4 datagrams that say what is to be tried",
	.address = captive_address,
	.describe = captive_describe,
};
