/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events that are not of rtnetlink(7): of devices, as the kernel writes them for udev, and of
 * processes, by the connector. */
#include "netlink/netlink.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <string.h>

/* ---- devices: "ACTION@PATH", then "KEY=VALUE", each with a NUL ---- */

const char *netlink_put_uevent(json_t *object, const char *text, size_t len)
{
	const char *end = text + len, *action = "";

	for (const char *at = text, *nul; at < end; at = nul + 1) {
		const char *equals;
		char key[64];

		nul = memchr(at, '\0', (size_t)(end - at));
		if (!nul)
			break;
		equals = memchr(at, '=', (size_t)(nul - at));
		if (!equals || equals == at || (size_t)(equals - at) >= sizeof key)
			continue;
		memcpy(key, at, (size_t)(equals - at));
		key[equals - at] = '\0';
		netlink_put_text(object, key, equals + 1);
		if (!strcmp(key, "ACTION"))
			action = equals + 1;
	}
	if (!*action)
		return NULL;
	return !strcmp(action, "add") ? "new" : !strcmp(action, "remove") ? "del" : "update";
}

/* ---- processes ---- */

static void put_ids(json_t *object, const struct proc_event *event, bool is_user)
{
	netlink_put_number(object, is_user ? "ruid" : "rgid",
			   is_user ? event->event_data.id.r.ruid : event->event_data.id.r.rgid);
	netlink_put_number(object, is_user ? "euid" : "egid",
			   is_user ? event->event_data.id.e.euid : event->event_data.id.e.egid);
}

static void put_process(json_t *object, const char *what, pid_t pid, pid_t tgid)
{
	netlink_put_text(object, "what", what);
	netlink_put_number(object, "pid", pid);
	netlink_put_number(object, "tgid", tgid);
}

static const char *put_event(json_t *object, const struct proc_event *event)
{
	char name[sizeof event->event_data.comm.comm + 1] = "";
	unsigned what = event->what;

	/* All but a fork begin with the process itself. */
	switch (what) {
	case PROC_EVENT_FORK:
		put_process(object, "fork", event->event_data.fork.child_pid,
			    event->event_data.fork.child_tgid);
		netlink_put_number(object, "parent_pid", event->event_data.fork.parent_pid);
		netlink_put_number(object, "parent_tgid", event->event_data.fork.parent_tgid);
		return "new";
	case PROC_EVENT_EXEC:
		put_process(object, "exec", event->event_data.exec.process_pid,
			    event->event_data.exec.process_tgid);
		return "update";
	case PROC_EVENT_UID:
	case PROC_EVENT_GID:
		put_process(object, what == PROC_EVENT_UID ? "uid" : "gid",
			    event->event_data.id.process_pid, event->event_data.id.process_tgid);
		put_ids(object, event, what == PROC_EVENT_UID);
		return "update";
	case PROC_EVENT_SID:
		put_process(object, "sid", event->event_data.sid.process_pid,
			    event->event_data.sid.process_tgid);
		return "update";
	case PROC_EVENT_COMM:
		put_process(object, "comm", event->event_data.comm.process_pid,
			    event->event_data.comm.process_tgid);
		memcpy(name, event->event_data.comm.comm, sizeof event->event_data.comm.comm);
		netlink_put_text(object, "comm", name);
		return "update";
	case PROC_EVENT_COREDUMP:
		put_process(object, "coredump", event->event_data.coredump.process_pid,
			    event->event_data.coredump.process_tgid);
		return "update";
	case PROC_EVENT_EXIT:
		put_process(object, "exit", event->event_data.exit.process_pid,
			    event->event_data.exit.process_tgid);
		netlink_put_number(object, "exit_code", event->event_data.exit.exit_code);
		netlink_put_number(object, "exit_signal", event->event_data.exit.exit_signal);
		return "del";
	}
	return NULL;
}

const char *netlink_put_process(json_t *object, const struct nlmsghdr *message)
{
	const struct cn_msg *connector = mnl_nlmsg_get_payload(message);
	size_t len = mnl_nlmsg_get_payload_len(message), data;
	struct proc_event event = {0};

	if (len < sizeof *connector || connector->id.idx != CN_IDX_PROC)
		return NULL;
	data = len - sizeof *connector;
	if (data < offsetof(struct proc_event, event_data))
		return NULL;
	memcpy(&event, connector->data, data < sizeof event ? data : sizeof event);
	return put_event(object, &event);
}
