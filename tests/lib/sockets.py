# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests do with a socket of their own."""

import errno
import socket
import struct

TCP_ESTABLISHED, TCP_CLOSE, TCP_CLOSE_WAIT = 1, 7, 8


def tcp_state(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0]


def reset(sock):
    """Closes with a RST, where the family has one."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock):
    """Bytes up to the end, and how that came: "end", or the error's name."""
    data = bytearray()
    while True:
        try:
            part = sock.recv(1 << 16)
        except (TimeoutError, socket.timeout):
            return bytes(data), "timeout"
        except OSError as error:
            return bytes(data), errno.errorcode[error.errno]
        if not part:
            return bytes(data), "end"
        data += part


def ask(endpoint):
    """Connects, says nothing, and hears all there is: (bytes, how it ended). A reset that is quick is connect()'s."""
    try:
        with endpoint.connect() as client:
            return read_all(client)
    except ConnectionResetError:
        return b"", "ECONNRESET"
