"""Asks the registries whether what the locks name has known vulnerabilities: `make check` fails where it has.

A registry that does not answer that, as many mirrors do not, or none at all, is told of in one line and fails nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent
PROGRAMS = Path(sys.prefix) / "bin"
SECONDS = 120  # that an audit may take
LOCKS = [f"--requirement={path}" for path in sorted(ROOT.glob("requirements*.lock"))]


class NotAnsweredError(Exception):
    """Nobody told whether there are vulnerabilities; the message says why."""


def asked(folder: Path, program: str, *arguments: str) -> Any:
    """What a program answers, as JSON. Raises NotAnsweredError."""
    here = os.environ | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    command = [str(PROGRAMS / program), *arguments]
    try:
        done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise NotAnsweredError(f"not within {SECONDS} seconds") from None
    except ValueError:
        raise NotAnsweredError((done.stderr.strip().splitlines() or ["without a word"])[-1]) from None


def of_python() -> list[str]:
    """What pip-audit finds. It passes over what the registry does not know."""
    answer = asked(ROOT, "pip-audit", "--disable-pip", "--progress-spinner=off", "--format=json", *LOCKS)
    packages = answer["dependencies"]
    if all("skip_reason" in each for each in packages):
        raise NotAnsweredError(packages[0]["skip_reason"])
    return [f"{each['name']} {each['version']}: {known['id']}" for each in packages for known in each.get("vulns", ())]


def of_npm() -> list[str]:
    """What npm finds."""
    answer = asked(ROOT / "ui", "npm", "audit", "--json")
    if "vulnerabilities" not in answer:
        raise NotAnsweredError(answer["message"])
    return [f"{name} {each['range']}: {each['severity']}" for name, each in answer["vulnerabilities"].items()]


def main() -> int:
    """Tells what was found; answers 1 where anything was."""
    code = 0
    for program, look in (("pip-audit", of_python), ("npm", of_npm)):
        try:
            for finding in look():
                click.echo(f"{program}: {finding}")
                code = 1
        except NotAnsweredError as reason:
            click.echo(f"{program}: the audit was not answered ({reason})")
    return code


if __name__ == "__main__":
    sys.exit(main())
