"""Importing exports: an imported export equals the original."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from resolvers import sessions
from resolvers.context import Context
from resolvers.imports.export_writer import ExportWriter
from resolvers.validation.models import NewSession, validate
from rest_compat.app import rest_app
from storage.sources.recognition import Format
from tests.conftest import at, make_client, run, sql
from tests.support.imports import COMPLETE, CSV_HEADER, MISSING, OPEN, START, A, B, C, Rows, csv_line, import_and_check


def export(context: Context, source_format: str) -> bytes:
    client: TestClient = make_client(Starlette(routes=[Mount("/sessions", rest_app(context))]))
    response = client.get(f"/sessions/export?format={source_format}")
    assert response.status_code == 200
    return response.content


any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)

event_types = any_text.filter(lambda text: text.strip() and text != MISSING)

hostile_text = st.sampled_from(
    ["", " ", "=1+1", '"', '""', "a,b", "\r", "\n", "\r\n", '\r"\n,', "null", "\ufeff", "\x1a", "🛜"]
)

instants = st.sampled_from(
    [T + f for T in ("1969-12-31T23:59:59", "2025-08-01T10:00:00") for f in ("Z", ".000001Z", ".9Z")]
)


@st.composite
def new_sessions(draw: st.DrawFn) -> dict[str, Any]:
    """Generate REST API bodies of sessions in any state, with few distinct values so that they collide."""
    new: dict[str, Any] = {
        "mac": draw(st.sampled_from([A, B])),
        "ip": draw(st.sampled_from(["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"])),
        "info": draw(any_text | hostile_text),
        "event_type_conn": draw(event_types | st.just("Connected")),
        "event_type_disc": draw(event_types | st.just("Disconnected")),
        "start_time": draw(instants),
    }
    state = draw(st.sampled_from(["open", "complete", "no start", "no end"]))
    if state == "no end":
        new["event_type_disc"] = MISSING
    if state in ("complete", "no start"):
        new["end_time"] = draw(instants.filter(lambda end: at(end) >= at(new["start_time"])))
    if state == "no start":
        new |= {"start_time": None, "event_type_conn": MISSING}
    return new


@pytest.mark.parametrize("source_format", ["csv", "ndjson"])
@settings(max_examples=60)
@given(new=st.lists(new_sessions(), max_size=12), repeat=st.sampled_from([1, 2]))
@example(new=[], repeat=1)
def test_an_imported_export_equals_the_original(
    contexts: dict[str, Context], tmp_path: Path, source_format: Format, new: list[dict[str, Any]], repeat: int
) -> None:
    """A second export has the same bytes. Importing the file again adds nothing."""
    for url in contexts:
        sql(url, "DELETE FROM session")
        sql(url, "DELETE FROM device")
    first, second = contexts.values()
    run(sessions.create(first, [validate(NewSession, body, first.clock) for body in new] * repeat))
    file = tmp_path / "sessions"
    content = export(first, source_format)
    file.write_bytes(content)
    assert import_and_check(second, file, source_format).imported == len(new) * repeat
    assert export(second, source_format) == content
    for context in (first, second):
        report = import_and_check(context, file, source_format)
        assert (report.already_there, report.imported, report.completed) == (len(new) * repeat, 0, 0)
        assert export(context, source_format) == content


@pytest.mark.parametrize("source_format", ["csv", "ndjson"])
def test_a_long_export_keeps_its_order(contexts: dict[str, Context], tmp_path: Path, source_format: Format) -> None:
    """The export has several batches, and many sessions with the same start."""
    for url in contexts:
        sql(url, "DELETE FROM session")
    first, second = contexts.values()
    new = [{"mac": f"00:00:00:00:00:{n % 7:02x}", "ip": "10.0.0.1", "start_time": f"2025-08-0{1 + n // 600}T10:00:00",
            "info": str(n)} for n in range(3000)]  # fmt: skip
    run(sessions.create(first, [validate(NewSession, body, first.clock) for body in new]))
    file = tmp_path / "sessions"
    file.write_bytes(export(first, source_format))
    import_and_check(second, file)
    assert export(second, source_format) == file.read_bytes()


def test_a_session_without_start_does_not_match_an_open_session(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Both sessions are kept, although the end of one is the start of the other."""
    file = tmp_path / "file.csv"
    for start, rest in (("", "2025-08-01T10:00:00Z,<missing event>,Disconnected,MISSING_CONNECTION"), (START, OPEN)):
        file.write_text(f"{CSV_HEADER}{A},10.0.0.1,{start},{rest},\r\n")
        assert import_and_check(context, file).imported == 1
    assert sorted(row[8] for row in rows()) == ["CONNECTED", "MISSING_CONNECTION"]


def test_a_later_export_ends_an_open_session(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The session keeps its id. An older export does not reopen it."""
    older, newer = tmp_path / "older.csv", tmp_path / "newer.csv"
    older.write_text(CSV_HEADER + csv_line(A, OPEN) + csv_line(B, OPEN), newline="")
    newer.write_text(CSV_HEADER + csv_line(A, COMPLETE) + csv_line(B, OPEN), newline="")
    assert import_and_check(context, older).imported == 2
    before = rows()
    report = import_and_check(context, newer)
    assert (report.imported, report.completed, report.already_there) == (0, 1, 1)
    after = rows()
    assert after[0][:4] == before[0][:4]
    assert (after[0][4], after[0][6]) == (at("2025-08-01T12:00:00Z"), "Disconnected")
    assert after[1] == before[1]
    assert import_and_check(context, older).already_there == 2
    assert rows() == after


def test_equal_sessions_are_imported_as_often_as_they_were_exported(
    context: Context, rows: Rows, tmp_path: Path
) -> None:
    """Each existing session matches one of the file: of three equal sessions in the file, two are new."""
    file = tmp_path / "sessions.csv"
    for count, new in ((1, 2), (3, 2), (3, 0), (2, 0)):
        file.write_text(CSV_HEADER + csv_line(A, COMPLETE) * count + csv_line(A, COMPLETE, "another"), newline="")
        assert import_and_check(context, file).imported == new
    assert sorted(row[7] for row in rows()) == ["", "", "", "another"]


def test_an_open_session_is_ended_by_only_one_session_of_the_file(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The other one is new."""
    file = tmp_path / "sessions.csv"
    file.write_text(CSV_HEADER + csv_line(A, OPEN), newline="")
    import_and_check(context, file)
    file.write_text(CSV_HEADER + csv_line(A, COMPLETE, "one") + csv_line(A, COMPLETE, "two"), newline="")
    report = import_and_check(context, file)
    assert (report.completed, report.imported) == (1, 1)
    assert [row[8] for row in rows()] == ["COMPLETE", "COMPLETE"]


def test_invalid_sessions_are_rejected_with_their_line(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The other sessions are imported."""
    file = tmp_path / "sessions.csv"
    file.write_text(
        CSV_HEADER + csv_line(A, COMPLETE, '"two\r\nlines"') + csv_line("x", COMPLETE)
        + csv_line(B, COMPLETE.replace("COMPLETE", "CONNECTED"))
        + csv_line(B, "yesterday,Connected,Disconnected,COMPLETE")
        + csv_line(B, "2025-08-01T09:00:00Z,Connected,Down,COMPLETE")
        + csv_line(B, COMPLETE, "x" * 10_001),
        newline="",
    )  # fmt: skip
    report = import_and_check(context, file)
    assert report.imported == 1
    assert [(reason, [line for line, _ in rejections.examples]) for reason, rejections in report.rejected.items()] == [
        ("no MAC address", [4]),
        ("state does not match the start and end", [5]),
        ("unreadable disconnection time", [6]),
        ("end before start", [7]),
        ("unreadable info", [8]),
    ]
    assert [row[7] for row in rows()] == ["two\r\nlines"]


def test_values_other_than_text_are_rejected(context: Context, rows: Rows, tmp_path: Path) -> None:
    """In NDJSON, a value can have any type."""
    session = {"mac": A, "ip": "10.0.0.1", "connected_at": "2025-08-01T10:00:00Z", "disconnected_at": None,
               "connection_event": "Connected", "disconnection_event": None, "state": "CONNECTED", "info": ""}  # fmt: skip
    values: list[Any] = [5, [], {}, True, "\0"]
    file = tmp_path / "sessions.ndjson"
    file.write_bytes(b"".join(orjson.dumps(session | {"info": value}) + b"\n" for value in [*values, "fine"]))
    report = import_and_check(context, file)
    assert {reason: rejections.count for reason, rejections in report.rejected.items()} == {
        "info is not text": 4,
        "unreadable info": 1,
    }
    assert [row[7] for row in rows()] == ["fine"]


def test_a_file_that_grows_during_the_import_is_imported_completely(
    context: Context, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids were reserved for only one session."""
    monkeypatch.setattr(
        "resolvers.imports.importer.ExportWriter",
        lambda transaction, clock, report, _: ExportWriter(transaction, clock, report, 1),
    )
    file = tmp_path / "file.csv"
    file.write_text(CSV_HEADER + "".join(csv_line(mac, COMPLETE) for mac in (A, B, C)))
    assert import_and_check(context, file).imported == len({row[1] for row in rows()}) == 3
