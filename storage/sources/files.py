"""Read text files line by line, and report damage with its line number."""

from collections.abc import Iterator
from pathlib import Path

MAX_LINE_BYTES = 1024 * 1024  # ten times the longest exported session
READ_SIZE = 1024 * 1024  # bytes
BOM = "\ufeff"


class SourceError(Exception):
    """The file cannot be read in its format. The message is shown to the user."""


def unreadable_error(path: Path, cause: OSError) -> SourceError:
    """Return the error for a file that the operating system does not open or read."""
    return SourceError(f"{path} cannot be read ({cause.strerror}).")


def damaged_error(path: Path, line: int, problem: str) -> SourceError:
    """Return the error for a file with an invalid line."""
    return SourceError(f"{path} is damaged at line {line}: {problem}. Nothing was imported.")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line numbers, from 1, and lines with their line ends. Raise SourceError."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                yield number, _decode_line(path, number, line)
    except OSError as cause:
        raise unreadable_error(path, cause) from cause


def _decode_line(path: Path, number: int, line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise damaged_error(path, number, f"it has more than {MAX_LINE_BYTES:,} bytes")
    # All supported programs end every line, also the last.
    if not line.endswith(b"\n"):
        raise damaged_error(path, number, "the file is truncated")
    if b"\0" in line:
        raise damaged_error(path, number, "it contains a null byte")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise damaged_error(path, number, "it is not UTF-8") from None
    return text.removeprefix(BOM) if number == 1 else text


def count_lines(path: Path) -> int:
    """Count the lines. Raise SourceError."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(READ_SIZE), b""))
    except OSError as cause:
        raise unreadable_error(path, cause) from cause
