"""The README: its examples, settings, paths and commands agree with the program."""

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
    """Return the curl commands in the README."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [block.replace("\\\n", " ") for block in blocks if block.startswith("curl")]


def request_of(server: Server, command: str) -> tuple[str, str, dict[str, Any]]:
    """Return the request that a curl command sends: method, URL, and the arguments headers and content."""
    words = shlex.split(command.replace("$API_TOKEN", server.headers["Authorization"].removeprefix("Bearer ")))
    url = next(word for word in words if word.startswith("http")).replace("http://127.0.0.1:20212", server.url)
    flags = {flag: [words[n + 1] for n, word in enumerate(words) if word == flag] for flag in ("-X", "-H", "-d")}
    method = (flags["-X"] or ["POST" if flags["-d"] else "GET"])[0]
    headers = dict(header.split(": ", 1) for header in flags["-H"])
    return method, url, {"headers": headers, "content": (flags["-d"] or [""])[0]}


def send(server: Server, command: str) -> httpx.Response:
    """Send the request of a curl command."""
    method, url, arguments = request_of(server, command)
    return httpx.request(method, url, **arguments)


def test_examples_get_the_responses_in_the_readme(tmp_path: Path) -> None:
    """All endpoints and GraphQL, in the order of the README."""
    with running(tmp_path) as server:
        responses = [send(server, command) for command in curls() if "event-stream" not in command]
    assert len(responses) == 11
    assert [response.status_code for response in responses] == [200] * 11
    bodies = [response.json() for response in responses]
    assert all(body.get("success", True) is True and "errors" not in body for body in bodies)
    [expected] = re.findall(r"```json\n(.*?)\n```", README, re.DOTALL)
    assert responses[1].text == expected


def test_example_subscription_starts_an_event_stream(tmp_path: Path) -> None:
    """Only the headers are read, because the stream has no end."""
    [command] = [command for command in curls() if "event-stream" in command]
    with running(tmp_path) as server:
        method, url, arguments = request_of(server, command)
        with httpx.stream(method, url, **arguments) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")


def test_table_lists_every_setting_with_its_default() -> None:
    """The table has no other settings."""
    table = re.findall(r"^\| `([A-Z_]+)` \| `--([a-z-]+)` \| ([^|]*) \|", README, re.MULTILINE)
    assert [name.lower() for name, _, _ in table] == list(Settings.model_fields)
    for name, flag, default in table:
        field = Settings.model_fields[name.lower()]
        assert flag == name.lower().replace("_", "-")
        if field.default is not None and field.default_factory is None:
            assert default == (str(field.default).lower() if field.annotation is bool else str(field.default))


def test_readme_names_every_path_parameter_and_command() -> None:
    """Paths and parameters of the REST API are those of its OpenAPI description."""
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
def test_every_command_has_a_help_text(command: str) -> None:
    """`--help` prints it."""
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_commands_have_the_options_in_the_examples() -> None:
    """For all shell blocks."""
    examples = re.findall(
        r"netsessions ((?:import|demo|serve|prune|copy|db|token).*)",
        "".join(re.findall(r"```sh\n.*?```", README, re.S)),
    )
    assert len(examples) >= 9
    for line in examples:
        words = shlex.split(line)
        depth = 2 if words[0] in ("db", "token") else 1
        result = CliRunner().invoke(main, [*words[:depth], "--help"])
        assert result.exit_code == 0, line
        assert all(word in result.output for word in words if word.startswith("--")), line


def test_no_other_distribution_owns_one_of_the_packages() -> None:
    """Otherwise an installation would silently overwrite the files of the other one."""
    owners = packages_distributions()
    for name in ("netsessions", "schema", "rest_compat", "resolvers", "storage"):
        assert set(owners.get(name, ["netsessions"])) == {"netsessions"}
