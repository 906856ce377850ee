/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names. It owns the c-ares channel, whose sockets are watched by the clerk's loop, and a job for
 * each target that has a name. A job asks for the addresses of each of the endpoint's families at
 * once, and writes them down by turns, IPv6 first (RFC 8305, section 4), when the last answer is
 * in. It asks again when the TTL is over, but never later than the route's `resolve`, and never
 * sooner than RETRY_SECONDS. Always true: an answer of nothing never replaces addresses, nor does
 * the failure to ask for one family replace those of that family. What surprised us: c-ares reports
 * a TTL of 0 for what it finds in /etc/hosts; it does so before ares_getaddrinfo() returns.
 *
 * Of a service, the SRV records are asked for first, and then the addresses of each of their hosts,
 * for all of them at once. While those of one cannot be asked for, all earlier ones stay.
 */
#include "dispatch/resolve.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "dispatch/places.h"
#include "dispatch/service.h"
#include "dispatch/target.h"
#include "ledger/generation.h"
#include "session/hand.h"
#include "session/thread.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_SECONDS = 1, /* after a failure; doubled up to `resolve` */
	RETRY_DOUBLINGS_MAX = 16,
	LOOKUP_TIMEOUT_MS = 2000,
	LOOKUP_TRIES = 2,
	LEGS_MAX = 2,
};

struct job {
	struct timer timer;
	struct resolver *resolver;
	const struct config_endpoint *endpoint;
	struct ledger_target *target;
	const uint32_t *slots; /* of the places of the name, if it stands for a pool: places.h */
	unsigned without;      /* addresses that have no place */
	uint32_t route;	       /* its slot in the ledger */
	uint64_t longest;      /* the route's `resolve` */
	unsigned pending, failures;
	bool calls;   /* ares_getaddrinfo() has not returned yet */
	uint64_t ttl; /* the shortest, ns */
	int error;    /* enum ares_status: why one of the questions has no addresses; 0: all have */
	bool unknown[LEGS_MAX]; /* there was no answer to this one: neither yes nor no */
	unsigned n_found[LEGS_MAX];
	unsigned room; /* for the addresses of a leg */
	struct place_found *found[LEGS_MAX];
	struct query {
		struct job *job;
		unsigned leg;
		const struct service_record *record; /* of a service */
	} * queries;				     /* LEGS_MAX for each record */
	struct service *service; /* the newest answer; NULL: it is asked for addresses alone */
	bool refused;		 /* ... and the service is not offered */
	bool exceeds;		 /* ... or it has too many records */
};

struct resolver {
	struct thread *clerk;
	ares_channel channel;
	struct timer timer; /* c-ares's own time-outs */
	struct job *jobs;
	unsigned n_jobs;
};

static void watch_socket(void *context, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = context;
	struct loop *loop = &resolver->clerk->loop;
	uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);

	if (!events)
		loop_remove(loop, fd);
	else if (loop_change(loop, fd, events, KIND_RESOLVER, (uint32_t)fd) == -ENOENT)
		loop_add(loop, fd, events, KIND_RESOLVER, (uint32_t)fd);
}

static void arm(struct resolver *resolver)
{
	struct timeval left;
	struct loop *loop = &resolver->clerk->loop;

	if (ares_timeout(resolver->channel, NULL, &left))
		timer_set(&loop->timers, &resolver->timer,
			  clock_monotonic() + (uint64_t)left.tv_sec * NSEC_PER_SEC +
				  (uint64_t)left.tv_usec * 1000 + NSEC_PER_MSEC);
	else
		timer_clear(&loop->timers, &resolver->timer);
}

/* c-ares asks the kernel: a false event for a reused descriptor number does no harm. */
static void handle_socket(void *context, uint64_t name, uint32_t events)
{
	struct resolver *resolver = context;
	ares_socket_t fd = (ares_socket_t)loop_index(name);

	ares_process_fd(resolver->channel,
			events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	arm(resolver);
}

static void handle_timeout(struct timer *timer)
{
	struct resolver *resolver =
		(struct resolver *)((char *)timer - offsetof(struct resolver, timer));

	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(resolver);
}

/* The families by turns, the first leg's first. */
static unsigned interleave(const struct job *job, struct place_found *ret)
{
	unsigned n = 0;

	assert(job->endpoint->n_legs <= LEGS_MAX);
	for (unsigned i = 0; i < job->room; i++)
		for (unsigned leg = 0; leg < job->endpoint->n_legs; leg++)
			if (i < job->n_found[leg] && n < job->room)
				ret[n++] = job->found[leg][i];
	return n;
}

/* ns until the next lookup. */
static uint64_t next_look(struct job *job, bool well)
{
	uint64_t pause = job->ttl;

	job->failures = well ? 0 : job->failures + 1;
	if (!well)
		pause = RETRY_SECONDS * NSEC_PER_SEC
			<< (job->failures < RETRY_DOUBLINGS_MAX ? job->failures - 1
								: RETRY_DOUBLINGS_MAX);
	if (pause > job->longest)
		pause = job->longest;
	return pause > RETRY_SECONDS * NSEC_PER_SEC ? pause : RETRY_SECONDS * NSEC_PER_SEC;
}

/* What was found for this leg before. */
static void keep_known(struct job *job, unsigned leg)
{
	const struct ledger_target *target = job->target;
	struct place_found known[CONFIG_PLACES];
	unsigned n = 0;

	if (job->endpoint->place)
		n = places_known(job->resolver->clerk->worker->ledger, job->slots, leg, known);
	for (unsigned i = 0;
	     !job->endpoint->place && i < target->n_addresses && i < LEDGER_ADDRESSES_MAX; i++)
		if (target->addresses[i].leg == leg)
			known[n++].address = target->addresses[i];
	if (!job->service) /* there was no answer */
		job->n_found[leg] = 0;
	for (unsigned i = 0; i < n; i++)
		if (!places_find(job->found[leg], job->n_found[leg], &known[i]) &&
		    job->n_found[leg] < job->room)
			job->found[leg][job->n_found[leg]++] = known[i];
}

static bool is_unknown(const struct job *job)
{
	for (unsigned leg = 0; leg < job->endpoint->n_legs; leg++)
		if (job->unknown[leg])
			return true;
	return false;
}

/* Whether addresses were found now, for a leg at least. */
static bool is_partly_known(const struct job *job)
{
	for (unsigned leg = 0; leg < job->endpoint->n_legs; leg++)
		if (!job->unknown[leg] && job->n_found[leg])
			return true;
	return false;
}

/* Logs changes: the target is down only if its name has never had an address. */
static void tell(const struct job *job, bool well)
{
	const char *host = job->endpoint->legs[0].host_name, *why = ares_strerror(job->error);
	bool partly = is_partly_known(job),
	     kept = job->target->n_addresses && !job->target->refused;
	struct log_entry entry = {.event = kept		    ? EVENT_NONE
					   : well || partly ? EVENT_TARGET_UP
							    : EVENT_TARGET_DOWN};

	if (well == !job->failures)
		return;
	log_add_field(&entry, "TARGET", job->target->name);
	if (!well)
		log_add_field(&entry, "ERROR", why);
	if (well)
		log_event(LOG_NOTICE, &entry, "target %s: %s resolves again", job->target->name,
			  host);
	else
		log_event(LOG_WARNING, &entry, "target %s: %s does not resolve%s: %s%s",
			  job->target->name, host, partly ? " for all address families" : "", why,
			  kept ? "; the last addresses are kept" : "");
}

static void write_down(struct job *job, const struct place_found *found, unsigned count)
{
	struct ledger_address addresses[LEDGER_ADDRESSES_MAX];
	struct log_entry entry = {.event = EVENT_NONE};
	unsigned without;

	if (!job->endpoint->place) {
		for (unsigned i = 0; i < count && i < LEDGER_ADDRESSES_MAX; i++)
			addresses[i] = found[i].address;
		target_set_addresses(job->target, addresses, count);
		return;
	}
	without = places_set(job->resolver->clerk->worker->ledger, job->slots, found, count);
	if (without && !job->without) {
		log_add_field(&entry, "TARGET", job->target->name);
		log_event(
			LOG_WARNING, &entry,
			"target %s: %s has %u addresses, and %u of them have no place: a name has %d at most",
			job->target->name, job->endpoint->legs[0].host_name, count, without,
			(int)CONFIG_PLACES);
	}
	job->without = without;
}

static void finish_job(struct job *job)
{
	struct place_found found[PLACES_FOUND_MAX];
	struct loop *loop = &job->resolver->clerk->loop;
	unsigned count;
	bool well;

	assert(!job->pending);
	for (unsigned leg = 0; leg < job->endpoint->n_legs; leg++)
		if (job->unknown[leg])
			keep_known(job, leg);
	count = interleave(job, found);
	assert(count <= job->room);
	well = count && !is_unknown(job);
	tell(job, well);
	if (count)
		write_down(job, found, count);
	timer_set(&loop->timers, &job->timer, clock_monotonic() + next_look(job, well));
}

static void collect(const struct query *query, const struct ares_addrinfo_node *node)
{
	struct job *job = query->job;
	unsigned leg_index = query->leg;
	const struct config_leg *leg = &job->endpoint->legs[leg_index];
	struct place_found found = {.service = 0};
	const void *bytes;
	struct address address;
	int r;

	assert(leg_index < job->endpoint->n_legs);
	assert(job->n_found[leg_index] <= job->room);
	if (job->n_found[leg_index] == job->room || node->ai_family != leg->row->domain)
		return;
	bytes = node->ai_family == AF_INET
			? (const void *)&((struct sockaddr_in *)(void *)node->ai_addr)->sin_addr
			: (const void *)&((struct sockaddr_in6 *)(void *)node->ai_addr)->sin6_addr;
	hand_route(job->resolver->clerk, job->route);
	r = address_from_options(leg->family, &leg->options, leg->host_option, bytes,
				 node->ai_family == AF_INET ? 4 : 16, 0, &address);
	hand_empty(job->resolver->clerk);
	if (r < 0 || address.len > sizeof found.address.bytes)
		return;
	if (query->record) {
		address_set_port(&address, query->record->port);
		found.service = service_pack(query->record->priority, query->record->weight);
	}
	found.address.leg = (uint8_t)leg_index;
	found.address.len = (uint8_t)address.len;
	memcpy(found.address.bytes, &address.storage, address.len);
	job->n_found[leg_index] =
		places_add(job->found[leg_index], job->n_found[leg_index], &found);
}

static void take_ttl(struct job *job, int seconds)
{
	uint64_t ttl = seconds > 0 ? (uint64_t)seconds * NSEC_PER_SEC : 0;

	if (ttl < job->ttl)
		job->ttl = ttl;
}

/* How long the answer is valid: as long as each record that it is made of. */
static void note_ttl(struct job *job, const struct ares_addrinfo *result)
{
	if (job->calls) /* from a file: it has none */
		return;
	for (const struct ares_addrinfo_node *node = result->nodes; node; node = node->ai_next)
		take_ttl(job, node->ai_ttl);
	for (const struct ares_addrinfo_cname *cname = result->cnames; cname; cname = cname->next)
		take_ttl(job, cname->ttl);
}

static void answered(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
	struct query *query = context;
	struct job *job = query->job;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION)
		return;
	if (status == ARES_SUCCESS) {
		note_ttl(job, result);
		for (const struct ares_addrinfo_node *node = result->nodes; node;
		     node = node->ai_next)
			collect(query, node);
	} else {
		job->unknown[query->leg] = status != ARES_ENODATA && status != ARES_ENOTFOUND;
		if (!job->error || job->unknown[query->leg])
			job->error = status;
	}
	if (result)
		ares_freeaddrinfo(result);
	assert(job->pending > 0);
	if (!--job->pending)
		finish_job(job);
}

/* For the addresses of a host, of each family. */
static void ask_addresses(struct job *job, const char *host, const struct service_record *record,
			  struct query *queries)
{
	for (unsigned i = 0; i < job->endpoint->n_legs; i++) {
		const struct config_leg *leg = &job->endpoint->legs[i];
		struct ares_addrinfo_hints hints = {.ai_family = leg->row->domain,
						    .ai_socktype = leg->row->type};

		queries[i] = (struct query){.job = job, .leg = i, .record = record};
		job->calls = true;
		ares_getaddrinfo(job->resolver->channel, host, NULL, &hints, answered, &queries[i]);
		job->calls = false;
	}
}

static void ask_hosts(struct job *job)
{
	const struct service *service = job->service;
	unsigned n = service->n;

	assert(n && n <= SERVICE_RECORDS_MAX);
	job->pending = n * job->endpoint->n_legs;
	for (unsigned i = 0; i < n; i++)
		ask_addresses(job, service->records[i].host, &service->records[i],
			      &job->queries[i * LEGS_MAX]);
}

static void tell_service(struct job *job)
{
	const struct service *service = job->service;
	const char *name = job->target->name, *host = job->endpoint->legs[0].host_name;
	bool exceeds = service->n < service->n_seen;
	struct log_entry entry = {.event = service->refused == job->refused ? EVENT_NONE
					   : service->refused		    ? EVENT_TARGET_DOWN
									    : EVENT_TARGET_UP};

	log_add_field(&entry, "TARGET", name);
	if (service->refused && !job->refused)
		log_event(LOG_WARNING, &entry,
			  "target %s: %s is not offered: its record has no host", name, host);
	else if (!service->refused && job->refused)
		log_event(LOG_NOTICE, &entry, "target %s: %s is offered again", name, host);
	if (exceeds && !job->exceeds)
		log_event(LOG_WARNING, &entry,
			  "target %s: %s has %u records; %d of them are used, by priority", name,
			  host, service->n_seen, (int)SERVICE_RECORDS_MAX);
	job->refused = service->refused;
	job->exceeds = exceeds;
}

static void finish_refused(struct job *job)
{
	places_refuse(job->resolver->clerk->worker->ledger, job->slots);
	timer_set(&job->resolver->clerk->loop.timers, &job->timer,
		  clock_monotonic() + next_look(job, true));
}

/* Of a service: an answer that is not understood is none. */
static void answered_service(void *context, int status, int timeouts, unsigned char *answer,
			     int len)
{
	struct job *job = context;
	int r = 0;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION)
		return;
	if (status == ARES_SUCCESS)
		r = service_read(answer, (size_t)len, job->service);
	job->pending = 0;
	if (status != ARES_SUCCESS || r < 0) {
		job->error = status != ARES_SUCCESS ? status
			     : r == -ENOENT	    ? ARES_ENODATA
			     : r == -ENOMEM	    ? ARES_ENOMEM
						    : ARES_EBADRESP;
		for (unsigned i = 0; i < LEGS_MAX; i++)
			job->unknown[i] =
				job->error != ARES_ENODATA && job->error != ARES_ENOTFOUND;
		finish_job(job);
		return;
	}
	tell_service(job);
	take_ttl(job, (int)job->service->ttl);
	if (job->service->refused)
		finish_refused(job);
	else
		ask_hosts(job);
}

static void look_up(struct timer *timer)
{
	struct job *job = (struct job *)((char *)timer - offsetof(struct job, timer));
	unsigned legs = job->endpoint->n_legs;
	const char *name = job->endpoint->legs[0].host_name;

	assert(!job->pending && legs > 0 && legs <= LEGS_MAX);
	job->ttl = job->longest;
	job->error = ARES_SUCCESS;
	for (unsigned i = 0; i < legs; i++) {
		job->n_found[i] = 0;
		job->unknown[i] = false;
	}
	/* Before the first question: an answer may come at once, from /etc/hosts. */
	job->pending = job->service ? 1 : legs;
	if (job->service)
		ares_search(job->resolver->channel, name, SERVICE_QUESTION_CLASS,
			    SERVICE_QUESTION_TYPE, answered_service, job);
	else
		ask_addresses(job, name, NULL, job->queries);
	arm(job->resolver);
}

/* What a route connects to: its targets, followed by its dials. */
static const struct config_endpoint *connected_end(const struct config_route *route, unsigned index)
{
	return index < route->n_targets ? &route->targets[index]
					: &route->dial[index - route->n_targets];
}

/* The places of a name are looked up once. */
static bool is_looked_up(const struct config_endpoint *endpoint)
{
	return endpoint->legs[0].host_name && endpoint->place <= 1;
}

static unsigned count_names(const struct config *config)
{
	unsigned count = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		for (unsigned k = 0; k < config->routes[i].n_targets + config->routes[i].n_dial;
		     k++)
			count += is_looked_up(connected_end(&config->routes[i], k));
	return count;
}

/* What addresses are of. */
static uint64_t origin_of(const struct config_endpoint *endpoint)
{
	return ledger_digest(endpoint->text);
}

static int take_memory(struct job *job)
{
	const struct config_endpoint *endpoint = job->endpoint;
	unsigned hosts = endpoint->service ? SERVICE_RECORDS_MAX : 1;

	for (unsigned leg = 0; leg < endpoint->n_legs; leg++) {
		job->found[leg] = calloc(job->room, sizeof *job->found[leg]);
		if (!job->found[leg])
			return -ENOMEM;
	}
	job->queries = calloc((size_t)hosts * LEGS_MAX, sizeof *job->queries);
	if (endpoint->service)
		job->service = calloc(1, sizeof *job->service);
	return !job->queries || (endpoint->service && !job->service) ? -ENOMEM : 0;
}

static int add_job(struct resolver *resolver, const struct generation *generation, unsigned route,
		   unsigned target)
{
	const struct config_endpoint *endpoint =
		connected_end(&generation->config->routes[route], target);
	struct ledger *ledger = resolver->clerk->worker->ledger;
	struct job *job = &resolver->jobs[resolver->n_jobs++];

	job->resolver = resolver;
	job->endpoint = endpoint;
	job->slots = &generation->target_slots[route][target];
	job->route = generation->route_slots[route];
	job->longest = generation->config->routes[route].resolve;
	job->target = &ledger->targets[job->slots[0]];
	job->room = endpoint->place ? PLACES_FOUND_MAX : LEDGER_ADDRESSES_MAX;
	for (unsigned i = 0; i < (endpoint->place ? CONFIG_PLACES : 1); i++) {
		assert(job->slots[i] < LEDGER_TARGETS_MAX);
		target_set_origin(&ledger->targets[job->slots[i]], origin_of(endpoint));
	}
	job->refused = job->target->refused;
	if (take_memory(job) < 0)
		return -ENOMEM;
	job->timer.fire = look_up;
	timer_set(&resolver->clerk->loop.timers, &job->timer, 0);
	return 0;
}

static int add_jobs(struct resolver *resolver, const struct generation *generation)
{
	const struct config *config = generation->config;
	int r = 0;

	for (unsigned i = 0; i < config->n_routes; i++)
		for (unsigned k = 0;
		     k < config->routes[i].n_targets + config->routes[i].n_dial && !r; k++)
			if (is_looked_up(connected_end(&config->routes[i], k)))
				r = add_job(resolver, generation, i, k);
	return r;
}

static int open_channel(struct resolver *resolver)
{
	struct ares_options options = {
		.timeout = LOOKUP_TIMEOUT_MS,
		.tries = LOOKUP_TRIES,
		.sock_state_cb = watch_socket,
		.sock_state_cb_data = resolver,
	};
	int status =
		ares_init_options(&resolver->channel, &options,
				  ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);

	return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

int resolver_new(struct resolver **ret, struct thread *clerk)
{
	const struct generation *generation = clerk->worker->generations;
	unsigned names = count_names(generation->config);
	struct resolver *resolver;
	int r;

	*ret = NULL;
	if (!names)
		return 0;
	resolver = calloc(1, sizeof *resolver);
	if (!resolver)
		return -ENOMEM;
	resolver->clerk = clerk;
	resolver->timer.fire = handle_timeout;
	resolver->jobs = calloc(names, sizeof *resolver->jobs);
	r = resolver->jobs ? open_channel(resolver) : -ENOMEM;
	if (!r) {
		loop_handle(&clerk->loop, KIND_RESOLVER, handle_socket, resolver);
		r = add_jobs(resolver, generation);
	}
	if (r < 0)
		resolver_free(resolver);
	else
		*ret = resolver;
	return r;
}

struct resolver *resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return NULL;
	if (resolver->channel)
		ares_destroy(resolver->channel);
	for (unsigned i = 0; i < resolver->n_jobs; i++) {
		timer_clear(&resolver->clerk->loop.timers, &resolver->jobs[i].timer);
		for (unsigned leg = 0; leg < LEGS_MAX; leg++)
			free(resolver->jobs[i].found[leg]);
		free(resolver->jobs[i].queries);
		free(resolver->jobs[i].service);
	}
	free(resolver->jobs);
	free(resolver);
	return NULL;
}
