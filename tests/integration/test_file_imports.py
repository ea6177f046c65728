"""Importing text files: formats, damage, dry runs and the printed report."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from netsessions.commands.import_sessions import import_command
from resolvers.context import Context
from resolvers.imports.importer import import_file
from storage.sources.files import MAX_LINE_BYTES, SourceError
from storage.sources.recognition import FORMATS, Format, open_source
from tests.conftest import run, sql
from tests.support.imports import (
    COMPLETE,
    CSV_HEADER,
    DHCPD,
    SAMPLES,
    A,
    Rows,
    csv_line,
    run_command,
)
from tests.support.netalertx import write_database


def test_an_import_reports_its_progress(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In lines for text files, and in rows for databases. The last call has the total."""
    monkeypatch.setattr("resolvers.imports.importer.BATCH_SIZE", 2)

    def progress_of(file: Path) -> list[tuple[int, int]]:
        steps: list[tuple[int, int]] = []
        run(import_file(context, file, None, lease_time=None, dry_run=True, progress=lambda *step: steps.append(step)))
        return steps

    lines = tmp_path / "dhcp.leases"
    lines.write_text("duid 00:01:00:01:2a\n" + "1755684000 aa:bb:cc:00:00:01 10.0.0.20 * *\n" * 5)
    database = write_database(tmp_path / "source.db", [(A, "10.0.0.1", "Connected", None, "", None, 0, "")] * 7)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM Sessions WHERE rowid < 3")
    assert progress_of(lines) == [(3, 6), (5, 6), (6, 6)]
    assert progress_of(database) == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("source_format", SAMPLES)
def test_a_truncated_file_is_rejected_or_has_fewer_records(tmp_path: Path, source_format: Format) -> None:
    """No record is read that the whole file does not have."""
    file = tmp_path / "file"

    def records(content: bytes) -> list[Any]:
        file.write_bytes(content)
        with open_source(file, source_format) as source:
            return list(source.records())

    content, rejected = SAMPLES[source_format], 0
    whole = records(content)
    assert whole
    for end in range(1, len(content)):
        try:
            partial = records(content[:end])
        except SourceError:
            rejected += 1
        else:
            assert partial == whole[: len(partial)]
    assert rejected > len(content) * 0.9


DAMAGED_FILES: list[tuple[Format, bytes, str]] = [
    *((name, sample[:-2], "is truncated") for name, sample in SAMPLES.items()),
    *((name, sample + b"\xff\xfe\x80\n", "is not UTF-8") for name, sample in SAMPLES.items()),
    *((name, sample + b"\0\0\n", "contains a null byte") for name, sample in SAMPLES.items()),
    *((name, sample + b"x" * (MAX_LINE_BYTES + 1) + b"\n", "has more than") for name, sample in SAMPLES.items()),
    ("csv", (CSV_HEADER + "".join(csv_line(A, COMPLETE, str(n)) for n in range(2500)) + "x\r\n").encode(),
     "line 2502: it has 1 "),
    ("csv", SAMPLES["csv"] + b"a,b,c\r\n", "line 5: it has 3 cells instead of 8"),
    ("csv", SAMPLES["csv"] + b'a,"b"c\r\n', "line 5: it is not CSV"),
    ("csv", SAMPLES["csv"] + b'"' + b"x\r\n" * 100_000, "line 5: it is not CSV"),
    ("csv", CSV_HEADER.replace("ip", "IP").encode(), "its first line must be mac,ip,"),
    ("ndjson", SAMPLES["ndjson"] + b'{"mac":"x"}\n', "line 2: it is not a JSON object with the keys mac, "),
    ("ndjson", SAMPLES["ndjson"] + b"[]\n", "line 2: it is not a JSON object with the keys mac, "),
    ("ndjson", SAMPLES["ndjson"] + b"[" * 100_000 + b"\n", "line 2: it is not JSON"),
    ("dhcpd", SAMPLES["dhcpd"] + b"lease 10.0.0.1 {\n", "line 60: the block that begins here does not end"),
    ("dhcpd", SAMPLES["dhcpd"] + b"}\n", "line 60: unexpected end of a block"),
    ("dhcpd", SAMPLES["dhcpd"] + b'uid "\\";\n', "line 60: a string does not end"),
    ("dhcpd", SAMPLES["dhcpd"] + b"a {" * 100 + b"\n", "line 60: blocks are nested too deeply"),
    ("dhcpd", SAMPLES["dhcpd"] + b"words without end\n", "line 60: it is not a dhcpd statement"),
    ("dhcpd", SAMPLES["dhcpd"] + b"words without end\n" * 1000, "line 393: it is not a dhcpd statement"),
    ("kea", SAMPLES["kea"] + b"10.0.0.1,\n", "line 13: it has 2 cells instead of 12"),
    ("kea", b"address,expire\n", "its first line does not name hwaddr, valid_lifetime"),
    ("dnsmasq", SAMPLES["dnsmasq"] + b"soon aa:bb:cc:00:00:01 10.0.0.1 * *\n", "line 8: it is not a dnsmasq lease"),
    ("dnsmasq", SAMPLES["dnsmasq"] + b"1755676800 aa:bb:cc:00:00:01\n", "line 8: it is not a dnsmasq lease"),
]  # fmt: skip


@pytest.mark.parametrize(("source_format", "content", "message"), DAMAGED_FILES)
def test_a_damaged_file_is_rejected_and_nothing_is_stored(
    url: str, rows: Rows, tmp_path: Path, source_format: Format, content: bytes, message: str
) -> None:
    """The command prints one sentence with the file and the problem, and exits with code 1."""
    file = tmp_path / "file"
    file.write_bytes(content)
    result = run_command(url, import_command, "--format", source_format, "--lease-time", "12 hours", str(file))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    sentence = result.stderr.strip()
    assert sentence.startswith(f"Error: {file} is ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert message in sentence
    assert rows() == []
    assert sql(url, "SELECT * FROM device") == []


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("source_format", SAMPLES)
def test_the_format_is_detected(tmp_path: Path, source_format: Format, bom: bytes) -> None:
    """Also after a byte order mark or a comment."""
    file = tmp_path / "file"
    file.write_bytes(bom + SAMPLES[source_format])
    with open_source(file, None) as source:
        assert source.format == source_format
        assert list(source.records())


@pytest.mark.parametrize("content", [b"once upon a time\n", b"# only a comment\n", b"\n\n", b"\xff\0\xfe" * 100])
def test_an_unrecognized_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    """The error lists the supported formats."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SourceError, match="netalertx, csv, ndjson, dhcpd, kea, dnsmasq"):
        open_source(tmp_path / "file", None)


@pytest.mark.parametrize("source_format", FORMATS)
def test_the_format_option_overrides_the_detection(url: str, rows: Rows, tmp_path: Path, source_format: Format) -> None:
    """A file of another format is rejected."""
    file = tmp_path / "file"
    other: Format = "ndjson" if source_format == "csv" else "csv"
    file.write_bytes(SAMPLES[other])
    result = run_command(url, import_command, "--format", source_format, str(file))
    assert (result.exit_code, rows()) == (1, [])
    assert run_command(url, import_command, "--format", other, str(file)).exit_code == 0
    assert rows()


@pytest.mark.parametrize("source_format", [None, *FORMATS])
def test_an_unreadable_file_is_an_error_with_its_path(tmp_path: Path, source_format: Format | None) -> None:
    """A folder and a missing file."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SourceError, match=re.escape(str(path))), open_source(path, source_format) as source:
            list(source.records())


def test_a_pipe_is_rejected(tmp_path: Path) -> None:
    """Files are read more than once, and a pipe could block forever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is not a file"):
        open_source(tmp_path / "pipe", "csv")


@pytest.mark.parametrize("source_format", SAMPLES)
def test_a_dry_run_stores_nothing(url: str, rows: Rows, tmp_path: Path, source_format: Format) -> None:
    """It prints the same report as the import."""
    file = tmp_path / "file"
    file.write_bytes(SAMPLES[source_format])
    dry_run = run_command(url, import_command, "--dry-run", str(file))
    assert dry_run.exit_code == 0, dry_run.stderr
    assert rows() == []
    assert sql(url, "SELECT * FROM device") == []
    imported = run_command(url, import_command, str(file))
    assert dry_run.stdout == imported.stdout + "This was a dry run: nothing was stored.\n"
    assert rows()


def test_the_command_prints_a_report_of_leases(url: str, tmp_path: Path) -> None:
    """With the lines of rejected leases. Options without effect are reported."""
    file = tmp_path / "dhcpd.leases"
    file.write_text(DHCPD)
    result = run_command(url, import_command, "--timezone", "Europe/Berlin", str(file))
    assert result.exit_code == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "Format: dhcpd. Times read as UTC. Sessions read: 11 imported 4 still connected" in words
    assert "renewals 3 rejected 4" in words
    assert "abandoned address: 1 line 46: '192.168.1.12'" in words
    assert "--timezone Europe/Berlin is ignored" in result.stderr
    file.write_bytes(SAMPLES["csv"])
    assert "--lease-time is ignored" in run_command(url, import_command, "--lease-time", "P1D", str(file)).stderr
