#!/usr/bin/env python3
"""Copies a program for Linux so that it starts where glibc or libstdc++ is older than what it was linked with.

usage: older_glibc.py IN OUT VERSION [VERSION ...]

A program names the versions of the symbols that it needs (section .gnu.version_r), and the loader refuses to start it
where one of them is missing, however few symbols of it are in use. Here the named versions are marked as weak, which the
loader lets pass; the few symbols come from a small library that is loaded before the program (older_glibc.c).
"""

import os
import struct
import sys

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
SECTION_HEADERS = 0x28  # where the file header says they are
NEEDED_VERSIONS = 0x6FFFFFFE  # SHT_GNU_verneed
WEAK = 0x2  # VER_FLG_WEAK


def sections(data):
    (start,) = struct.unpack_from("<Q", data, SECTION_HEADERS)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    return [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]


def needed(data, table, strings):
    """The place and the name of each version that a section of needed versions lists."""
    _, _, _, _, at, _, _, libraries, _, _ = table
    for _ in range(libraries):
        _, versions, _, first, following = struct.unpack_from("<HHIII", data, at)
        entry = at + first
        for _ in range(versions):
            _, _, _, name, step = struct.unpack_from("<IHHII", data, entry)
            start = strings + name
            yield entry, data[start : data.index(b"\0", start)].decode()
            entry += step
        at += following


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    source, target, wanted = sys.argv[1], sys.argv[2], set(sys.argv[3:])
    with open(source, "rb") as file:
        data = bytearray(file.read())
    if not data.startswith(MAGIC):
        sys.exit(f"{source} is no 64-bit little-endian ELF file")
    headers = sections(data)
    for table in headers:
        if table[1] != NEEDED_VERSIONS:
            continue
        for entry, name in needed(data, table, headers[table[6]][4]):
            if name in wanted:
                (flags,) = struct.unpack_from("<H", data, entry + 4)
                struct.pack_into("<H", data, entry + 4, flags | WEAK)
    with open(target, "wb") as file:
        file.write(data)
    os.chmod(target, 0o755)


main()
