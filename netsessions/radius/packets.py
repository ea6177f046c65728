"""Decodes RADIUS Accounting datagrams."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pyrad.dictionary import Dictionary
from pyrad.packet import AccountingRequest, AcctPacket, PacketError

from netsessions.settings import RadiusClient
from resolvers.radius_accounting import Packet, event_time
from resolvers.validation.addresses import parse_mac
from storage.tables import SECOND

DICTIONARY = Dictionary(str(Path(__file__).with_name("dictionary")))
KINDS: dict[str, Literal["START", "INTERIM", "STOP"]] = {"Start": "START", "Interim-Update": "INTERIM", "Stop": "STOP"}


class Restart(NamedTuple):
    """A NAS that was switched on or off."""

    nas: str
    at: int
    status: Literal["Accounting-On", "Accounting-Off"]


class PacketDroppedError(Exception):
    """A packet that gets no response. The message is the reason, as a key of the counts."""


def normalize_address(sender: str) -> IPv4Address | IPv6Address:
    """Return an address without a zone. Return an IPv4-mapped IPv6 address as IPv4."""
    address = ip_address(sender.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def parse_station(text: str) -> str:
    """Return the MAC address of a Calling-Station-Id, which may end with `:SSID`. Raise ValueError."""
    for length in (17, 14, 12):
        if text[length : length + 1] in ("", ":"):
            with suppress(ValueError):
                return parse_mac(text[:length])
    return parse_mac(text)


def parse_framed_ip(ip: str) -> str | None:
    """Return a framed IP address, or None if it is not the address of a device."""
    parsed = ip_address(ip)
    # RFC 2865, 5.8: with these two, the user or the NAS chooses the address.
    reserved = parsed.version == 4 and int(parsed) >= 0xFFFF_FFFE
    return None if parsed.is_unspecified or reserved else str(parsed)


def decode_packet(data: bytes, sender: IPv4Address | IPv6Address, clients: Sequence[RadiusClient]) -> Any:
    """Decode a datagram with the secret of its sender. Raise PacketDroppedError."""
    secret = next((client.secret for client in clients if sender in client.network), None)
    if secret is None:
        raise PacketDroppedError("unknown_client")
    try:
        packet = AcctPacket(packet=data, secret=secret, dict=DICTIONARY)
    except PacketError:
        raise PacketDroppedError("malformed") from None
    if packet.code != AccountingRequest:
        raise PacketDroppedError("malformed")
    if not packet.VerifyAcctRequest():
        raise PacketDroppedError("wrong_secret")
    return packet


def parse_packet(packet: Any, sender: str, arrived: int) -> Packet | Restart | None:
    """Return what a packet reports, or None if it names no device. Raise PacketDroppedError."""
    try:
        return _read(packet, sender, arrived)
    except ValueError:
        raise PacketDroppedError("malformed") from None


def _read(packet: Any, sender: str, arrived: int) -> Packet | Restart | None:
    def first(name: str) -> Any:
        values = packet.get(name)
        return values[0] if values else None

    def text(name: str) -> str:
        octets: bytes = first(name) or b""
        # A NUL cannot be stored.
        return octets.decode("utf-8", "backslashreplace").replace("\0", "\\x00")

    def duration(name: str) -> int | None:
        seconds = first(name)
        return None if seconds is None else int(seconds) * SECOND

    nas = text("NAS-Identifier") or first("NAS-IP-Address") or first("NAS-IPv6-Address") or sender
    at = event_time(arrived, duration("Event-Timestamp"), duration("Acct-Delay-Time"))
    kind = first("Acct-Status-Type")
    if kind in ("Accounting-On", "Accounting-Off"):
        return Restart(nas, at, kind)
    name = text("Acct-Session-Id")
    if kind is None or not name:
        raise ValueError("a required attribute is missing")
    try:
        mac = parse_station(text("Calling-Station-Id"))
    except ValueError:
        return None
    if kind not in KINDS:
        return None
    prefix = first("Framed-IPv6-Prefix")
    framed = (
        first("Framed-IP-Address"),
        first("Framed-IPv6-Address"),
        prefix and str(ip_network(prefix).network_address),
    )
    cause = first("Acct-Terminate-Cause")
    return Packet(
        KINDS[kind],
        nas,
        name,
        mac,
        at,
        next(filter(None, (parse_framed_ip(ip) for ip in framed if ip)), None),
        duration("Acct-Session-Time"),
        None if cause is None else str(cause),
    )
