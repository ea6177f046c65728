"""The rules by which RADIUS Accounting packets become sessions, in any order and repeated."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers import live, radius_accounting, sessions
from resolvers.context import Context
from resolvers.heartbeats import sweep
from resolvers.radius_accounting import (
    ID_RETENTION,
    RETRY_WINDOW,
    UNKNOWN_IP,
    Packet,
    apply_packet,
    end_sessions_of_nas,
)
from resolvers.validation.clock import Clock
from resolvers.validation.models import StartReport
from resolvers.validation.periods import parse_period
from storage.tables import DAY, SECOND, SessionRow
from tests.conftest import MAC, NOW, Rows, at, run, sql

T0 = at(NOW) - 7200 * SECOND
OTHER_MAC = "AA:BB:CC:DD:EE:00"


def packet(kind: Any, seconds: int, **changes: Any) -> Packet:
    """Return a packet of session s1 of ap-1, some seconds after T0. `session_time` is in seconds, too."""
    fields: dict[str, Any] = {"nas": "ap-1", "acct_session_id": "s1", "mac": MAC, "at": T0 + seconds * SECOND} | changes
    if "session_time" in fields:
        fields["session_time"] *= SECOND
    return Packet(kind, **fields)


def start(seconds: int, **changes: Any) -> Packet:
    return packet("START", seconds, **changes)


def interim(seconds: int, **changes: Any) -> Packet:
    return packet("INTERIM", seconds, **changes)


def stop(seconds: int, **changes: Any) -> Packet:
    return packet("STOP", seconds, **changes)


Send = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def send(context: Context, url: str) -> Send:
    """Store packets one after the other. Return the stored sessions, with times in seconds after T0."""

    def store(*packets: Packet) -> list[dict[str, Any]]:
        for sent_packet in packets:
            run(apply_packet(context, sent_packet))
        return stored_sessions(url)

    return store


def stored_sessions(url: str) -> list[dict[str, Any]]:
    names = ("mac", "ip", "connected_at", "disconnected_at", "state", "info", "live", "last_seen_at")
    statement = f"SELECT {', '.join(names)} FROM session ORDER BY starts_at, id"
    rows = [dict(zip(names, row, strict=True)) for row in sql(url, statement)]
    for row in rows:
        for name in ("connected_at", "disconnected_at", "last_seen_at"):
            row[name] = None if row[name] is None else (row[name] - T0) / SECOND
    return rows


def journal_kinds(url: str) -> Rows:
    return sql(url, "SELECT kind FROM change ORDER BY seq")


def values(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


ENDS = ("connected_at", "disconnected_at", "state")


def test_start_opens_a_session_and_stop_ends_it(send: Send, url: str) -> None:
    """`info` holds the terminate cause. An interim update changes only the last sighting and writes no journal entry."""
    [row] = send(start(0, ip="10.0.0.1"))
    assert (row["mac"], row["ip"], row["connected_at"], row["state"]) == (MAC, "10.0.0.1", 0, "CONNECTED")
    [row] = send(interim(600, ip="10.0.0.1"))
    assert (row["last_seen_at"], row["state"]) == (600, "CONNECTED")
    assert journal_kinds(url) == [("CREATED",)]
    [row] = send(stop(900, terminate_cause="Idle-Timeout"))
    assert (row["disconnected_at"], row["state"], row["info"], row["live"]) == (
        900,
        "COMPLETE",
        "RADIUS: Idle-Timeout",
        0,
    )
    assert journal_kinds(url) == [("CREATED",), ("UPDATED",)]
    assert sql(url, "SELECT connection_event, disconnection_event FROM session") == [("Connected", "Disconnected")]


@pytest.mark.parametrize(
    ("earlier", "packet", "change"),
    [
        ([], start(0), "started"),
        ([], interim(600), "started"),
        ([], stop(900), "stopped"),
        ([interim(600)], start(0), "started"),
        ([start(0)], stop(900), "stopped"),
        ([start(0)], start(0), None),
        ([start(0)], start(0, ip="10.0.0.1"), None),
        ([start(0)], interim(600), None),
        ([interim(600)], interim(700, session_time=695), None),
        ([stop(900)], start(0), "started"),
        ([start(0), stop(900)], stop(900, ip="10.0.0.1"), None),
    ],
)
def test_outcome_holds_the_session_and_whether_the_packet_started_or_stopped_it(
    send: Send, context: Context, url: str, earlier: list[Packet], packet: Packet, change: str | None
) -> None:
    """A packet that repeats what is known, or adds other facts, neither starts nor stops it."""
    send(*earlier)
    outcome = run(apply_packet(context, packet))
    assert outcome is not None
    assert outcome.change == change
    assert [outcome.session] == sql(url, f"SELECT {', '.join(SessionRow._fields)} FROM session")


def test_concurrent_packets_of_a_new_session_create_one_session(send: Send, context: Context) -> None:
    """The device is unknown, so there is no row yet that they could lock."""

    async def together(n: int) -> None:
        packets = [start(n, acct_session_id=f"s{n}", ip="10.0.0.1"), stop(60 + n, acct_session_id=f"s{n}")]
        await asyncio.gather(
            *(apply_packet(context, replace(sent_packet, mac=f"AA:BB:CC:DD:EE:0{n}")) for sent_packet in packets)
        )

    for n in range(4):
        run(together(n))
    assert values(send(), *ENDS) == [(n, 60 + n, "COMPLETE") for n in range(4)]


def test_repeated_packets_change_nothing(send: Send, url: str) -> None:
    """This holds also if each copy has the time of its arrival."""
    packets = [start(0, ip="10.0.0.1"), interim(600), stop(900, session_time=899)]
    once = send(start(0, ip="10.0.0.1"), start(4, ip="10.0.0.1"), *packets)
    kinds = journal_kinds(url)
    assert send(*packets, start(4, ip="10.0.0.1"), stop(904, session_time=899), interim(600)) == once
    assert journal_kinds(url) == kinds


def test_reported_start_wins_over_a_computed_start(send: Send) -> None:
    """The session time may imply an earlier start."""
    [row] = send(start(10), interim(600, session_time=595), stop(900, session_time=893))
    assert (row["connected_at"], row["info"]) == (10, "RADIUS: Stop")


def test_stop_without_a_start_computes_the_start_from_the_session_time(send: Send) -> None:
    """`info` says that the start was not reported."""
    [row] = send(stop(900, session_time=900, terminate_cause="Lost-Carrier"))
    assert values([row], *ENDS) == [(0, 900, "COMPLETE")]
    assert row["info"] == "RADIUS: start not reported; RADIUS: Lost-Carrier"


def test_stop_without_session_time_misses_the_connection_until_the_start_arrives(send: Send) -> None:
    """The late start does not open the session again."""
    [row] = send(stop(900))
    assert values([row], *ENDS) == [(None, 900, "MISSING_CONNECTION")]
    [row] = send(start(100))
    assert values([row], *ENDS) == [(100, 900, "COMPLETE")]


def test_interim_update_without_a_start_opens_the_session(send: Send) -> None:
    """It starts at the computed start until the reported start arrives."""
    [row] = send(interim(600))
    assert values([row], *ENDS) == [(600, None, "CONNECTED")]
    [row] = send(interim(700, session_time=695))
    assert row["connected_at"] == 5
    [row] = send(start(7))
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
def test_end_never_precedes_the_start(send: Send, packets: list[Packet], ends: tuple[int, int]) -> None:
    """A reported start wins over an end, and an end over a computed start, in any order."""
    for n, ordered in enumerate(permutations(packets)):
        stored_rows = send(*(replace(sent_packet, acct_session_id=f"s{n}") for sent_packet in ordered))
        assert values(stored_rows, *ENDS) == [(*ends, "COMPLETE")] * (n + 1)


def test_address_is_stored_when_it_is_reported(send: Send) -> None:
    """A new address leaves a note in `info`. An address of an older packet is ignored."""
    [row] = send(start(0))
    assert row["ip"] == UNKNOWN_IP
    [row] = send(interim(600, ip="10.0.0.1"))
    assert (row["ip"], row["info"]) == ("10.0.0.1", "")
    [row] = send(interim(1200, ip="2001:db8::1"))
    assert (row["ip"], row["info"]) == ("2001:db8::1", "IP was 10.0.0.1 until 2025-08-20T10:20:00Z")
    assert send(interim(900, ip="10.0.0.9"), interim(1200, ip="10.0.0.9")) == [row]


def test_one_device_can_have_several_open_accounting_sessions(send: Send, context: Context) -> None:
    """Each ends with its own stop. The session that startSession opened is not changed."""
    report = StartReport.model_validate({"mac": MAC, "ip": "10.0.0.1"}, context=context.clock)
    run(live.start(context, report))
    stored_rows = send(start(0), start(1, acct_session_id="s2"), start(2, nas="ap-2"), stop(60, acct_session_id="s2"))
    assert sorted(values(stored_rows, "live", "connected_at", "disconnected_at"))[:3] == [
        (0, 0, None),
        (0, 1, 60),
        (0, 2, None),
    ]
    assert [row["state"] for row in stored_rows if row["live"]] == ["CONNECTED"]


def test_reused_session_id_creates_a_new_session(send: Send) -> None:
    """A NAS that restarts counts from one again. The end of the old session stays missing."""
    later = RETRY_WINDOW // SECOND + 60
    stored_rows = send(start(0), stop(60), start(60 + later), start(90 + 2 * later), start(5), stop(95 + 2 * later))
    assert values(stored_rows, *ENDS) == [
        (0, 60, "COMPLETE"),
        (60 + later, None, "MISSING_DISCONNECTION"),
        (90 + 2 * later, 95 + 2 * later, "COMPLETE"),
    ]


def test_start_within_the_retry_window_is_a_repetition(send: Send) -> None:
    """The window begins at the last interim update. A later start reuses the id."""
    again = 600 + RETRY_WINDOW // SECOND
    stored_rows = send(start(0), interim(600), start(again))
    assert values(stored_rows, *ENDS) == [(0, None, "CONNECTED")]
    assert len(send(start(again + 1))) == 2


def test_session_id_reused_by_another_device_ends_the_former_session(send: Send) -> None:
    """Packets of the former device up to that start are ignored."""
    stored_rows = send(start(0), start(10, mac=OTHER_MAC), interim(5), interim(10), stop(20, mac=OTHER_MAC))
    assert values(stored_rows, "mac", *ENDS) == [
        (MAC, 0, None, "MISSING_DISCONNECTION"),
        (OTHER_MAC, 10, 20, "COMPLETE"),
    ]


def test_deleted_session_stays_deleted(send: Send, context: Context, url: str) -> None:
    """Later packets of it get a response and are ignored. A new start under the id creates a new session."""
    send(start(0))
    run(sessions.delete(context, MAC))
    assert send(interim(600, session_time=600), stop(900, session_time=900), start(0)) == []
    assert sql(url, "SELECT * FROM device") == []
    [row] = send(packet("START", 0, at=at(NOW) + RETRY_WINDOW + SECOND))
    assert row["state"] == "CONNECTED"


@pytest.mark.parametrize("status", ["Accounting-On", "Accounting-Off"])
def test_restart_of_a_nas_ends_its_open_sessions(send: Send, context: Context, url: str, status: Any) -> None:
    """Only sessions that started before end. A stop that arrives later corrects the end."""
    earlier = [
        start(0),
        start(1, acct_session_id="s2", mac=OTHER_MAC),
        start(2, acct_session_id="s3"),
        stop(50, acct_session_id="s3"),
    ]
    send(*earlier, start(3, nas="ap-2"), start(100, acct_session_id="s4"))
    assert run(end_sessions_of_nas(context, "ap-1", T0 + 100 * SECOND, status)) == 2
    assert run(end_sessions_of_nas(context, "ap-1", T0 + 100 * SECOND, status)) == 0
    expected = [(0, 100), (1, 100), (2, 50), (3, None), (100, None)]
    assert values(stored_sessions(url), "connected_at", "disconnected_at") == expected
    assert [row["info"] for row in stored_sessions(url)][:2] == [f"RADIUS: {status}"] * 2
    [row, *_] = send(stop(98, terminate_cause="NAS-Reboot"))
    assert (row["disconnected_at"], row["info"]) == (98, "RADIUS: NAS-Reboot")


def test_restart_ends_more_sessions_than_one_batch(
    send: Send, context: Context, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every batch is ended."""
    monkeypatch.setattr(radius_accounting, "BATCH", 2)
    send(*(start(n, acct_session_id=f"s{n}", mac=f"AA:BB:CC:DD:EE:0{n}") for n in range(5)))
    assert run(end_sessions_of_nas(context, "ap-1", at(NOW), "Accounting-On")) == 5
    assert {row["state"] for row in stored_sessions(url)} == {"COMPLETE"}


def test_stop_corrects_the_end_that_a_sweep_set(send: Send, context: Context) -> None:
    """The sweep ended the session at its last interim update."""
    send(start(0), interim(600))
    assert run(sweep(context, parse_period("30 minutes"))) == 1
    [row] = send(stop(2000, terminate_cause="User-Request"))
    assert (row["disconnected_at"], row["info"]) == (2000, "RADIUS: User-Request")


def test_session_ids_are_kept_while_packets_may_arrive(send: Send, context: Context, url: str) -> None:
    """Ids of open and recently ended sessions stay. Ids of old and deleted sessions are purged."""
    send(
        start(0, acct_session_id="open"),
        stop(9, acct_session_id="old", session_time=9),
        start(1, acct_session_id="late"),
        start(2, acct_session_id="gone", mac=OTHER_MAC),
    )
    run(sessions.delete(context, OTHER_MAC))
    send(packet("STOP", 0, acct_session_id="late", at=at(NOW) + DAY))
    later = Context(context.store, Clock(context.clock.zone, time=lambda: at(NOW) + ID_RETENTION + SECOND))
    assert run(radius_accounting.purge_accounting_ids(later)) == 2
    assert sql(url, "SELECT acct_session_id FROM accounting ORDER BY 1") == [("late",), ("open",)]


SESSION_IDS = count()
Offset = st.integers(-100, 100)
Ip = st.sampled_from([None, "10.0.0.1"])
Cause = st.sampled_from([None, "x"])


@st.composite
def packet_sequences(draw: Any) -> list[dict[str, Any]]:
    """Draw packets of one session. Some are lost, and the clock of the NAS is inexact."""
    length = draw(st.integers(0, 3000))
    instants = sorted(draw(st.lists(st.integers(0, length), max_size=3)))
    packets = [{"kind": "START", "seconds": 0, "ip": draw(Ip)}]
    packets += [{"kind": "INTERIM", "seconds": s + draw(Offset), "ip": draw(Ip)} for s in instants]
    packets += [
        {
            "kind": "STOP",
            "seconds": length + draw(Offset),
            "ip": draw(Ip),
            "terminate_cause": draw(st.sampled_from([None, "x"])),
        }
    ]
    for fields in packets[1:]:
        if draw(st.booleans()):
            fields["session_time"] = max(fields["seconds"] + draw(Offset), 0)
    received: list[dict[str, Any]] = draw(st.lists(st.sampled_from(packets), min_size=1, max_size=5, unique_by=id))
    return received


@settings(max_examples=60)
@given(packets=packet_sequences(), random=st.randoms(use_true_random=False), repeated=st.integers(0, 5))
def test_order_and_repetition_of_packets_do_not_matter(
    context: Context, url: str, packets: list[dict[str, Any]], random: Any, repeated: int
) -> None:
    """This holds although packets are lost and clocks are off by a minute or two."""
    reordered = [*packets, *random.choices(packets, k=repeated)]
    random.shuffle(reordered)
    stored_rows = []
    for order in (packets, reordered):
        name = str(next(SESSION_IDS))
        outcomes = [run(apply_packet(context, packet(**fields, acct_session_id=name))) for fields in order]
        assert all(outcomes)
        [row] = sql(
            url,
            "SELECT ip, connected_at, disconnected_at, connection_event, disconnection_event, info, last_seen_at, live "
            f"FROM session JOIN accounting USING (mac, id) WHERE acct_session_id = '{name}'",
        )
        stored_rows.append(row)
    assert stored_rows[0] == stored_rows[1]


@settings(max_examples=30)
@given(
    instants=st.lists(st.integers(1, 2000), min_size=1, max_size=4, unique=True),
    random=st.randoms(use_true_random=False),
)
def test_latest_address_wins_in_any_order(context: Context, url: str, instants: list[int], random: Any) -> None:
    """The device moves from one address to the next."""
    name = str(next(SESSION_IDS))
    packets = [start(0, acct_session_id=name, ip="10.0.0.1"), stop(2001, acct_session_id=name, ip="10.0.0.9")]
    packets += [interim(s, acct_session_id=name, ip=f"10.0.1.{n}") for n, s in enumerate(instants)]
    random.shuffle(packets)
    for report in packets:
        run(apply_packet(context, report))
    stored = sql(url, f"SELECT ip FROM session JOIN accounting USING (mac, id) WHERE acct_session_id = '{name}'")
    assert stored == [("10.0.0.9",)]
