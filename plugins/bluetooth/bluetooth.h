/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the family bluetooth share. */
#pragma once

#include <spliced/plugin.h>

#include <bluetooth/bluetooth.h>
#include <stdbool.h>

enum bluetooth_row {
	BLUETOOTH_RFCOMM,
	BLUETOOTH_L2CAP,
	BLUETOOTH_SCO,
	BLUETOOTH_HCI,
	BLUETOOTH_MONITOR,
	BLUETOOTH_ROWS
};

enum bluetooth_option {
	BLUETOOTH_OPTION_ADDRESS,
	BLUETOOTH_OPTION_CHANNEL,
	BLUETOOTH_OPTION_PSM,
	BLUETOOTH_OPTION_CID,
	BLUETOOTH_OPTION_ADAPTER,
	BLUETOOTH_OPTION_ADDRESS_TYPE,
	BLUETOOTH_OPTION_SECURITY,
	BLUETOOTH_OPTION_ROLE,
	BLUETOOTH_OPTION_MTU,
	BLUETOOTH_OPTION_L2CAP_MODE,
	BLUETOOTH_OPTION_VOICE,
	BLUETOOTH_OPTION_SERVICE,
	BLUETOOTH_OPTIONS,
};

/* The row's place in the table. */
enum bluetooth_row bluetooth_row(const struct spliced_options *options);

/* ---- addresses, bluetooth_address.c ---- */

/* The number of "hci3"; -1: the text is something else. */
int bluetooth_adapter_number(const char *text);

/* An adapter's or a device's address by its text: "any", "hciN" (asked of the kernel), or six bytes
 * in hexadecimal. -ENODEV: there is no such adapter now; -EINVAL: it is none of these. */
int bluetooth_find(const char *text, bdaddr_t *address);

/* Callbacks. */
int bluetooth_address(const struct spliced_options *options, struct sockaddr_storage *address,
		      socklen_t *len);
int bluetooth_fits(const struct spliced_options *options, const struct sockaddr *listening,
		   socklen_t listening_len, const struct sockaddr *local, socklen_t local_len);
int bluetooth_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len,
		       char *text, size_t size);

/* ---- captures, bluetooth_capture.c ---- */

int bluetooth_prepare_capture(int fd, const struct spliced_options *options);
int bluetooth_received(const struct spliced_options *options, const struct msghdr *received,
		       struct spliced_message *message);
int bluetooth_check(int fd, const struct spliced_options *options, uint64_t *lost);
enum { BLUETOOTH_FORMATS = 1 };
extern const struct spliced_format bluetooth_formats[BLUETOOTH_FORMATS];

/* ---- announcing, bluetooth_service.c ---- */

/* Whether the option `service` can be read. 0 or -EINVAL, reported. */
int bluetooth_check_service(const struct spliced_options *options);

/* The callback sidecar(). */
int bluetooth_sidecar(const struct spliced_options *options, int run);
