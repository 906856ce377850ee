/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The family bluetooth: RFCOMM, L2CAP and SCO between devices, and an adapter's traffic, as a
 * capture. The sockets are the kernel's, so that neither a Bluetooth daemon nor D-Bus is needed;
 * where bluetoothd(8) runs, it announces a service for us (bluetooth_service.c).
 *
 * What surprised us about the kernel: shutdown(2) ends both directions of RFCOMM and L2CAP,
 * whatever it is asked for; listening sockets belong to an address, not to an adapter, and outlive
 * its absence.
 */
#include "bluetooth/bluetooth.h"

#include <bluetooth/hci.h>
#include <bluetooth/l2cap.h>
#include <bluetooth/rfcomm.h>
#include <bluetooth/sco.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	SPSM_MAX = 255,
	CAP_NET_BIND_SERVICE_BIT = 10,
	CAP_NET_ADMIN_BIT = 12,
	CAP_NET_RAW_BIT = 13,
	LOW_PSM = 0x1001,
	LOW_SPSM = 0x80
};

#define ROW(number) (UINT64_C(1) << (number))
#define CONNECTED_ROWS (ROW(BLUETOOTH_RFCOMM) | ROW(BLUETOOTH_L2CAP) | ROW(BLUETOOTH_SCO))

static const char *const address_types[] = {"bredr", "le_public", "le_random", NULL};
static const char *const securities[] = {"low", "medium", "high", "fips", NULL};
static const char *const roles[] = {"any", "central", NULL};
static const char *const modes[] = {"basic",	  "ertm",	 "streaming",
				    "le_flowctl", "ext_flowctl", NULL};
static const char *const voices[] = {"cvsd", "transparent", NULL};
static const uint16_t voice_numbers[] = {BT_VOICE_CVSD_16BIT, BT_VOICE_TRANSPARENT};

/* clang-format off */
static const struct spliced_option options_[BLUETOOTH_OPTIONS] = {
	[BLUETOOTH_OPTION_ADDRESS] = {.name = "address", .type = SPLICED_STRING,
		.flags = SPLICED_REOPEN, .default_text = "any",
		.doc = "Target: the device's address. Listening: any, or an adapter by its address or as hciN"},
	[BLUETOOTH_OPTION_CHANNEL] = {.name = "channel", .type = SPLICED_NUMBER, .min = 1, .max = 30, .rows = ROW(BLUETOOTH_RFCOMM),
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "RFCOMM channel"},
	[BLUETOOTH_OPTION_PSM] = {.name = "psm", .type = SPLICED_NUMBER, .min = 1, .max = 65535, .rows = ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN,
		.doc = "L2CAP protocol/service multiplexer: an odd number, unassigned from 0x1001; with LE the SPSM, 1 to 255"},
	[BLUETOOTH_OPTION_CID] = {.name = "cid", .type = SPLICED_NUMBER, .min = 4, .max = 63, .rows = ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN,
		.doc = "Fixed L2CAP channel, instead of psm: 4 is ATT of LE"},
	[BLUETOOTH_OPTION_ADAPTER] = {.name = "adapter", .type = SPLICED_STRING, .roles = SPLICED_CONNECT, .rows = CONNECTED_ROWS,
		.flags = SPLICED_REOPEN, .default_text = "any",
		.doc = "Local adapter to connect from, by its address or as hciN"},
	[BLUETOOTH_OPTION_ADDRESS_TYPE] = {.name = "address_type", .type = SPLICED_WORD, .words = address_types, .rows = ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN, .default_text = "bredr",
		.doc = "Classic Bluetooth, or Low Energy with a public or a random address"},
	[BLUETOOTH_OPTION_SECURITY] = {.name = "security", .type = SPLICED_WORD, .words = securities,
		.rows = ROW(BLUETOOTH_RFCOMM) | ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN,
		.doc = "Minimum security of the link: low, medium (encryption), high (authenticated key), fips"},
	[BLUETOOTH_OPTION_ROLE] = {.name = "role", .type = SPLICED_WORD, .words = roles, .rows = ROW(BLUETOOTH_RFCOMM) | ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN, .default_text = "any",
		.doc = "central: take this role in the piconet"},
	[BLUETOOTH_OPTION_MTU] = {.name = "mtu", .type = SPLICED_NUMBER, .min = 23, .max = 65535, .rows = ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN,
		.doc = "Maximum size of a received message; default: 672"},
	[BLUETOOTH_OPTION_L2CAP_MODE] = {.name = "l2cap_mode", .type = SPLICED_WORD, .words = modes, .rows = ROW(BLUETOOTH_L2CAP),
		.flags = SPLICED_REOPEN,
		.doc = "basic, ertm (retransmission), streaming; for LE le_flowctl or ext_flowctl"},
	[BLUETOOTH_OPTION_VOICE] = {.name = "voice", .type = SPLICED_WORD_OR_NUMBER, .words = voices, .max = 65535, .rows = ROW(BLUETOOTH_SCO),
		.flags = SPLICED_REOPEN, .default_text = "cvsd",
		.doc = "Voice setting: cvsd (16-bit samples), transparent, or a number"},
	[BLUETOOTH_OPTION_SERVICE] = {.name = "service", .type = SPLICED_STRING, .roles = SPLICED_LISTEN, .rows = ROW(BLUETOOTH_RFCOMM),
		.flags = SPLICED_REOPEN,
		.doc = "Announce through bluetoothd: a UUID (default 1101, serial port), then the name"},
};

static const struct spliced_row rows[BLUETOOTH_ROWS] = {
	[BLUETOOTH_RFCOMM] = {
		.type = SOCK_STREAM, .protocol = BTPROTO_RFCOMM, .name = "rfcomm", .scheme = "rfcomm", .pattern = "ADDRESS/CHANNEL",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE |
				SPLICED_SHORT_PEEK,
		.peer_kind = SPLICED_PEER_REVERSED, .peer_offset = offsetof(struct sockaddr_rc, rc_bdaddr), .peer_len = sizeof(bdaddr_t),
	},
	[BLUETOOTH_L2CAP] = {
		.type = SOCK_SEQPACKET, .protocol = BTPROTO_L2CAP, .name = "l2cap", .scheme = "l2cap", .pattern = "ADDRESS/PSM",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_RELIABLE,
		.max_message = 65535,
		.peer_kind = SPLICED_PEER_REVERSED, .peer_offset = offsetof(struct sockaddr_l2, l2_bdaddr), .peer_len = sizeof(bdaddr_t),
	},
	[BLUETOOTH_SCO] = {
		.type = SOCK_SEQPACKET, .protocol = BTPROTO_SCO, .name = "sco", .scheme = "sco", .pattern = "ADDRESS",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES,
		.max_message = 1024,
		.peer_kind = SPLICED_PEER_REVERSED, .peer_offset = offsetof(struct sockaddr_sco, sco_bdaddr), .peer_len = sizeof(bdaddr_t),
	},
	[BLUETOOTH_HCI] = {
		.type = SOCK_RAW, .protocol = BTPROTO_HCI, .name = "hci", .pattern = "PROTOCOL/ADDRESS",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_FEED |
				SPLICED_BINDS | SPLICED_RECEIVE_ONLY,
		.max_message = 65600, .link_type = 201,
	},
	[BLUETOOTH_MONITOR] = {
		.type = SOCK_RAW, .protocol = BTPROTO_HCI, .name = "monitor", .pattern = "PROTOCOL",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_FEED |
				SPLICED_BINDS | SPLICED_RECEIVE_ONLY,
		.max_message = 65600, .link_type = 254,
	},
};
/* clang-format on */

enum bluetooth_row bluetooth_row(const struct spliced_options *options)
{
	for (int i = 0; i < BLUETOOTH_ROWS - 1; i++)
		if (options->row->type == rows[i].type && !strcmp(options->row->name, rows[i].name))
			return (enum bluetooth_row)i;
	return BLUETOOTH_MONITOR;
}

/* ---- sockets ---- */

static bool is_set(const struct spliced_options *options, enum bluetooth_option option)
{
	return spliced_value(options, option)->state == SPLICED_SET;
}

static int set(int fd, const struct spliced_options *options, enum bluetooth_option option,
	       int level, int name, const void *value, socklen_t len)
{
	int r;

	if (!setsockopt(fd, level, name, value, len))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, (int)option, "refused by this kernel or adapter: %s", strerror(-r));
	return r;
}

static int set_security(int fd, const struct spliced_options *options)
{
	struct bt_security security = {
		.level = (uint8_t)(BT_SECURITY_LOW +
				   spliced_value(options, BLUETOOTH_OPTION_SECURITY)->number)};

	if (!is_set(options, BLUETOOTH_OPTION_SECURITY))
		return 0;
	return set(fd, options, BLUETOOTH_OPTION_SECURITY, SOL_BLUETOOTH, BT_SECURITY, &security,
		   sizeof security);
}

static int set_role(int fd, const struct spliced_options *options)
{
	bool is_rfcomm = bluetooth_row(options) == BLUETOOTH_RFCOMM;
	int mode = is_rfcomm ? RFCOMM_LM_MASTER : L2CAP_LM_MASTER, before = 0;
	socklen_t len = sizeof before;

	if (!spliced_value(options, BLUETOOTH_OPTION_ROLE)->number)
		return 0;
	if (!getsockopt(fd, is_rfcomm ? SOL_RFCOMM : SOL_L2CAP, is_rfcomm ? RFCOMM_LM : L2CAP_LM,
			&before, &len))
		mode |= before;
	return set(fd, options, BLUETOOTH_OPTION_ROLE, is_rfcomm ? SOL_RFCOMM : SOL_L2CAP,
		   is_rfcomm ? RFCOMM_LM : L2CAP_LM, &mode, sizeof mode);
}

/* Of Low Energy, whose sockets know their kind only by an address: they are bound first. */
static int set_low_energy(int fd, const struct spliced_options *options)
{
	uint16_t mtu = (uint16_t)spliced_value(options, BLUETOOTH_OPTION_MTU)->number;
	uint8_t mode = (uint8_t)spliced_value(options, BLUETOOTH_OPTION_L2CAP_MODE)->number;
	int r = 0;

	if (is_set(options, BLUETOOTH_OPTION_L2CAP_MODE))
		r = set(fd, options, BLUETOOTH_OPTION_L2CAP_MODE, SOL_BLUETOOTH, BT_MODE, &mode,
			sizeof mode);
	if (!r && is_set(options, BLUETOOTH_OPTION_MTU))
		r = set(fd, options, BLUETOOTH_OPTION_MTU, SOL_BLUETOOTH, BT_RCVMTU, &mtu,
			sizeof mtu);
	return r;
}

static int set_classic(int fd, const struct spliced_options *options)
{
	static const uint8_t numbers[] = {L2CAP_MODE_BASIC, L2CAP_MODE_ERTM, L2CAP_MODE_STREAMING};
	const struct spliced_value *mode = spliced_value(options, BLUETOOTH_OPTION_L2CAP_MODE);
	struct l2cap_options own;
	socklen_t len = sizeof own;

	if (!is_set(options, BLUETOOTH_OPTION_MTU) && !is_set(options, BLUETOOTH_OPTION_L2CAP_MODE))
		return 0;
	if (getsockopt(fd, SOL_L2CAP, L2CAP_OPTIONS, &own, &len) < 0)
		return -errno;
	if (is_set(options, BLUETOOTH_OPTION_MTU))
		own.imtu = own.omtu =
			(uint16_t)spliced_value(options, BLUETOOTH_OPTION_MTU)->number;
	if (mode->state == SPLICED_SET)
		own.mode = numbers[mode->number];
	return set(fd, options,
		   is_set(options, BLUETOOTH_OPTION_MTU) ? BLUETOOTH_OPTION_MTU
							 : BLUETOOTH_OPTION_L2CAP_MODE,
		   SOL_L2CAP, L2CAP_OPTIONS, &own, sizeof own);
}

static int set_voice(int fd, const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, BLUETOOTH_OPTION_VOICE);
	struct bt_voice voice = {.setting = value->text ? voice_numbers[value->number]
							: (uint16_t)value->number};

	return set(fd, options, BLUETOOTH_OPTION_VOICE, SOL_BLUETOOTH, BT_VOICE, &voice,
		   sizeof voice);
}

/* The adapter that is to connect; of Low Energy also its kind of address. */
static int bind_adapter(int fd, const struct spliced_options *options)
{
	const char *text = spliced_value(options, BLUETOOTH_OPTION_ADAPTER)->text;
	int64_t kind = spliced_value(options, BLUETOOTH_OPTION_ADDRESS_TYPE)->number;
	struct sockaddr_rc rc = {.rc_family = AF_BLUETOOTH};
	struct sockaddr_l2 l2 = {
		.l2_family = AF_BLUETOOTH,
		.l2_bdaddr_type = kind ? BDADDR_LE_PUBLIC : BDADDR_BREDR,
		.l2_cid = htobs((uint16_t)spliced_value(options, BLUETOOTH_OPTION_CID)->number)};
	struct sockaddr_sco sco = {.sco_family = AF_BLUETOOTH};
	enum bluetooth_row row = bluetooth_row(options);
	bdaddr_t adapter;
	int r = bluetooth_find(text, &adapter);

	if (r < 0) {
		SPLICED_ERROR(options, BLUETOOTH_OPTION_ADAPTER,
			      "there is no adapter %s now; `hciconfig` lists the adapters", text);
		return r;
	}
	if (!bacmp(&adapter, BDADDR_ANY) && !(row == BLUETOOTH_L2CAP && (kind || l2.l2_cid)))
		return 0;
	bacpy(&rc.rc_bdaddr, &adapter);
	bacpy(&l2.l2_bdaddr, &adapter);
	bacpy(&sco.sco_bdaddr, &adapter);
	if (row == BLUETOOTH_RFCOMM)
		r = bind(fd, (struct sockaddr *)&rc, sizeof rc);
	else if (row == BLUETOOTH_L2CAP)
		r = bind(fd, (struct sockaddr *)&l2, sizeof l2);
	else
		r = bind(fd, (struct sockaddr *)&sco, sizeof sco);
	return r < 0 ? -errno : 0;
}

/* A listener's adapter was looked up when its address was made: here its absence is reported. */
static int find_adapter(const struct spliced_options *options)
{
	const char *text = spliced_value(options, BLUETOOTH_OPTION_ADDRESS)->text;
	bdaddr_t adapter;
	int r = bluetooth_find(text, &adapter);

	if (r == -ENODEV)
		SPLICED_ERROR(
			options, BLUETOOTH_OPTION_ADDRESS,
			"there is no adapter %s now; use its address instead, so that it may be added and removed",
			text);
	return r;
}

static bool is_low_energy(const struct spliced_options *options)
{
	return spliced_value(options, BLUETOOTH_OPTION_ADDRESS_TYPE)->number;
}

static int bluetooth_prepare(int fd, const struct spliced_options *options)
{
	enum bluetooth_row row = bluetooth_row(options);
	int r = 0;

	if (row == BLUETOOTH_HCI || row == BLUETOOTH_MONITOR)
		return bluetooth_prepare_capture(fd, options);
	if (row == BLUETOOTH_SCO)
		r = set_voice(fd, options);
	else
		r = set_security(fd, options);
	if (!r && row != BLUETOOTH_SCO)
		r = set_role(fd, options);
	if (!r && row == BLUETOOTH_L2CAP && !is_low_energy(options))
		r = set_classic(fd, options);
	if (!r)
		r = options->role == SPLICED_CONNECT ? bind_adapter(fd, options)
						     : find_adapter(options);
	if (!r && row == BLUETOOTH_L2CAP && is_low_energy(options) &&
	    options->role == SPLICED_CONNECT)
		r = set_low_energy(fd, options);
	return r;
}

static int bluetooth_bound(int fd, const struct spliced_options *options)
{
	enum bluetooth_row row = bluetooth_row(options);
	uint64_t lost = 0;
	int r;

	if (row == BLUETOOTH_L2CAP && is_low_energy(options))
		return set_low_energy(fd, options);
	if (row != BLUETOOTH_HCI)
		return 0;
	r = bluetooth_check(fd, options, &lost);
	return r == -ENODEV || r == -ENETDOWN ? 0 : r;
}

static uint64_t bluetooth_privileges(const struct spliced_options *options)
{
	int64_t psm = spliced_value(options, BLUETOOTH_OPTION_PSM)->number;

	switch (bluetooth_row(options)) {
	case BLUETOOTH_HCI:
	case BLUETOOTH_MONITOR:
		return UINT64_C(1) << CAP_NET_RAW_BIT | UINT64_C(1) << CAP_NET_ADMIN_BIT;
	case BLUETOOTH_L2CAP:
		return options->role == SPLICED_LISTEN &&
				       psm < (is_low_energy(options) ? LOW_SPSM : LOW_PSM)
			       ? UINT64_C(1) << CAP_NET_BIND_SERVICE_BIT
			       : 0;
	case BLUETOOTH_RFCOMM:
	case BLUETOOTH_SCO:
	case BLUETOOTH_ROWS:
		break;
	}
	return 0;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "bluetooth",
	.domain = AF_BLUETOOTH,
	.n_rows = BLUETOOTH_ROWS,
	.n_options = BLUETOOTH_OPTIONS,
	.rows = rows,
	.options = options_,
	.summary = "Bluetooth: serial lines (RFCOMM), packets (L2CAP), voice (SCO), captures (HCI)",
	.address = bluetooth_address,
	.describe = bluetooth_describe,
	.fits = bluetooth_fits,
	.prepare = bluetooth_prepare,
	.bound = bluetooth_bound,
	.privileges = bluetooth_privileges,
	.n_formats = BLUETOOTH_FORMATS,
	.formats = bluetooth_formats,
	.received = bluetooth_received,
	.check = bluetooth_check,
	.sidecar = bluetooth_sidecar,
};
