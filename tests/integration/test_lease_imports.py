"""Importing leases files of DHCP servers."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.context import Context
from tests.conftest import at, sql
from tests.support.imports import (
    DHCPD,
    DNSMASQ,
    KEA4,
    KEA6,
    KEA_EXPIRIES,
    MISSING,
    A,
    B,
    C,
    D,
    Rows,
    device_names,
    dhcpd_lease,
    epoch_seconds,
    import_and_check,
    without_ids,
)


def test_dhcpd_leases(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """Renewals are merged. Ended leases have an end, active ones are open. Others are rejected with their line."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(DHCPD)
    report = import_and_check(context, file)
    assert report.format == "dhcpd"
    assert without_ids(rows()) == [
        (A, "192.168.1.10", at("2025-08-20T08:00:00Z"), None, "Connected", None, "", "CONNECTED"),
        (B, "192.168.1.11", at("2025-08-19T08:00:00Z"), at("2025-08-19T12:30:00Z"), "Connected", "Disconnected", "",
         "COMPLETE"),
        (B, "192.168.1.11", at("2025-08-20T08:00:00Z"), None, "Connected", None, "", "CONNECTED"),
        (D, "192.168.1.15", at("2025-08-20T08:00:00Z"), None, "Connected", MISSING, "", "MISSING_DISCONNECTION"),
    ]  # fmt: skip
    assert (report.read, report.imported, report.renewals) == (11, 4, 3)
    assert {reason: rejections.examples for reason, rejections in report.rejected.items()} == {
        "abandoned address": [(46, "'192.168.1.12'")],
        "no MAC address": [(47, "'192.168.1.13'")],
        "unreadable time": [(48, "'3 2025/02/30 08:00:00'")],
        "IPv6 lease without a MAC address": [(57, "'2001:db8::5'")],
    }
    assert device_names(url) == {A: "Küche"}
    before = rows()
    again = import_and_check(context, file)
    assert (again.already_there, again.imported, again.completed, again.devices_named) == (4, 0, 0, 0)
    assert rows() == before


def test_kea_leases(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """The start is the expiry minus the lifetime. If the lifetime is 0, the expiry is the last request."""
    file = tmp_path / "kea-leases4.csv"
    file.write_text(KEA4.format(**KEA_EXPIRIES))
    report = import_and_check(context, file)
    assert report.format == "kea"
    assert [(row[0], row[3], row[4], row[8]) for row in rows()] == [
        (A, at("2025-08-20T08:00:00Z"), None, "CONNECTED"),
        (B, at("2025-08-20T08:00:00Z"), at("2025-08-20T09:00:00Z"), "COMPLETE"),
        (C, at("2025-08-20T08:00:00Z"), None, "CONNECTED"),
        (D, at("2025-08-20T08:00:00Z"), at("2025-08-20T09:00:00Z"), "COMPLETE"),
    ]
    assert (report.imported, report.renewals) == (4, 3)
    assert {reason: [line for line, _ in rejections.examples] for reason, rejections in report.rejected.items()} == {
        "declined address": [9],
        "no MAC address": [10],
        "no time of expiry": [11],
        "unknown state": [12],
    }
    assert device_names(url) == {A: "a,b"}
    assert import_and_check(context, file).already_there == 4


def test_kea_ipv6_leases(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Leases with a MAC address are imported. A delegated prefix is rejected."""
    file = tmp_path / "kea-leases6.csv"
    file.write_text(KEA6.format(**KEA_EXPIRIES))
    report = import_and_check(context, file)
    assert [(row[0], row[2], row[3], row[4]) for row in rows()] == [
        (A, "2001:db8::1", at("2025-08-20T11:00:00Z"), None)
    ]
    assert {reason: [line for line, _ in rejections.examples] for reason, rejections in report.rejected.items()} == {
        "IPv6 lease without a MAC address": [3],
        "delegated prefix, not an address": [4],
    }


def test_dnsmasq_leases_without_lease_time(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """An expired lease is a session without start. An active lease is rejected, because neither end is known."""
    file = tmp_path / "dnsmasq.leases"
    file.write_text(DNSMASQ)
    report = import_and_check(context, file)
    assert report.format == "dnsmasq"
    assert without_ids(rows()) == [
        (B, "10.0.0.11", None, at("2025-08-20T10:00:00Z"), MISSING, "Disconnected", "", "MISSING_CONNECTION")
    ]
    assert {reason: [line for line, _ in rejections.examples] for reason, rejections in report.rejected.items()} == {
        "not expired, and its start is not known; set --lease-time": [1],
        "never expires, and its start is not known": [3],
        "no time of expiry": [4],
        "no MAC address": [5],
        "IPv6 lease without a MAC address": [7],
    }
    assert device_names(url) == {}
    assert import_and_check(context, file).already_there == 1


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
def test_an_invalid_lease_is_rejected(
    context: Context, rows: Rows, tmp_path: Path, lease: str, lease_time: str | None, reason: str, value: str
) -> None:
    """With its line and the invalid value."""
    file = tmp_path / "file.leases"
    file.write_text(f"{lease % A.lower()}\n")
    report = import_and_check(context, file, lease_time=lease_time)
    assert {rejected: rejections.examples for rejected, rejections in report.rejected.items()} == {reason: [(1, value)]}
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
def test_a_renewal_determines_the_end_of_the_session(
    context: Context, rows: Rows, tmp_path: Path, leases: list[str], session: tuple[Any, ...]
) -> None:
    """The first lease determines the start. A lease released before its expiry has an unknown end."""
    file = tmp_path / "file.leases"
    file.write_text("".join(f"{lease % A.lower()}\n" for lease in leases))
    report = import_and_check(context, file)
    assert (report.read, report.imported, report.renewals) == (2, 1, 1)
    [row] = rows()
    assert (row[3], row[4], row[8]) == session


def test_dnsmasq_leases_with_lease_time(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """The start is computed from the expiry."""
    file = tmp_path / "dnsmasq.leases"
    file.write_text(DNSMASQ)
    import_and_check(context, file, lease_time="12 hours")
    assert [(row[0], row[3], row[4]) for row in rows()] == [
        (A, at("2025-08-20T06:00:00Z"), None),
        (B, at("2025-08-19T22:00:00Z"), at("2025-08-20T10:00:00Z")),
    ]
    assert device_names(url) == {A: "phone"}
    assert import_and_check(context, file, lease_time="12 hours").already_there == 2
    assert import_and_check(context, file).already_there == 1


@pytest.mark.parametrize(
    ("later", "ended", "counts"),
    [
        (dhcpd_lease(11, 15), None, (0, 0, 1)),  # renewed, in a file with only the last lease
        (dhcpd_lease(8, 14) + dhcpd_lease(11, 15), None, (0, 0, 1)),
        (dhcpd_lease(8, 11, "free"), 11, (0, 1, 0)),  # released
        (dhcpd_lease(10, 11), 11, (0, 1, 0)),  # expired after renewals
        (f"{epoch_seconds(11)} {A} 10.0.0.10 * *\n", 11, (0, 1, 0)),
    ],
)
def test_a_later_leases_file_continues_an_open_session(
    context: Context, rows: Rows, tmp_path: Path, later: str, ended: int | None, counts: tuple[int, int, int]
) -> None:
    """The open session stays open, or gets the end of the later file."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(dhcpd_lease(8, 14))
    import_and_check(context, file)
    (before,) = rows()
    file.write_text(later)
    for expected in (counts, (0, 0, 1)):
        report = import_and_check(context, file)
        assert (report.imported, report.completed, report.already_there) == expected
        (row,) = rows()
        assert row[:4] == before[:4]
        assert row[4] == (ended and at(f"2025-08-20T{ended}:00:00Z"))


@pytest.mark.parametrize(
    "older", [dhcpd_lease(8, 14), dhcpd_lease(8, 11) + dhcpd_lease(10, 14), dhcpd_lease(8, 10), dhcpd_lease(9, 12)]
)
def test_an_older_leases_file_changes_nothing(context: Context, rows: Rows, tmp_path: Path, older: str) -> None:
    """An ended session is not reopened or extended."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(dhcpd_lease(8, 11, "free"))
    import_and_check(context, file)
    before = rows()
    file.write_text(older)
    assert import_and_check(context, file).already_there == 1
    assert rows() == before


@settings(max_examples=50)
@given(
    spans=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4), st.sampled_from(["active", "free"])), max_size=8),
    in_order=st.booleans(),
)
def test_leases_are_merged_and_imported_once(
    contexts: dict[str, Context], tmp_path: Path, spans: list[tuple[int, int, str]], in_order: bool
) -> None:
    """Sessions from leases in order do not overlap. For any file, a second import adds nothing."""
    url, context = next(iter(contexts.items()))
    sql(url, "DELETE FROM session")
    file = tmp_path / "dhcpd.leases"
    entries = sorted(spans, key=lambda span: span[0]) if in_order else spans
    file.write_text("".join(dhcpd_lease(starts, starts + length, state) for starts, length, state in entries))
    import_and_check(context, file, "dhcpd")
    imported = sql(url, "SELECT connected_at, disconnected_at, state FROM session ORDER BY connected_at")
    report = import_and_check(context, file, "dhcpd")
    assert (report.imported, report.completed) == (0, 0)
    assert sql(url, "SELECT connected_at, disconnected_at, state FROM session ORDER BY connected_at") == imported
    if in_order:
        last = {"CONNECTED": 2**62, "MISSING_DISCONNECTION": None}
        ends = [last.get(state, end) or start for start, end, state in imported]
        assert all(end < start for end, (start, _, _) in zip(ends, imported[1:], strict=False))


def test_a_returning_device_has_a_session_for_each_visit(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Leases that do not overlap are not merged, within one file or across two."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(dhcpd_lease(1, 3) + dhcpd_lease(5, 7))
    import_and_check(context, file)
    file.write_text(dhcpd_lease(5, 7) + dhcpd_lease(9, 14))
    report = import_and_check(context, file)
    assert (report.imported, report.already_there) == (1, 1)
    ends = [(row[3], row[4] and row[4]) for row in rows()]
    hours = [(1, 3), (5, 7), (9, None)]
    assert ends == [(epoch_seconds(a) * 10**6, None if b is None else epoch_seconds(b) * 10**6) for a, b in hours]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (dhcpd_lease(10, 14), dhcpd_lease(7, 8, "free")),  # before an open session
        (dhcpd_lease(8, 10, "free"), dhcpd_lease(7, 9, "free")),  # starts and ends before it
        (dhcpd_lease(8, 10, "free"), dhcpd_lease(10, 11, "free")),  # starts when it ends
        (dhcpd_lease(8, 10, "free"), dhcpd_lease(7, 14)),  # starts before it, and is open
    ],
)
def test_a_lease_that_does_not_match_an_existing_session_is_new(
    context: Context, rows: Rows, tmp_path: Path, first: str, second: str
) -> None:
    """Both sessions are kept unchanged."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(first)
    assert import_and_check(context, file).imported == 1
    before = rows()
    file.write_text(second)
    assert import_and_check(context, file).imported == 1
    assert len(rows()) == 2
    assert set(before) < set(rows())


def test_an_invalid_host_name_does_not_prevent_the_import(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The name is rejected with its line, and the session is imported."""
    file = tmp_path / "dhcp.leases"
    file.write_text(f"duid 00:01:00:01:2a\n{epoch_seconds(10)} {A} 10.0.0.20 {'n' * 300} *\n")
    report = import_and_check(context, file)
    [(reason, rejections)] = report.rejected_devices.items()
    assert reason == "unreadable name"
    assert [(line, value[:4]) for line, value in rejections.examples] == [(2, "'nnn")]
    assert len(rows()) == 1


def test_a_host_name_does_not_replace_a_name(context: Context, url: str, tmp_path: Path) -> None:
    """It names only devices without a name."""
    sql(url, f"INSERT INTO device (mac, name) VALUES ('{A}', 'Mine')")
    file = tmp_path / "dhcpd.leases"
    file.write_text(dhcpd_lease(8, 14))
    assert import_and_check(context, file).devices_named == 0
    assert device_names(url) == {A: "Mine"}
