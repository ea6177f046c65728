"""What the locks name is asked about, and a finding fails; where nobody answers, that is told."""

import json
from pathlib import Path
from typing import Any

import pytest

import audit

NAMED: dict[str, Any] = {"name": "starlette", "version": "1.0"}
SKIPPED = NAMED | {"skip_reason": "Dependency not found"}
NPM_CLEAN: dict[str, Any] = {"vulnerabilities": {}}
PYTHON_CLEAN: dict[str, Any] = {"dependencies": [NAMED | {"vulns": []}]}


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the audit tells, and its exit code, where the programs answer this."""
    monkeypatch.setattr(audit, "PROGRAMS", tmp_path)

    def tell(python: Any, npm: Any) -> tuple[str, int]:
        for name, answer in (("pip-audit", python), ("npm", npm)):
            text = answer if isinstance(answer, str) else f"cat <<'END'\n{json.dumps(answer)}\nEND"
            (tmp_path / name).write_text(f"#!/bin/sh\necho $PWD $* >> {tmp_path}/calls\n{text}\n")
            (tmp_path / name).chmod(0o755)
        code = audit.main()
        return capsys.readouterr().out, code

    return tell


def test_all_locks_are_asked_about(answered: Any, tmp_path: Path) -> None:
    """Those of Python and that of the pages."""
    assert answered(PYTHON_CLEAN, NPM_CLEAN) == ("", 0)
    python, npm = (tmp_path / "calls").read_text().splitlines()
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert f"--requirement={audit.ROOT / lock}" in python
    assert npm == f"{audit.ROOT / 'ui'} audit --json"


def test_a_finding_fails_and_is_named(answered: Any) -> None:
    """Also where the other registry does not answer, and whatever exit code the program has."""
    found = {"dependencies": [SKIPPED, NAMED | {"vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}]}
    text, code = answered(found, {"message": "405 Method Not Allowed", "error": {}})
    told = "npm: the audit was not answered (405 Method Not Allowed)"
    assert (text.splitlines(), code) == (
        ["pip-audit: starlette 1.0: CVE-1", "pip-audit: starlette 1.0: CVE-2", told],
        1,
    )
    vulnerable = {"vulnerabilities": {"vite": {"range": "<8", "severity": "low"}}}
    assert answered(PYTHON_CLEAN, vulnerable) == ("npm: vite <8: low\n", 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"dependencies": [SKIPPED, SKIPPED]}, "Dependency not found"),
        ("echo first >&2; echo no route >&2; exit 1", "no route"),
        ("exit 1", "without a word"),
        ("exec sleep 60", "not within 0.5 seconds"),
    ],
)
def test_where_nobody_answers_that_is_told_in_one_line(
    answered: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, why: str
) -> None:
    """And nothing fails."""
    monkeypatch.setattr(audit, "SECONDS", 0.5)
    assert answered(answer, NPM_CLEAN) == (f"pip-audit: the audit was not answered ({why})\n", 0)
