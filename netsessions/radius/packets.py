"""What is in a datagram of RADIUS Accounting: read here, with the secret of its sender, and nowhere else."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pyrad.dictionary import Dictionary
from pyrad.packet import AccountingRequest, AcctPacket, PacketError

from netsessions.settings import Client
from resolvers.radius_accounting import Packet, instant
from resolvers.validation.addresses import parse_mac
from storage.tables import SECOND

DICTIONARY = Dictionary(str(Path(__file__).with_name("dictionary")))
KINDS: dict[str, Literal["START", "INTERIM", "STOP"]] = {"Start": "START", "Interim-Update": "INTERIM", "Stop": "STOP"}


class Restart(NamedTuple):
    """A server that was switched on or off."""

    nas: str
    at: int
    why: Literal["Accounting-On", "Accounting-Off"]


class DroppedError(Exception):
    """A packet that is neither stored nor answered; says why in a word."""


def plain(sender: str) -> IPv4Address | IPv6Address:
    """The address of a sender as its own network writes it."""
    address = ip_address(sender.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def station(text: str) -> str:
    """The MAC address of a Calling-Station-Id, which may have a network's name after it. Raises ValueError."""
    for length in (17, 14, 12):
        if text[length : length + 1] in ("", ":"):
            with suppress(ValueError):
                return parse_mac(text[:length])
    return parse_mac(text)


def address(ip: str) -> str | None:
    """An address as a server frames it, if it is one that a device can have."""
    parsed = ip_address(ip)
    reserved = parsed.version == 4 and int(parsed) >= 0xFFFF_FFFE  # the user's, or the server's choice
    return None if parsed.is_unspecified or reserved else str(parsed)


def opened(data: bytes, sender: IPv4Address | IPv6Address, clients: Sequence[Client]) -> Any:
    """The packet in a datagram, from one who knows the secret. Raises DroppedError."""
    secret = next((client.secret for client in clients if sender in client.network), None)
    if secret is None:
        raise DroppedError("unknown_client")
    try:
        packet = AcctPacket(packet=data, secret=secret, dict=DICTIONARY)
    except PacketError:
        raise DroppedError("malformed") from None
    if packet.code != AccountingRequest:
        raise DroppedError("malformed")
    if not packet.VerifyAcctRequest():
        raise DroppedError("wrong_secret")
    return packet


def read(packet: Any, sender: str, arrived: int) -> Packet | Restart | None:
    """What a packet tells; None where it is of no device that could be recorded. Raises DroppedError."""
    try:
        return _read(packet, sender, arrived)
    except ValueError:
        raise DroppedError("malformed") from None


def _read(packet: Any, sender: str, arrived: int) -> Packet | Restart | None:
    def first(name: str) -> Any:
        values = packet.get(name)
        return values[0] if values else None

    def text(name: str) -> str:
        octets: bytes = first(name) or b""
        # A NUL cannot be stored.
        return octets.decode("utf-8", "backslashreplace").replace("\0", "\\x00")

    def span(name: str) -> int | None:
        seconds = first(name)
        return None if seconds is None else int(seconds) * SECOND

    nas = text("NAS-Identifier") or first("NAS-IP-Address") or first("NAS-IPv6-Address") or sender
    at = instant(arrived, span("Event-Timestamp"), span("Acct-Delay-Time"))
    kind = first("Acct-Status-Type")
    if kind in ("Accounting-On", "Accounting-Off"):
        return Restart(nas, at, kind)
    name = text("Acct-Session-Id")
    if kind is None or not name:
        raise ValueError("without what every such packet must have")
    try:
        mac = station(text("Calling-Station-Id"))
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
        next(filter(None, (address(ip) for ip in framed if ip)), None),
        span("Acct-Session-Time"),
        None if cause is None else str(cause),
    )
