#!/usr/bin/env python3
"""Makes zones.bin, the time zones that `time::zone` knows, from the public-domain IANA database.

    zones.py tzdata.zi zones.bin

`tzdata.zi` is in the PyPI package `tzdata` and in /usr/share/zoneinfo; `zic` (Debian: libc-bin) reads it. What is kept: every
name, and what clocks did since 1970. The format is described in zone.rs, which reads it.
"""
import os
import re
import struct
import subprocess
import sys
import tempfile


def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def tzif(data):
    """The 64-bit part: (first offset, [(time, offset)], rule)."""
    def counts(at):
        assert data[at:at + 4] == b"TZif", "no TZif file"
        return struct.unpack(">6l", data[at + 20:at + 44])
    isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt = counts(0)
    at = 44 + timecnt * 5 + typecnt * 6 + charcnt + leapcnt * 8 + isstdcnt + isutcnt
    isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt = counts(at)
    at += 44
    times = struct.unpack(f">{timecnt}q", data[at:at + timecnt * 8])
    at += timecnt * 8
    kinds = data[at:at + timecnt]
    at += timecnt
    offsets = [struct.unpack(">l", data[at + n * 6:at + n * 6 + 4])[0] for n in range(typecnt)]
    at += typecnt * 6 + charcnt + leapcnt * 12 + isstdcnt + isutcnt
    rule = data[at:].decode().strip()
    return offsets[0], [(time, offsets[kind]) for time, kind in zip(times, kinds)], rule


NAME = r"(?:<[^>]+>|[A-Za-z]+)"
HMS = r"[+-]?\d+(?::\d+)?(?::\d+)?"


def seconds(text):
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")] + [0, 0]
    return sign * (parts[0] * 3600 + parts[1] * 60 + parts[2])


def rule_bytes(rule):
    """What holds after the last transition: an offset, and perhaps two switches a year."""
    found = re.fullmatch(rf"{NAME}({HMS})(?:{NAME}({HMS})?,([^,]+),([^,]+))?", rule)
    assert found, rule
    standard = -seconds(found[1])
    out = signed(standard)
    if found[3] is None:
        return out + b"\0"
    summer = -seconds(found[2]) if found[2] else standard + 3600
    out += b"\1" + signed(summer)
    for switch in (found[3], found[4]):
        day = re.fullmatch(rf"M(\d+)\.(\d)\.(\d)(?:/({HMS}))?", switch)
        assert day, f"a kind of rule that zone.rs does not know: {rule}"
        out += bytes([int(day[1]), int(day[2]), int(day[3])]) + signed(seconds(day[4]) if day[4] else 7200)
    return out


def zone_bytes(data):
    first, transitions, rule = tzif(data)
    kept = []
    for time, offset in transitions:
        if time < 0:
            first = offset
        elif offset != (kept[-1][1] if kept else first):
            kept.append((time, offset))
    table = sorted({offset for _, offset in kept})
    assert len(table) < 256
    out = signed(first) + bytes([len(table)]) + b"".join(signed(offset) for offset in table) + varint(len(kept))
    before = 0
    for time, offset in kept:
        step = time - before
        before = time
        out += varint(step // 3600 << 1 if step % 3600 == 0 else step << 1 | 1) + bytes([table.index(offset)])
    return out + rule_bytes(rule)


def main(source, target):
    with open(source, encoding="utf-8") as text:
        version = text.readline().split()[-1]
    zones, names = [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["zic", "-b", "slim", "-d", folder, source], check=True)
        for path, _, files in os.walk(folder):
            for file in files:
                full = os.path.join(path, file)
                name = os.path.relpath(full, folder)
                if name == "Factory":
                    continue
                with open(full, "rb") as data:
                    zone = zone_bytes(data.read())
                if zone not in zones:
                    zones.append(zone)
                names.append((name, zone))
    zones.sort()
    out = bytes([len(version)]) + version.encode() + struct.pack("<HH", len(zones), len(names))
    for zone in zones:
        out += struct.pack("<H", len(zone)) + zone
    # In the order of their lower-case spelling, so that a reader may stop early.
    for name, zone in sorted(names, key=lambda pair: pair[0].lower()):
        out += bytes([len(name)]) + name.encode() + struct.pack("<H", zones.index(zone))
    with open(target, "wb") as file:
        file.write(out)
    print(f"{len(names)} names, {len(zones)} zones, tzdata {version}, {len(out)} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
