"""Leases files of ISC dhcpd: declarations of leases, of which the later ones count more.

A parser of our own: what there is on the index passes by what it cannot read, where a damaged file must be told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from storage.sources.files import damaged, lines
from storage.sources.records import Lease, Refused
from storage.tables import SECOND

Words = list[str]

DEEPEST, LONGEST = 20, 1000  # blocks within blocks, and words of one statement
_TOKEN = re.compile(r'\s+|#.*|(?P<word>"(?:[^"\\]|\\.)*"|[{};]|[^\s"{};#]+)')
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_TIME = re.compile(r"\d+ (\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_EPOCH = re.compile(r"epoch (\d{1,12})", re.ASCII)
_ASSOCIATIONS = ("ia-na", "ia-ta", "ia-pd")


@dataclass
class _Block:
    """A declaration: its line, the words before its brace, and its statements by their first word."""

    line: int
    head: Words
    statements: dict[str, Words] = field(default_factory=dict)


def leases(path: Path) -> Iterator[Lease | Refused]:
    """The leases of a file; raises SourceError."""
    open_blocks: list[_Block] = []
    words: Words = []
    line = 0
    for line, word in _tokens(path):
        if word == "{":
            if len(open_blocks) == DEEPEST:
                raise damaged(path, line, "blocks lie too deep in one another")
            open_blocks.append(_Block(line, words))
            words = []
        elif word == "}":
            if words or not open_blocks:
                raise damaged(path, line, "a block ends where none can end")
            block = open_blocks.pop()
            if block.head[:1] == ["lease"] and not open_blocks:
                yield _lease(block)
            elif open_blocks and open_blocks[-1].head[:1] in ([name] for name in _ASSOCIATIONS):
                yield Lease(block.line, None, " ".join(block.head[1:2]), None, None, held=False, name=None)
        elif word == ";":
            if open_blocks and words:
                open_blocks[-1].statements[words[0]] = words[1:]
            words = []
        else:
            words.append(word)
            if len(words) > LONGEST:
                raise damaged(path, line, "it is not a statement of dhcpd")
    if open_blocks:
        raise damaged(path, open_blocks[0].line, "what begins there does not end")
    if words:
        raise damaged(path, line, "it is not a statement of dhcpd")


def _tokens(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines(path):
        at = 0
        while at < len(line):
            match = _TOKEN.match(line, at)
            if match is None:
                raise damaged(path, number, "a text does not end")
            if match["word"]:
                yield number, match["word"]
            at = match.end()


def _lease(block: _Block) -> Lease | Refused:
    said = block.statements
    state = said.get("binding", [])[1:]
    if "abandoned" in said or state == ["abandoned"]:
        return Refused(block.line, "abandoned address", " ".join(block.head[1:]))
    hardware = said.get("hardware", [])
    try:
        starts, ends = _time(said.get("starts", ["never"])), _time(said.get("ends", ["never"]))
    except ValueError as problem:
        return Refused(block.line, "unreadable time", str(problem))
    return Lease(
        block.line,
        hardware[1] if hardware[:1] == ["ethernet"] and len(hardware) == 2 else None,
        " ".join(block.head[1:]),
        starts,
        ends,
        # Servers of old, and those of the BSDs, tell no state.
        held=state in ([], ["active"], ["bootp"]),
        name=_unquoted(said["client-hostname"]) if "client-hostname" in said else None,
    )


def _time(words: Words) -> int | None:
    """Microseconds; none for never. Raises ValueError with what is no time."""
    text = " ".join(words)
    if text == "never":
        return None
    if match := _EPOCH.fullmatch(text):
        return int(match[1]) * SECOND
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError(text) from None
    return int(moment.timestamp()) * SECOND


def _unquoted(words: Words) -> bytes:
    """A text, in which dhcpd writes what is not printable as octal digits."""

    def plain(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 8) & 0xFF]) if len(match[1]) == 3 else match[1]

    text = " ".join(words).removeprefix('"').removesuffix('"')
    return _ESCAPED.sub(plain, text.encode())
