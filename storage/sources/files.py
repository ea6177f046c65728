"""Text files, read a line at a time; what is damaged is told by its line."""

from collections.abc import Iterator
from pathlib import Path

LONGEST = 1024 * 1024  # bytes of a line; the longest session that is exported takes a tenth
BLOCK = 1024 * 1024
BOM = "\ufeff"


class SourceError(Exception):
    """The file cannot be read as what it should be; one sentence for a person."""


def unreadable(path: Path, cause: OSError) -> SourceError:
    """A file that the system does not give."""
    return SourceError(f"{path} cannot be read ({cause.strerror}).")


def damaged(path: Path, line: int, what: str) -> SourceError:
    """A file in which a line is not as it was written."""
    return SourceError(f"{path} is damaged in line {line}: {what}. Nothing of it was imported.")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines and their numbers, with their ends; raises SourceError."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                yield number, _text(path, number, line)
    except OSError as cause:
        raise unreadable(path, cause) from cause


def _text(path: Path, number: int, line: bytes) -> str:
    if len(line) > LONGEST:
        raise damaged(path, number, f"it has more than {LONGEST:,} bytes")
    # Whoever writes such a file ends each line.
    if not line.endswith(b"\n"):
        raise damaged(path, number, "the file breaks off")
    if b"\0" in line:
        raise damaged(path, number, "it is not text")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise damaged(path, number, "it is not UTF-8") from None
    return text.removeprefix(BOM) if number == 1 else text


def count_lines(path: Path) -> int:
    """How many lines there are; raises SourceError."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
    except OSError as cause:
        raise unreadable(path, cause) from cause
