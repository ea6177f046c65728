"""The audit checks all locks, fails on a finding, and reports a registry without an answer."""

import json
from pathlib import Path
from typing import Any

import pytest

import audit

PACKAGE: dict[str, Any] = {"name": "starlette", "version": "1.0"}
SKIPPED = PACKAGE | {"skip_reason": "Dependency not found"}
NPM_CLEAN: dict[str, Any] = {"vulnerabilities": {}}
PYTHON_CLEAN: dict[str, Any] = {"dependencies": [PACKAGE | {"vulns": []}]}


@pytest.fixture
def run_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs the audit with given reports of the programs, and returns its output and exit code.

    A report is JSON, or a shell command to run instead.
    """
    monkeypatch.setattr(audit, "PROGRAMS", tmp_path)

    def run(python: Any, npm: Any) -> tuple[str, int]:
        for name, report in (("pip-audit", python), ("npm", npm)):
            command = report if isinstance(report, str) else f"cat <<'END'\n{json.dumps(report)}\nEND"
            (tmp_path / name).write_text(f"#!/bin/sh\necho $PWD $* >> {tmp_path}/calls\n{command}\n")
            (tmp_path / name).chmod(0o755)
        code = audit.main()
        return capsys.readouterr().out, code

    return run


def test_audit_covers_all_locks(run_audit: Any, tmp_path: Path) -> None:
    """The Python locks and that of the pages."""
    assert run_audit(PYTHON_CLEAN, NPM_CLEAN) == ("", 0)
    python, npm = (tmp_path / "calls").read_text().splitlines()
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert f"--requirement={audit.ROOT / lock}" in python
    assert npm == f"{audit.ROOT / 'ui'} audit --json"


def test_finding_is_printed_and_fails(run_audit: Any) -> None:
    """Also if the other registry does not answer, and whatever exit code the program has."""
    report = {"dependencies": [SKIPPED, PACKAGE | {"vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}]}
    output, code = run_audit(report, {"message": "405 Method Not Allowed", "error": {}})
    unavailable = "npm: no audit available (405 Method Not Allowed)"
    assert (output.splitlines(), code) == (
        ["pip-audit: starlette 1.0: CVE-1", "pip-audit: starlette 1.0: CVE-2", unavailable],
        1,
    )
    vulnerable = {"vulnerabilities": {"vite": {"range": "<8", "severity": "low"}}}
    assert run_audit(PYTHON_CLEAN, vulnerable) == ("npm: vite <8: low\n", 1)


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"dependencies": [SKIPPED, SKIPPED]}, "Dependency not found"),
        ("echo first >&2; echo no route >&2; exit 1", "no route"),
        ("exit 1", "no output"),
        ("exec sleep 60", "no answer within 2 seconds"),
    ],
)
def test_registry_without_answer_is_reported_and_does_not_fail(
    run_audit: Any, monkeypatch: pytest.MonkeyPatch, report: Any, reason: str
) -> None:
    """The output is one line with the reason."""
    monkeypatch.setattr(audit, "TIMEOUT_SECONDS", 2)
    assert run_audit(report, NPM_CLEAN) == (f"pip-audit: no audit available ({reason})\n", 0)
