#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""unpack-kernel.py VMLINUZ VMLINUX: take the ELF kernel out of a bzImage.

QEMU starts the ELF kernel directly (PVH). Left to unpack itself, the kernel would take seconds of emulated time.
The offsets are those of the kernel's Documentation/x86/boot.rst.
"""
import lzma
import struct
import sys


def elf_of(image):
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a Linux boot image")
    (setup_sectors,) = struct.unpack_from("<B", image, 0x1F1)
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((setup_sectors or 4) + 1) * 512 + offset
    elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[start:start + length])
    if not elf.startswith(b"\x7fELF"):
        raise ValueError("the payload is not an ELF file")
    return elf


def main():
    source, target = sys.argv[1:]
    try:
        with open(source, "rb") as f:
            elf = elf_of(f.read())
    except (ValueError, lzma.LZMAError) as e:
        sys.exit(f"{source}: {e}")
    with open(target, "wb") as f:
        f.write(elf)


main()
