"""What was exported comes back as it was, and leases of a DHCP server become sessions; a damaged file changes nothing."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from netsessions.commands.import_sessions import import_command
from resolvers import sessions
from resolvers.context import Context
from resolvers.imports.export_writer import StoringExports
from resolvers.imports.importer import import_file
from resolvers.imports.reports import Report
from resolvers.validation.clock import Clock, parse_period
from resolvers.validation.models import NewSession, read
from rest_compat.app import rest_door
from storage.opening import open_store
from storage.sources.files import LONGEST, SourceError
from storage.sources.recognition import FORMATS, Format, opened
from tests.conftest import DATABASES, NOW, at, client_of, new_database, sql
from tests.conftest import run as run_
from tests.integration.test_netalertx_import import run, write

MISSING = "<missing event>"
A, B, C, D, E = (f"AA:BB:CC:00:00:0{n}" for n in range(1, 6))
HEADER = "mac,ip,connected_at,disconnected_at,connection_event,disconnection_event,state,info\r\n"
Row = tuple[Any, ...]
Rows = Callable[[], list[Row]]


def take(
    context: Context, file: Path, form: Format | None = None, *, lease_time: str | None = None, dry_run: bool = False
) -> Report:
    """Imports; every record that was read must be accounted for."""
    period = parse_period(lease_time) if lease_time else None
    report = run_(
        import_file(
            context, file, None, form=form, lease_time=period, dry_run=dry_run, progress=lambda done, all_: None
        )
    )
    found = report.imported + report.completed + report.already_there + report.renewals + report.refused_count
    assert report.read == found
    return report


def stays(rows: list[Row]) -> list[Row]:
    """Everything of the sessions but their ids."""
    return sorted((row[0], *row[2:9]) for row in rows)


def export(context: Context, form: str) -> bytes:
    door: TestClient = client_of(Starlette(routes=[Mount("/sessions", rest_door(context))]))
    answer = door.get(f"/sessions/export?format={form}")
    assert answer.status_code == 200
    return answer.content


def names(url: str) -> dict[str, str]:
    return dict(sql(url, "SELECT mac, name FROM device WHERE name IS NOT NULL"))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
event_types = texts.filter(lambda text: text.strip() and text != MISSING)
hostile = st.sampled_from(
    ["", " ", "=1+1", '"', '""', "a,b", "\r", "\n", "\r\n", '\r"\n,', "null", "\ufeff", "\x1a", "🛜"]
)
moments = st.sampled_from(
    [T + f for T in ("1969-12-31T23:59:59", "2025-08-01T10:00:00") for f in ("Z", ".000001Z", ".9Z")]
)


@st.composite
def new_sessions(draw: st.DrawFn) -> dict[str, Any]:
    """A session as the door takes it, in any state, of a few that collide in all ways."""
    new: dict[str, Any] = {
        "mac": draw(st.sampled_from([A, B])),
        "ip": draw(st.sampled_from(["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"])),
        "info": draw(texts | hostile),
        "event_type_conn": draw(event_types | st.just("Connected")),
        "event_type_disc": draw(event_types | st.just("Disconnected")),
        "start_time": draw(moments),
    }
    state = draw(st.sampled_from(["open", "complete", "no start", "no end"]))
    if state == "no end":
        new["event_type_disc"] = MISSING
    if state in ("complete", "no start"):
        new["end_time"] = draw(moments.filter(lambda end: at(end) >= at(new["start_time"])))
    if state == "no start":
        new |= {"start_time": None, "event_type_conn": MISSING}
    return new


@pytest.fixture(scope="module", params=DATABASES)
def contexts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Context]]:
    """Two stores of one kind, by their addresses."""
    urls = [new_database(request.param, tmp_path_factory.mktemp(name)) for name in ("first", "second")]
    found = {url: Context(run_(open_store(url)), Clock(ZoneInfo("UTC"), time=lambda: at(NOW))) for url in urls}
    yield found
    for context in found.values():
        run_(context.store.close())


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=st.lists(new_sessions(), max_size=12), again=st.sampled_from([1, 2]))
@example(new=[], again=1)
def test_what_was_exported_comes_back_as_it_was(
    contexts: dict[str, Context], tmp_path: Path, form: Format, new: list[dict[str, Any]], again: int
) -> None:
    """Exported from one store and brought into an empty one, it is exported again byte for byte; once more adds nothing."""
    for url in contexts:
        sql(url, "DELETE FROM session")
        sql(url, "DELETE FROM device")
    first, second = contexts.values()
    run_(sessions.create(first, [read(NewSession, one, first.clock) for one in new] * again))
    file = tmp_path / "sessions"
    content = export(first, form)
    file.write_bytes(content)
    assert take(second, file, form).imported == len(new) * again
    assert export(second, form) == content
    for context in (first, second):
        report = take(context, file, form)
        assert (report.already_there, report.imported, report.completed) == (len(new) * again, 0, 0)
        assert export(context, form) == content


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_long_export_comes_back_in_its_order(contexts: dict[str, Context], tmp_path: Path, form: Format) -> None:
    """More than one write holds, many that begin together."""
    for url in contexts:
        sql(url, "DELETE FROM session")
    first, second = contexts.values()
    new = [{"mac": f"00:00:00:00:00:{n % 7:02x}", "ip": "10.0.0.1", "start_time": f"2025-08-0{1 + n // 600}T10:00:00",
            "info": str(n)} for n in range(3000)]  # fmt: skip
    run_(sessions.create(first, [read(NewSession, one, first.clock) for one in new]))
    file = tmp_path / "sessions"
    file.write_bytes(export(first, form))
    take(second, file)
    assert export(second, form) == file.read_bytes()


def line(mac: str, ends: str, info: str = "") -> str:
    return f"{mac},10.0.0.1,2025-08-01T10:00:00Z,{ends},{info}\r\n"


START = "2025-08-01T10:00:00Z"
OPEN, ENDED = ",Connected,,CONNECTED", "2025-08-01T12:00:00Z,Connected,Disconnected,COMPLETE"


def test_an_end_without_a_start_is_not_the_open_session_of_its_instant(
    context: Context, rows: Rows, tmp_path: Path
) -> None:
    """Of another file: both are kept."""
    file = tmp_path / "file.csv"
    for start, rest in (("", "2025-08-01T10:00:00Z,<missing event>,Disconnected,MISSING_CONNECTION"), (START, OPEN)):
        file.write_text(f"{HEADER}{A},10.0.0.1,{start},{rest},\r\n")
        assert take(context, file).imported == 1
    assert sorted(row[8] for row in rows()) == ["CONNECTED", "MISSING_CONNECTION"]


def test_a_later_export_ends_an_open_session(context: Context, rows: Rows, tmp_path: Path) -> None:
    """It is completed under its id; an older export does not open it again."""
    older, newer = tmp_path / "older.csv", tmp_path / "newer.csv"
    older.write_text(HEADER + line(A, OPEN) + line(B, OPEN), newline="")
    newer.write_text(HEADER + line(A, ENDED) + line(B, OPEN), newline="")
    assert take(context, older).imported == 2
    before = rows()
    report = take(context, newer)
    assert (report.imported, report.completed, report.already_there) == (0, 1, 1)
    after = rows()
    assert after[0][:4] == before[0][:4]
    assert (after[0][4], after[0][6]) == (at("2025-08-01T12:00:00Z"), "Disconnected")
    assert after[1] == before[1]
    assert take(context, older).already_there == 2
    assert rows() == after


def test_sessions_that_are_alike_come_in_as_often_as_they_were_exported(
    context: Context, rows: Rows, tmp_path: Path
) -> None:
    """Of three in the file and one in the store, two are new; one that is held stands for no other than one."""
    file = tmp_path / "sessions.csv"
    for times, new in ((1, 2), (3, 2), (3, 0), (2, 0)):
        file.write_text(HEADER + line(A, ENDED) * times + line(A, ENDED, "another"), newline="")
        assert take(context, file).imported == new
    assert sorted(row[7] for row in rows()) == ["", "", "", "another"]


def test_one_open_session_ends_once(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Of two that ended, one is the later look at it and the other is new."""
    file = tmp_path / "sessions.csv"
    file.write_text(HEADER + line(A, OPEN), newline="")
    take(context, file)
    file.write_text(HEADER + line(A, ENDED, "one") + line(A, ENDED, "two"), newline="")
    report = take(context, file)
    assert (report.completed, report.imported) == (1, 1)
    assert [row[8] for row in rows()] == ["COMPLETE", "COMPLETE"]


def test_what_cannot_be_a_session_is_refused_by_its_line(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The others come in."""
    file = tmp_path / "sessions.csv"
    file.write_text(
        HEADER + line(A, ENDED, '"two\r\nlines"') + line("x", ENDED) + line(B, ENDED.replace("COMPLETE", "CONNECTED"))
        + line(B, "yesterday,Connected,Disconnected,COMPLETE") + line(B, "2025-08-01T09:00:00Z,Connected,Down,COMPLETE")
        + line(B, ENDED, "x" * 10_001),
        newline="",
    )  # fmt: skip
    report = take(context, file)
    assert report.imported == 1
    assert [(reason, [line for line, _ in found.examples]) for reason, found in report.refused.items()] == [
        ("no MAC address", [4]),
        ("state is not what the ends tell", [5]),
        ("unreadable disconnection time", [6]),
        ("end before start", [7]),
        ("unreadable info", [8]),
    ]
    assert [row[7] for row in rows()] == ["two\r\nlines"]


def test_what_is_not_text_is_refused(context: Context, rows: Rows, tmp_path: Path) -> None:
    """In NDJSON a value can be of any kind."""
    session = {"mac": A, "ip": "10.0.0.1", "connected_at": "2025-08-01T10:00:00Z", "disconnected_at": None,
               "connection_event": "Connected", "disconnection_event": None, "state": "CONNECTED", "info": ""}  # fmt: skip
    values: list[Any] = [5, [], {}, True, "\0"]
    file = tmp_path / "sessions.ndjson"
    file.write_bytes(b"".join(orjson.dumps(session | {"info": value}) + b"\n" for value in [*values, "fine"]))
    report = take(context, file)
    assert {reason: found.count for reason, found in report.refused.items()} == {
        "info is not text": 4,
        "unreadable info": 1,
    }
    assert [row[7] for row in rows()] == ["fine"]


DHCPD = r"""# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
server-duid "\000\001}{;\"";

lease 192.168.1.10 {
  starts 3 2025/08/20 08:00:00;
  ends 3 2025/08/20 10:00:00;
  cltt 3 2025/08/20 08:00:00;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet aa:bb:cc:00:00:01;
  uid "\001\252\273};";
  client-hostname "old";
}
lease 192.168.1.10 {
  starts 3 2025/08/20 09:00:00; ends 3 2025/08/20 11:00:00;
  binding state active; hardware ethernet aa:bb:cc:00:00:01; client-hostname "K\303\274che";
}
lease 192.168.1.10 {
  starts 3 2025/08/20 11:00:00;
  ends 3 2025/08/20 14:00:00;
  binding state active;
  hardware ethernet aa:bb:cc:00:00:01;
  set vendor-class-identifier = "x { y";
  on expiry { log(info, "gone"); }
}
lease 192.168.1.11 {
  starts 2 2025/08/19 08:00:00;
  ends 2 2025/08/19 20:00:00;
  binding state active;
  hardware ethernet aa:bb:cc:00:00:02;
}
lease 192.168.1.11 {
  starts 2 2025/08/19 08:00:00;
  ends 2 2025/08/19 12:30:00;
  binding state free;
  hardware ethernet aa:bb:cc:00:00:02;
}
lease 192.168.1.11 {
  starts epoch 1755676800; # Wed Aug 20 10:00:00 2025
  ends never;
  binding state active;
  hardware ethernet aa:bb:cc:00:00:02;
}
lease 192.168.1.12 { starts 3 2025/08/20 08:00:00; ends never; binding state abandoned; }
lease 192.168.1.13 { binding state free; }
lease 192.168.1.14 { starts 3 2025/02/30 08:00:00; ends never; hardware ethernet aa:bb:cc:00:00:03; }
lease 192.168.1.15 {
  starts 3 2025/08/20 08:00:00;
  ends 3 2025/08/20 20:00:00;
  binding state released;
  hardware ethernet aa:bb:cc:00:00:04;
}
ia-na "\001\000" {
  cltt 3 2025/08/20 08:00:00;
  iaaddr 2001:db8::5 { binding state active; ends 3 2025/08/20 20:00:00; }
}
failover peer "dhcp" state { my state normal at 3 2025/08/20 08:00:00; }
"""


def test_leases_of_dhcpd(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """Renewals are one session; what is over has its real end, what goes on none; the rest is refused by its line."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(DHCPD)
    report = take(context, file)
    assert report.format == "dhcpd"
    assert stays(rows()) == [
        (A, "192.168.1.10", at("2025-08-20T08:00:00Z"), None, "Connected", None, "", "CONNECTED"),
        (B, "192.168.1.11", at("2025-08-19T08:00:00Z"), at("2025-08-19T12:30:00Z"), "Connected", "Disconnected", "",
         "COMPLETE"),
        (B, "192.168.1.11", at("2025-08-20T08:00:00Z"), None, "Connected", None, "", "CONNECTED"),
        (D, "192.168.1.15", at("2025-08-20T08:00:00Z"), None, "Connected", MISSING, "", "MISSING_DISCONNECTION"),
    ]  # fmt: skip
    assert (report.read, report.imported, report.renewals) == (11, 4, 3)
    assert {reason: found.examples for reason, found in report.refused.items()} == {
        "abandoned address": [(46, "'192.168.1.12'")],
        "no MAC address": [(47, "'192.168.1.13'")],
        "unreadable time": [(48, "'3 2025/02/30 08:00:00'")],
        "IPv6 lease without a MAC address": [(57, "'2001:db8::5'")],
    }
    assert names(url) == {A: "Küche"}
    before = rows()
    again = take(context, file)
    assert (again.already_there, again.imported, again.completed, again.devices_named) == (4, 0, 0, 0)
    assert rows() == before


KEA4 = """address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
10.0.0.10,aa:bb:cc:00:00:01,01:aa,7200,{e10},1,0,0,phone.example.,0,{{ "a": "x"&#x2c "b": 1 }},0
10.0.0.10,aa:bb:cc:00:00:01,01:aa,7200,{e11},1,0,0,a&#x2cb,0,,0
10.0.0.10,aa:bb:cc:00:00:01,01:aa,7200,{e13},1,0,0,a&#x2cb,0,,0
10.0.0.11,aa:bb:cc:00:00:02,,7200,{e10},1,0,0,,0,,0
10.0.0.11,aa:bb:cc:00:00:02,,0,{e9},1,0,0,,0,,0
10.0.0.12,aa:bb:cc:00:00:03,,4294967295,{forever},1,0,0,,0,,0
10.0.0.13,aa:bb:cc:00:00:04,,3600,{e9},1,0,0,,2,,0
10.0.0.14,,,3600,{e13},1,0,0,,1,,0
10.0.0.15,aa:bb:cc:00:00:05:06,,3600,{e13},1,0,0,,0,,0
10.0.0.16,aa:bb:cc:00:00:05,,3600,soon,1,0,0,,0,,0
10.0.0.17,aa:bb:cc:00:00:05,,3600,{e13},1,0,0,,9,,0
"""
KEA6 = """address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,\
lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id
2001:db8::1,00:01:02,7200,{e13},1,3600,0,7,128,0,0,,aa:bb:cc:00:00:01,0,,1,2,0
2001:db8::2,00:01:03,7200,{e13},1,3600,0,7,128,0,0,,,0,,,,0
2001:db8:1::,00:01:03,7200,{e13},1,3600,2,7,56,0,0,,aa:bb:cc:00:00:01,0,,1,2,0
"""


def seconds(hour: int) -> int:
    return at(f"2025-08-20T{hour:02}:00:00Z") // 1_000_000


EXPIRIES = {f"e{hour}": seconds(hour) for hour in range(24)} | {"forever": seconds(8) + 2**32 - 1}


def test_leases_of_kea(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """A lease spans its lifetime before its expiry; a row without a lifetime tells when its client was last heard."""
    file = tmp_path / "kea-leases4.csv"
    file.write_text(KEA4.format(**EXPIRIES))
    report = take(context, file)
    assert report.format == "kea"
    assert [(row[0], row[3], row[4], row[8]) for row in rows()] == [
        (A, at("2025-08-20T08:00:00Z"), None, "CONNECTED"),
        (B, at("2025-08-20T08:00:00Z"), at("2025-08-20T09:00:00Z"), "COMPLETE"),
        (C, at("2025-08-20T08:00:00Z"), None, "CONNECTED"),
        (D, at("2025-08-20T08:00:00Z"), at("2025-08-20T09:00:00Z"), "COMPLETE"),
    ]
    assert (report.imported, report.renewals) == (4, 3)
    assert {reason: [line for line, _ in found.examples] for reason, found in report.refused.items()} == {
        "declined address": [9],
        "no MAC address": [10],
        "no time of expiry": [11],
        "unknown state": [12],
    }
    assert names(url) == {A: "a,b"}
    assert take(context, file).already_there == 4


def test_leases_of_kea_for_ipv6(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Those with a MAC address come in; a delegated prefix is no address of a device."""
    file = tmp_path / "kea-leases6.csv"
    file.write_text(KEA6.format(**EXPIRIES))
    report = take(context, file)
    assert [(row[0], row[2], row[3], row[4]) for row in rows()] == [
        (A, "2001:db8::1", at("2025-08-20T11:00:00Z"), None)
    ]
    assert {reason: [line for line, _ in found.examples] for reason, found in report.refused.items()} == {
        "IPv6 lease without a MAC address": [3],
        "delegated prefix, not an address": [4],
    }


DNSMASQ = f"""{seconds(18)} aa:bb:cc:00:00:01 10.0.0.10 phone 01:aa:bb:cc:00:00:01
{seconds(10)} aa:bb:cc:00:00:02 10.0.0.11 * *
0 aa:bb:cc:00:00:03 10.0.0.12 nas *
43200 aa:bb:cc:00:00:04 10.0.0.13 * *
{seconds(18)} 06-aa:bb:cc:00:00:05 10.0.0.14 * *
duid 00:01:00:01:2a
{seconds(18)} 123456 2001:db8::9 phone 00:01:00:01:2b
"""


def test_leases_of_dnsmasq_without_their_start(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """One that expired is a session whose connection is missing; of one that did not, no end is known: it is refused."""
    file = tmp_path / "dnsmasq.leases"
    file.write_text(DNSMASQ)
    report = take(context, file)
    assert report.format == "dnsmasq"
    assert stays(rows()) == [
        (B, "10.0.0.11", None, at("2025-08-20T10:00:00Z"), MISSING, "Disconnected", "", "MISSING_CONNECTION")
    ]
    assert {reason: [line for line, _ in found.examples] for reason, found in report.refused.items()} == {
        "not expired, and its start is not known: --lease-time tells how long before its expiry": [1],
        "never expires, and its start is not known": [3],
        "no time of expiry": [4],
        "no MAC address": [5],
        "IPv6 lease without a MAC address": [7],
    }
    assert names(url) == {}
    assert take(context, file).already_there == 1


OUT_OF_ORDER = "lease 10.0.0.20 { starts 3 2025/08/20 08:00:00; ends 3 2025/08/20 07:00:00; hardware ethernet %s; }"


@pytest.mark.parametrize(
    ("lease", "lease_time", "reason", "value"),
    [
        (OUT_OF_ORDER, None, "end before start", "'10.0.0.20'"),
        ("999999999999 %s 10.0.0.20 * *", None, "time out of range", "'999999999999000000'"),
        (
            "1755684000 %s 10.0.0.20 * *",
            "9000 years",
            "start out of range",
            "'reaches back too far; at most to the year 1900'",
        ),
    ],
)
def test_a_lease_that_cannot_have_been_is_refused(
    context: Context, rows: Rows, tmp_path: Path, lease: str, lease_time: str | None, reason: str, value: str
) -> None:
    """With its line and with what is wrong in it."""
    file = tmp_path / "file.leases"
    file.write_text(f"{lease % A.lower()}\n")
    report = take(context, file, lease_time=lease_time)
    assert {why: found.examples for why, found in report.refused.items()} == {reason: [(1, value)]}
    assert rows() == []


@pytest.mark.parametrize(
    ("leases", "session"),
    [
        (["1755684000 %s 10.0.0.20 * *"] * 2, (None, at("2025-08-20T10:00:00Z"), "MISSING_CONNECTION")),
        (
            [
                "lease 10.0.0.20 { starts 3 2025/08/20 08:00:00; ends 3 2025/08/20 10:00:00; binding state active; "
                "hardware ethernet %s; }",
                "lease 10.0.0.20 { starts 3 2025/08/20 09:00:00; ends 3 2025/08/20 18:00:00; binding state free; "
                "hardware ethernet %s; }",
            ],
            (at("2025-08-20T08:00:00Z"), None, "MISSING_DISCONNECTION"),
        ),
    ],
)
def test_what_renews_a_lease_knows_how_it_ended(
    context: Context, rows: Rows, tmp_path: Path, leases: list[str], session: tuple[Any, ...]
) -> None:
    """Where it began the first one knows, if any does; one that was given back before its end ended when nobody knows."""
    file = tmp_path / "file.leases"
    file.write_text("".join(f"{each % A.lower()}\n" for each in leases))
    report = take(context, file)
    assert (report.read, report.imported, report.renewals) == (2, 1, 1)
    [row] = rows()
    assert (row[3], row[4], row[8]) == session


def test_a_file_that_grows_while_it_is_read_comes_in_whole(
    context: Context, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There were ids for the one session that it had when it was counted."""
    monkeypatch.setattr(
        "resolvers.imports.importer.StoringExports",
        lambda transaction, clock, report, _: StoringExports(transaction, clock, report, 1),
    )
    file = tmp_path / "file.csv"
    file.write_text(HEADER + "".join(line(mac, ENDED) for mac in (A, B, C)))
    assert take(context, file).imported == len({row[1] for row in rows()}) == 3


def test_an_import_tells_how_far_it_is(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By lines where the file has them, by records elsewhere, of as many as there are; and at the end, all of them."""
    monkeypatch.setattr("resolvers.imports.importer.STEP", 2)

    def told(file: Path) -> list[tuple[int, int]]:
        steps: list[tuple[int, int]] = []
        run_(import_file(context, file, None, lease_time=None, dry_run=True, progress=lambda *step: steps.append(step)))
        return steps

    lines = tmp_path / "dhcp.leases"
    lines.write_text("duid 00:01:00:01:2a\n" + "1755684000 aa:bb:cc:00:00:01 10.0.0.20 * *\n" * 5)
    database = write(tmp_path / "source.db", [(A, "10.0.0.1", "Connected", None, "", None, 0, "")] * 7)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM Sessions WHERE rowid < 3")
    assert told(lines) == [(3, 6), (5, 6), (6, 6)]
    assert told(database) == [(2, 5), (4, 5), (5, 5)]


def test_leases_of_dnsmasq_with_their_length(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """The start is computed from the expiry."""
    file = tmp_path / "dnsmasq.leases"
    file.write_text(DNSMASQ)
    take(context, file, lease_time="12 hours")
    assert [(row[0], row[3], row[4]) for row in rows()] == [
        (A, at("2025-08-20T06:00:00Z"), None),
        (B, at("2025-08-19T22:00:00Z"), at("2025-08-20T10:00:00Z")),
    ]
    assert names(url) == {A: "phone"}
    assert take(context, file, lease_time="12 hours").already_there == 2
    assert take(context, file).already_there == 1


def lease(starts: int, ends: int, state: str = "active") -> str:
    return (
        f"lease 10.0.0.10 {{ starts epoch {seconds(starts)}; ends epoch {seconds(ends)}; binding state {state};"
        " hardware ethernet aa:bb:cc:00:00:01; client-hostname \"phone\"; }\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("later", "ended", "counts"),
    [
        (lease(11, 15), None, (0, 0, 1)),  # renewed, and the file was rewritten meanwhile
        (lease(8, 14) + lease(11, 15), None, (0, 0, 1)),
        (lease(8, 11, "free"), 11, (0, 1, 0)),  # released
        (lease(10, 11), 11, (0, 1, 0)),  # expired, some renewals ago
        (f"{seconds(11)} {A} 10.0.0.10 * *\n", 11, (0, 1, 0)),
    ],
)
def test_a_later_leases_file_goes_on_with_the_session(
    context: Context, rows: Rows, tmp_path: Path, later: str, ended: int | None, counts: tuple[int, int, int]
) -> None:
    """What was imported as still connected is the same session, which ends where the later file says so."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(lease(8, 14))
    take(context, file)
    (before,) = rows()
    file.write_text(later)
    for expected in (counts, (0, 0, 1)):
        report = take(context, file)
        assert (report.imported, report.completed, report.already_there) == expected
        (row,) = rows()
        assert row[:4] == before[:4]
        assert row[4] == (ended and at(f"2025-08-20T{ended}:00:00Z"))


@pytest.mark.parametrize("older", [lease(8, 14), lease(8, 11) + lease(10, 14), lease(8, 10), lease(9, 12)])
def test_an_older_leases_file_changes_nothing(context: Context, rows: Rows, tmp_path: Path, older: str) -> None:
    """A session that is known to have ended is not opened again, nor made longer."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(lease(8, 11, "free"))
    take(context, file)
    before = rows()
    file.write_text(older)
    assert take(context, file).already_there == 1
    assert rows() == before


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spans=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4), st.sampled_from(["active", "free"])), max_size=8),
    in_order=st.booleans(),
)
def test_leases_are_joined_and_come_in_once(
    contexts: dict[str, Context], tmp_path: Path, spans: list[tuple[int, int, str]], in_order: bool
) -> None:
    """Of a file as a server writes it no two sessions touch; whatever a file holds, a second import adds nothing."""
    url, context = next(iter(contexts.items()))
    sql(url, "DELETE FROM session")
    file = tmp_path / "dhcpd.leases"
    entries = sorted(spans, key=lambda span: span[0]) if in_order else spans
    file.write_text("".join(lease(starts, starts + length, state) for starts, length, state in entries))
    take(context, file, "dhcpd")
    held = sql(url, "SELECT connected_at, disconnected_at, state FROM session ORDER BY connected_at")
    report = take(context, file, "dhcpd")
    assert (report.imported, report.completed) == (0, 0)
    assert sql(url, "SELECT connected_at, disconnected_at, state FROM session ORDER BY connected_at") == held
    if in_order:
        last = {"CONNECTED": 2**62, "MISSING_DISCONNECTION": None}
        ends = [last.get(state, end) or start for start, end, state in held]
        assert all(end < start for end, (start, _, _) in zip(ends, held[1:], strict=False))


def test_a_device_that_comes_back_has_two_sessions(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Spans that do not touch are not joined, in one file or in two."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(lease(1, 3) + lease(5, 7))
    take(context, file)
    file.write_text(lease(5, 7) + lease(9, 14))
    report = take(context, file)
    assert (report.imported, report.already_there) == (1, 1)
    ends = [(row[3], row[4] and row[4]) for row in rows()]
    hours = [(1, 3), (5, 7), (9, None)]
    assert ends == [(seconds(a) * 10**6, None if b is None else seconds(b) * 10**6) for a, b in hours]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lease(10, 14), lease(7, 8, "free")),  # before one that goes on
        (lease(8, 10, "free"), lease(7, 9, "free")),  # begun before it, and over before it
        (lease(8, 10, "free"), lease(10, 11, "free")),  # begun as it ended
        (lease(8, 10, "free"), lease(7, 14)),  # around it, and going on
    ],
)
def test_what_another_file_tells_of_another_stay_is_one(
    context: Context, rows: Rows, tmp_path: Path, first: str, second: str
) -> None:
    """A stay that is neither its start nor within it is none that is there already: both are kept, each as it is told."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(first)
    assert take(context, file).imported == 1
    before = rows()
    file.write_text(second)
    assert take(context, file).imported == 1
    assert len(rows()) == 2
    assert set(before) < set(rows())


def test_a_host_name_that_is_none_keeps_nobody_out(context: Context, rows: Rows, tmp_path: Path) -> None:
    """It is told with its line; the session comes in."""
    file = tmp_path / "dhcp.leases"
    file.write_text(f"duid 00:01:00:01:2a\n{seconds(10)} {A} 10.0.0.20 {'n' * 300} *\n")
    report = take(context, file)
    [(reason, found)] = report.devices_refused.items()
    assert reason == "unreadable name"
    assert [(where, value[:4]) for where, value in found.examples] == [(2, "'nnn")]
    assert len(rows()) == 1


def test_a_name_that_a_person_gave_stays(context: Context, url: str, tmp_path: Path) -> None:
    """A host name names only what has no name."""
    sql(url, f"INSERT INTO device (mac, name) VALUES ('{A}', 'Mine')")
    file = tmp_path / "dhcpd.leases"
    file.write_text(lease(8, 14))
    assert take(context, file).devices_named == 0
    assert names(url) == {A: "Mine"}


SAMPLES: dict[Format, bytes] = {
    "csv": (HEADER + line(A, ENDED, '"1,\r\n""2"" \r 3"') + line(B, OPEN)).encode(),
    "ndjson": b'{"mac":"%s","ip":"10.0.0.1","connected_at":"2025-08-01T10:00:00Z","disconnected_at":null,"connection_event":'
    b'"x","disconnection_event":null,"state":"CONNECTED","info":"\\n\xc3\xbc"}\n' % A.encode(),
    "dhcpd": DHCPD.encode(),
    "kea": KEA4.format(**EXPIRIES).encode(),
    "dnsmasq": DNSMASQ.encode(),
}


@pytest.mark.parametrize("form", SAMPLES)
def test_a_file_that_is_cut_is_refused_or_tells_less(tmp_path: Path, form: Format) -> None:
    """Wherever it breaks off, no record is read that the whole file has not."""
    file = tmp_path / "file"

    def records(content: bytes) -> list[Any]:
        file.write_bytes(content)
        with opened(file, form) as source:
            return list(source.records())

    content, refused = SAMPLES[form], 0
    whole = records(content)
    assert whole
    for end in range(1, len(content)):
        try:
            found = records(content[:end])
        except SourceError:
            refused += 1
        else:
            assert found == whole[: len(found)]
    assert refused > len(content) * 0.9


BAD: list[tuple[Format, bytes, str]] = [
    *((form, sample[:-2], "breaks off") for form, sample in SAMPLES.items()),
    *((form, sample + b"\xff\xfe\x80\n", "is not UTF-8") for form, sample in SAMPLES.items()),
    *((form, sample + b"\0\0\n", "is not text") for form, sample in SAMPLES.items()),
    *((form, sample + b"x" * (LONGEST + 1) + b"\n", "has more than") for form, sample in SAMPLES.items()),
    ("csv", (HEADER + "".join(line(A, ENDED, str(n)) for n in range(2500)) + "x\r\n").encode(), "line 2502: it has 1 "),
    ("csv", SAMPLES["csv"] + b"a,b,c\r\n", "line 5: it has 3 cells in place of 8"),
    ("csv", SAMPLES["csv"] + b'a,"b"c\r\n', "line 5: it is not CSV"),
    ("csv", SAMPLES["csv"] + b'"' + b"x\r\n" * 100_000, "line 5: it is not CSV"),
    ("csv", HEADER.replace("ip", "IP").encode(), "its first line must be mac,ip,"),
    ("ndjson", SAMPLES["ndjson"] + b'{"mac":"x"}\n', "line 2: it is not a JSON object of mac, "),
    ("ndjson", SAMPLES["ndjson"] + b"[]\n", "line 2: it is not a JSON object of mac, "),
    ("ndjson", SAMPLES["ndjson"] + b"[" * 100_000 + b"\n", "line 2: it is not JSON"),
    ("dhcpd", SAMPLES["dhcpd"] + b"lease 10.0.0.1 {\n", "line 60: what begins there does not end"),
    ("dhcpd", SAMPLES["dhcpd"] + b"}\n", "line 60: a block ends where none can end"),
    ("dhcpd", SAMPLES["dhcpd"] + b'uid "\\";\n', "line 60: a text does not end"),
    ("dhcpd", SAMPLES["dhcpd"] + b"a {" * 100 + b"\n", "line 60: blocks lie too deep in one another"),
    ("dhcpd", SAMPLES["dhcpd"] + b"words without end\n", "line 60: it is not a statement of dhcpd"),
    ("dhcpd", SAMPLES["dhcpd"] + b"words without end\n" * 1000, "line 393: it is not a statement of dhcpd"),
    ("kea", SAMPLES["kea"] + b"10.0.0.1,\n", "line 13: it has 2 cells in place of 12"),
    ("kea", b"address,expire\n", "its first line does not name hwaddr, valid_lifetime"),
    ("dnsmasq", SAMPLES["dnsmasq"] + b"soon aa:bb:cc:00:00:01 10.0.0.1 * *\n", "line 8: it is not a lease of dnsmasq"),
    ("dnsmasq", SAMPLES["dnsmasq"] + b"1755676800 aa:bb:cc:00:00:01\n", "line 8: it is not a lease of dnsmasq"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "content", "words"), BAD)
def test_a_damaged_file_leaves_nothing(
    url: str, rows: Rows, tmp_path: Path, form: Format, content: bytes, words: str
) -> None:
    """One sentence that names the file, with the line, exit code 1, and an empty store, whatever came before the damage."""
    file = tmp_path / "file"
    file.write_bytes(content)
    result = run(url, import_command, "--format", form, "--lease-time", "12 hours", str(file))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    sentence = result.stderr.strip()
    assert sentence.startswith(f"Error: {file} is ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert words in sentence
    assert rows() == []
    assert sql(url, "SELECT * FROM device") == []


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("form", SAMPLES)
def test_a_format_is_told_by_its_content(tmp_path: Path, form: Format, mark: bytes) -> None:
    """Also behind a byte order mark and, for dhcpd, a comment."""
    file = tmp_path / "file"
    file.write_bytes(mark + SAMPLES[form])
    with opened(file, None) as source:
        assert source.format == form
        assert list(source.records())


@pytest.mark.parametrize("content", [b"once upon a time\n", b"# only a comment\n", b"\n\n", b"\xff\0\xfe" * 100])
def test_what_tells_of_no_format_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the ones that there are."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SourceError, match="netalertx, csv, ndjson, dhcpd, kea, dnsmasq"):
        opened(tmp_path / "file", None)


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_that_is_named_is_believed(url: str, rows: Rows, tmp_path: Path, form: Format) -> None:
    """A file of another is refused; named rightly it comes in."""
    file = tmp_path / "file"
    other: Format = "ndjson" if form == "csv" else "csv"
    file.write_bytes(SAMPLES[other])
    result = run(url, import_command, "--format", form, str(file))
    assert (result.exit_code, rows()) == (1, [])
    assert run(url, import_command, "--format", other, str(file)).exit_code == 0
    assert rows()


@pytest.mark.parametrize("form", [None, *FORMATS])
def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, form: Format | None) -> None:
    """Here a folder, and what is not there."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SourceError, match=re.escape(str(path))), opened(path, form) as source:
            list(source.records())


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """It is read more than once; one that waits for a writer would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is not a file"):
        opened(tmp_path / "pipe", "csv")


@pytest.mark.parametrize("form", SAMPLES)
def test_a_dry_run_leaves_nothing(url: str, rows: Rows, tmp_path: Path, form: Format) -> None:
    """It prints what an import then prints."""
    file = tmp_path / "file"
    file.write_bytes(SAMPLES[form])
    dry = run(url, import_command, "--dry-run", str(file))
    assert dry.exit_code == 0, dry.stderr
    assert rows() == []
    assert sql(url, "SELECT * FROM device") == []
    wet = run(url, import_command, str(file))
    assert dry.stdout == wet.stdout + "This was a dry run: nothing was stored.\n"
    assert rows()


def test_the_command_prints_what_became_of_each_lease(url: str, tmp_path: Path) -> None:
    """With the lines of what was refused; an option that says nothing of a file is named."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(DHCPD)
    result = run(url, import_command, "--timezone", "Europe/Berlin", str(file))
    assert result.exit_code == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "Format: dhcpd. Times read as UTC. Sessions read: 11 imported 4 still connected" in words
    assert "renewals 3 refused 4" in words
    assert "abandoned address: 1 line 46: '192.168.1.12'" in words
    assert "--timezone Europe/Berlin is ignored" in result.stderr
    file.write_bytes(SAMPLES["csv"])
    assert "--lease-time is ignored" in run(url, import_command, "--lease-time", "P1D", str(file)).stderr
