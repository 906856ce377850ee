/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One plugin file. Loading runs its constructors and those of every library it needs, so it is
 * first loaded in a forked child, which may crash or hang without harm. The child reports its
 * verdict through a pipe; a child that ends without one has crashed, and one that takes more than
 * five seconds hangs. We own the child until it is reaped.
 *
 * The file is opened by its plain path. /proc/self/fd/N would prevent a swap between check and
 * load, but dlopen(3) knows objects by the name they were opened with: the next plugin at the same
 * number would silently be the previous one.
 */
#include "net/plugin.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "net/family.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* At most PIPE_BUF, so that it arrives whole or not at all. */
struct verdict {
	int r;
	char text[1020];
};

/* The plugin's line, behind the file's name. */
static int refuse_file(const char *path, char **why, int r)
{
	_free_ char *what = *why;

	*why = NULL;
	return plugin_refuse(why, r, "%s: %s", path, what ? what : strerror(-r));
}

int plugin_open(const char *path, const char *name, struct family *family, char **why)
{
	const struct spliced_plugin *plugin;
	const char *error;
	void *handle;
	int r;

	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		error = dlerror();
		if (!strncmp(error, path, strlen(path)))
			return plugin_refuse(why, -ELIBACC, "%s", error);
		return plugin_refuse(why, -ELIBACC, "%s: %s", path, error);
	}
	plugin = dlsym(handle, "spliced_plugin");
	if (plugin)
		r = plugin_check(plugin, name, family, why);
	else
		r = plugin_refuse(why, -ELIBACC,
				  "is not a plugin: it does not export the symbol spliced_plugin");
	if (r < 0) {
		dlclose(handle);
		return refuse_file(path, why, r);
	}
	family->handle = handle;
	return 0;
}

/* The child must not use the daemon's signal handlers and masks, and its crash must not dump
 * core. */
static void leave_daemon(void)
{
	struct rlimit none = {0, 0};
	sigset_t empty;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i < _NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

static _Noreturn void try_in_child(int fd, const char *path, const char *name)
{
	struct verdict verdict = {0};
	struct family family = {0};
	char *why = NULL;

	leave_daemon();
	if (fd != 3 && dup2(fd, 3) < 0)
		_exit(EXIT_FAILURE);
	if (close_range(4, ~0U, 0) < 0)
		_exit(EXIT_FAILURE);
	verdict.r = plugin_open(path, name, &family, &why);
	snprintf(verdict.text, sizeof verdict.text, "%s", why ? why : "");
	if (write(3, &verdict, sizeof verdict) != sizeof verdict)
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

/* 0: a verdict; -ECHILD: the pipe ended without one; -ETIMEDOUT. */
static int await_verdict(int fd, struct verdict *ret)
{
	uint64_t deadline = clock_monotonic() + PLUGIN_TRY_SECONDS * NSEC_PER_SEC, now;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		now = clock_monotonic();
		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(&wait, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1) > 0)
			break;
	}
	do
		n = read(fd, ret, sizeof *ret);
	while (n < 0 && errno == EINTR);
	return n == sizeof *ret ? 0 : -ECHILD;
}

/* A child that has reported, or no longer will, can be killed: a process that has ended keeps its
 * exit status, whatever signal comes after. */
static int end_child(pid_t pid)
{
	int status = 0;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return status;
}

static int refuse_status(const char *path, int status, char **why)
{
	const char *signal_name;

	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		signal_name = sigabbrev_np(WTERMSIG(status));
		return plugin_refuse(why, -ECHILD, "%s: crashed while loading (SIG%s)", path,
				     signal_name ? signal_name : "?");
	}
	if (WIFEXITED(status))
		return plugin_refuse(why, -ECHILD, "%s: exited while loading (exit code %d)", path,
				     WEXITSTATUS(status));
	return plugin_refuse(why, -ECHILD, "%s: was killed while loading", path);
}

int plugin_try(const char *path, const char *name, char **why)
{
	struct verdict verdict;
	int ends[2], r, status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		r = -errno;
		return plugin_refuse(why, r, "%s: cannot try it: pipe: %s", path, strerror(-r));
	}
	pid = fork();
	if (pid == 0)
		try_in_child(ends[1], path, name);
	r = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (r < 0) {
		close(ends[0]);
		return plugin_refuse(why, r, "%s: cannot try it: fork: %s", path, strerror(-r));
	}
	r = await_verdict(ends[0], &verdict);
	close(ends[0]);
	status = end_child(pid);
	if (r == -ETIMEDOUT)
		return plugin_refuse(why, r, "%s: hangs: still loading after %d s", path,
				     PLUGIN_TRY_SECONDS);
	if (r < 0)
		return refuse_status(path, status, why);
	if (verdict.r < 0)
		return plugin_refuse(why, verdict.r, "%.*s", (int)sizeof verdict.text,
				     verdict.text);
	return 0;
}
