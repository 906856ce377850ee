/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Announcing a listening RFCOMM channel: bluetoothd(8), where there is one, is asked over D-Bus for
 * a service record, by org.bluez.ProfileManager1. It keeps the record as long as the requesting
 * process is connected, so this is a process of its own. The channel itself is the daemon's: for a
 * profile with a record and without a channel bluetoothd opens none.
 */
#include "bluetooth/bluetooth.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

enum { UUID_TEXT = 37, NAME_MAX_BYTES = 100, RECORD_MAX = 4096, WAIT_US = 5000000 };

struct service {
	char uuid[UUID_TEXT];
	char name[NAME_MAX_BYTES];
	unsigned channel;
};

/* ---- the option ---- */

/* "1101" or a whole UUID. */
static bool is_uuid(const char *text, size_t len)
{
	static const char whole[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (len != 4 && len != sizeof whole - 1)
		return false;
	for (size_t i = 0; i < len; i++)
		if (len == 4 || whole[i] == 'x' ? !isxdigit((unsigned char)text[i])
						: text[i] != '-')
			return false;
	return true;
}

static int read_service(const struct spliced_options *options, struct service *ret)
{
	const char *text = spliced_value(options, BLUETOOTH_OPTION_SERVICE)->text, *name = text;
	size_t len = strcspn(text, " ");

	snprintf(ret->uuid, sizeof ret->uuid, "00001101-0000-1000-8000-00805f9b34fb");
	if (is_uuid(text, len)) {
		if (len == 4)
			memcpy(ret->uuid + 4, text, 4);
		else
			memcpy(ret->uuid, text, len);
		name = text + len + strspn(text + len, " ");
	}
	ret->channel = (unsigned)spliced_value(options, BLUETOOTH_OPTION_CHANNEL)->number;
	if (!*name || strlen(name) >= sizeof ret->name)
		return -EINVAL;
	strcpy(ret->name, name);
	return 0;
}

int bluetooth_check_service(const struct spliced_options *options)
{
	struct service service;

	if (spliced_value(options, BLUETOOTH_OPTION_SERVICE)->state == SPLICED_UNSET ||
	    !read_service(options, &service))
		return 0;
	SPLICED_ERROR(options, BLUETOOTH_OPTION_SERVICE,
		      "a service needs a name of 1 to %d bytes, after a UUID if "
		      "it is not a serial port, such as \"1101 Console\"",
		      NAME_MAX_BYTES - 1);
	return -EINVAL;
}

/* ---- the record ---- */

static void escape(const char *text, char *out, size_t size)
{
	size_t used = 0;

	for (; *text && used + 8 < size; text++) {
		if (strchr("<>&\"'", *text))
			used += (size_t)snprintf(out + used, size - used, "&#%d;", *text);
		else
			out[used++] = *text;
	}
	out[used] = '\0';
}

/* Service class, RFCOMM on its channel, public browse group, serial port profile 1.2, name. */
static void write_record(const struct service *service, char *record, size_t size)
{
	char name[NAME_MAX_BYTES * 6];

	escape(service->name, name, sizeof name);
	snprintf(
		record, size,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?><record>"
		"<attribute id=\"0x0001\"><sequence><uuid value=\"%s\"/></sequence></attribute>"
		"<attribute id=\"0x0004\"><sequence><sequence><uuid value=\"0x0100\"/></sequence>"
		"<sequence><uuid value=\"0x0003\"/><uint8 value=\"0x%02x\"/></sequence></sequence></attribute>"
		"<attribute id=\"0x0005\"><sequence><uuid value=\"0x1002\"/></sequence></attribute>"
		"<attribute id=\"0x0009\"><sequence><sequence><uuid value=\"0x1101\"/><uint16 value=\"0x0102\"/></sequence></sequence></attribute>"
		"<attribute id=\"0x0100\"><text value=\"%s\"/></attribute></record>",
		service->uuid, service->channel, name);
}

/* ---- asking ---- */

/* The profile's own UUID is unassigned: for one that it knows, bluetoothd would open a channel. */
static int announce(sd_bus *bus, const struct service *service)
{
	char record[RECORD_MAX], uuid[UUID_TEXT], path[64];

	write_record(service, record, sizeof record);
	snprintf(uuid, sizeof uuid, "73706c69-6365-6400-8000-00000000%04x", service->channel);
	snprintf(path, sizeof path, "/org/spliced/rfcomm%u", service->channel);
	return sd_bus_call_method(bus, "org.bluez", "/org/bluez", "org.bluez.ProfileManager1",
				  "RegisterProfile", NULL, NULL, "osa{sv}", path, uuid, 2, "Role",
				  "s", "server", "ServiceRecord", "s", record);
}

/* bluetoothd has gone, or has come. */
static int owner_changed(sd_bus_message *message, void *context, sd_bus_error *error)
{
	bool *asked = context;

	(void)message, (void)error;
	*asked = false;
	return 0;
}

/* Until the bus goes away. */
static int attend(sd_bus *bus, const struct service *service)
{
	bool asked = false;
	int r = sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
				    "org.freedesktop.DBus", "NameOwnerChanged", owner_changed,
				    &asked);

	while (r >= 0) {
		if (!asked)
			asked = announce(bus, service) >= 0;
		do
			r = sd_bus_process(bus, NULL);
		while (r > 0);
		if (r >= 0)
			r = sd_bus_wait(bus, asked ? UINT64_MAX : WAIT_US);
		r = r == -EINTR ? 0 : r;
	}
	return r;
}

int bluetooth_sidecar(const struct spliced_options *options, int run)
{
	struct service service;
	sd_bus *bus = NULL;
	int r;

	if (bluetooth_row(options) != BLUETOOTH_RFCOMM ||
	    spliced_value(options, BLUETOOTH_OPTION_SERVICE)->state == SPLICED_UNSET)
		return 0;
	if (!run)
		return 1;
	r = read_service(options, &service);
	if (!r)
		r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = attend(bus, &service);
	sd_bus_flush_close_unref(bus);
	return r;
}
