"""Runs the benchmarks: `python -m benchmarks.run [--quick] [--results] [PREFIX...]`.

Prints each figure, and the number of figures that reach their goals. With `--results`, also writes them into RESULTS.md, in
front of its manually written part.
"""

import argparse
import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import apsw

from benchmarks.figures import Figure
from benchmarks.postgresql import postgresql_figures
from benchmarks.reads import read_figures
from benchmarks.servers import CORES
from benchmarks.subscriptions import subscription_figures
from benchmarks.writes import write_figures

RESULTS = Path(__file__).parent / "RESULTS.md"
MANUAL_PART = "<!-- written manually below -->"


def main() -> None:
    """Measure the selected figures, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds, without the 10,000,000 sessions")
    parser.add_argument("--results", action="store_true", help="write the figures into RESULTS.md")
    parser.add_argument("prefixes", nargs="*", metavar="PREFIX", help="measure only figures whose name starts with it")
    arguments = parser.parse_args()

    def selected(name: str) -> bool:
        return not arguments.prefixes or name.startswith(tuple(arguments.prefixes))

    if len(CORES) < 2:
        print("Only one core: servers and client share it, which makes the figures less stable.")  # noqa: T201
    figures: list[Figure] = []
    for measure in (read_figures, write_figures, subscription_figures, postgresql_figures):
        for figure in measure(arguments.quick, selected):
            figures.append(figure)
            print(f"{figure.summary()}\n  {figure.detail}", flush=True)  # noqa: T201
    ok = sum(figure.ok for figure in figures)
    if arguments.results:
        write_results(figures)
    print(f"{len(figures)} figures, {ok} ok, {len(figures) - ok} short")  # noqa: T201


def write_results(figures: list[Figure]) -> None:
    """Replace the generated part of RESULTS.md."""
    previous = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else MANUAL_PART
    RESULTS.write_text(report(figures) + MANUAL_PART + previous.partition(MANUAL_PART)[2], encoding="utf-8")


def describe_machine() -> str:
    """Describe the hardware and the versions in one line."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {len(CORES)} cores, {memory:.0f} GiB; {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()} in netsessions, "
        f"{sqlite3.sqlite_version} in the bare server"
    )


def report(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table and as a bar chart."""
    rows = "\n".join(
        f"| {f.name} | {f.value:.2f} | {'at most ' * f.at_most}{f.goal:g} | {f.stretch_goal:g} | "
        f"{'stretch goal' if f.reaches(f.stretch_goal) else 'ok' if f.ok else 'short'} | {f.detail} |"
        for f in figures
    )
    width = max(len(f.name) for f in figures)
    chart = "\n".join(f"{f.name:<{width}} {bar(f)}" for f in figures)
    return f"""# Results

Measured on {datetime.now(UTC):%Y-%m-%d} by one run of `make bench`.

{describe_machine()}

| figure | value | goal | stretch goal | reached | details |
|---|---|---|---|---|---|
{rows}

Each figure relative to its goal, which is marked `|`:

```
{chart}
```

"""


def bar(figure: Figure, width: int = 20) -> str:
    """Draw a figure as a bar. `width` characters stand for the goal, and the bar ends at three times as many."""
    share = figure.goal / figure.value if figure.at_most else figure.value / figure.goal
    drawn = "█" * min(round(share * width), 3 * width)
    return f"{drawn[:width]:<{width}}|{drawn[width:]}"


if __name__ == "__main__":
    main()
