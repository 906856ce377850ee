/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family serial, termios(3): a serial line as a target or a dial, bytes as they are. It is no socket: open() opens the device, and
 * the daemon reads and writes it. Built out of tree, like tipc; spliced-plugin(7).
 */
#include <spliced/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { OPTION_PATH, OPTION_BAUD, OPTION_FLOW, OPTIONS };

static const char *const bauds[] = {"9600", "19200", "38400", "57600", "115200", "230400", "460800", "921600", NULL};
static const speed_t speeds[] = {B9600, B19200, B38400, B57600, B115200, B230400, B460800, B921600};

static const struct spliced_option options_[OPTIONS] = {
	[OPTION_PATH] = {.name = "path", .type = SPLICED_PATH, .flags = SPLICED_REQUIRED | SPLICED_REOPEN, .doc = "Device, such as /dev/ttyUSB0"},
	[OPTION_BAUD] = {.name = "baud", .type = SPLICED_WORD, .words = bauds, .flags = SPLICED_REOPEN, .default_text = "115200",
			 .doc = "Bits per second"},
	[OPTION_FLOW] = {.name = "flow", .type = SPLICED_BOOL, .flags = SPLICED_REOPEN, .default_text = "false",
			 .doc = "Hardware flow control (RTS/CTS)"},
};

static const struct spliced_row rows[] = {
	{.type = SOCK_STREAM, .pattern = "PATH", .capabilities = SPLICED_CAN_CONNECT | SPLICED_FILE},
};

/* A file has no address: its name, for logs. */
struct name {
	sa_family_t family;
	char path[sizeof(struct sockaddr_storage) - sizeof(sa_family_t)];
};

static int serial_address(const struct spliced_options *options, struct sockaddr_storage *address, socklen_t *len)
{
	const char *path = spliced_value(options, OPTION_PATH)->text;
	struct name *name = (struct name *)address;

	memset(address, 0, sizeof *address);
	if (strlen(path) >= sizeof name->path) {
		SPLICED_ERROR(options, OPTION_PATH, "path is longer than %zu bytes", sizeof name->path - 1);
		return -ENAMETOOLONG;
	}
	name->family = AF_UNSPEC;
	memcpy(name->path, path, strlen(path));
	*len = (socklen_t)(offsetof(struct name, path) + strlen(path) + 1);
	return 0;
}

static int serial_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len, char *text, size_t size)
{
	const struct name *name = (const struct name *)address;

	(void)row;
	if (len <= offsetof(struct name, path))
		return -EAFNOSUPPORT;
	return (size_t)snprintf(text, size, "%s", name->path) < size ? 0 : -ENOSPC;
}

static int set_up(int fd, const struct spliced_options *options)
{
	speed_t speed = speeds[spliced_value(options, OPTION_BAUD)->number];
	struct termios line;

	if (tcgetattr(fd, &line) < 0)
		return -errno;
	cfmakeraw(&line);
	line.c_cflag |= CLOCAL | CREAD;
	line.c_cflag &= ~(tcflag_t)CRTSCTS;
	if (spliced_value(options, OPTION_FLOW)->number)
		line.c_cflag |= CRTSCTS;
	cfsetispeed(&line, speed);
	cfsetospeed(&line, speed);
	/* One session at a time; root is not refused by TIOCEXCL alone. */
	if (tcsetattr(fd, TCSANOW, &line) < 0 || ioctl(fd, TIOCEXCL) < 0)
		return -errno;
	return 0;
}

static int serial_open(const struct spliced_options *options)
{
	int fd = open(spliced_value(options, OPTION_PATH)->text, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = set_up(fd, options);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "serial",
	.summary = "Serial lines",
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = OPTIONS,
	.rows = rows,
	.options = options_,
	.address = serial_address,
	.describe = serial_describe,
	.open = serial_open,
};
