#!/usr/bin/env python3
"""Makes countries.zst: which country an address is in, and where that is.

    python3 make.py DIRECTORY [ZONEINFO]

DIRECTORY is the unpacked npm package @ip-location-db/dbip-country (`npm pack @ip-location-db/dbip-country`, then
`tar xf` of what it wrote): DB-IP's "IP to Country Lite", under CC BY 4.0, with the date in its version. ZONEINFO is the
tz database's directory, /usr/share/zoneinfo unless given, of which zone.tab and iso3166.tab are read (public domain).
Needs Python 3.9 and the program zstd.

What is written, and src/geoip/table.rs reads: one zstd frame with, numbers little-endian,

    "SDXGEO1\\0", the date as "YYYY-MM", the number of countries (2 bytes), and for each of these
        its code (2 bytes), latitude and longitude in tenths of a degree (2 bytes each, signed), name (1 byte length, UTF-8);
    then twice, for IPv4 by its 32 bits and for IPv6 by its upper 64 bits:
        number of ranges (4), bytes of the steps (4), the steps, the countries (1 byte each).

A range begins where the one before ends: a step is the distance from one beginning to the next, in groups of 7 bits, the
lowest first, with the eighth bit set in all but the last. A country is 0 for none, else its place in the list, from 1.
"""

import csv
import ipaddress
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

# Whose first row in zone.tab is far from where most people are: the capital's, or the largest city's.
ROWS = {
    "AQ": "Antarctica/McMurdo", "AU": "Australia/Sydney", "BR": "America/Sao_Paulo", "CA": "America/Toronto",
    "FM": "Pacific/Pohnpei", "RU": "Europe/Moscow", "UA": "Europe/Kyiv", "UZ": "Asia/Tashkent",
}

# What is nobody's, or says nothing of where a host is: other than these, and outside of 2000::/3, nothing is kept.
NOWHERE = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    # Teredo, documentation, 6to4, documentation
    "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20",
]


def places(zoneinfo):
    """Latitude and longitude in tenths of a degree, and the name, by the country's code."""
    names = dict(line.rstrip("\n").split("\t")[:2] for line in rows(zoneinfo / "iso3166.tab"))
    found = {}
    for line in rows(zoneinfo / "zone.tab"):
        code, at, zone = line.rstrip("\n").split("\t")[:3]
        if (code not in found and code not in ROWS) or ROWS.get(code) == zone:
            latitude, longitude = re.fullmatch(r"([+-]\d+)([+-]\d+)", at).groups()
            found[code] = (tenths(latitude, 2), tenths(longitude, 3), names[code])
    # Longer than a place may be called.
    found["GS"] = (*found["GS"][:2], "South Georgia")
    return found


def rows(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def tenths(text, digits):
    """±DDMM or ±DDMMSS, with so many digits of degrees."""
    sign = -1 if text[0] == "-" else 1
    degrees, rest = text[1 : 1 + digits], text[1 + digits :]
    return sign * round(int(degrees) * 10 + int(rest[:2]) / 6 + int(rest[2:] or 0) / 360)


def beginnings(path, low_bits, whole, country):
    """Where ranges begin and which country they are of, merged, as numbers without their low bits."""
    nowhere = [net for net in map(ipaddress.ip_network, NOWHERE) if net.version == (4 if low_bits == 0 else 6)]
    nowhere = sorted((int(net[0]), int(net[-1])) for net in nowhere)
    changes = {}
    with path.open(encoding="ascii", newline="") as file:
        for first, last, code in csv.reader(file):
            for first, last in without(max(int(first), whole[0]), min(int(last), whole[1]), nowhere):
                changes[first >> low_bits] = country.get(code, 0)
                changes[(last >> low_bits) + 1] = 0
    merged = []
    for at in sorted(changes):
        if changes[at] != (merged[-1][1] if merged else 0):
            merged.append((at, changes[at]))
    return merged


def without(first, last, holes):
    """What is left of a range."""
    for low, high in holes:
        if low <= last and high >= first:
            if first < low:
                yield first, low - 1
            first = high + 1
    if first <= last:
        yield first, last


def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return out


def table(merged):
    steps, countries, before = bytearray(), bytearray(), 0
    for at, country in merged:
        steps += varint(at - before)
        countries.append(country)
        before = at
    return struct.pack("<II", len(merged), len(steps)) + steps + countries


def main():
    package = Path(sys.argv[1])
    zoneinfo = Path(sys.argv[2] if len(sys.argv) > 2 else "/usr/share/zoneinfo")
    version = json.loads((package / "package.json").read_text())["version"]
    year, month = re.fullmatch(r"[\d.]*\.(\d{4})(\d{2})\d{4}", version).groups()
    found = places(zoneinfo)
    codes = sorted(found)
    country = {code: number for number, code in enumerate(codes, 1)}
    out = bytearray(b"SDXGEO1\0" + f"{year}-{month}".encode() + struct.pack("<H", len(codes)))
    for code in codes:
        latitude, longitude, name = found[code]
        name = name.encode()
        out += code.encode() + struct.pack("<hhB", latitude, longitude, len(name)) + name
    v4 = beginnings(package / "dbip-country-ipv4-num.csv", 0, (0, 2**32 - 1), country)
    v6 = beginnings(package / "dbip-country-ipv6-num.csv", 64, (2 << 124, (4 << 124) - 1), country)
    out += table(v4) + table(v6)
    target = Path(__file__).with_name("countries.zst")
    # No checksum and no file name: the same data makes the same file.
    packed = subprocess.run(["zstd", "--ultra", "-22", "-c", "--no-check"], input=bytes(out), capture_output=True, check=True)
    target.write_bytes(packed.stdout)
    print(f"{year}-{month}: {len(codes)} countries, {len(v4)} and {len(v6)} ranges, {len(packed.stdout)} bytes")


if __name__ == "__main__":
    main()
