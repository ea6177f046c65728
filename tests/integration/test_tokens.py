"""Token commands, and calendar tokens: they read the calendar feed and nothing else."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2 as httpx
import pytest
from click.testing import CliRunner, Result
from icalendar import Calendar
from starlette.responses import JSONResponse

from netsessions.app import build
from netsessions.cli import main
from netsessions.http.authentication import AuthenticationMiddleware, Authenticator
from netsessions.http.metrics import Metrics
from resolvers import tokens
from resolvers.context import SERVER_ACTOR, Context, actor
from resolvers.validation.models import NewToken
from rest_compat.errors import error_response
from storage.errors import StoreUnavailableError
from tests.conftest import MAC, make_client, run, sql
from tests.support.server import TOKEN, Server, running, wait_for_workers
from tests.support.sessions import session_fields

CALENDAR = "/sessions/calendar.ics"


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    """Run a server with one open session."""
    with running(tmp_path, DATABASE_URL=url) as started:
        with started.client() as client:
            assert client.post("/sessions/create", json=session_fields(1, mac=MAC)).status_code == 200
        yield started


def command(url: str, *arguments: str, **settings: str) -> Result:
    """Run a token command."""
    return CliRunner().invoke(main, ["token", *arguments], env={"DATABASE_URL": url, **settings})


def make(url: str, name: str, *options: str, **settings: str) -> tuple[str, str]:
    """Create a token. Return it and the address to subscribe to."""
    created = command(url, "make", name, *options, **settings)
    assert created.exit_code == 0, created.output
    words = created.stdout.split()
    return words[words.index("Token:") + 1], words[words.index("Subscribe:") + 1]


def read(server: Server, token: str | None = None, bearer: str | None = None, **query: str) -> httpx.Response:
    """Request the calendar feed with a token in the query string, in the header, or both."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return httpx.get(server.url + CALENDAR, params=({} if token is None else {"token": token}) | query, headers=headers)


def check_401(answer: httpx.Response) -> None:
    """Check for the 401 of all REST paths."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"] == "unauthenticated"


def test_the_printed_address_returns_the_calendar(server: Server) -> None:
    """With --mac it returns the sessions of one device."""
    with server.client() as client:
        client.post("/sessions/create", json=session_fields(2, mac="00:00:00:00:00:02"))
    token, address = make(server.database, "phone", GRAPHQL_PORT=str(server.port))
    other, of_device = make(server.database, "tablet", "--mac", "aabbccddeeff", GRAPHQL_PORT=str(server.port))
    assert (urlsplit(address).path, parse_qs(urlsplit(address).query)) == (CALENDAR, {"token": [token]})
    assert parse_qs(urlsplit(of_device).query) == {"token": [other], "mac": [MAC]}
    for subscribed, count in ((address, 2), (of_device, 1)):
        answer = httpx.get(f"{subscribed}&period=100%20years")
        assert answer.status_code == 200, answer.text
        assert len(Calendar.from_ical(answer.content).walk("VEVENT")) == count


def test_a_calendar_token_is_sent_in_the_address_or_the_header_but_not_both(server: Server) -> None:
    """With two tokens, a proxy might check another one than the server."""
    token, _ = make(server.database, "phone")
    assert read(server, token).status_code == 200
    assert read(server, bearer=token).status_code == 200
    check_401(read(server, token, bearer=token))
    check_401(read(server, token, bearer=TOKEN))
    check_401(httpx.get(f"{server.url}{CALENDAR}?token={token}&token={token}"))
    check_401(read(server))


def test_the_servers_own_token_is_rejected_in_the_address(server: Server) -> None:
    """Addresses are stored and shared, so they must not contain a token with all rights."""
    assert read(server, bearer=TOKEN).status_code == 200
    check_401(read(server, TOKEN))


@pytest.mark.parametrize("wrong", ["", "x", "é", "\0", "' OR 1=1 --", "x" * 3000])
def test_other_tokens_are_rejected(server: Server, wrong: str) -> None:
    """Malformed tokens and the digest of a valid one included."""
    token, _ = make(server.database, "phone")
    check_401(httpx.get(f"{server.url}{CALENDAR}?token={quote(wrong)}"))
    check_401(httpx.get(f"{server.url}{CALENDAR}?token=%FF%ED%A0%80{quote(wrong)}"))
    check_401(httpx.get(server.url + CALENDAR, headers={b"Authorization": b"Bearer x" + wrong.encode().strip(b"\0")}))
    check_401(read(server, sha256(token.encode()).hexdigest()))
    check_401(read(server, token + "x"))


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
def test_a_calendar_token_is_denied_on_other_paths(
    server_with_token: tuple[Server, str], method: str, path: str
) -> None:
    """403 with the header, 401 with the address, and nothing is changed."""
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
    """Run a server with one session and a calendar token."""
    with running(tmp_path_factory.mktemp("server")) as started:
        with started.client() as client:
            client.post("/sessions/create", json=session_fields(1, mac=MAC))
        yield started, make(started.database, "phone")[0]


def test_a_revoked_token_is_rejected_at_once_by_every_process(tmp_path: Path, url: str) -> None:
    """Other tokens keep working, and the name can be used again."""
    with running(tmp_path, "--workers", "2", DATABASE_URL=url) as server:
        wait_for_workers(server, 2)
        token, _ = make(url, "phone")
        other, _ = make(url, "tablet")
        for _ in range(20):
            assert read(server, token).status_code == 200
        assert command(url, "withdraw", "phone").exit_code == 0
        for _ in range(20):
            check_401(read(server, token))
        assert read(server, other).status_code == 200
        again, _ = make(url, "phone")
        assert again != token
        check_401(read(server, token))
        assert read(server, again).status_code == 200


def test_a_token_is_stored_as_its_digest_and_never_logged(tmp_path: Path, url: str) -> None:
    """Neither the database nor the debug log contains it, whether it was valid, revoked or in the wrong place."""
    with running(tmp_path, DATABASE_URL=url, LOG_LEVEL="debug") as server:
        token, _ = make(url, "phone")
        assert read(server, token).status_code == 200
        assert read(server, token, period="soon").status_code == 400
        assert httpx.get(f"{server.url}/sessions/list?token={token}").status_code == 401
        assert sql(url, "SELECT name, digest, scope FROM token") == [
            ("phone", sha256(token.encode()).hexdigest(), "calendar")
        ]
        command(url, "withdraw", "phone")
        check_401(read(server, token))
        assert sql(url, "SELECT * FROM token") == []
        assert server.stop() == 0
    output = server.output.read_text()
    assert token not in output
    requests = [json.loads(line) for line in output.splitlines() if '"event":"request"' in line]
    assert [line["status"] for line in requests if line["path"] == CALENDAR] == [200, 400, 401]


def test_the_list_of_tokens_has_no_secrets(url: str) -> None:
    """It has names, scopes and times of creation, ordered by name."""
    assert command(url, "list").stdout == ""
    created = [make(url, name)[0] for name in ("tablet", "phone")]
    listed = command(url, "list").stdout
    assert [line.split("\t")[:2] for line in listed.splitlines()] == [["phone", "calendar"], ["tablet", "calendar"]]
    assert not any(token in listed for token in created)


def test_the_list_of_tokens_has_their_expiry(url: str) -> None:
    """A day ends in TIMEZONE. Only a calendar token has an address."""
    berlin = {"TIMEZONE": "Europe/Berlin"}
    created = command(url, "make", "script", "--scope", "write", "--expires", "2099-12-31", **berlin)
    assert created.stdout.startswith("Token:")
    assert "Subscribe:" not in created.stdout
    make(url, "phone")
    ends = {line.split("\t")[0]: line.split("\t")[1:] for line in command(url, "list", **berlin).stdout.splitlines()}
    assert (ends["script"][0], ends["script"][2]) == ("write", "2100-01-01 00:00")
    assert (ends["phone"][0], ends["phone"][2]) == ("calendar", "never")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("phone", "'phone' already exists; revoke that token, or choose another name"),
        (SERVER_ACTOR, f"{SERVER_ACTOR} is reserved for the server's own token; choose another name"),
        *((name, "is not a valid token name") for name in ("a b", "", "a\tb", "a\nb")),
        ("x" * 101, "has 101 characters"),
        ("\ud800", "contains a character that cannot be stored"),
    ],
)
def test_an_existing_or_invalid_name_is_rejected(url: str, name: str, why: str) -> None:
    """No token is changed."""
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
        (("make", "x", "--scope", "read", "--mac", MAC), "--mac needs the scope calendar"),
        (("make", "x", "--expires", "soon"), "expires: 'soon' is not a period"),
        (("make", "x", "--expires", "2020-01-01"), "expires: '2020-01-01' is in the past"),
        (("make", "x", "--expires", "2020-13-01"), "expires: '2020-13-01' is not a valid day"),
        (("make", "x", "--expires", "9000 years"), "expires: reaches too far ahead; at most to the year 9998"),
        (("make", "x", "--mac", "AA:BB"), "is not a MAC address"),
        (("withdraw", "nobody"), "no token has the name 'nobody'"),
    ],
)
def test_an_invalid_option_is_a_usage_error(url: str, arguments: tuple[str, ...], words: str) -> None:
    """No token is created."""
    answer = command(url, *arguments)
    assert answer.exit_code == 2
    assert words in answer.stderr
    assert sql(url, "SELECT * FROM token") == []


def test_a_wildcard_address_is_replaced_by_the_host_name(url: str) -> None:
    """Other machines cannot connect to 0.0.0.0."""
    _, address = make(url, "phone", HOST="0.0.0.0")
    assert urlsplit(address).hostname not in ("0.0.0.0", "", None)
    _, address = make(url, "tablet", HOST="::1", GRAPHQL_PORT="8080")
    assert address.startswith("http://[::1]:8080/sessions/calendar.ics?token=")


def test_only_calendar_tokens_are_accepted_in_the_address(context: Context) -> None:
    """Tokens with larger scopes read the calendar with the header. The actor is the name of the token."""

    async def tell(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({"message": actor.get()})(scope, receive, send)

    phone, script = (
        run(tokens.create(context, NewToken(name=name, scope=scope)))
        for name, scope in (("phone", "calendar"), ("script", "read"))
    )
    client = make_client(AuthenticationMiddleware(tell, Authenticator(context, TOKEN), error_response, {"/here"}))

    def named(path: str, bearer: str | None = None) -> Any:
        answer = client.get(path, headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})
        return answer.json()["message"] if answer.status_code == 200 else answer.status_code

    assert named(f"/here?token={phone}") == named("/here", phone) == "phone"
    assert named("/here", script) == named("/there", script) == "script"
    assert named("/here", TOKEN) == SERVER_ACTOR
    assert named(f"/here?token={script}") == named(f"/here?token={TOKEN}") == named(f"/there?token={phone}") == 401
    assert named("/there", phone) == 403


def test_an_unavailable_store_gets_503(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 401, as the token may be valid. Tokens are read from the primary, as replicas may lag behind a revocation."""
    calls: list[dict[str, Any]] = []

    async def unavailable(*_: Any, **options: Any) -> list[Any]:
        calls.append(options)
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(type(context.store), "fetch", unavailable)
    answer = make_client(build(context, TOKEN, Metrics())).get(f"{CALENDAR}?token=x")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"] == "unavailable"
    assert [options["primary"] for options in calls] == [True]
