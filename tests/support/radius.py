"""RADIUS Accounting datagrams for tests."""

from typing import Any

from pyrad.packet import AccountingRequest, AcctPacket

from netsessions.radius.packets import DICTIONARY
from netsessions.settings import parse_radius_clients

SECRET = "a-secret-of-tests"

CLIENTS = parse_radius_clients(f"127.0.0.1={SECRET} 10.0.0.0/8=wide 10.1.0.0/16=narrow 2001:db8::/32=six")


def encode(secret: str = SECRET, code: int = AccountingRequest, **attributes: Any) -> bytes:
    """Return the datagram of an Accounting-Request."""
    packet = AcctPacket(code=code, secret=secret.encode(), dict=DICTIONARY)
    defaults = {
        "Acct_Status_Type": "Start",
        "Acct_Session_Id": b"s1",
        "Calling_Station_Id": b"AA-BB-CC-DD-EE-FF",
        "NAS_Identifier": b"ap-1",
    }
    for name, value in (defaults | attributes).items():
        if value is not None:
            packet.AddAttribute(name.replace("_", "-"), value)
    data: bytes = packet.RequestPacket()
    return data
