"""Parsers of MAC addresses, IP addresses and text."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.validation.addresses import parse_ip, parse_mac, parse_text


@given(st.binary(min_size=6, max_size=6), st.sampled_from([":", "-", ".", ""]), st.booleans())
def test_all_notations_of_a_mac_are_equal(raw: bytes, separator: str, upper: bool) -> None:
    """With colons, dashes, dots or no separator, in either case."""
    canonical = raw.hex(":").upper()
    notation = raw.hex() if not separator else raw.hex(separator, 2 if separator == "." else 1)
    assert parse_mac(notation.upper() if upper else notation) == canonical


@given(st.text(max_size=20))
@example("AA:BB:CC:DD:EE:F")
@example("AA:BB:CC:DD:EE-FF")
@example("AABBCCDDEEFF\n")
@example("\uff21A:BB:CC:DD:EE:FF")
def test_other_text_is_not_a_mac(text: str) -> None:
    """A MAC has twelve hexadecimal digits in one of the notations."""
    if re.sub("[:.-]", "", text).isalnum() and len(re.sub("[^0-9a-fA-F]", "", text)) == 12 and text.isascii():
        return
    with pytest.raises(ValueError, match="is not a MAC address; write it as"):
        parse_mac(text)


@given(st.ip_addresses())
def test_an_ip_is_converted_to_its_canonical_form(address: IPv4Address | IPv6Address) -> None:
    """From its short, long and upper-case forms."""
    canonical = parse_ip(str(address))
    assert ip_address(canonical) == address
    assert "." not in canonical or address.version == 4
    assert parse_ip(canonical) == parse_ip(address.exploded) == parse_ip(str(address).upper()) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.168.100.100", "::ffff:c0a8:6464"),
        ("::FFFF:c0a8:6464", "::ffff:c0a8:6464"),
        ("0000:0000:0000:0000:0000:FFFF:192.168.100.100", "::ffff:c0a8:6464"),
        ("::ffff:0.0.0.1", "::ffff:0:1"),
        ("::1.2.3.4", "::102:304"),
    ],
)
def test_an_ipv6_address_is_shortened_and_has_no_dots(text: str, canonical: str) -> None:
    """On every version of Python, also for the longest notation."""
    assert parse_ip(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4/24", "fe80::1%eth0", " ::1"]
)
def test_other_text_is_not_an_ip(text: str) -> None:
    """Networks, zones and parts with leading zeros are rejected."""
    with pytest.raises(ValueError, match="is not an IP address"):
        parse_ip(text)


def test_text_must_be_a_string() -> None:
    """The message shows the value."""
    with pytest.raises(ValueError, match=r"^5 is not text$"):
        parse_text(5, 10)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff", "ü\0"])
def test_text_that_no_database_can_store_is_rejected(text: str) -> None:
    """NUL and half of a surrogate pair, also within other text."""
    with pytest.raises(ValueError, match=r"^contains a character that cannot be stored \(NUL"):
        parse_text(text, 10)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
def test_all_other_text_is_accepted_unchanged(text: str) -> None:
    """Emoji, control characters and right-to-left marks included."""
    assert parse_text(text, 50) == text
