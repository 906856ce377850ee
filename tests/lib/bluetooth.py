# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two virtual adapters that are linked to each other, by BlueZ's btvirt(1): hci0 is the daemon's, hci1 the far side's."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from harness import until

MODULES = ("algif_hash", "algif_skcipher", "cmac", "ecb", "aes_generic", "hci_vhci", "rfcomm")  # else the first reset waits for them


def run(*words, check=True):
    return subprocess.run(words, capture_output=True, text=True, check=check, timeout=60).stdout


def addresses():
    return {name: address for name, address in re.findall(r"^(hci\d):.*?BD Address: ([0-9A-F:]{17})", run("hciconfig"), re.S | re.M)}


class Adapters:
    """near, far: their addresses."""

    def __init__(self):
        if os.geteuid() != 0 or not shutil.which("btvirt"):
            pytest.skip("no virtual adapters here: it takes root and btvirt (Debian: bluez-test-tools); ./dev vm has them")
        for module in MODULES:
            subprocess.run(["modprobe", module], capture_output=True, check=False)
        try:
            socket.socket(socket.AF_BLUETOOTH, socket.SOCK_STREAM, socket.BTPROTO_RFCOMM).close()
        except (OSError, AttributeError) as error:
            pytest.skip(f"no Bluetooth in this kernel: {error}; ./dev vm has it")
        subprocess.run(["mount", "-t", "debugfs", "none", "/sys/kernel/debug"], capture_output=True, check=False)
        self.start()

    def start(self):
        self.process = subprocess.Popen(["btvirt", "-l2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("both adapters are there", lambda: os.path.isdir("/sys/class/bluetooth/hci1") and "INIT" not in run("hciconfig"))
        for name in ("hci0", "hci1"):
            self.up(name)
        until("both are up", lambda: run("hciconfig").count("UP RUNNING") == 2)
        found = addresses()
        self.near, self.far = found["hci0"], found["hci1"]

    @staticmethod
    def up(name):
        until(f"{name} is up", lambda: subprocess.run(["hciconfig", name, "up"], capture_output=True, check=False).returncode == 0)
        run("hciconfig", name, "piscan")

    @staticmethod
    def down(name):
        run("hciconfig", name, "down")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        until("the adapters are gone", lambda: not os.path.isdir("/sys/class/bluetooth/hci0"))

    def renew(self):
        """Neither of btvirt's controllers forgets its links when the other is reset."""
        self.stop()
        self.start()


def far_socket(kind, adapters):
    """A socket of the far side, bound to its adapter where it is to connect."""
    if kind == "rfcomm":
        sock = socket.socket(socket.AF_BLUETOOTH, socket.SOCK_STREAM, socket.BTPROTO_RFCOMM)
    else:
        sock = socket.socket(socket.AF_BLUETOOTH, socket.SOCK_SEQPACKET, socket.BTPROTO_L2CAP)
    return sock


def connect(kind, adapters, number, patience=20):
    """From the far side to a channel or PSM of the daemon's adapter."""
    limit = time.monotonic() + patience
    while True:
        sock = far_socket(kind, adapters)
        sock.settimeout(patience)
        sock.bind((adapters.far, 0))
        try:
            sock.connect((adapters.near, number))
            return sock
        except OSError:
            sock.close()
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)


def listen(kind, adapters, number):
    sock = far_socket(kind, adapters)
    sock.bind((adapters.far, number))
    sock.listen(8)
    sock.settimeout(60)
    return sock
