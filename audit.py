"""Audits the locked dependencies for known vulnerabilities. `make check` fails if there are any.

If the registry does not respond or does not support audits, as is true of many mirrors, one line reports this, and the
check does not fail.
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
TIMEOUT_SECONDS = 120
LOCKS = [f"--requirement={path}" for path in sorted(ROOT.glob("requirements*.lock"))]


class AuditUnavailableError(Exception):
    """The registry did not respond to the audit. The message has the reason."""


def run_audit(folder: Path, program: str, *arguments: str) -> Any:
    """Run an audit program and return its JSON output. Raise AuditUnavailableError."""
    environment = os.environ | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    command = [str(PROGRAMS / program), *arguments]
    try:
        finished = subprocess.run(  # noqa: S603, constant arguments
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        return json.loads(finished.stdout)
    except subprocess.TimeoutExpired:
        raise AuditUnavailableError(f"no answer within {TIMEOUT_SECONDS} seconds") from None
    except ValueError:
        raise AuditUnavailableError((finished.stderr.strip().splitlines() or ["no output"])[-1]) from None


def audit_python() -> list[str]:
    """Return the findings of pip-audit, one line each. It skips packages that the registry does not know."""
    report = run_audit(ROOT, "pip-audit", "--disable-pip", "--progress-spinner=off", "--format=json", *LOCKS)
    packages = report["dependencies"]
    if all("skip_reason" in package for package in packages):
        raise AuditUnavailableError(packages[0]["skip_reason"])
    return [
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]


def audit_npm() -> list[str]:
    """Return the findings of `npm audit`, one line each."""
    report = run_audit(ROOT / "ui", "npm", "audit", "--json")
    if "vulnerabilities" not in report:
        raise AuditUnavailableError(report["message"])
    vulnerabilities = report["vulnerabilities"].items()
    return [f"{name} {vulnerability['range']}: {vulnerability['severity']}" for name, vulnerability in vulnerabilities]


def main() -> int:
    """Print all findings. Return 1 if there are any, otherwise 0."""
    code = 0
    for program, audit in (("pip-audit", audit_python), ("npm", audit_npm)):
        try:
            for finding in audit():
                click.echo(f"{program}: {finding}")
                code = 1
        except AuditUnavailableError as reason:
            click.echo(f"{program}: no audit available ({reason})")
    return code


if __name__ == "__main__":
    sys.exit(main())
