"""Asks the registries whether what the locks name has known vulnerabilities: `make check` fails where it has.

A registry that does not answer that, as many mirrors do not, or none at all, is told of in one line and fails nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent
PROGRAMS = Path(sys.prefix) / "bin"
SECONDS = 120  # that an audit may take
LOCKS = [f"--requirement={path}" for path in sorted(ROOT.glob("requirements*.lock"))]


class NotAnsweredError(Exception):
    """Nobody told whether there are vulnerabilities; the message says why."""


def of_python(answer: Any) -> list[str]:
    """What pip-audit found. It passes over what the registry does not know."""
    skipped = [each["skip_reason"] for each in answer["dependencies"] if "skip_reason" in each]
    if skipped and len(skipped) == len(answer["dependencies"]):
        raise NotAnsweredError(skipped[0])
    found = [(each, known["id"]) for each in answer["dependencies"] for known in each.get("vulns", ())]
    return [f"{each['name']} {each['version']}: {known}" for each, known in found]


def of_npm(answer: Any) -> list[str]:
    """What npm found."""
    if "vulnerabilities" not in answer:
        raise NotAnsweredError(answer["message"])
    return [f"{name} {each['range']}: {each['severity']}" for name, each in answer["vulnerabilities"].items()]


def asked(read: Callable[[Any], list[str]], folder: Path, program: str, *arguments: str) -> list[str]:
    """What a program finds. Raises NotAnsweredError."""
    path = {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    command = [str(PROGRAMS / program), *arguments]
    try:
        done = subprocess.run(  # noqa: S603, what is run is ours
            command, cwd=folder, env=os.environ | path, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return read(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise NotAnsweredError(f"not within {SECONDS} seconds") from None
    except ValueError:
        raise NotAnsweredError((done.stderr.strip().splitlines() or ["without a word"])[-1]) from None


def main() -> int:
    """Tells what was found; answers 1 where anything was."""
    code = 0
    python = partial(
        asked, of_python, ROOT, "pip-audit", "--disable-pip", "--progress-spinner=off", "--format=json", *LOCKS
    )
    for program, findings in (
        ("pip-audit", python),
        ("npm", partial(asked, of_npm, ROOT / "ui", "npm", "audit", "--json")),
    ):
        try:
            for finding in findings():
                click.echo(f"{program}: {finding}")
                code = 1
        except NotAnsweredError as reason:
            click.echo(f"{program}: the audit was not answered ({reason})")
    return code


if __name__ == "__main__":
    sys.exit(main())
