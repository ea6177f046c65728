"""Sessions by RADIUS Accounting: what packets mean in whatever order they come, and the command on a real socket."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, permutations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyrad.packet import AccountingRequest, AccountingResponse, AcctPacket

from netsessions.cli import main
from netsessions.radius import listener as radius
from netsessions.radius.listener import Listener
from netsessions.radius.packets import DICTIONARY, DroppedError, opened, plain, read, station
from netsessions.settings import clients_of
from resolvers import heartbeats as sightings
from resolvers import live, sessions
from resolvers import radius_accounting as accounting
from resolvers.context import Context
from resolvers.radius_accounting import NAMED, NO_IP, RETRIED, SPOOLED, Outcome, Packet, instant, receive, restart
from resolvers.validation.clock import Clock, parse_period
from resolvers.validation.models import StartReport
from storage.errors import StoreUnavailableError
from storage.queries.sessions import SessionRow
from storage.tables import DAY, SECOND
from tests.conftest import MAC, NOW, Rows, at, run, sql
from tests.support.ports import free_port
from tests.support.server import INHERITED, running

SECRET = "a-secret-of-tests"
T0 = at(NOW) - 7200 * SECOND
OTHER_MAC = "AA:BB:CC:DD:EE:00"


def packet(kind: Any, seconds: int, **changed: Any) -> Packet:
    """What ap-1 tells of its session s1, so many seconds after T0."""
    given: dict[str, Any] = {"nas": "ap-1", "name": "s1", "mac": MAC, "at": T0 + seconds * SECOND} | changed
    if "lasted" in given:
        given["lasted"] *= SECOND
    return Packet(kind, **given)


def start(seconds: int, **changed: Any) -> Packet:
    return packet("START", seconds, **changed)


def interim(seconds: int, **changed: Any) -> Packet:
    return packet("INTERIM", seconds, **changed)


def stop(seconds: int, **changed: Any) -> Packet:
    return packet("STOP", seconds, **changed)


Told = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def told(context: Context, url: str) -> Told:
    """Has packets stored one after the other; answers the sessions, read over a new connection, seconds after T0."""

    def send(*packets: Packet) -> list[dict[str, Any]]:
        for each in packets:
            run(receive(context, each))
        return stored(url)

    return send


def stored(url: str) -> list[dict[str, Any]]:
    names = ("mac", "ip", "connected_at", "disconnected_at", "state", "info", "live", "seen_at")
    found = sql(url, f"SELECT {', '.join(names)} FROM session ORDER BY starts_at, id")
    rows = [dict(zip(names, row, strict=True)) for row in found]
    for row in rows:
        for name in ("connected_at", "disconnected_at", "seen_at"):
            row[name] = None if row[name] is None else (row[name] - T0) / SECOND
    return rows


def changes(url: str) -> Rows:
    return sql(url, "SELECT kind FROM change ORDER BY seq")


def only(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


ENDS = ("connected_at", "disconnected_at", "state")


def test_a_session_opens_with_its_start_and_ends_with_its_stop(told: Told, url: str) -> None:
    """The cause stands in its info; an update says only when it was seen, which is no change to tell of."""
    [row] = told(start(0, ip="10.0.0.1"))
    assert (row["mac"], row["ip"], row["connected_at"], row["state"]) == (MAC, "10.0.0.1", 0, "CONNECTED")
    [row] = told(interim(600, ip="10.0.0.1"))
    assert (row["seen_at"], row["state"]) == (600, "CONNECTED")
    assert changes(url) == [("CREATED",)]
    [row] = told(stop(900, cause="Idle-Timeout"))
    assert (row["disconnected_at"], row["state"], row["info"], row["live"]) == (
        900,
        "COMPLETE",
        "RADIUS: Idle-Timeout",
        0,
    )
    assert changes(url) == [("CREATED",), ("UPDATED",)]
    assert sql(url, "SELECT connection_event, disconnection_event FROM session") == [("Connected", "Disconnected")]


@pytest.mark.parametrize(
    ("before", "then", "what"),
    [
        ([], start(0), "started"),
        ([], interim(600), "started"),
        ([], stop(900), "stopped"),
        ([interim(600)], start(0), "started"),
        ([start(0)], stop(900), "stopped"),
        ([start(0)], start(0), None),
        ([start(0)], start(0, ip="10.0.0.1"), None),
        ([start(0)], interim(600), None),
        ([interim(600)], interim(700, lasted=695), None),
        ([stop(900)], start(0), "started"),
        ([start(0), stop(900)], stop(900, ip="10.0.0.1"), None),
    ],
)
def test_a_packet_is_answered_with_its_session_and_what_it_did_to_it(
    told: Told, context: Context, url: str, before: list[Packet], then: Packet, what: str | None
) -> None:
    """Only what starts or stops it is told of; not what is known already, or comes to be known besides."""
    told(*before)
    done = run(receive(context, then))
    assert done is not None
    assert done.what == what
    assert [done.session] == sql(url, f"SELECT {', '.join(SessionRow._fields)} FROM session")


def test_packets_of_a_new_session_that_come_at_once_are_of_one_session(told: Told, context: Context) -> None:
    """Although none of them can wait for a device that is known."""

    async def together(n: int) -> None:
        packets = [start(n, name=f"s{n}", ip="10.0.0.1"), stop(60 + n, name=f"s{n}")]
        await asyncio.gather(*(receive(context, replace(each, mac=f"AA:BB:CC:DD:EE:0{n}")) for each in packets))

    for n in range(4):
        run(together(n))
    assert only(told(), *ENDS) == [(n, 60 + n, "COMPLETE") for n in range(4)]


def test_packets_that_come_again_change_nothing(told: Told, url: str) -> None:
    """Also where they are stamped by their arrival, so that each copy has an instant of its own."""
    packets = [start(0, ip="10.0.0.1"), interim(600), stop(900, lasted=899)]
    once = told(start(0, ip="10.0.0.1"), start(4, ip="10.0.0.1"), *packets)
    noted = changes(url)
    assert told(*packets, start(4, ip="10.0.0.1"), stop(904, lasted=899), interim(600)) == once
    assert changes(url) == noted


def test_a_start_that_was_reported_is_believed_before_one_that_was_worked_out(told: Told) -> None:
    """However early the session's length would have it begin."""
    [row] = told(start(10), interim(600, lasted=595), stop(900, lasted=893))
    assert (row["connected_at"], row["info"]) == (10, "RADIUS: Stop")


def test_a_stop_without_a_start_tells_by_its_length_when_the_session_began(told: Told) -> None:
    """Its info says that nobody reported it."""
    [row] = told(stop(900, lasted=900, cause="Lost-Carrier"))
    assert only([row], *ENDS) == [(0, 900, "COMPLETE")]
    assert row["info"] == "RADIUS: start not reported; RADIUS: Lost-Carrier"


def test_a_stop_that_tells_no_length_misses_its_connection_until_the_start_comes(told: Told) -> None:
    """And the start does not open it again."""
    [row] = told(stop(900))
    assert only([row], *ENDS) == [(None, 900, "MISSING_CONNECTION")]
    [row] = told(start(100))
    assert only([row], *ENDS) == [(100, 900, "COMPLETE")]


def test_an_update_without_a_start_opens_the_session(told: Told) -> None:
    """From when it says that it began; the start, when it comes, knows better."""
    [row] = told(interim(600))
    assert only([row], *ENDS) == [(600, None, "CONNECTED")]
    [row] = told(interim(700, lasted=695))
    assert row["connected_at"] == 5
    [row] = told(start(7))
    assert (row["connected_at"], row["info"]) == (7, "")


@pytest.mark.parametrize(
    ("packets", "ends"),
    [
        ([start(100), stop(40)], (100, 100)),
        ([interim(100), stop(40)], (40, 40)),
        ([interim(100), stop(40), interim(30)], (30, 40)),
        ([interim(100), stop(40), start(20)], (20, 40)),
    ],
)
def test_no_end_precedes_its_start(told: Told, packets: list[Packet], ends: tuple[int, int]) -> None:
    """A start that was reported is believed before an end, an end before a start that was worked out; in any order."""
    for n, ordered in enumerate(permutations(packets)):
        found = told(*(replace(each, name=f"s{n}") for each in ordered))
        assert only(found, *ENDS) == [(*ends, "COMPLETE")] * (n + 1)


def test_an_address_becomes_known_when_it_is_told(told: Told) -> None:
    """Until then none is claimed; one that changes is noted as by any other report, one of the past is not taken."""
    [row] = told(start(0))
    assert row["ip"] == NO_IP
    [row] = told(interim(600, ip="10.0.0.1"))
    assert (row["ip"], row["info"]) == ("10.0.0.1", "")
    [row] = told(interim(1200, ip="2001:db8::1"))
    assert (row["ip"], row["info"]) == ("2001:db8::1", "IP was 10.0.0.1 until 2025-08-20T10:20:00Z")
    assert told(interim(900, ip="10.0.0.9"), interim(1200, ip="10.0.0.9")) == [row]


def test_sessions_of_one_device_are_open_beside_each_other(told: Told, context: Context) -> None:
    """Each ends with its own stop, and the one that startSession opened is not touched."""
    report = StartReport.model_validate({"mac": MAC, "ip": "10.0.0.1"}, context=context.clock)
    run(live.start(context, report))
    found = told(start(0), start(1, name="s2"), start(2, nas="ap-2"), stop(60, name="s2"))
    assert sorted(only(found, "live", "connected_at", "disconnected_at"))[:3] == [
        (0, 0, None),
        (0, 1, 60),
        (0, 2, None),
    ]
    assert [row["state"] for row in found if row["live"]] == ["CONNECTED"]


def test_a_name_that_is_used_anew_is_of_another_session(told: Told) -> None:
    """A server that was off counts from one again: of what it had open, no end will be reported."""
    later = RETRIED // SECOND + 60
    found = told(start(0), stop(60), start(60 + later), start(90 + 2 * later), start(5), stop(95 + 2 * later))
    assert only(found, *ENDS) == [
        (0, 60, "COMPLETE"),
        (60 + later, None, "MISSING_DISCONNECTION"),
        (90 + 2 * later, 95 + 2 * later, "COMPLETE"),
    ]


def test_a_start_soon_after_the_last_that_is_known_of_its_session_is_the_same_one_again(told: Told) -> None:
    """Counted from when an update last saw it; a moment later it would be of a session under a used name."""
    again = 600 + RETRIED // SECOND
    found = told(start(0), interim(600), start(again))
    assert only(found, *ENDS) == [(0, None, "CONNECTED")]
    assert len(told(start(again + 1))) == 2


def test_a_name_that_another_device_takes_is_not_of_the_former_any_more(told: Told) -> None:
    """Packets of the former are of the past, up to the instant of the latter's start."""
    found = told(start(0), start(10, mac=OTHER_MAC), interim(5), interim(10), stop(20, mac=OTHER_MAC))
    assert only(found, "mac", *ENDS) == [(MAC, 0, None, "MISSING_DISCONNECTION"), (OTHER_MAC, 10, 20, "COMPLETE")]


def test_a_session_that_was_deleted_stays_deleted(told: Told, context: Context, url: str) -> None:
    """What its server goes on telling is answered and left aside; a new start under the name is a new session."""
    told(start(0))
    run(sessions.delete(context, MAC))
    assert told(interim(600, lasted=600), stop(900, lasted=900), start(0)) == []
    assert sql(url, "SELECT * FROM device") == []
    [row] = told(packet("START", 0, at=at(NOW) + RETRIED + SECOND))
    assert row["state"] == "CONNECTED"


@pytest.mark.parametrize("why", ["Accounting-On", "Accounting-Off"])
def test_a_server_that_was_restarted_has_no_open_sessions(told: Told, context: Context, url: str, why: Any) -> None:
    """Those that began before end then, and a stop that comes after all says better when; others are not touched."""
    before = [start(0), start(1, name="s2", mac=OTHER_MAC), start(2, name="s3"), stop(50, name="s3")]
    told(*before, start(3, nas="ap-2"), start(100, name="s4"))
    assert run(restart(context, "ap-1", T0 + 100 * SECOND, why)) == 2
    assert run(restart(context, "ap-1", T0 + 100 * SECOND, why)) == 0
    found = [(0, 100), (1, 100), (2, 50), (3, None), (100, None)]
    assert only(stored(url), "connected_at", "disconnected_at") == found
    assert [row["info"] for row in stored(url)][:2] == [f"RADIUS: {why}"] * 2
    [row, *_] = told(stop(98, cause="NAS-Reboot"))
    assert (row["disconnected_at"], row["info"]) == (98, "RADIUS: NAS-Reboot")


def test_more_sessions_than_a_batch_end_with_their_server(
    told: Told, context: Context, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them."""
    monkeypatch.setattr(accounting, "BATCH", 2)
    told(*(start(n, name=f"s{n}", mac=f"AA:BB:CC:DD:EE:0{n}") for n in range(5)))
    assert run(restart(context, "ap-1", at(NOW), "Accounting-On")) == 5
    assert {row["state"] for row in stored(url)} == {"COMPLETE"}


def test_a_stop_says_better_when_a_session_ended_than_a_sweep(told: Told, context: Context) -> None:
    """The sweep ended it at its last sighting."""
    told(start(0), interim(600))
    assert run(sightings.sweep(context, parse_period("30 minutes"))) == 1
    [row] = told(stop(2000, cause="User-Request"))
    assert (row["disconnected_at"], row["info"]) == (2000, "RADIUS: User-Request")


def test_names_are_kept_while_they_may_be_told_of(told: Told, context: Context, url: str) -> None:
    """Those of sessions that are open, or ended lately; of what ended long ago or is gone they are forgotten."""
    told(
        start(0, name="open"),
        stop(9, name="old", lasted=9),
        start(1, name="late"),
        start(2, name="gone", mac=OTHER_MAC),
    )
    run(sessions.delete(context, OTHER_MAC))
    told(packet("STOP", 0, name="late", at=at(NOW) + DAY))
    later = Context(context.store, Clock(context.clock.zone, time=lambda: at(NOW) + NAMED + SECOND))
    assert run(accounting.forget(later)) == 2
    assert sql(url, "SELECT acct_session_id FROM accounting ORDER BY 1") == [("late",), ("open",)]


NUMBERS = count()
Offset = st.integers(-100, 100)
Ip = st.sampled_from([None, "10.0.0.1"])


@st.composite
def course(draw: Any) -> list[dict[str, Any]]:
    """The packets of one session, some of them lost; its server's clock is not the best."""
    length = draw(st.integers(0, 3000))
    instants = sorted(draw(st.lists(st.integers(0, length), max_size=3)))
    made = [{"kind": "START", "seconds": 0, "ip": draw(Ip)}]
    made += [{"kind": "INTERIM", "seconds": s + draw(Offset), "ip": draw(Ip)} for s in instants]
    made += [
        {"kind": "STOP", "seconds": length + draw(Offset), "ip": draw(Ip), "cause": draw(st.sampled_from([None, "x"]))}
    ]
    for each in made[1:]:
        if draw(st.booleans()):
            each["lasted"] = max(each["seconds"] + draw(Offset), 0)
    kept: list[dict[str, Any]] = draw(st.lists(st.sampled_from(made), min_size=1, max_size=5, unique_by=id))
    return kept


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=course(), shuffled=st.randoms(use_true_random=False), repeated=st.integers(0, 5))
def test_in_any_order_and_however_often_packets_make_the_same_session(
    context: Context, url: str, sent: list[dict[str, Any]], shuffled: Any, repeated: int
) -> None:
    """Whichever of them were lost, and although clocks of servers are set back and forth by a minute or two."""
    otherwise = [*sent, *shuffled.choices(sent, k=repeated)]
    shuffled.shuffle(otherwise)
    found = []
    for order in (sent, otherwise):
        name = str(next(NUMBERS))
        outcomes = [run(receive(context, packet(**each, name=name))) for each in order]
        assert all(outcomes)
        [row] = sql(
            url,
            "SELECT ip, connected_at, disconnected_at, connection_event, disconnection_event, info, seen_at, live "
            f"FROM session JOIN accounting USING (mac, id) WHERE acct_session_id = '{name}'",
        )
        found.append(row)
    assert found[0] == found[1]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    instants=st.lists(st.integers(1, 2000), min_size=1, max_size=4, unique=True),
    shuffled=st.randoms(use_true_random=False),
)
def test_the_address_told_last_is_kept_in_whatever_order_the_packets_come(
    context: Context, url: str, instants: list[int], shuffled: Any
) -> None:
    """Where a device moves from one to the next."""
    name = str(next(NUMBERS))
    sent = [start(0, name=name, ip="10.0.0.1"), stop(2001, name=name, ip="10.0.0.9")]
    sent += [interim(s, name=name, ip=f"10.0.1.{n}") for n, s in enumerate(instants)]
    shuffled.shuffle(sent)
    for each in sent:
        run(receive(context, each))
    held = sql(url, f"SELECT ip FROM session JOIN accounting USING (mac, id) WHERE acct_session_id = '{name}'")
    assert held == [("10.0.0.9",)]


@pytest.mark.parametrize(
    "written",
    [
        "AA-BB-CC-DD-EE-FF",
        "aa:bb:cc:dd:ee:ff",
        "aabb.ccdd.eeff",
        "AABBCCDDEEFF",
        "AA-BB-CC-DD-EE-FF:a net: 5G",
        "aabbccddeeff:home",
    ],
)
def test_a_station_is_known_in_any_notation(written: str) -> None:
    """Also with the name of its network behind it."""
    assert station(written) == MAC
    with pytest.raises(ValueError, match="MAC"):
        station(f"x{written}")


def test_an_instant_is_as_it_was_stamped_or_else_before_the_arrival() -> None:
    """A clock that was never set, or a delay of years, is not believed."""
    now = at(NOW)
    assert instant(now, now - DAY, 5) == now - DAY
    assert instant(now, None, 5) == now - 5
    assert instant(now, None, None) == now
    assert instant(now, 0, 5) == now - 5
    assert instant(now, now - SPOOLED, None) == instant(now, None, SPOOLED) == now - SPOOLED
    assert instant(now, now + DAY, None) == now + DAY
    assert instant(now, now + 400 * DAY, None) == now
    assert instant(now, None, 400 * DAY) == now


CLIENTS = clients_of(f"127.0.0.1={SECRET} 10.0.0.0/8=wide 10.1.0.0/16=narrow 2001:db8::/32=six")


def datagram(secret: str = SECRET, code: int = AccountingRequest, **attributes: Any) -> bytes:
    """A packet as a server sends it."""
    made = AcctPacket(code=code, secret=secret.encode(), dict=DICTIONARY)
    known = {
        "Acct_Status_Type": "Start",
        "Acct_Session_Id": b"s1",
        "Calling_Station_Id": b"AA-BB-CC-DD-EE-FF",
        "NAS_Identifier": b"ap-1",
    }
    for name, value in (known | attributes).items():
        if value is not None:
            made.AddAttribute(name.replace("_", "-"), value)
    data: bytes = made.RequestPacket()
    return data


def understood(sender: str = "127.0.0.1", **attributes: Any) -> Any:
    return read(opened(datagram(**attributes), plain(sender), CLIENTS), sender, at(NOW))


def test_a_server_is_known_by_its_identifier_or_else_by_an_address() -> None:
    """The last resort is where its packets come from."""
    assert understood().nas == "ap-1"
    assert understood(NAS_Identifier=None, NAS_IP_Address="10.0.0.2").nas == "10.0.0.2"
    assert understood(NAS_Identifier=None, NAS_IPv6_Address="2001:db8::2").nas == "2001:db8::2"
    assert understood(NAS_Identifier=None).nas == "127.0.0.1"


def test_the_device_has_the_address_that_is_framed() -> None:
    """The server's own is not the device's, nor are those that stand for none."""
    assert understood(NAS_IP_Address="10.0.0.2").ip is None
    assert understood(Framed_IP_Address="10.0.0.3", Framed_IPv6_Address="2001:db8::3").ip == "10.0.0.3"
    assert understood(Framed_IP_Address="255.255.255.254", Framed_IPv6_Address="2001:db8::3").ip == "2001:db8::3"
    assert understood(Framed_IPv6_Prefix="2001:db8:1::/64").ip == "2001:db8:1::"
    assert understood(Framed_IP_Address="0.0.0.0").ip is None


def test_the_rest_of_a_packet_is_read_as_it_was_written() -> None:
    """Causes by their names; texts that are no UTF-8, or that no database can hold, as far as they can be told."""
    found = understood(
        Acct_Status_Type="Stop",
        Acct_Terminate_Cause=4,
        Acct_Session_Time=60,
        Acct_Session_Id=b"\xff\0",
        Event_Timestamp=at(NOW) // SECOND - 9,
    )
    assert (found.kind, found.cause, found.lasted, found.at) == (
        "STOP",
        "Idle-Timeout",
        60 * SECOND,
        at(NOW) - 9 * SECOND,
    )
    assert found.name == "\\xff\\x00"
    assert understood(Acct_Terminate_Cause=99).cause == "99"
    assert understood(Calling_Station_Id=b"console") is None
    assert understood(Acct_Status_Type=15) is None
    assert understood(Acct_Status_Type="Accounting-Off", Acct_Session_Id=None).why == "Accounting-Off"


def refused(data: bytes, sender: str = "127.0.0.1") -> str:
    with pytest.raises(DroppedError) as why:
        read(opened(data, plain(sender), CLIENTS), sender, at(NOW))
    return str(why.value)


def test_what_is_not_to_be_answered_is_told_apart() -> None:
    """The secret is that of the narrowest network of the sender."""
    assert refused(datagram("other")) == "wrong_secret"
    assert refused(datagram(), "192.168.1.1") == "unknown_client"
    assert opened(datagram("narrow"), plain("10.1.2.3"), CLIENTS)
    assert opened(datagram("wide"), plain("::ffff:10.2.3.4"), CLIENTS)
    assert opened(datagram("six"), plain("2001:db8::1%eth0"), CLIENTS)
    assert refused(datagram("wide"), "10.1.2.3") == "wrong_secret"
    assert refused(datagram()[:30]) == "malformed"
    assert refused(datagram(code=1)) == "malformed"
    assert refused(datagram(Acct_Session_Id=None)) == "malformed"
    assert refused(datagram(Acct_Status_Type=None)) == "malformed"


def signed(attributes: bytes) -> bytes:
    """Whatever attributes, from one who knows the secret."""
    made = AcctPacket(secret=SECRET.encode(), dict=DICTIONARY)
    made._PktEncodeAttributes = lambda: attributes
    data: bytes = made.RequestPacket()
    return data


Attribute = st.tuples(
    st.sampled_from([4, 8, 26, 31, 32, 40, 41, 44, 46, 49, 55, 80, 95, 97, 168]),
    st.integers(0, 255),
    st.binary(max_size=40),
)


@given(st.lists(Attribute, max_size=6))
@example([(40, 6, bytes([0, 0, 0, 1])), (44, 4, b"s1"), (97, 4, b"\0\xff")])
@example([(40, 6, bytes([0, 0, 0, 1])), (44, 2, b"")])
def test_whatever_a_datagram_holds_it_is_understood_or_dropped(attributes: list[tuple[int, int, bytes]]) -> None:
    """Also where its sender knows the secret; nothing that it holds can raise anything else."""
    raw = b"".join(bytes([code, length]) + value for code, length, value in attributes)
    for data in (raw, signed(raw)):
        try:
            read(opened(data, plain("127.0.0.1"), CLIENTS), "127.0.0.1", at(NOW))
        except DroppedError as why:
            assert str(why) in ("malformed", "wrong_secret")  # noqa: PT017


class Wire:
    """Stands for the socket of a listener."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, _: Any) -> None:
        self.sent.append(data)


async def turns() -> None:
    """Until nothing more happens by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


def listening(context: Context, monkeypatch: pytest.MonkeyPatch, store: Any) -> tuple[Listener, Wire]:
    """A listener whose packets are stored by a function."""
    monkeypatch.setattr(accounting, "receive", store)
    listener, wire = Listener(context, CLIENTS), Wire()
    listener.connection_made(wire)
    return listener, wire


HEARD = ("127.0.0.1", 9)


def test_packets_of_one_session_wait_for_each_other_and_others_do_not(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none is answered before it is stored; when the command is told to end, what is under way is carried through."""
    begun: list[tuple[str, str]] = []
    gates: dict[str, asyncio.Event] = {}

    async def store(_: Context, what: Packet) -> Outcome | None:
        begun.append((what.name, what.kind))
        await gates[what.name].wait()
        return None

    async def check() -> None:
        gates.update(a=asyncio.Event(), b=asyncio.Event())
        listener, wire = listening(context, monkeypatch, store)
        for name, kind in ((b"a", "Start"), (b"a", "Stop"), (b"b", "Start")):
            listener.datagram_received(datagram(Acct_Session_Id=name, Acct_Status_Type=kind), HEARD)
        await turns()
        assert (begun, wire.sent) == ([("a", "START"), ("b", "START")], [])
        ending = asyncio.create_task(listener.end())
        gates["b"].set()
        await turns()
        assert (len(wire.sent), ending.done()) == (1, False)
        listener.datagram_received(datagram(Acct_Session_Id=b"b"), HEARD)
        gates["a"].set()
        await ending
        assert (begun[2:], len(wire.sent)) == ([("a", "STOP")], 3)
        assert listener.counts == {"answered": 3}

    run(check())


def test_what_cannot_be_stored_is_not_answered(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the server sends it again, and then it is; nor is what comes while too much is under way."""
    failures: list[Exception] = [StoreUnavailableError("locked"), RuntimeError("a defect")]

    async def store(_: Context, __: Packet) -> Outcome | None:
        if failures:
            raise failures.pop(0)
        return None

    async def check() -> None:
        listener, wire = listening(context, monkeypatch, store)
        for _ in range(2):
            listener.datagram_received(datagram(), HEARD)
            await turns()
        assert wire.sent == []
        listener.datagram_received(datagram(), HEARD)
        await turns()
        assert [data[0] for data in wire.sent] == [AccountingResponse]
        assert listener.counts == {"store_unavailable": 1, "failed": 1, "answered": 1}
        monkeypatch.setattr("netsessions.radius.listener.UNDER_WAY", 0)
        listener.datagram_received(datagram(), HEARD)
        assert listener.counts["busy"] == 1

    run(check())


def test_a_packet_that_is_sent_again_is_of_the_instant_at_which_it_came_first(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as its server may still be trying; the same octets of another day are another packet."""
    heard: list[int] = []
    now = at(NOW)

    async def store(_: Context, what: Packet) -> Outcome | None:
        heard.append(what.at - at(NOW))
        return None

    async def check() -> None:
        nonlocal now
        later = Context(context.store, Clock(context.clock.zone, time=lambda: now))
        listener, _ = listening(later, monkeypatch, store)
        monkeypatch.setattr("netsessions.radius.listener.ARRIVALS", 2)
        again = datagram()
        for data, wait in (
            (again, 1),
            (again, 1),
            (again, 0),
            (again, 1),
            (datagram(), 1),
            (datagram(), 1),
            (again, 1),
        ):
            listener.datagram_received(data, HEARD)
            await turns()
            now += wait * SECOND or DAY

    run(check())
    assert heard == [0, 0, 0, *(DAY + seconds * SECOND for seconds in (2, 3, 4, 5))]


def test_what_is_not_stored_is_counted_in_the_log_while_there_is_any(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time what is new; nothing where all went well."""
    lines: list[tuple[str, dict[str, int]]] = []

    class Log:
        def warning(self, event: str, **counts: int) -> None:
            lines.append((event, counts))

    async def check() -> None:
        listener = Listener(context, CLIENTS)
        keeping = asyncio.create_task(radius._keep(listener, context))
        for counts in ({"answered": 9}, {"malformed": 2, "answered": 1}, {"malformed": 1, "wrong_secret": 1}, {}):
            listener.counts.update(counts)
            await asyncio.sleep(0.2)
        keeping.cancel()

    monkeypatch.setattr(radius, "EVERY", 0.02)
    monkeypatch.setattr(radius, "log", Log())
    run(check())
    assert lines == [
        ("packets not stored", {"malformed": 2}),
        ("packets not stored", {"malformed": 1, "wrong_secret": 1}),
    ]


class Command:
    """A running `netsessions radius`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port = free_port(socket.SOCK_DGRAM)
        self.output = folder / "radius.txt"
        environment = {k: v for k, v in os.environ.items() if k in INHERITED} | {
            "RADIUS_CLIENTS": f"127.0.0.1={SECRET}",
            "RADIUS_PORT": str(self.port),
            "DATABASE_URL": url,
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netsessions", "radius"],
                env=environment,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Until it listens: it answers what is of no device without storing anything."""
        deadline = time.monotonic() + 60
        while self.ask(datagram(Calling_Station_Id=None), patience=0.2) is None:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()

    def ask(self, data: bytes, patience: float = 10) -> bytes | None:
        """The answer to a datagram, if there is one."""
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(patience)
            client.connect(("127.0.0.1", self.port))
            try:
                client.send(data)
                return client.recv(4096)
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)
                return None

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]


@contextmanager
def commanded(folder: Path, url: str) -> Iterator[Command]:
    """The command, which hears, and is ended with the test."""
    command = Command(folder, url)
    try:
        command.wait()
        yield command
        command.process.terminate()
        command.process.wait(timeout=60)
    finally:
        command.process.kill()
        command.process.wait()


RADCLIENT = shutil.which("radclient")


@pytest.mark.skipif(
    RADCLIENT is None and "CI" not in os.environ, reason="radclient is not installed; it is in freeradius-utils"
)
def test_what_a_client_of_another_make_reports_stands_in_the_servers_answers(tmp_path: Path, url: str) -> None:
    """FreeRADIUS' own client is answered, and the server beside it tells of the session as it happens."""
    assert RADCLIENT is not None, "radclient is not installed; it is in freeradius-utils"

    def report(command: Command, **attributes: Any) -> None:
        given = {
            "Acct-Session-Id": '"4D2"',
            "NAS-Identifier": '"ap-1"',
            "Calling-Station-Id": '"AA-BB-CC-DD-EE-FF:net"',
        }
        words = ", ".join(f"{k} = {v}" for k, v in (given | attributes).items())
        client = [str(RADCLIENT), "-r", "1", "-t", "20", f"127.0.0.1:{command.port}", "acct", SECRET]
        done = subprocess.run(client, input=words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Accounting-Response" in done.stdout

    query = "{ sessions { nodes { mac ip state disconnectionEvent info } } }"
    with running(tmp_path, DATABASE_URL=url) as server, commanded(tmp_path, url) as command, server.client() as client:

        def session() -> Any:
            [node] = client.post("/graphql", json={"query": query}).json()["data"]["sessions"]["nodes"]
            return node

        report(command, **{"Acct-Status-Type": "Start"})
        assert session()["state"] == "CONNECTED"
        report(command, **{"Acct-Status-Type": "Interim-Update", "Framed-IP-Address": "10.0.0.1"})
        assert session()["ip"] == "10.0.0.1"
        report(command, **{"Acct-Status-Type": "Stop", "Acct-Terminate-Cause": "Idle-Timeout", "Proxy-State": "0x01"})
        assert session() == {
            "mac": MAC,
            "ip": "10.0.0.1",
            "state": "COMPLETE",
            "disconnectionEvent": "Disconnected",
            "info": "RADIUS: Idle-Timeout",
        }
        events = [line["event"] for line in command.lines()]
        assert events == ["session started", "session stopped"]
        assert sql(url, "SELECT kind, who FROM change ORDER BY seq") == [
            ("CREATED", "radius"),
            *[("UPDATED", "radius")] * 2,
        ]


def test_the_command_ends_in_order_and_tells_what_it_dropped(tmp_path: Path, url: str) -> None:
    """What it answered is in the database; a wrong secret and a torn packet got no answer."""
    with commanded(tmp_path, url) as command:
        answer = command.ask(datagram(Acct_Session_Time=3))
        assert answer is not None
        assert answer[0] == AccountingResponse
        assert command.ask(datagram("another"), patience=0.5) is None
        assert command.ask(datagram()[:25], patience=0.5) is None
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(timeout=60) == 0
        output = command.output.read_text()
        assert "malformed: 1" in output
        assert "wrong secret: 1" in output
        assert "Traceback" not in output
        assert SECRET not in output
    assert sql(url, "SELECT mac, ip FROM session") == [(MAC, NO_IP)]


@pytest.mark.parametrize(
    ("clients", "sentence"),
    [
        ("", "is required"),
        ("127.0.0.1=a-secret 10.0.0.0/99=hidden", "number 2 is not"),
        ("10.0.0.1/8=hidden", "number 1 is not"),
        ("127.0.0.1=", "number 1 is not"),
    ],
)
def test_a_list_of_clients_that_cannot_be_used_is_refused_in_a_sentence(clients: str, sentence: str) -> None:
    """Which does not repeat a secret."""
    answer = CliRunner().invoke(main, ["radius"], env={"RADIUS_CLIENTS": clients})
    assert answer.exit_code == 2
    assert sentence in answer.output
    assert "hidden" not in answer.output


def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    """With the way out."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        environment = {
            "RADIUS_CLIENTS": f"127.0.0.1={SECRET}",
            "RADIUS_PORT": str(taken.getsockname()[1]),
            "DATABASE_URL": f"sqlite:///{tmp_path / 'n.db'}",
        }
        done = subprocess.run(
            [sys.executable, "-m", "netsessions", "radius"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "set RADIUS_PORT or RADIUS_HOST to another" in done.stderr
