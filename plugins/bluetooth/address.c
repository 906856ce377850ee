/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of devices and adapters, and how they are written. */
#include "bluetooth/bluetooth.h"

#include <bluetooth/hci.h>
#include <bluetooth/hci_lib.h>
#include <bluetooth/l2cap.h>
#include <bluetooth/rfcomm.h>
#include <bluetooth/sco.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_TEXT = 18, ADAPTER_MAX = 65535 };

static const char *text_of(const struct spliced_options *options)
{
	return spliced_value(options, BLUETOOTH_OPTION_ADDRESS)->text;
}

int bluetooth_adapter_number(const char *text)
{
	char *end;
	long number;

	if (strncmp(text, "hci", 3) != 0 || !isdigit((unsigned char)text[3]))
		return -1;
	number = strtol(text + 3, &end, 10);
	return *end || number >= ADAPTER_MAX ? -1 : (int)number;
}

static bool is_address(const char *text)
{
	for (int i = 0; i < ADDRESS_TEXT - 1; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	return !text[ADDRESS_TEXT - 1];
}

int bluetooth_find(const char *text, bdaddr_t *address)
{
	int number = bluetooth_adapter_number(text);
	struct hci_dev_info info = {0};

	bacpy(address, BDADDR_ANY);
	if (!strcmp(text, "any"))
		return 0;
	if (number >= 0) {
		/* One that is down has an address, too. */
		if (hci_devinfo(number, &info) < 0)
			return -ENODEV;
		bacpy(address, &info.bdaddr);
		return 0;
	}
	if (!is_address(text))
		return -EINVAL;
	str2ba(text, address);
	return 0;
}

/* ---- to connect and to listen ---- */

static int refuse_address(const struct spliced_options *options, int option, const char *why)
{
	SPLICED_ERROR(options, option, "%s", why);
	return -EINVAL;
}

/* A missing adapter is reported by prepare(): a config may be checked on a machine without it. */
static int find_own(const struct spliced_options *options, bdaddr_t *address)
{
	int r = bluetooth_find(text_of(options), address);

	if (r == -EINVAL)
		SPLICED_ERROR(
			options, BLUETOOTH_OPTION_ADDRESS,
			"\"%s\" is not an address; write six bytes, such as AA:BB:CC:DD:EE:FF%s",
			text_of(options),
			options->role == SPLICED_LISTEN ? ", an adapter such as hci0, or any" : "");
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	if (options->role == SPLICED_CONNECT &&
	    (bluetooth_adapter_number(text_of(options)) >= 0 || !bacmp(address, BDADDR_ANY)))
		return refuse_address(
			options, BLUETOOTH_OPTION_ADDRESS,
			"the address must be a device's, such as AA:BB:CC:DD:EE:FF; set adapter to select the local adapter");
	return 0;
}

static int check_adapter(const struct spliced_options *options)
{
	const char *text = spliced_value(options, BLUETOOTH_OPTION_ADAPTER)->text;
	bdaddr_t address;

	if (!text || bluetooth_find(text, &address) != -EINVAL)
		return 0;
	return refuse_address(options, BLUETOOTH_OPTION_ADAPTER,
			      "an adapter must be hciN, its address, or any");
}

static int fill_l2cap(const struct spliced_options *options, const bdaddr_t *own,
		      struct sockaddr_l2 *l2)
{
	static const uint8_t kinds[] = {BDADDR_BREDR, BDADDR_LE_PUBLIC, BDADDR_LE_RANDOM};
	const struct spliced_value *mode = spliced_value(options, BLUETOOTH_OPTION_L2CAP_MODE);
	int64_t psm = spliced_value(options, BLUETOOTH_OPTION_PSM)->number,
		cid = spliced_value(options, BLUETOOTH_OPTION_CID)->number;
	int64_t kind = spliced_value(options, BLUETOOTH_OPTION_ADDRESS_TYPE)->number;

	if (!psm == !cid)
		return refuse_address(options, BLUETOOTH_OPTION_PSM, "set either psm or cid");
	if (psm && kind && psm > 255)
		return refuse_address(options, BLUETOOTH_OPTION_PSM,
				      "psm must be an SPSM with Low Energy, 1 to 255");
	if (psm && !kind && (psm & 0x101) != 1)
		return refuse_address(
			options, BLUETOOTH_OPTION_PSM,
			"a PSM must be odd, and the lowest bit of its upper byte 0: 4097 (0x1001) is the first "
			"unassigned one");
	if (mode->state == SPLICED_SET && (mode->number >= 3) != (kind != 0))
		return refuse_address(
			options, BLUETOOTH_OPTION_L2CAP_MODE,
			kind ? "Low Energy supports le_flowctl and ext_flowctl"
			     : "le_flowctl and ext_flowctl are only for Low Energy: set its address_type");
	*l2 = (struct sockaddr_l2){.l2_family = AF_BLUETOOTH,
				   .l2_psm = htobs((uint16_t)psm),
				   .l2_cid = htobs((uint16_t)cid)};
	/* An adapter listens with its public address, for all peers. */
	l2->l2_bdaddr_type =
		options->role == SPLICED_LISTEN && kind ? BDADDR_LE_PUBLIC : kinds[kind];
	bacpy(&l2->l2_bdaddr, own);
	return 0;
}

static int fill_hci(const struct spliced_options *options, struct sockaddr_hci *hci)
{
	int number = bluetooth_adapter_number(text_of(options));
	bool is_monitor = bluetooth_row(options) == BLUETOOTH_MONITOR;

	if (!is_monitor && number < 0)
		return refuse_address(options, BLUETOOTH_OPTION_ADDRESS,
				      "raw HCI needs the number of an adapter, such as hci0");
	*hci = (struct sockaddr_hci){.hci_family = AF_BLUETOOTH,
				     .hci_dev = is_monitor ? HCI_DEV_NONE : (uint16_t)number,
				     .hci_channel =
					     is_monitor ? HCI_CHANNEL_MONITOR : HCI_CHANNEL_RAW};
	return 0;
}

int bluetooth_address(const struct spliced_options *options, struct sockaddr_storage *address,
		      socklen_t *len)
{
	struct sockaddr_rc rc = {
		.rc_family = AF_BLUETOOTH,
		.rc_channel = (uint8_t)spliced_value(options, BLUETOOTH_OPTION_CHANNEL)->number};
	struct sockaddr_sco sco = {.sco_family = AF_BLUETOOTH};
	enum bluetooth_row row = bluetooth_row(options);
	struct sockaddr_hci hci = {0};
	struct sockaddr_l2 l2 = {0};
	const void *from = &rc;
	bdaddr_t own = {0};
	int r = row == BLUETOOTH_HCI || row == BLUETOOTH_MONITOR ? fill_hci(options, &hci)
								 : find_own(options, &own);

	if (!r && row == BLUETOOTH_L2CAP)
		r = fill_l2cap(options, &own, &l2);
	if (!r)
		r = check_adapter(options);
	if (!r && options->role == SPLICED_LISTEN)
		r = bluetooth_check_service(options);
	if (r < 0)
		return r;
	bacpy(&rc.rc_bdaddr, &own);
	bacpy(&sco.sco_bdaddr, &own);
	*len = sizeof rc;
	switch (row) {
	case BLUETOOTH_RFCOMM:
		break;
	case BLUETOOTH_L2CAP:
		from = &l2, *len = sizeof l2;
		break;
	case BLUETOOTH_SCO:
		from = &sco, *len = sizeof sco;
		break;
	case BLUETOOTH_HCI:
	case BLUETOOTH_MONITOR:
	case BLUETOOTH_ROWS:
		from = &hci, *len = sizeof hci;
		break;
	}
	memset(address, 0, sizeof *address);
	memcpy(address, from, *len);
	return 0;
}

/* ---- as text ---- */

static const char *name_of(const bdaddr_t *address, char text[ADDRESS_TEXT])
{
	if (!bacmp(address, BDADDR_ANY))
		return "any";
	ba2str(address, text);
	return text;
}

int bluetooth_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len,
		       char *text, size_t size)
{
	const struct sockaddr_rc *rc = (const struct sockaddr_rc *)address;
	const struct sockaddr_l2 *l2 = (const struct sockaddr_l2 *)address;
	const struct sockaddr_sco *sco = (const struct sockaddr_sco *)address;
	const struct sockaddr_hci *hci = (const struct sockaddr_hci *)address;
	char name[ADDRESS_TEXT];
	int n;

	if (len < sizeof(sa_family_t) || address->sa_family != AF_BLUETOOTH)
		return -EAFNOSUPPORT;
	if (row->protocol == BTPROTO_RFCOMM && len >= offsetof(struct sockaddr_rc, rc_channel) + 1)
		n = snprintf(text, size, "%s/%u", name_of(&rc->rc_bdaddr, name), rc->rc_channel);
	else if (row->protocol == BTPROTO_L2CAP &&
		 len >= offsetof(struct sockaddr_l2, l2_bdaddr_type))
		n = snprintf(text, size, l2->l2_cid && !l2->l2_psm ? "%s/cid%u" : "%s/%u",
			     name_of(&l2->l2_bdaddr, name),
			     l2->l2_psm ? btohs(l2->l2_psm) : btohs(l2->l2_cid));
	else if (row->protocol == BTPROTO_SCO && len >= sizeof *sco)
		n = snprintf(text, size, "%s", name_of(&sco->sco_bdaddr, name));
	else if (row->protocol == BTPROTO_HCI && len >= sizeof *hci)
		n = hci->hci_channel == HCI_CHANNEL_MONITOR
			    ? snprintf(text, size, "monitor")
			    : snprintf(text, size, "hci/hci%u", hci->hci_dev);
	else
		return -EAFNOSUPPORT;
	return (size_t)n < size ? 0 : -ENOSPC;
}

static bool adapter_fits(const bdaddr_t *listening, const bdaddr_t *local)
{
	static const bdaddr_t any;

	return !memcmp(listening, &any, sizeof any) || !memcmp(listening, local, sizeof *local);
}

/* The kinds of address differ in length. */
int bluetooth_fits(const struct spliced_options *options, const struct sockaddr *listening,
		   socklen_t listening_len, const struct sockaddr *local, socklen_t local_len)
{
	const struct sockaddr_rc *rc = (const struct sockaddr_rc *)listening,
				 *own_rc = (const struct sockaddr_rc *)local;
	const struct sockaddr_l2 *l2 = (const struct sockaddr_l2 *)listening,
				 *own_l2 = (const struct sockaddr_l2 *)local;
	const struct sockaddr_sco *sco = (const struct sockaddr_sco *)listening,
				  *own_sco = (const struct sockaddr_sco *)local;
	const struct spliced_row *row = options->row;

	if (listening_len != local_len)
		return 0;
	if (row->protocol == BTPROTO_RFCOMM && local_len == sizeof *rc)
		return rc->rc_channel == own_rc->rc_channel &&
		       adapter_fits(&rc->rc_bdaddr, &own_rc->rc_bdaddr);
	if (row->protocol == BTPROTO_L2CAP && local_len == sizeof *l2)
		return l2->l2_psm == own_l2->l2_psm &&
		       adapter_fits(&l2->l2_bdaddr, &own_l2->l2_bdaddr);
	return row->protocol == BTPROTO_SCO && local_len == sizeof *sco &&
	       adapter_fits(&sco->sco_bdaddr, &own_sco->sco_bdaddr);
}
