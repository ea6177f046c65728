"""Addresses and texts, parsed once at the resolvers' door. Every parser raises ValueError with a sentence for a person."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from resolvers.errors import shown

_HEX = "[0-9A-Fa-f]"
# As JSON Schema has expressions, too: it knows no case that is ignored.
MAC = rf"{_HEX}{{2}}(:{_HEX}{{2}}){{5}}|{_HEX}{{2}}(-{_HEX}{{2}}){{5}}|{_HEX}{{4}}(\.{_HEX}{{4}}){{2}}|{_HEX}{{12}}"
_MAC = re.compile(MAC)
_SURROGATE = re.compile("[\ud800-\udfff]")
EVENT_TYPE_LENGTH, INFO_LENGTH, NAME_LENGTH = 100, 10_000, 200


@lru_cache(maxsize=65_536)  # a network's devices come again and again
def _mac(text: str) -> str | None:
    if not _MAC.fullmatch(text):
        return None
    digits = re.sub("[^0-9A-F]", "", text.upper())
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


@lru_cache(maxsize=65_536)
def _ip(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if "%" in text:
        return None  # a zone names an interface of the machine that looked (fe80::1%eth0), and means nothing on another
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # From Python 3.13 on, `str` shows the IPv4 address in it: what is stored would be another text than before.
        high, low = divmod(int(address.ipv4_mapped), 2**16)
        return f"::ffff:{high:x}:{low:x}"
    return str(address)


def parse_mac(text: object) -> str:
    """Any common notation to AA:BB:CC:DD:EE:FF."""
    mac = _mac(text) if isinstance(text, str) and len(text) <= 17 else None
    if mac is None:
        raise ValueError(f"{shown(text)} is not a MAC address; write it as AA:BB:CC:DD:EE:FF")
    return mac


def parse_ip(text: object) -> str:
    """IPv4 or IPv6 to its canonical form."""
    ip = _ip(text) if isinstance(text, str) and len(text) <= 45 else None
    if ip is None:
        raise ValueError(f"{shown(text)} is not an IP address; write it as 192.168.1.10 or 2001:db8::1")
    return ip


def parse_text(text: object, longest: int) -> str:
    """Free text of at most so many characters."""
    if not isinstance(text, str):
        raise ValueError(f"{shown(text)} is not text")
    if len(text) > longest:
        raise ValueError(f"has {len(text)} characters; at most {longest}")
    # Half of a surrogate pair is the one thing in a string that UTF-8 cannot write.
    if "\0" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise ValueError("contains a character that cannot be stored (NUL or half of a surrogate pair)")
    return text
