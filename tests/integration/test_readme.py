"""The README says what the program does."""

import re
import shlex
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from click.testing import CliRunner

from netsessions.cli import main
from netsessions.settings import Settings
from rest_compat.openapi import document
from tests.support.server import Server, running

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def curls() -> list[str]:
    """The curl commands that the README shows."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [block.replace("\\\n", " ") for block in blocks if block.startswith("curl")]


def request_of(server: Server, command: str) -> tuple[str, str, dict[str, Any]]:
    """The request that a curl command sends: method, address, headers and body."""
    words = shlex.split(command.replace("$API_TOKEN", server.headers["Authorization"].removeprefix("Bearer ")))
    url = next(word for word in words if word.startswith("http")).replace("http://127.0.0.1:20212", server.url)
    given = {flag: [words[n + 1] for n, word in enumerate(words) if word == flag] for flag in ("-X", "-H", "-d")}
    method = (given["-X"] or ["POST" if given["-d"] else "GET"])[0]
    headers = dict(header.split(": ", 1) for header in given["-H"])
    return method, url, {"headers": headers, "content": (given["-d"] or [""])[0]}


def send(server: Server, command: str) -> httpx.Response:
    """Carries out a curl command as curl would."""
    method, url, how = request_of(server, command)
    return httpx.request(method, url, **how)


def test_every_command_that_is_shown_works_and_answers_as_shown(tmp_path: Path) -> None:
    """All endpoints and GraphQL, in the order of the README."""
    with running(tmp_path) as server:
        answers = [send(server, command) for command in curls() if "event-stream" not in command]
    assert len(answers) == 11
    assert [answer.status_code for answer in answers] == [200] * 11
    assert all(answer.json().get("success", True) is True and "errors" not in answer.json() for answer in answers)
    [shown] = re.findall(r"```json\n(.*?)\n```", README, re.DOTALL)
    assert answers[1].text == shown


def test_the_subscription_that_is_shown_begins(tmp_path: Path) -> None:
    """It goes on until the client ends it."""
    [command] = [command for command in curls() if "event-stream" in command]
    with running(tmp_path) as server:
        method, url, how = request_of(server, command)
        with httpx.stream(method, url, **how) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    """And the table names no other."""
    table = re.findall(r"^\| `([A-Z_]+)` \| `--([a-z-]+)` \| ([^|]*) \|", README, re.MULTILINE)
    assert [name.lower() for name, _, _ in table] == list(Settings.model_fields)
    for name, flag, default in table:
        field = Settings.model_fields[name.lower()]
        assert flag == name.lower().replace("_", "-")
        if field.default is not None and field.default_factory is None:
            assert default == (str(field.default).lower() if field.annotation is bool else str(field.default))


def test_every_path_and_command_is_told() -> None:
    """What the program has, the README names."""
    for path, operations in document()["paths"].items():
        [method] = operations
        assert f"`{method.upper()} {path.replace('{mac}', '<mac>')}`" in README
    for parameter in (
        p["name"] for path in document()["paths"].values() for p in path.get("get", {}).get("parameters", [])
    ):
        assert f"`{parameter}`" in README or parameter == "mac"
    for command in main.commands:
        assert f"netsessions {command}" in README


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command: str) -> None:
    """`--help` of each."""
    answer = CliRunner().invoke(main, [command, "--help"])
    assert answer.exit_code == 0
    assert "Usage:" in answer.output


def test_the_commands_that_are_shown_have_the_options_that_are_shown() -> None:
    """Whatever stands in a shell block."""
    shown = re.findall(
        r"netsessions ((?:import|demo|serve|prune|copy|db|token).*)",
        "".join(re.findall(r"```sh\n.*?```", README, re.S)),
    )
    assert len(shown) >= 9
    for line in shown:
        words = shlex.split(line)
        depth = 2 if words[0] in ("db", "token") else 1
        answer = CliRunner().invoke(main, [*words[:depth], "--help"])
        assert answer.exit_code == 0, line
        assert all(word in answer.output for word in words if word.startswith("--")), line


def test_no_other_distribution_owns_one_of_our_names() -> None:
    """The top-level names are short; beside another owner of one, files would overwrite each other without a word."""
    owners = packages_distributions()
    for name in ("netsessions", "schema", "rest_compat", "resolvers", "storage"):
        assert set(owners.get(name, ["netsessions"])) == {"netsessions"}
