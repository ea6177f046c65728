"""Decoding of RADIUS Accounting datagrams."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyrad.packet import AcctPacket

from netsessions.radius.packets import (
    DICTIONARY,
    PacketDroppedError,
    decode_packet,
    normalize_address,
    parse_packet,
    parse_station,
)
from resolvers.radius_accounting import MAX_DELAY, event_time
from storage.tables import DAY, SECOND
from tests.conftest import MAC, NOW, at
from tests.support.radius import CLIENTS, SECRET, encode


@pytest.mark.parametrize(
    "text",
    [
        "AA-BB-CC-DD-EE-FF",
        "aa:bb:cc:dd:ee:ff",
        "aabb.ccdd.eeff",
        "AABBCCDDEEFF",
        "AA-BB-CC-DD-EE-FF:a net: 5G",
        "aabbccddeeff:home",
    ],
)
def test_calling_station_id_is_parsed_in_any_notation(text: str) -> None:
    """A network name may follow the MAC address."""
    assert parse_station(text) == MAC
    with pytest.raises(ValueError, match="MAC"):
        parse_station(f"x{text}")


def test_event_time_is_the_timestamp_or_the_arrival_minus_the_delay() -> None:
    """A clock that was never set and a delay of years are ignored."""
    now = at(NOW)
    assert event_time(now, now - DAY, 5) == now - DAY
    assert event_time(now, None, 5) == now - 5
    assert event_time(now, None, None) == now
    assert event_time(now, 0, 5) == now - 5
    assert event_time(now, now - MAX_DELAY, None) == event_time(now, None, MAX_DELAY) == now - MAX_DELAY
    assert event_time(now, now + DAY, None) == now + DAY
    assert event_time(now, now + 400 * DAY, None) == now
    assert event_time(now, None, 400 * DAY) == now


def parse(sender: str = "127.0.0.1", **attributes: Any) -> Any:
    return parse_packet(decode_packet(encode(**attributes), normalize_address(sender), CLIENTS), sender, at(NOW))


def test_nas_is_identified_by_name_or_address() -> None:
    """The last resort is the sender's address."""
    assert parse().nas == "ap-1"
    assert parse(NAS_Identifier=None, NAS_IP_Address="10.0.0.2").nas == "10.0.0.2"
    assert parse(NAS_Identifier=None, NAS_IPv6_Address="2001:db8::2").nas == "2001:db8::2"
    assert parse(NAS_Identifier=None).nas == "127.0.0.1"


def test_address_of_the_device_is_the_framed_address() -> None:
    """The NAS's own address and reserved addresses are ignored."""
    assert parse(NAS_IP_Address="10.0.0.2").ip is None
    assert parse(Framed_IP_Address="10.0.0.3", Framed_IPv6_Address="2001:db8::3").ip == "10.0.0.3"
    assert parse(Framed_IP_Address="255.255.255.254", Framed_IPv6_Address="2001:db8::3").ip == "2001:db8::3"
    assert parse(Framed_IPv6_Prefix="2001:db8:1::/64").ip == "2001:db8:1::"
    assert parse(Framed_IP_Address="0.0.0.0").ip is None


def test_other_attributes_are_parsed() -> None:
    """Causes become names. Text that is not UTF-8 or cannot be stored is escaped."""
    parsed = parse(
        Acct_Status_Type="Stop",
        Acct_Terminate_Cause=4,
        Acct_Session_Time=60,
        Acct_Session_Id=b"\xff\0",
        Event_Timestamp=at(NOW) // SECOND - 9,
    )
    assert (parsed.kind, parsed.terminate_cause, parsed.session_time, parsed.at) == (
        "STOP",
        "Idle-Timeout",
        60 * SECOND,
        at(NOW) - 9 * SECOND,
    )
    assert parsed.acct_session_id == "\\xff\\x00"
    assert parse(Acct_Terminate_Cause=99).terminate_cause == "99"
    assert parse(Calling_Station_Id=b"console") is None
    assert parse(Acct_Status_Type=15) is None
    assert parse(Acct_Status_Type="Accounting-Off", Acct_Session_Id=None).status == "Accounting-Off"


def drop_reason(data: bytes, sender: str = "127.0.0.1") -> str:
    with pytest.raises(PacketDroppedError) as reason:
        parse_packet(decode_packet(data, normalize_address(sender), CLIENTS), sender, at(NOW))
    return str(reason.value)


def test_dropped_packets_have_a_reason() -> None:
    """The secret is that of the narrowest network of the sender."""
    assert drop_reason(encode("other")) == "wrong_secret"
    assert drop_reason(encode(), "192.168.1.1") == "unknown_client"
    assert decode_packet(encode("narrow"), normalize_address("10.1.2.3"), CLIENTS)
    assert decode_packet(encode("wide"), normalize_address("::ffff:10.2.3.4"), CLIENTS)
    assert decode_packet(encode("six"), normalize_address("2001:db8::1%eth0"), CLIENTS)
    assert drop_reason(encode("wide"), "10.1.2.3") == "wrong_secret"
    assert drop_reason(encode()[:30]) == "malformed"
    assert drop_reason(encode(code=1)) == "malformed"
    assert drop_reason(encode(Acct_Session_Id=None)) == "malformed"
    assert drop_reason(encode(Acct_Status_Type=None)) == "malformed"


def signed(attributes: bytes) -> bytes:
    """Return a datagram with raw attributes and a valid authenticator."""
    packet = AcctPacket(secret=SECRET.encode(), dict=DICTIONARY)
    packet._PktEncodeAttributes = lambda: attributes
    data: bytes = packet.RequestPacket()
    return data


Attribute = st.tuples(
    st.sampled_from([4, 8, 26, 31, 32, 40, 41, 44, 46, 49, 55, 80, 95, 97, 168]),
    st.integers(0, 255),
    st.binary(max_size=40),
)


@given(st.lists(Attribute, max_size=6))
@example([(40, 6, bytes([0, 0, 0, 1])), (44, 4, b"s1"), (97, 4, b"\0\xff")])
@example([(40, 6, bytes([0, 0, 0, 1])), (44, 2, b"")])
def test_any_datagram_is_parsed_or_dropped(attributes: list[tuple[int, int, bytes]]) -> None:
    """No content raises another exception, also if the sender knows the secret."""
    raw = b"".join(bytes([code, length]) + value for code, length, value in attributes)
    for data in (raw, signed(raw)):
        try:
            parse_packet(decode_packet(data, normalize_address("127.0.0.1"), CLIENTS), "127.0.0.1", at(NOW))
        except PacketDroppedError as reason:
            assert str(reason) in ("malformed", "wrong_secret")  # noqa: PT017
