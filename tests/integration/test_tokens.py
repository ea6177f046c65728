"""A token made for calendars reads the calendar and nothing else, until it is withdrawn."""

import json
import logging
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2 as httpx
import pytest
from click.testing import CliRunner, Result
from icalendar import Calendar

from netsessions.app import build
from netsessions.cli import main
from netsessions.http import access_log as observe
from netsessions.http.access_log import Metrics
from netsessions.http.authentication import Guard, RequireToken
from resolvers import tokens
from resolvers.context import OWN, Context, acting
from resolvers.validation.models import NewToken
from rest_compat.errors import failure, translated
from storage.errors import StoreUnavailableError
from tests.conftest import MAC, client_of, run, sql
from tests.integration.test_server import stay, wait_for_workers
from tests.support.server import TOKEN, Server, running

CALENDAR = "/sessions/calendar.ics"


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    """A server on a store with one session, which is open."""
    with running(tmp_path, DATABASE_URL=url) as started:
        with started.client() as client:
            assert client.post("/sessions/create", json=stay(1, mac=MAC)).status_code == 200
        yield started


def command(url: str, *arguments: str, **settings: str) -> Result:
    """A token command as an operator calls it."""
    return CliRunner().invoke(main, ["token", *arguments], env={"DATABASE_URL": url, **settings})


def make(url: str, name: str, *options: str, **settings: str) -> tuple[str, str]:
    """A new token, and the address to subscribe to."""
    made = command(url, "make", name, *options, **settings)
    assert made.exit_code == 0, made.output
    words = made.stdout.split()
    return words[words.index("Token:") + 1], words[words.index("Subscribe:") + 1]


def read(server: Server, token: str | None = None, bearer: str | None = None, **query: str) -> httpx.Response:
    """The calendar, with a token in the address, in the header, or both."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return httpx.get(server.url + CALENDAR, params=({} if token is None else {"token": token}) | query, headers=headers)


def refused(answer: httpx.Response) -> None:
    """401 as at every REST path."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"] == "unauthenticated"


def test_the_address_that_is_printed_can_be_subscribed_to(server: Server) -> None:
    """By a program that was told nothing else; with --mac it is one device's."""
    with server.client() as client:
        client.post("/sessions/create", json=stay(2, mac="00:00:00:00:00:02"))
    token, address = make(server.database, "phone", GRAPHQL_PORT=str(server.port))
    other, of_device = make(server.database, "tablet", "--mac", "aabbccddeeff", GRAPHQL_PORT=str(server.port))
    assert (urlsplit(address).path, parse_qs(urlsplit(address).query)) == (CALENDAR, {"token": [token]})
    assert parse_qs(urlsplit(of_device).query) == {"token": [other], "mac": [MAC]}
    for subscribed, count in ((address, 2), (of_device, 1)):
        answer = httpx.get(f"{subscribed}&period=100%20years")
        assert answer.status_code == 200, answer.text
        assert len(Calendar.from_ical(answer.content).walk("VEVENT")) == count


def test_it_comes_in_the_address_or_as_bearer_but_not_in_both(server: Server) -> None:
    """Of two it would be open which one another program on the way has checked."""
    token, _ = make(server.database, "phone")
    assert read(server, token).status_code == 200
    assert read(server, bearer=token).status_code == 200
    refused(read(server, token, bearer=token))
    refused(read(server, token, bearer=TOKEN))
    refused(httpx.get(f"{server.url}{CALENDAR}?token={token}&token={token}"))
    refused(read(server))


def test_the_servers_own_token_reads_it_but_never_from_the_address(server: Server) -> None:
    """What may do everything does not belong into addresses, which are kept and passed on."""
    assert read(server, bearer=TOKEN).status_code == 200
    refused(read(server, TOKEN))


@pytest.mark.parametrize("wrong", ["", "x", "é", "\0", "' OR 1=1 --", "x" * 3000])
def test_another_token_is_refused(server: Server, wrong: str) -> None:
    """Also one that is no token at all, and the digest of one that is."""
    token, _ = make(server.database, "phone")
    refused(httpx.get(f"{server.url}{CALENDAR}?token={quote(wrong)}"))
    refused(httpx.get(f"{server.url}{CALENDAR}?token=%FF%ED%A0%80{quote(wrong)}"))
    refused(httpx.get(server.url + CALENDAR, headers={b"Authorization": b"Bearer x" + wrong.encode().strip(b"\0")}))
    refused(read(server, sha256(token.encode()).hexdigest()))
    refused(read(server, token + "x"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sessions/calendar?start=2025-08-01&end=2025-08-02"),
        ("GET", "/sessions/list"),
        ("GET", "/sessions/session-events"),
        ("GET", f"/sessions/{MAC}"),
        ("GET", "/sessions/calendar.ics/"),
        ("GET", "/sessions//calendar.ics"),
        ("GET", "/sessions"),
        ("GET", "/metrics"),
        ("POST", "/sessions/create"),
        ("DELETE", "/sessions/delete"),
        ("POST", "/graphql"),
    ],
)
def test_it_opens_no_other_path(server_with_token: tuple[Server, str], method: str, path: str) -> None:
    """403 as Bearer; in the address nobody looks for one there; and nothing is changed."""
    server, token = server_with_token
    body = None if method == "GET" else {"query": "{ __typename }"} if path == "/graphql" else {"mac": MAC}
    answer = httpx.request(method, server.url + path, headers={"Authorization": f"Bearer {token}"}, json=body)
    assert answer.status_code == 403
    assert "scope read" in answer.text
    answer = httpx.request(method, f"{server.url}{path}{'&' if '?' in path else '?'}token={token}", json=body)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert sql(server.database, "SELECT count(*) FROM session") == [(1,)]


@pytest.fixture(scope="module")
def server_with_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """One server with one session, and a token for its calendar."""
    with running(tmp_path_factory.mktemp("server")) as started:
        with started.client() as client:
            client.post("/sessions/create", json=stay(1, mac=MAC))
        yield started, make(started.database, "phone")[0]


def test_one_that_is_withdrawn_is_refused_at_once_by_every_process(tmp_path: Path, url: str) -> None:
    """And another goes on; its name can be given again, to another token."""
    with running(tmp_path, "--workers", "2", DATABASE_URL=url) as server:
        wait_for_workers(server, 2)
        token, _ = make(url, "phone")
        other, _ = make(url, "tablet")
        for _ in range(20):
            assert read(server, token).status_code == 200
        assert command(url, "withdraw", "phone").exit_code == 0
        for _ in range(20):
            refused(read(server, token))
        assert read(server, other).status_code == 200
        again, _ = make(url, "phone")
        assert again != token
        refused(read(server, token))
        assert read(server, again).status_code == 200


def test_a_token_is_stored_as_its_digest_and_never_logged(tmp_path: Path, url: str) -> None:
    """Neither the database nor the most talkative log has it, whether it was right, withdrawn or in the wrong place."""
    with running(tmp_path, DATABASE_URL=url, LOG_LEVEL="debug") as server:
        token, _ = make(url, "phone")
        assert read(server, token).status_code == 200
        assert read(server, token, period="soon").status_code == 400
        assert httpx.get(f"{server.url}/sessions/list?token={token}").status_code == 401
        assert sql(url, "SELECT name, digest, scope FROM token") == [
            ("phone", sha256(token.encode()).hexdigest(), "calendar")
        ]
        command(url, "withdraw", "phone")
        refused(read(server, token))
        assert sql(url, "SELECT * FROM token") == []
        assert server.stop() == 0
    output = server.output.read_text()
    assert token not in output
    requests = [json.loads(line) for line in output.splitlines() if '"event":"request"' in line]
    assert [line["status"] for line in requests if line["path"] == CALENDAR] == [200, 400, 401]


def test_tokens_are_listed_without_what_they_are(url: str) -> None:
    """Name, scope and when it was made, by name."""
    assert command(url, "list").stdout == ""
    made = [make(url, name)[0] for name in ("tablet", "phone")]
    listed = command(url, "list").stdout
    assert [line.split("\t")[:2] for line in listed.splitlines()] == [["phone", "calendar"], ["tablet", "calendar"]]
    assert not any(token in listed for token in made)


def test_a_token_that_expires_is_listed_with_its_end(url: str) -> None:
    """A day is over with its last moment in TIMEZONE; only a calendar's token has an address."""
    berlin = {"TIMEZONE": "Europe/Berlin"}
    made = command(url, "make", "script", "--scope", "write", "--expires", "2099-12-31", **berlin)
    assert made.stdout.startswith("Token:")
    assert "Subscribe:" not in made.stdout
    make(url, "phone")
    ends = {line.split("\t")[0]: line.split("\t")[1:] for line in command(url, "list", **berlin).stdout.splitlines()}
    assert (ends["script"][0], ends["script"][2]) == ("write", "2100-01-01 00:00")
    assert (ends["phone"][0], ends["phone"][2]) == ("calendar", "never")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("phone", "'phone' is taken; withdraw that token, or choose another name"),
        (OWN, f"{OWN} is what the server's own token is called; choose another name"),
        *((name, "is not a name of a token") for name in ("a b", "", "a\tb", "a\nb")),
        ("x" * 101, "has 101 characters"),
        ("\ud800", "contains a character that cannot be stored"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(url: str, name: str, why: str) -> None:
    """In a sentence, and the tokens are as they were."""
    token, _ = make(url, "phone")
    answer = command(url, "make", name)
    assert answer.exit_code == 2
    assert why in answer.stderr.partition("name: ")[2]
    assert "Traceback" not in answer.output
    assert sql(url, "SELECT name, digest FROM token") == [("phone", sha256(token.encode()).hexdigest())]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("make", "x", "--scope", "owner"), "'owner' is not one of"),
        (("make", "x", "--scope", "read", "--mac", MAC), "--mac is for the address of a calendar"),
        (("make", "x", "--expires", "soon"), "expires: 'soon' is not a period"),
        (("make", "x", "--expires", "2020-01-01"), "expires: '2020-01-01' is over already"),
        (("make", "x", "--expires", "2020-13-01"), "expires: '2020-13-01' is not a day that exists"),
        (("make", "x", "--expires", "9000 years"), "expires: reaches too far ahead; at most to the year 9998"),
        (("make", "x", "--mac", "AA:BB"), "is not a MAC address"),
        (("withdraw", "nobody"), "there is no token called 'nobody'"),
    ],
)
def test_a_mistaken_option_is_told(url: str, arguments: tuple[str, ...], words: str) -> None:
    """And makes no token."""
    answer = command(url, *arguments)
    assert answer.exit_code == 2
    assert words in answer.stderr
    assert sql(url, "SELECT * FROM token") == []


def test_an_address_for_all_names_the_machine(url: str) -> None:
    """0.0.0.0 is no address to subscribe to."""
    _, address = make(url, "phone", HOST="0.0.0.0")
    assert urlsplit(address).hostname not in ("0.0.0.0", "", None)
    _, address = make(url, "tablet", HOST="::1", GRAPHQL_PORT="8080")
    assert address.startswith("http://[::1]:8080/sessions/calendar.ics?token=")


def test_only_a_token_of_the_calendars_scope_comes_in_the_address(context: Context) -> None:
    """One that may do more reads it, too, but as Bearer; and who acts is called by the name of the token."""

    async def tell(scope: Any, receive: Any, send: Any) -> None:
        await failure(200, acting.get(), "")(scope, receive, send)

    phone, script = (
        run(tokens.make(context, NewToken(name=name, scope=scope)))
        for name, scope in (("phone", "calendar"), ("script", "read"))
    )
    client = client_of(RequireToken(tell, Guard(context, TOKEN), translated, {"/here"}))

    def named(path: str, bearer: str | None = None) -> Any:
        answer = client.get(path, headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})
        return answer.json()["message"] if answer.status_code == 200 else answer.status_code

    assert named(f"/here?token={phone}") == named("/here", phone) == "phone"
    assert named("/here", script) == named("/there", script) == "script"
    assert named("/here", TOKEN) == OWN
    assert named(f"/here?token={script}") == named(f"/here?token={TOKEN}") == named(f"/there?token={phone}") == 401
    assert named("/there", phone) == 403


def test_a_store_that_cannot_be_asked_is_503(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 401: the token may be right. And it is the primary that is asked, as replicas may not know of a withdrawal."""
    asked: list[dict[str, Any]] = []

    async def unavailable(*_: Any, **told: Any) -> list[Any]:
        asked.append(told)
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(type(context.store), "fetch", unavailable)
    monkeypatch.setattr(observe, "log", logging.getLogger("netsessions"))
    answer = client_of(build(context, TOKEN, Metrics())).get(f"{CALENDAR}?token=x")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"] == "unavailable"
    assert [told["current"] for told in asked] == [True]
