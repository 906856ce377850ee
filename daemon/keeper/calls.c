/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter of system calls: a list of what a worker's threads use, and of the arguments that they
 * use where others would reach another process. It needs libseccomp; a build without it has no
 * filter.
 *
 * What surprised us. A signal can be sent without kill(2): a descriptor's owner gets one when it
 * becomes ready (F_SETOWN, and FIOSETOWN of ioctl(2)). The filter must not kill: a session that
 * causes a forbidden call would then kill the worker, so it returns EPERM, and ENOSYS for
 * clone3(2), whose flags a filter cannot read, so that the C library falls back to clone(2). The
 * calls of every turn have no conditions: the kernel then knows the result without running the
 * filter. Compiling these rules takes longer than the rest of a start: the keeper does it once, and
 * each heir finds the program in its memory.
 */
#include "keeper/calls.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "config/needs.h"
#include "ledger/generation.h"
#include "ledger/ledger.h"

#ifndef HAVE_SECCOMP

void calls_prepare(const struct generation *newest)
{
	(void)newest;
}

int calls_restrict(const struct generation *newest)
{
	(void)newest;
	return WALL_NOT_BUILT;
}

#else

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

enum { DOMAINS_MAX = 64 };

/* Whatever their arguments are. Names that an architecture does not have are skipped; the C
 * library uses these or those. */
static const char *const allowed[] = {
	/* bytes and messages */
	"splice",
	"tee",
	"vmsplice",
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"recv",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	"recvmmsg_time64",
	"send",
	"sendto",
	"sendmsg",
	"sendmmsg",
	/* what is ready, and when */
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"poll",
	"ppoll",
	"ppoll_time64",
	"select",
	"_newselect",
	"pselect6",
	"pselect6_time64",
	"eventfd2",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_settime64",
	"timerfd_gettime",
	"timerfd_gettime64",
	/* sockets; no listen(2) here: the keeper does it */
	"accept",
	"accept4",
	"bind",
	"connect",
	"shutdown",
	"getpeername",
	"getsockname",
	"getsockopt",
	"setsockopt",
	/* descriptors */
	"close",
	"dup",
	"dup2",
	"dup3",
	"pipe",
	"pipe2",
	"lseek",
	"_llseek",
	/* files: a filter cannot check which; only the keeper creates and removes names */
	"open",
	"openat",
	"access",
	"faccessat",
	"faccessat2",
	"stat",
	"stat64",
	"lstat",
	"lstat64",
	"fstat",
	"fstat64",
	"newfstatat",
	"fstatat64",
	"statx",
	"getdents",
	"getdents64",
	"readlink",
	"readlinkat",
	"getcwd",
	/* memory */
	"brk",
	"munmap",
	"mremap",
	"madvise",
	"mincore",
	/* threads, and their signals */
	"futex",
	"futex_time64",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"membarrier",
	"sched_yield",
	"sched_getaffinity",
	"getcpu",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigreturn",
	"rt_sigtimedwait",
	"rt_sigtimedwait_time64",
	"rt_sigsuspend",
	"rt_sigpending",
	"sigaltstack",
	"pause",
	"restart_syscall",
	"exit",
	"exit_group",
	/* time */
	"clock_gettime",
	"clock_gettime64",
	"clock_getres",
	"clock_getres_time64",
	"clock_nanosleep",
	"clock_nanosleep_time64",
	"nanosleep",
	"gettimeofday",
	"time",
	/* our identity and system */
	"getpid",
	"getppid",
	"gettid",
	"getuid",
	"getuid32",
	"geteuid",
	"geteuid32",
	"getgid",
	"getgid32",
	"getegid",
	"getegid32",
	"getgroups",
	"getgroups32",
	"getrlimit",
	"ugetrlimit",
	"getrusage",
	"sysinfo",
	"uname",
	"getrandom",
};

/* Of fcntl(2). */
static const unsigned fcntl_commands[] = {F_DUPFD,	F_DUPFD_CLOEXEC, F_GETFD,
					  F_SETFD,	F_GETFL,	 F_SETFL,
					  F_GETPIPE_SZ, F_SETPIPE_SZ,	 F_GET_SEALS};

/* Of prctl(2). */
static const unsigned prctl_operations[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA};

/* Calls that only some generations need. */
struct wants {
	uint64_t domains; /* a bit each */
	bool netns;
};

/* The program that was made last, and what for. */
static struct {
	struct wants wants;
	unsigned short size; /* 0: none */
	struct sock_filter instructions[BPF_MAXINSNS];
} program;

struct filter {
	scmp_filter_ctx context;
	int r; /* of the first rule that could not be added */
};

static struct scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){
		.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/* An int argument: the kernel ignores the upper half of the register, so the caller may put
 * anything there. */
static struct scmp_arg_cmp equals(unsigned argument, uint32_t value)
{
	return masked(argument, UINT32_MAX, value);
}

static void add(struct filter *filter, uint32_t action, const char *name, unsigned n,
		const struct scmp_arg_cmp *conditions)
{
	int call = seccomp_syscall_resolve_name(name), r;

	if (call == __NR_SCMP_ERROR || filter->r < 0)
		return;
	r = seccomp_rule_add_array(filter->context, action, call, n, conditions);
	if (r < 0 && r != -EEXIST)
		filter->r = r;
}

static void allow(struct filter *filter, const char *name)
{
	add(filter, SCMP_ACT_ALLOW, name, 0, NULL);
}

static void allow_if(struct filter *filter, const char *name, struct scmp_arg_cmp condition)
{
	add(filter, SCMP_ACT_ALLOW, name, 1, &condition);
}

static void add_domains(const struct config_endpoint *endpoint, void *data)
{
	struct wants *wants = data;

	for (unsigned i = 0; i < endpoint->n_legs; i++) {
		const struct config_leg *leg = &endpoint->legs[i];

		if (leg->row->domain >= 0 && leg->row->domain < DOMAINS_MAX)
			wants->domains |= UINT64_C(1) << leg->row->domain;
		/* Name servers. */
		if (endpoint->role == SPLICED_CONNECT && leg->host_name)
			wants->domains |= UINT64_C(1) << AF_INET | UINT64_C(1) << AF_INET6;
	}
}

static void add_netns(const struct config_endpoint *endpoint, void *data)
{
	struct wants *wants = data;

	wants->netns |= endpoint->values[ENDPOINT_NETNS].value.state != SPLICED_UNSET;
}

static struct wants wants_of(const struct generation *newest)
{
	/* The log's; and the C library asks one for the names of interfaces. */
	struct wants wants = {.domains = UINT64_C(1) << AF_UNIX};

	for (const struct generation *generation = newest; generation;
	     generation = generation->next) {
		needs_each_endpoint(generation->config, add_domains, &wants);
		needs_each_endpoint(generation->config, add_netns, &wants);
	}
	return wants;
}

static void allow_wants(struct filter *filter, const struct wants *wants)
{
	for (unsigned domain = 0; domain < DOMAINS_MAX; domain++)
		if (wants->domains >> domain & 1)
			allow_if(filter, "socket", equals(0, domain));
	if (wants->netns)
		allow_if(filter, "setns", equals(1, CLONE_NEWNET));
}

/* What is harmless with these arguments alone. */
static void allow_within(struct filter *filter)
{
#ifdef __s390__
	allow_if(filter, "clone", masked(1, CLONE_THREAD, CLONE_THREAD));
#else
	allow_if(filter, "clone", masked(0, CLONE_THREAD, CLONE_THREAD));
#endif
	/* No code comes into the process any more. */
	allow_if(filter, "mmap", masked(2, PROT_EXEC, 0));
	allow_if(filter, "mmap2", masked(2, PROT_EXEC, 0));
	allow_if(filter, "mprotect", masked(2, PROT_EXEC, 0));
	/* Of ourselves, and only to know. */
	add(filter, SCMP_ACT_ALLOW, "prlimit64", 2,
	    (struct scmp_arg_cmp[]){equals(0, 0), masked(2, UINT64_MAX, 0)});
	for (size_t i = 0; i < sizeof fcntl_commands / sizeof *fcntl_commands; i++) {
		allow_if(filter, "fcntl", equals(1, fcntl_commands[i]));
		allow_if(filter, "fcntl64", equals(1, fcntl_commands[i]));
	}
	for (size_t i = 0; i < sizeof prctl_operations / sizeof *prctl_operations; i++)
		allow_if(filter, "prctl", equals(0, prctl_operations[i]));
}

static void allow_ours(struct filter *filter, const struct wants *wants)
{
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
		allow(filter, allowed[i]);
	allow_within(filter);
	allow_wants(filter, wants);
	/* But for what refuse_some() says. */
	allow(filter, "ioctl");
	allow(filter, "kill");
	allow(filter, "tgkill");
	add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

static int begin(struct filter *filter, uint32_t otherwise)
{
	static const struct {
		enum scmp_filter_attr attribute;
		uint32_t value;
	} attributes[] = {
		{SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)},
		{SCMP_FLTATR_CTL_OPTIMIZE, 2}, /* a binary tree */
		{SCMP_FLTATR_CTL_SSB, 1}, /* no Spectre mitigation, which slows the processor: only
					   * our own code runs here */
	};

	*filter = (struct filter){.context = seccomp_init(otherwise)};
	if (!filter->context)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
		seccomp_attr_set(filter->context, attributes[i].attribute, attributes[i].value);
	return 0;
}

/* By a file: libseccomp 2.5 writes to nothing else. */
static int export(const struct filter *filter)
{
	_close_ int fd = memfd_create("spliced-calls", MFD_CLOEXEC);
	ssize_t size;
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(filter->context, fd);
	if (r < 0)
		return r;
	size = pread(fd, program.instructions, sizeof program.instructions, 0);
	if (size <= 0 || (size_t)size == sizeof program.instructions ||
	    (size_t)size % sizeof *program.instructions)
		return -E2BIG;
	program.size = (unsigned short)((size_t)size / sizeof *program.instructions);
	return 0;
}

static int make(const struct wants *wants)
{
	struct filter filter;
	int r;

	if (program.size && program.wants.domains == wants->domains &&
	    program.wants.netns == wants->netns)
		return 0;
	program.size = 0;
	r = begin(&filter, SCMP_ACT_ERRNO(EPERM));
	if (r < 0)
		return r;
	allow_ours(&filter, wants);
	r = filter.r ? filter.r : export(&filter);
	seccomp_release(filter.context);
	program.wants = *wants;
	return r;
}

static int load(const struct sock_filter *instructions, unsigned short size)
{
	const struct sock_fprog code = {.len = size, .filter = (struct sock_filter *)instructions};

	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &code))
		return 0;
	/* Before Linux 4.17. */
	return errno == EINVAL && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code) ? 0
											   : -errno;
}

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF 4
#else
#define LOW_HALF 0
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_INT(argument) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[argument]) + LOW_HALF)
#define JUMP_IF(value, then, otherwise) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))

/* A filter of its own: one filter cannot express "all but some" of an argument; and each worker
 * has a different number. It only refuses, so the other filter checks the architecture. */
static int refuse_some(void)
{
	const struct sock_filter instructions[] = {
		LOAD(nr),
		JUMP_IF(SYS_ioctl, 4, 0),
		JUMP_IF(SYS_kill, 1, 0),
		JUMP_IF(SYS_tgkill, 0, 7),
		/* raise(3) and abort(3): a failed assertion has to end the worker as it always
		 * does */
		LOAD_INT(0),
		JUMP_IF((uint32_t)getpid(), 5, 6),
		LOAD_INT(1),
		/* a terminal is typed on, or copied from; a descriptor's owner gets a signal */
		JUMP_IF(TIOCSTI, 4, 0),
		JUMP_IF(TIOCLINUX, 3, 0),
		JUMP_IF(FIOSETOWN, 2, 0),
		JUMP_IF(SIOCSPGRP, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_ERRNO | EPERM),
	};

	return load(instructions, sizeof instructions / sizeof *instructions);
}

void calls_prepare(const struct generation *newest)
{
	const struct wants wants = wants_of(newest);

	make(&wants); /* else the heir tries again, and logs the error */
}

int calls_restrict(const struct generation *newest)
{
	const struct wants wants = wants_of(newest);
	int r = make(&wants);

	if (!r && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		r = -errno;
	if (!r)
		r = refuse_some();
	if (!r)
		r = load(program.instructions, program.size);
	return r < 0 ? r : WALL_STANDS;
}

#endif
