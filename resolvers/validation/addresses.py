"""Parsers of MAC addresses, IP addresses and text. Each raises ValueError with a message for the user."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from resolvers.errors import short_repr

_HEX = "[0-9A-Fa-f]"
# Also published in the JSON Schema, which has no flag to ignore case.
MAC_PATTERN = (
    rf"{_HEX}{{2}}(:{_HEX}{{2}}){{5}}|{_HEX}{{2}}(-{_HEX}{{2}}){{5}}|{_HEX}{{4}}(\.{_HEX}{{4}}){{2}}|{_HEX}{{12}}"
)
_MAC = re.compile(MAC_PATTERN)
_SURROGATE = re.compile("[\ud800-\udfff]")
EVENT_TYPE_LENGTH, INFO_LENGTH, NAME_LENGTH = 100, 10_000, 200  # maximum lengths in characters


@lru_cache(maxsize=65_536)  # the same devices report repeatedly
def _canonical_mac(text: str) -> str | None:
    if not _MAC.fullmatch(text):
        return None
    digits = re.sub("[^0-9A-F]", "", text.upper())
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


@lru_cache(maxsize=65_536)
def _canonical_ip(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if "%" in text:
        return None  # a zone (fe80::1%eth0) names an interface of one machine and has no meaning on others
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # Since Python 3.13 `str` writes the IPv4 part in dotted form. Stored addresses must not depend on the version.
        high, low = divmod(int(address.ipv4_mapped), 2**16)
        return f"::ffff:{high:x}:{low:x}"
    return str(address)


def parse_mac(text: object) -> str:
    """Convert a MAC address in any common notation to AA:BB:CC:DD:EE:FF. Raise ValueError if it is not one."""
    mac = _canonical_mac(text) if isinstance(text, str) and len(text) <= 17 else None
    if mac is None:
        raise ValueError(f"{short_repr(text)} is not a MAC address; write it as AA:BB:CC:DD:EE:FF")
    return mac


def parse_ip(text: object) -> str:
    """Convert an IPv4 or IPv6 address to its canonical form. Raise ValueError if it is not one."""
    ip = _canonical_ip(text) if isinstance(text, str) and len(text) <= 45 else None
    if ip is None:
        raise ValueError(f"{short_repr(text)} is not an IP address; write it as 192.168.1.10 or 2001:db8::1")
    return ip


def parse_text(text: object, max_length: int) -> str:
    """Return the text if a database can store it and it has at most `max_length` characters. Raise ValueError if not."""
    if not isinstance(text, str):
        raise ValueError(f"{short_repr(text)} is not text")
    if len(text) > max_length:
        raise ValueError(f"has {len(text)} characters; at most {max_length} are allowed")
    # UTF-8 cannot encode half of a surrogate pair.
    if "\0" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise ValueError("contains a character that cannot be stored (NUL or half of a surrogate pair)")
    return text
