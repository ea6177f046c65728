"""Measures everything and says how it compares: `python -m benchmarks.run [--quick] [--results] [NAME...]`.

Prints a line for each figure and counts them at the end. With `--results` the figures are kept in RESULTS.md, in front of
what was written there by hand.
"""

import argparse
import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import apsw

from benchmarks.figures import Figure
from benchmarks.postgresql import postgresql
from benchmarks.reads import reads
from benchmarks.servers import CORES
from benchmarks.watching import watching
from benchmarks.writes import writes

RESULTS = Path(__file__).parent / "RESULTS.md"
BY_HAND = "<!-- written by hand below -->"


def main() -> None:
    """Measures what is asked for, everything unless told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds, and no database of 10,000,000 sessions")
    parser.add_argument("--results", action="store_true", help="keep the figures in RESULTS.md")
    parser.add_argument("names", nargs="*", help="only figures whose name begins so")
    given = parser.parse_args()

    def wanted(name: str) -> bool:
        return not given.names or any(name.startswith(prefix) for prefix in given.names)

    if len(CORES) < 2:
        print("One core only: servers and client share it, and figures are less steady.")  # noqa: T201
    found: list[Figure] = []
    for measure in (reads, writes, watching, postgresql):
        for figure in measure(given.quick, wanted):
            found.append(figure)
            print(f"{figure.line()}\n  {figure.detail}", flush=True)  # noqa: T201
    ok = sum(figure.ok for figure in found)
    if given.results:
        keep(found)
    print(f"{len(found)} figures, {ok} ok, {len(found) - ok} short")  # noqa: T201


def keep(figures: list[Figure]) -> None:
    """Writes the figures into RESULTS.md."""
    written = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else BY_HAND
    RESULTS.write_text(report(figures) + BY_HAND + written.partition(BY_HAND)[2], encoding="utf-8")


def machine() -> str:
    """What it was measured on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {len(CORES)} cores, {memory:.0f} GiB; {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()} here and {sqlite3.sqlite_version} in bare"
    )


def report(figures: list[Figure]) -> str:
    """The figures as a table, and drawn against their goals."""
    rows = "\n".join(
        f"| {f.name} | {f.value:.2f} | {'at most ' * f.at_most}{f.goal:g} | {f.beyond:g} | "
        f"{'beyond' if f.reaches(f.beyond) else 'ok' if f.ok else 'short'} | {f.detail} |"
        for f in figures
    )
    wide = max(len(f.name) for f in figures)
    chart = "\n".join(f"{f.name:<{wide}} {bar(f)}" for f in figures)
    return f"""# Results

Measured on {datetime.now(UTC):%Y-%m-%d} by `make bench`, in one run.

{machine()}

| figure | value | goal | beyond | | measured |
|---|---|---|---|---|---|
{rows}

How far each figure is along the way to its goal, marked `|`:

```
{chart}
```

"""


def bar(figure: Figure, width: int = 20) -> str:
    """How good a figure is, where `width` characters are its goal."""
    share = figure.goal / figure.value if figure.at_most else figure.value / figure.goal
    drawn = "█" * min(round(share * width), 3 * width)
    return f"{drawn[:width]:<{width}}|{drawn[width:]}"


if __name__ == "__main__":
    main()
