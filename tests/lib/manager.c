/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service manager for tests: as much of org.freedesktop.systemd1(5) as starts and stops a unit,
 * for peers that connect to it as to a system bus.
 *
 *     manager SOCKET DIRECTORY
 *
 * In DIRECTORY each unit is a file of its name, with its ActiveState; there is no other. `calls`
 * gets a line for each start and stop. Where `denied` is, they are denied; where `silent` is,
 * nothing is answered. A started unit is "activating" where NAME.slow is, else "active"; a stopped
 * one "deactivating" where NAME.slow is, else "inactive".
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

static const char *directory;

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "manager: %s: %s\n", what, strerror(-r));
	exit(EXIT_FAILURE);
}

static const char *path_of(const char *name, const char *suffix)
{
	static char path[512];

	snprintf(path, sizeof path, "%s/%s%s", directory, name, suffix);
	return path;
}

static bool exists(const char *name, const char *suffix)
{
	return !access(path_of(name, suffix), F_OK);
}

/* At once: a test reads it at any time. */
static void write_state(const char *name, const char *state)
{
	char to[512];
	FILE *file = fopen(path_of(name, ".new"), "w");

	if (!file || fprintf(file, "%s", state) < 0 || fclose(file))
		must(-errno, name);
	snprintf(to, sizeof to, "%s", path_of(name, ""));
	if (rename(path_of(name, ".new"), to) < 0)
		must(-errno, name);
}

static const char *read_state(const char *name)
{
	static char state[32];
	FILE *file = fopen(path_of(name, ""), "r");

	memset(state, 0, sizeof state);
	if (!file)
		return "inactive";
	if (!fread(state, 1, sizeof state - 1, file))
		must(-EIO, name);
	fclose(file);
	return state;
}

static void note(const char *what, const char *name)
{
	FILE *file = fopen(path_of("calls", ""), "a");

	if (!file || fprintf(file, "%s %s\n", what, name) < 0 || fclose(file))
		must(-errno, "calls");
}

static int change(sd_bus_message *message, bool start)
{
	const char *name, *mode;
	int r = sd_bus_message_read(message, "ss", &name, &mode);

	if (r < 0)
		return r;
	note(start ? "start" : "stop", name);
	if (exists("denied", ""))
		return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_ACCESS_DENIED,
						  "Permission denied");
	if (!exists(name, ""))
		return sd_bus_reply_method_errorf(message, "org.freedesktop.systemd1.NoSuchUnit",
						  "Unit %s not found.", name);
	if (exists(name, ".slow"))
		write_state(name, start ? "activating" : "deactivating");
	else
		write_state(name, start ? "active" : "inactive");
	return sd_bus_reply_method_return(message, "o", "/org/freedesktop/systemd1/job/1");
}

static int get(sd_bus_message *message)
{
	const char *interface, *property;
	char *name;
	int r = sd_bus_message_read(message, "ss", &interface, &property);

	if (r >= 0)
		r = sd_bus_path_decode(sd_bus_message_get_path(message),
				       "/org/freedesktop/systemd1/unit", &name);
	if (r < 0)
		return r;
	if (!strcmp(property, "Job"))
		r = sd_bus_reply_method_return(message, "v", "(uo)", 0, "/");
	else
		r = sd_bus_reply_method_return(message, "v", "s", read_state(name));
	free(name);
	return r;
}

static int answer(sd_bus_message *message, void *context, sd_bus_error *error)
{
	int r = 0;

	(void)context, (void)error;
	if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus", "Hello"))
		r = sd_bus_reply_method_return(message, "s", ":1.1");
	else if (exists("silent", ""))
		return 1;
	else if (sd_bus_message_is_method_call(message, NULL, "StartUnit"))
		r = change(message, true);
	else if (sd_bus_message_is_method_call(message, NULL, "StopUnit"))
		r = change(message, false);
	else if (sd_bus_message_is_method_call(message, NULL, "Get"))
		r = get(message);
	else
		return 0;
	must(r, "answer");
	return 1;
}

static int come(sd_event_source *source, int fd, uint32_t events, void *context)
{
	sd_event *event = context;
	sd_bus *bus;
	sd_id128_t id;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)source, (void)events;
	if (client < 0)
		return 0;
	must(sd_id128_randomize(&id), "id");
	must(sd_bus_new(&bus), "bus");
	must(sd_bus_set_fd(bus, client, client), "descriptor");
	must(sd_bus_set_server(bus, 1, id), "server");
	must(sd_bus_add_filter(bus, NULL, answer, NULL), "filter");
	must(sd_bus_start(bus), "start");
	must(sd_bus_attach_event(bus, event, 0), "event");
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	sd_event *event;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: manager SOCKET DIRECTORY\n");
		return EXIT_FAILURE;
	}
	directory = argv[2];
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, 16) < 0)
		must(-errno, argv[1]);
	must(sd_event_new(&event), "event");
	must(sd_event_add_io(event, NULL, fd, EPOLLIN, come, event), "event");
	puts("ready");
	fflush(stdout);
	must(sd_event_loop(event), "loop");
	return EXIT_SUCCESS;
}
