/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family vsock, vsock(7): a machine and its virtual machines, by context number (CID) and port.
 * It shows how little a family takes: two rows, two options, and how an address is written. The
 * daemon does the rest.
 */
#include <spliced/plugin.h>

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>

enum {
	OPTION_CID,
	OPTION_PORT,
	OPTIONS,
	MESSAGE_MAX = 65536,
	LOW_PORTS = 1024,
	CAP_NET_BIND_SERVICE_BIT = 10
};

static const char *const cids[] = {"any", "host", "local", NULL};
static const unsigned cid_numbers[] = {VMADDR_CID_ANY, VMADDR_CID_HOST, VMADDR_CID_LOCAL};

/* clang-format off */
static const struct spliced_option options_[OPTIONS] = {
	[OPTION_CID] = {.name = "cid", .type = SPLICED_WORD_OR_NUMBER, .words = cids, .min = 0, .max = UINT32_MAX - 1,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Context ID: any (listen on all), host, local (this machine), or a virtual machine's number"},
	[OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 0, .max = UINT32_MAX - 1,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Port number, 32 bits"},
};

static const struct spliced_row rows[] = {
	{
		.type = SOCK_STREAM,
		.scheme = "vsock",
		.pattern = "CID:PORT",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE,
		.peer_kind = SPLICED_PEER_NUMBER, .peer_offset = offsetof(struct sockaddr_vm, svm_cid), .peer_len = sizeof(unsigned),
	},
	{
		.type = SOCK_SEQPACKET,
		.pattern = "CID:PORT",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_RELIABLE |
				SPLICED_HALF_CLOSE,
		.max_message = MESSAGE_MAX,
		.peer_kind = SPLICED_PEER_NUMBER, .peer_offset = offsetof(struct sockaddr_vm, svm_cid), .peer_len = sizeof(unsigned),
	},
};
/* clang-format on */

static int vsock_address(const struct spliced_options *options, struct sockaddr_storage *address,
			 socklen_t *len)
{
	const struct spliced_value *cid = spliced_value(options, OPTION_CID);
	struct sockaddr_vm *vm = (struct sockaddr_vm *)address;

	memset(address, 0, sizeof *address);
	vm->svm_family = AF_VSOCK;
	vm->svm_cid = cid->text ? cid_numbers[cid->number] : (unsigned)cid->number;
	vm->svm_port = (unsigned)spliced_value(options, OPTION_PORT)->number;
	*len = sizeof *vm;
	if (options->role == SPLICED_LISTEN || vm->svm_cid != VMADDR_CID_ANY)
		return 0;
	SPLICED_ERROR(
		options, OPTION_CID,
		"cid any is only for listening: use host, local, or a virtual machine's number");
	return -EINVAL;
}

static int vsock_describe(const struct spliced_row *row, const struct sockaddr *address,
			  socklen_t len, char *text, size_t size)
{
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)address;
	char number[16];
	const char *cid = number;

	(void)row;
	if (len < sizeof *vm || vm->svm_family != AF_VSOCK)
		return -EAFNOSUPPORT;
	snprintf(number, sizeof number, "%u", vm->svm_cid);
	for (int i = 0; cids[i]; i++)
		if (cid_numbers[i] == vm->svm_cid)
			cid = cids[i];
	return (size_t)snprintf(text, size, "%s:%u", cid, vm->svm_port) < size ? 0 : -ENOSPC;
}

static uint64_t vsock_privileges(const struct spliced_options *options)
{
	return options->role == SPLICED_LISTEN &&
			       spliced_value(options, OPTION_PORT)->number < LOW_PORTS
		       ? UINT64_C(1) << CAP_NET_BIND_SERVICE_BIT
		       : 0;
}

static int vsock_fits(const struct spliced_options *options, const struct sockaddr *listening,
		      socklen_t listening_len, const struct sockaddr *local, socklen_t local_len)
{
	const struct sockaddr_vm *at = (const struct sockaddr_vm *)listening,
				 *own = (const struct sockaddr_vm *)local;

	(void)options;
	return listening_len >= sizeof *at && local_len >= sizeof *own &&
	       own->svm_family == AF_VSOCK && at->svm_port == own->svm_port &&
	       (at->svm_cid == VMADDR_CID_ANY || at->svm_cid == own->svm_cid);
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "vsock",
	.domain = AF_VSOCK,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = OPTIONS,
	.rows = rows,
	.options = options_,
	.summary = "Virtual machines and their host",
	.address = vsock_address,
	.describe = vsock_describe,
	.privileges = vsock_privileges,
	.fits = vsock_fits,
};
