# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bluetooth between two virtual adapters: serial lines, packets, Low Energy, captures, an adapter that comes and goes."""

import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import bluetooth
import harness
from harness import Daemon, until
from messages import route


@pytest.fixture(scope="module")
def adapters():
    made = bluetooth.Adapters()
    yield made
    made.stop()


def tcp_client(port):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(harness.PATIENCE)
    return sock


def exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, f"it ended at {len(data)} of {count} bytes"
        data += part
    return bytes(data)


def pattern(count):
    return bytes(number * 7 % 251 for number in range(count))


def echo(sock):
    """Until it ends."""
    try:
        while data := sock.recv(1 << 16):
            sock.sendall(data)
    except OSError:
        pass
    sock.close()


def serve(listener, count=1):
    def run():
        for _ in range(count):
            echo(listener.accept()[0])
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


# ---- RFCOMM ----


def test_a_device_is_served_on_tcp(adapters):
    port = harness.free_port()
    with bluetooth.listen("rfcomm", adapters, 5) as device, \
            Daemon({"serial": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"rfcomm://{adapters.far}/5?adapter=hci0"}}) as daemon:
        serve(device, 2)
        for _ in range(2):
            with tcp_client(port) as client:
                data = pattern(20000)
                threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
                assert exactly(client, len(data)) == data
            until("the device is free again", lambda: not daemon.sessions(), 60)
        assert route(daemon, "serial")["bytes"]["from_target"] == 40000


def test_a_service_is_reached_by_rfcomm(adapters):
    with socket.create_server(("127.0.0.1", 0)) as server, \
            Daemon({"serial": {"listen": "rfcomm://hci0/6", "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}"}}) as daemon:
        serve(server)
        with bluetooth.connect("rfcomm", adapters, 6) as client:
            data = pattern(20000)
            threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
            assert exactly(client, len(data)) == data
            assert adapters.far in daemon.sessions()[0]["peer"]
        until("the end is passed on", lambda: not daemon.sessions(), 60)


def test_a_reply_after_the_client_s_end(adapters):
    """RFCOMM has no half-close: the device cannot be told, and gets a moment to finish what it says."""
    port = harness.free_port()
    with bluetooth.listen("rfcomm", adapters, 7) as device, \
            Daemon({"serial": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"rfcomm://{adapters.far}/7?adapter=hci0"}}) as daemon:
        with tcp_client(port) as client:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            accepted, _ = device.accept()
            assert exactly(accepted, 8) == b"question"
            time.sleep(0.5)
            accepted.sendall(b"answer" * 1000)
            assert exactly(client, 6000) == b"answer" * 1000
            assert client.recv(1) == b""
        until("the session ends by itself", lambda: not daemon.sessions(), 30)
        accepted.close()


def test_rctest_sends_through(adapters):
    """BlueZ's own tool at the far side."""
    port = harness.free_port()
    with Daemon({"in": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"rfcomm://{adapters.far}/9?adapter=hci0"}}):
        tool = subprocess.Popen(["rctest", "-r", "-i", "hci1", "-P", "9", "-b", "20000"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            with tcp_client(port) as client:
                # A frame of rctest: number, length, and the byte 0x7f.
                client.sendall(b"".join(struct.pack("<IH", number, 1000) + b"\x7f" * 994 for number in range(20)))
                said = b""
                while b"bytes in" not in said:
                    part = os.read(tool.stdout.fileno(), 4096)
                    assert part, said
                    said += part
        finally:
            tool.terminate()
            tool.wait()
        assert b"20000 bytes in" in said, said


def test_sessions_survive_the_worker(adapters):
    port = harness.free_port()
    with bluetooth.listen("rfcomm", adapters, 10) as device, \
            Daemon({"serial": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"rfcomm://{adapters.far}/10?adapter=hci0"}}) as daemon:
        serve(device)
        with tcp_client(port) as client:
            for number in range(20):
                data = struct.pack(">I", number) + pattern(500)
                client.sendall(data)
                if number % 4 == 0:
                    os.kill(daemon.worker, signal.SIGKILL)
                elif number % 4 == 2:
                    daemon.reload()
                assert exactly(client, len(data)) == data


# ---- L2CAP ----


@pytest.mark.parametrize("options", ("", "?l2cap_mode=ertm", "?mtu=2000"))
def test_tcp_to_l2cap_keeps_records(adapters, options):
    port = harness.free_port()
    psm = {"": 0x1001, "?l2cap_mode=ertm": 0x1003, "?mtu=2000": 0x1005}[options]
    far = f"l2cap://{adapters.far}/{psm}{options}{'&' if options else '?'}adapter=hci0"
    with bluetooth.listen("l2cap", adapters, psm) as device, \
            Daemon({"packets": {"listen": f"tcp4://127.0.0.1:{port}?framing=length16", "target": far}}) as daemon:
        if "ertm" in options or "mtu" in options:
            mode = device.getsockopt(6, 1, 12) # struct l2cap_options: omtu, imtu, flush_to, mode
            omtu, imtu, flush, one, rest = struct.unpack("=HHHB5s", mode)
            device.setsockopt(6, 1, struct.pack("=HHHB5s", 2000 if "mtu" in options else omtu, 2000 if "mtu" in options else imtu, flush,
                                                3 if "ertm" in options else one, rest))
        serve(device)
        with tcp_client(port) as client:
            for size in (1, 2, 100, 600, 672):
                for number in range(5):
                    data = pattern(size - 1) + bytes([number])
                    client.sendall(struct.pack(">H", size) + data)
                    assert struct.unpack(">H", exactly(client, 2))[0] == size
                    assert exactly(client, size) == data
        until("it ends", lambda: not daemon.sessions(), 60)


def test_l2cap_to_unix_seqpacket(adapters, tmp_path):
    path = "/tmp/l2cap-target"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        if os.path.exists(path):
            os.unlink(path)
        server.bind(path)
        server.listen()
        with Daemon({"packets": {"listen": "l2cap://any/4111", "target": f"unix-seqpacket://{path}"}}) as daemon:
            serve(server)
            with bluetooth.connect("l2cap", adapters, 4111) as client:
                sent = [pattern(size) for size in (1, 5, 672, 300)] * 10
                for data in sent:
                    client.send(data)
                assert [client.recv(2000) for _ in sent] == sent
                os.kill(daemon.worker, signal.SIGKILL)
                client.send(b"after")
                assert client.recv(2000) == b"after"


# ---- who may ----


def test_a_denied_device(adapters):
    with socket.create_server(("127.0.0.1", 0)) as server, Daemon({
            "closed": {"listen": "rfcomm://any/12", "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}", "deny": [adapters.far]},
            "open": {"listen": "rfcomm://any/13", "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}", "allow": [adapters.far]}}) as daemon:
        serve(server)
        with pytest.raises(OSError):
            with bluetooth.connect("rfcomm", adapters, 12, patience=2) as client:
                assert client.recv(1) == b""
                raise OSError
        assert route(daemon, "closed")["refused"] >= 1 and route(daemon, "closed")["sessions"]["total"] == 0
        with bluetooth.connect("rfcomm", adapters, 13) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"


def test_sco_is_refused_with_a_reason_or_works(adapters):
    sock = socket.socket(socket.AF_BLUETOOTH, socket.SOCK_SEQPACKET, socket.BTPROTO_SCO)
    listener = socket.socket(socket.AF_BLUETOOTH, socket.SOCK_SEQPACKET, socket.BTPROTO_SCO)
    listener.bind(adapters.far.encode())
    listener.listen()
    listener.settimeout(3)
    sock.bind(adapters.near.encode())
    sock.settimeout(3)
    try:
        sock.connect(adapters.far.encode())
        listener.accept()
    except OSError as error:
        pytest.skip(f"the packaged emulator links no SCO: {error}")
    finally:
        sock.close()
        listener.close()
    port = harness.free_port()
    with Daemon({"voice": {"listen": f"tcp4://127.0.0.1:{port}?framing=length16", "target": f"sco://{adapters.far}?adapter=hci0"}}):
        tcp_client(port).close()


# ---- captures ----


@pytest.mark.parametrize("target, link", (("bluetooth-raw://hci/hci0", 201), ("bluetooth-raw://monitor", 254)))
def test_captures(adapters, target, link, tmp_path):
    port = harness.free_port()
    with Daemon({"capture": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"{target}?format=pcap"}}):
        with tcp_client(port) as client:
            header = exactly(client, 24)
            assert struct.unpack("=I", header[20:24])[0] == link
            bluetooth.run("hcitool", "-i", "hci0", "cmd", "0x04", "0x0001")
            data = header
            client.settimeout(2)
            try:
                while part := client.recv(1 << 16):
                    data += part
            except TimeoutError:
                pass
    path = tmp_path / "capture"
    path.write_bytes(data)
    done = subprocess.run(["tshark", "-n", "-r", str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert "Read Local Version Information" in done.stdout, done.stdout + done.stderr


# ---- announcing ----


def test_a_service_is_announced(adapters):
    daemon_path = next((path for path in ("/usr/libexec/bluetooth/bluetoothd", "/usr/lib/bluetooth/bluetoothd") if os.access(path, os.X_OK)), None)
    if not daemon_path or not os.access("/usr/bin/dbus-daemon", os.X_OK):
        pytest.skip("no bluetoothd or no dbus-daemon")
    os.makedirs("/run/dbus", exist_ok=True)
    bus = subprocess.Popen(["dbus-daemon", "--system", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL)
    bluez = None
    try:
        until("the bus is there", lambda: os.path.exists("/run/dbus/system_bus_socket"))
        bluez = subprocess.Popen([daemon_path, "-n", "-C"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with Daemon({"serial": {"listen": {"family": "bluetooth", "address": "any", "channel": 16, "service": "1101 Console <of the lab>"},
                                "target": "tcp4://127.0.0.1:1"}}) as daemon:
            def records():
                # Asked here, not over the air: this kernel does not survive many short links.
                return bluetooth.run("sdptool", "browse", "local", check=False)
            until("its record is there", lambda: "Console <of the lab>" in records(), 90)
            text = records()
            assert "Channel: 16" in text and "Serial Port" in text
            bluez.terminate()
            bluez.wait()
            bluez = subprocess.Popen([daemon_path, "-n", "-C"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until("it is announced to the next bluetoothd", lambda: "Console <of the lab>" in records(), 90)
            daemon.reload({"other": {"listen": "rfcomm://any/17", "target": "tcp4://127.0.0.1:1"}})
            until("it is taken back with its endpoint", lambda: "Console <of the lab>" not in records(), 60)
    finally:
        for process in (bluez, bus):
            if process:
                process.terminate()
                process.wait()
        time.sleep(0.5)
        for name in ("hci0", "hci1"):
            adapters.up(name)


# ---- Low Energy, for which the adapters are set up anew ----


def test_low_energy(adapters):
    adapters.renew()
    for name in ("hci0", "hci1"):
        index = name[3:]
        for words in (("power", "off"), ("le", "on"), ("connectable", "on"), ("power", "on")):
            bluetooth.run("btmgmt", "--index", index, *words)
        until(f"{name} is up", lambda: "UP RUNNING" in bluetooth.run("hciconfig", name))
    with socket.create_server(("127.0.0.1", 0)) as server, \
            Daemon({"le": {"listen": "l2cap://any/128?address_type=le_public", "target": {
                "family": "inet", "host": "127.0.0.1", "port": server.getsockname()[1], "framing": "length16"}}}):
        bluetooth.run("btmgmt", "--index", "0", "advertising", "on")
        serve(server)
        program = f"""
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.socket(31, 5, 0)
def address(text, psm):
    return struct.pack("<HH6sHBx", 31, psm, bytes.fromhex(text.replace(":", ""))[::-1], 0, 1)
for call, text, psm in ((libc.bind, "{adapters.far}", 0), (libc.connect, "{adapters.near}", 128)):
    raw = address(text, psm)
    if call(fd, raw, len(raw)):
        sys.exit(f"{{call.__name__}}: {{os.strerror(ctypes.get_errno())}}")
sock = socket.socket(fileno=fd)
for size in (1, 20, 200, 600):
    sock.send(bytes(range(256))[:1] * size)
    assert len(sock.recv(2000)) == size
print("well")
"""
        done = subprocess.run(["python3", "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == "well\n", done.stderr
    bluetooth.run("btmgmt", "--index", "0", "advertising", "off")


# ---- last, for this kernel does not always survive an adapter that is taken down ----


def test_a_device_that_comes_back(adapters):
    """A dialed device is kept connected, with back-off, across its adapter's absence."""
    adapters.renew()
    with bluetooth.listen("rfcomm", adapters, 14) as device, socket.create_server(("127.0.0.1", 0)) as server:
        routes = {"serial": {"dial": f"rfcomm://{adapters.far}/14?adapter=hci0", "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}"}}
        with Daemon(routes):
            one, _ = device.accept()
            other, _ = server.accept()
            one.sendall(b"first")
            assert exactly(other, 5) == b"first"
            adapters.down("hci0")
            adapters.down("hci1") # the emulator does not tell it that the other is gone
            other.settimeout(60)
            with pytest.raises(OSError):
                assert other.recv(1) == b""
                raise OSError
            other.close()
            one.close()
            adapters.up("hci1")
            adapters.up("hci0")
            one, _ = device.accept()
            other, _ = server.accept()
            one.sendall(b"again")
            assert exactly(other, 5) == b"again"
