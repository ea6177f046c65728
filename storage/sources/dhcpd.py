"""Leases files of ISC dhcpd: lease declarations, where a later one replaces an earlier one.

The published parsers skip what they cannot read. This one reports a damaged file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from storage.sources.files import damaged_error, read_lines
from storage.sources.records import Lease, RejectedRecord
from storage.tables import SECOND

Words = list[str]

MAX_DEPTH, MAX_WORDS = 20, 1000  # nested blocks; words in a statement
_TOKEN = re.compile(r'\s+|#.*|(?P<word>"(?:[^"\\]|\\.)*"|[{};]|[^\s"{};#]+)')
_ESCAPE_SEQUENCE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_DATE_TIME = re.compile(r"\d+ (\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_EPOCH = re.compile(r"epoch (\d{1,12})", re.ASCII)
_ASSOCIATIONS = ("ia-na", "ia-ta", "ia-pd")


@dataclass
class _Block:
    """A declaration: its line, the words before its brace, and its statements by first word."""

    line: int
    head: Words
    statements: dict[str, Words] = field(default_factory=dict)


def read_leases(path: Path) -> Iterator[Lease | RejectedRecord]:
    """Yield the leases of a file. Raise SourceError."""
    open_blocks: list[_Block] = []
    words: Words = []
    line = 0
    for line, word in _tokenize(path):
        if word == "{":
            if len(open_blocks) == MAX_DEPTH:
                raise damaged_error(path, line, "blocks are nested too deeply")
            open_blocks.append(_Block(line, words))
            words = []
        elif word == "}":
            if words or not open_blocks:
                raise damaged_error(path, line, "unexpected end of a block")
            block = open_blocks.pop()
            if block.head[:1] == ["lease"] and not open_blocks:
                yield _parse_lease(block)
            elif open_blocks and open_blocks[-1].head[:1] in ([name] for name in _ASSOCIATIONS):
                yield Lease(block.line, None, " ".join(block.head[1:2]), None, None, active=False, name=None)
        elif word == ";":
            if open_blocks and words:
                open_blocks[-1].statements[words[0]] = words[1:]
            words = []
        else:
            words.append(word)
            if len(words) > MAX_WORDS:
                raise damaged_error(path, line, "it is not a dhcpd statement")
    if open_blocks:
        raise damaged_error(path, open_blocks[0].line, "the block that begins here does not end")
    if words:
        raise damaged_error(path, line, "it is not a dhcpd statement")


def _tokenize(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in read_lines(path):
        position = 0
        while position < len(line):
            match = _TOKEN.match(line, position)
            if match is None:
                raise damaged_error(path, number, "a string does not end")
            if match["word"]:
                yield number, match["word"]
            position = match.end()


def _parse_lease(block: _Block) -> Lease | RejectedRecord:
    statements = block.statements
    state = statements.get("binding", [])[1:]
    if "abandoned" in statements or state == ["abandoned"]:
        return RejectedRecord(block.line, "abandoned address", " ".join(block.head[1:]))
    hardware = statements.get("hardware", [])
    try:
        starts, ends = _parse_time(statements.get("starts", ["never"])), _parse_time(statements.get("ends", ["never"]))
    except ValueError as error:
        return RejectedRecord(block.line, "unreadable time", str(error))
    return Lease(
        block.line,
        hardware[1] if hardware[:1] == ["ethernet"] and len(hardware) == 2 else None,
        " ".join(block.head[1:]),
        starts,
        ends,
        # Old servers, and those of the BSDs, do not write a state.
        active=state in ([], ["active"], ["bootp"]),
        name=_unquote(statements["client-hostname"]) if "client-hostname" in statements else None,
    )


def _parse_time(words: Words) -> int | None:
    """Return microseconds since the epoch, or None for `never`. Raise ValueError with the invalid text."""
    text = " ".join(words)
    if text == "never":
        return None
    if match := _EPOCH.fullmatch(text):
        return int(match[1]) * SECOND
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError(text) from None
    return int(moment.timestamp()) * SECOND


def _unquote(words: Words) -> bytes:
    """Return the content of a quoted string, in which dhcpd writes unprintable bytes as octal escapes."""

    def unescape(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 8) & 0xFF]) if len(match[1]) == 3 else match[1]

    text = " ".join(words).removeprefix('"').removesuffix('"')
    return _ESCAPE_SEQUENCE.sub(unescape, text.encode())
