/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/errand.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/report.h"
#include "config/config.h"
#include "keeper/child.h"
#include "keeper/job.h"
#include "ledger/ledger.h"
#include "net/callback.h"
#include "net/passed.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HANGS_MAX = 3,	      /* of one errand; then what is left is not run */
	TEXT_MAX = 32 * 1024, /* of one job, cut there */
};

/* Progress of the child that runs the jobs: shared by it and its foreman. */
struct progress {
	_Atomic uint32_t job;
	_Atomic uint32_t callback;
};

enum news { NEWS_SOCKET, NEWS_DONE };

/* In front of a message's text; a socket comes as SCM_RIGHTS. */
struct message {
	enum news news;
	uint32_t job;
	uint32_t k;
	int32_t r;
};

static struct {
	bool under_way;
	pid_t pid; /* 0: it has ended */
	int fd;	   /* of our end; -1: the other one is closed, and all was read */
	struct jobs jobs;
	bool *told;
	unsigned seconds;
	const struct errand_taker *taker;
} errand = {.fd = -1};

static struct progress *progress;

/* ---- in the child ---- */

static void tell(int to, const struct message *message, const char *text, size_t len, int fd)
{
	struct iovec parts[] = {{(void *)message, sizeof *message}, {(void *)text, len}};
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof control;
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
	}
	while (sendmsg(to, &header, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(EXIT_FAILURE); /* the keeper has closed the other end */
}

static void tell_done(int to, uint32_t job, int r, const struct report *report)
{
	struct message message = {.news = NEWS_DONE, .job = job, .r = r};

	tell(to, &message, report->text, report->len < TEXT_MAX ? report->len : TEXT_MAX, -1);
}

static void do_one(int to, uint32_t index)
{
	const struct job *job = &errand.jobs.list[index];
	struct message message = {.news = NEWS_SOCKET, .job = index};
	struct report report = {0};
	int fds[LEDGER_THREADS_MAX], r;

	atomic_store(&progress->job, index);
	r = job_run(job, fds, &report);
	for (uint32_t k = 0; !r && job->kind == JOB_OPEN && k < job->n; k++) {
		message.k = k;
		tell(to, &message, NULL, 0, fds[k]);
		close(fds[k]);
	}
	tell_done(to, index, r, &report);
	report_done(&report);
}

_Noreturn static void do_from(int to, uint32_t first, pid_t foreman)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != foreman)
		_exit(EXIT_FAILURE);
	callback_state = (struct callback_state){.word = &progress->callback};
	for (uint32_t i = first; i < errand.jobs.n; i++)
		do_one(to, i);
	atomic_store(&progress->job, errand.jobs.n);
	_exit(EXIT_SUCCESS);
}

/* Time limit of each job. True: one took longer, and the child was killed. */
static bool watch(pid_t pid, int *status)
{
	struct pollfd ends = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	uint32_t job = atomic_load(&progress->job);
	uint64_t since = clock_monotonic();
	bool hung = false;

	while (!hung && poll(&ends, 1, 100) <= 0) {
		uint64_t now = clock_monotonic();

		if (atomic_load(&progress->job) != job) {
			job = atomic_load(&progress->job);
			since = now;
		}
		hung = now - since > errand.seconds * NSEC_PER_SEC;
	}
	if (hung)
		kill(pid, SIGKILL);
	if (ends.fd >= 0)
		close(ends.fd);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return hung;
}

static void tell_death(int to, uint32_t index, int status, bool hung)
{
	const struct job *job = &errand.jobs.list[index];
	const char *callback =
		callback_name(atomic_load(&progress->callback) & ((1u << CALLBACK_BITS) - 1));
	struct report report = {0};
	char place[512], how[128];

	if (hung)
		snprintf(how, sizeof how, "took longer than %u s", errand.seconds);
	else if (WIFSIGNALED(status))
		snprintf(how, sizeof how, "died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof how, "exited with status %d", WEXITSTATUS(status));
	report_add(&report,
		   "%s: route %s: %s: family \"%s\", %s() %s; fix the plugin, or remove the route",
		   config_location_text(job->config, job->endpoint->location, place, sizeof place),
		   job->route->name, job->endpoint->text, job->leg->family->name,
		   *callback ? callback : "a callback", how);
	tell_done(to, index, -EOWNERDEAD, &report);
	report_done(&report);
}

_Noreturn static void lead(int to)
{
	pid_t foreman = getpid();
	unsigned hangs = 0;

	for (uint32_t next = 0; next < errand.jobs.n && hangs < HANGS_MAX; next++) {
		uint32_t at;
		int status = 0;
		bool hung;
		pid_t pid;

		atomic_store(&progress->job, next);
		atomic_store(&progress->callback, 0);
		pid = fork();
		if (pid < 0)
			break;
		if (pid == 0)
			do_from(to, next, foreman);
		hung = watch(pid, &status);
		at = atomic_load(&progress->job);
		if (at >= errand.jobs.n)
			break;
		next = at > next ? at : next;
		tell_death(to, next, status, hung);
		hangs += hung;
	}
	_exit(EXIT_SUCCESS);
}

static void keep_what_is_needed(int to)
{
	size_t n = 1;
	int *keep;

	for (uint32_t i = 0; i < errand.jobs.n; i++)
		n += errand.jobs.list[i].n;
	for (unsigned i = 0; passed_at(i); i++)
		n++;
	keep = calloc(n, sizeof *keep);
	if (!keep)
		_exit(EXIT_FAILURE);
	n = 0;
	keep[n++] = to;
	for (uint32_t i = 0; i < errand.jobs.n; i++)
		for (uint32_t k = 0; errand.jobs.list[i].fds && k < errand.jobs.list[i].n; k++)
			keep[n++] = errand.jobs.list[i].fds[k];
	for (unsigned i = 0; passed_at(i); i++)
		keep[n++] = passed_at(i)->fd;
	child_begin(keep, n);
	free(keep);
}

/* ---- in the keeper ---- */

static void settle(struct ledger *ledger, uint32_t index, int r, const char *text)
{
	if (errand.told[index])
		return;
	errand.told[index] = true;
	if (errand.taker && errand.taker->done)
		errand.taker->done(ledger, &errand.jobs.list[index], r, text);
	else if (r)
		log_lines(LOG_WARNING, "", text);
}

static void finish(struct ledger *ledger)
{
	if (errand.fd >= 0 || errand.pid || !errand.under_way)
		return;
	for (uint32_t i = 0; i < errand.jobs.n; i++)
		settle(ledger, i, -ECANCELED, "");
	jobs_free(&errand.jobs);
	free(errand.told);
	errand.told = NULL;
	errand.under_way = false;
}

static int open_way(struct ledger *ledger, int *to)
{
	int ends[2];

	if (!progress) {
		progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (progress == MAP_FAILED) {
			progress = NULL;
			return -ENOMEM;
		}
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	if (ledger_keep_fd(ledger, ends[0]) < 0) {
		close(ends[0]);
		close(ends[1]);
		return -ENOSPC;
	}
	errand.fd = ends[0];
	*to = ends[1];
	return 0;
}

static void close_way(struct ledger *ledger)
{
	ledger_forget_fd(ledger, errand.fd);
	close(errand.fd);
	errand.fd = -1;
}

int errand_start(struct ledger *ledger, struct jobs *jobs, unsigned seconds,
		 const struct errand_taker *taker)
{
	int to = -1, r;

	if (!jobs->n) {
		jobs_free(jobs);
		return 0;
	}
	if (errand.under_way) {
		jobs_free(jobs);
		return -EBUSY;
	}
	errand.told = calloc(jobs->n, sizeof *errand.told);
	r = errand.told ? open_way(ledger, &to) : -ENOMEM;
	if (r) {
		free(errand.told);
		jobs_free(jobs);
		return r;
	}
	errand.jobs = *jobs;
	*jobs = (struct jobs){0};
	errand.seconds = seconds;
	errand.taker = taker;
	errand.under_way = true;
	errand.pid = fork();
	if (errand.pid == 0) {
		keep_what_is_needed(to);
		lead(to);
	}
	r = errand.pid < 0 ? -errno : 0;
	close(to);
	if (!r)
		return 0;
	errand.pid = 0;
	errand.under_way = false;
	close_way(ledger);
	free(errand.told);
	jobs_free(&errand.jobs);
	return r;
}

bool errand_is_under_way(void)
{
	return errand.under_way;
}

int errand_fd(void)
{
	return errand.fd;
}

static int take_fd(struct msghdr *header)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	int fd = -1;

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof fd);
	return fd;
}

/* A child's messages are checked: a family's code may have written to its memory. */
static void take_news(struct ledger *ledger, const struct message *message, const char *text,
		      int fd)
{
	const struct job *job =
		message->job < errand.jobs.n ? &errand.jobs.list[message->job] : NULL;
	bool is_socket = job && message->news == NEWS_SOCKET && job->kind == JOB_OPEN &&
			 message->k < job->n && fd >= 0 && !errand.told[message->job];

	if (is_socket)
		errand.taker->socket(ledger, job, message->k, fd);
	else if (fd >= 0)
		close(fd);
	if (job && message->news == NEWS_DONE)
		settle(ledger, message->job, message->r > 0 ? -EPROTO : message->r, text);
}

void errand_receive(struct ledger *ledger)
{
	static char text[TEXT_MAX + 1];

	while (errand.fd >= 0) {
		struct message message = {0};
		char control[CMSG_SPACE(sizeof(int))];
		struct iovec parts[] = {{&message, sizeof message}, {text, TEXT_MAX}};
		struct msghdr header = {.msg_iov = parts,
					.msg_iovlen = 2,
					.msg_control = control,
					.msg_controllen = sizeof control};
		ssize_t n = recvmsg(errand.fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_way(ledger);
			finish(ledger);
			return;
		}
		text[(size_t)n > sizeof message ? (size_t)n - sizeof message : 0] = '\0';
		take_news(ledger, &message, text, take_fd(&header));
	}
}

bool errand_ended(struct ledger *ledger, pid_t pid)
{
	if (!errand.pid || pid != errand.pid)
		return false;
	errand.pid = 0;
	finish(ledger);
	return true;
}

void errand_wait(struct ledger *ledger)
{
	while (errand.under_way && errand.fd >= 0) {
		struct pollfd news = {.fd = errand.fd, .events = POLLIN};

		poll(&news, 1, -1);
		errand_receive(ledger);
	}
	while (errand.pid && waitpid(errand.pid, NULL, 0) < 0 && errno == EINTR)
		;
	errand.pid = 0;
	finish(ledger);
}

void errand_stop(struct ledger *ledger)
{
	if (errand.pid)
		kill(errand.pid, SIGKILL);
	errand_wait(ledger);
}
