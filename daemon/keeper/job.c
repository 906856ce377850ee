/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/job.h"

#include "base/report.h"
#include "config/config.h"
#include "keeper/bind_error.h"
#include "net/callback.h"
#include "net/scope.h"
#include "net/socket.h"
#include "session/endpoint_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int jobs_add(struct jobs *jobs, const struct job *job)
{
	struct job *list, *own;

	if (!(jobs->n & (jobs->n - 1))) {
		list = realloc(jobs->list, (jobs->n ? jobs->n * 2 : 1) * sizeof *list);
		if (!list)
			return -ENOMEM;
		jobs->list = list;
	}
	own = &jobs->list[jobs->n];
	*own = *job;
	if (job->fds) {
		own->fds = malloc(job->n * sizeof *own->fds + 1);
		if (!own->fds)
			return -ENOMEM;
		memcpy(own->fds, job->fds, job->n * sizeof *own->fds);
	}
	jobs->n++;
	return 0;
}

void jobs_free(struct jobs *jobs)
{
	for (uint32_t i = 0; i < jobs->n; i++)
		free(jobs->list[i].fds);
	free(jobs->list);
	*jobs = (struct jobs){0};
}

bool job_is_passed(const struct config_endpoint *endpoint)
{
	return endpoint->values[ENDPOINT_FD].value.text;
}

static int complain(const struct job *job, const char *call, int error, struct report *report)
{
	return bind_error_add(job->config, job->route, job->endpoint, call, error, report);
}

/* The family's own message replaces the general one. */
static int open_socket(const struct job *job, bool probe, struct report *report)
{
	const struct config_leg *leg = job->leg;
	struct socket_options common = endpoint_socket_options(job->endpoint);
	struct socket_failure failure = {.call = "bind"};
	unsigned errors = report->count;
	struct address address;
	int fd;

	config_hear(job->config, job->route, job->endpoint, leg, report);
	fd = common.passed ? 0 : scope_find(common.netns, leg->interface, &leg->address, &address);
	if (!fd && probe)
		fd = socket_probe(leg->family, &leg->options, &address, &common);
	else if (!fd)
		fd = socket_bind(leg->family, &leg->options,
				 common.passed ? &leg->address : &address, &common, job->share,
				 &failure);
	config_hear_nothing();
	return fd < 0 && report->count == errors ? complain(job, failure.call, fd, report) : fd;
}

static int remove_traces(const struct job *job, const int *fds, uint32_t n)
{
	const struct config_leg *leg = job->leg;
	const struct spliced_plugin *plugin = &leg->family->plugin;
	const struct sockaddr *bytes = address_sockaddr_const(&leg->address);

	if (plugin->unlink && leg->options.role == SPLICED_LISTEN)
		CALLBACK_VOID(leg->family, unlink,
			      plugin->unlink(&leg->options, bytes, leg->address.len));
	for (uint32_t k = 0; plugin->release && k < n; k++)
		if (fds[k] >= 0)
			CALLBACK_VOID(leg->family, release, plugin->release(fds[k], &leg->options));
	return 0;
}

/* If nothing was bound, nothing is left; another process's file may be there. */
static void take_back(const struct job *job, int *fds, uint32_t n)
{
	if (n && !job_is_passed(job->endpoint))
		remove_traces(job, fds, n);
	while (n)
		close(fds[--n]);
}

static int open_sockets(const struct job *job, int *fds, struct report *report)
{
	int r = job->probe ? open_socket(job, true, report) : 0;

	for (uint32_t k = 0; !r && k < job->n; k++) {
		fds[k] = open_socket(job, false, report);
		if (fds[k] >= 0)
			continue;
		r = fds[k];
		take_back(job, fds, k);
	}
	return r;
}

static int try_options(const struct job *job, struct report *report)
{
	const struct config_leg *leg = job->leg;
	struct socket_options common = endpoint_socket_options(job->endpoint);
	unsigned errors = report->count;
	int fd;

	config_hear(job->config, job->route, job->endpoint, leg, report);
	fd = socket_open(leg->family, &leg->options, &common);
	config_hear_nothing();
	if (fd < 0)
		return report->count == errors ? complain(job, "setsockopt", fd, report) : fd;
	close(fd);
	return 0;
}

static int set_up(const struct job *job, bool prepares, struct report *report)
{
	const struct config_leg *leg = job->leg;
	const struct spliced_plugin *plugin = &leg->family->plugin;
	struct socket_options common = endpoint_socket_options(job->endpoint);
	int first = 0;

	config_hear(job->config, job->route, job->endpoint, leg, report);
	for (uint32_t k = 0; k < job->n; k++) {
		int r = 0;

		if (prepares && plugin->prepare)
			r = (int)CALLBACK(leg->family, prepare,
					  plugin->prepare(job->fds[k], &leg->options));
		if (!r && prepares)
			r = socket_set_priority(job->fds[k], &common);
		if (!r && plugin->bound)
			r = (int)CALLBACK(leg->family, bound,
					  plugin->bound(job->fds[k], &leg->options));
		if (r < 0 && !first)
			first = r;
	}
	config_hear_nothing();
	if (first)
		report_add(report,
			   "route %s: %s: cannot change an option, the old value remains: %s",
			   job->route->name, job->endpoint->text, strerror(-first));
	return first;
}

int job_run(const struct job *job, int *fds, struct report *report)
{
	switch (job->kind) {
	case JOB_OPEN:
		return open_sockets(job, fds, report);
	case JOB_TRY:
		return try_options(job, report);
	case JOB_LIVE:
	case JOB_BOUND:
		return set_up(job, job->kind == JOB_LIVE, report);
	case JOB_LEAVE:
		return remove_traces(job, job->fds, job->n);
	}
	return -EINVAL;
}
