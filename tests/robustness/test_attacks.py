"""What graphql-cop tries against a GraphQL server, and what it gets here: a clear refusal, or why none is needed."""

import subprocess
import sys
import time
from collections.abc import Iterator
from signal import SIGCONT, SIGSTOP, Signals
from statistics import median
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.attackers import ALIASES, BATCH, CIRCULAR, DIRECTIVES, DUPLICATION, MUTATION, SUGGESTION, UNHANDLED
from tests.support.server import TOKEN, Server, running

ROUNDS, SECONDS, TRIES = 8, 0.5, 3  # other programs of the machine may cost a try, not all
COMPLEX, MISTAKEN = "QUERY_TOO_COMPLEX", "BAD_USER_INPUT"
PAGE = """query Page($n: Int) { sessions(first: $n) { pageInfo { hasNextPage endCursor }
    nodes { id mac ip state connectedAt disconnectedAt connectionEvent durationSeconds } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all; it logs no failure of its own."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started
        output = started.output.read_text()
    assert "Traceback" not in output
    assert '"error"' not in output


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str) -> list[dict[str, Any]]:
    """The errors of a request of which nothing was executed, in so many words and no more."""
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert body.keys() == {"errors"}
    for error in body["errors"]:
        assert error["extensions"] == {"code": code}
        assert len(error["message"]) < 300
    assert "Traceback" not in answer.text
    assert "site-packages" not in answer.text
    errors: list[dict[str, Any]] = body["errors"]
    return errors


@pytest.mark.parametrize(
    ("query", "code", "told"),
    [
        (ALIASES, COMPLEX, "101 aliases; at most 30"),
        (DUPLICATION, COMPLEX, "500 fields of the root; at most 30"),
        (CIRCULAR, COMPLEX, "Maximum introspection depth exceeded"),
        ("query cop { __typename " + "@aa" * 51 + " }", COMPLEX, "51 directives; at most 50"),
        (DIRECTIVES, MISTAKEN, "Unknown directive '@aa'"),
        (UNHANDLED, MISTAKEN, "Syntax Error"),
        ("query cop { nope }", MISTAKEN, "Cannot query field 'nope'"),
    ],
)
@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), ("application/graphql-response+json", 400)])
def test_a_query_made_to_overload_or_to_unsettle_is_refused(
    client: httpx.Client, query: str, code: str, told: str, accept: str, status: int
) -> None:
    """By POST and by GET, with its reason and without a trace of what the server is made of."""
    headers = {"Accept": accept}
    for answer in (
        client.post("/graphql", json={"query": query}, headers=headers),
        client.get("/graphql", params={"query": query}, headers=headers),
    ):
        assert told in refused(answer, status, code)[0]["message"]


def test_operations_are_not_taken_in_batches(client: httpx.Client) -> None:
    """Neither ten, nor one."""
    for batch in (BATCH, BATCH[:1], []):
        assert "batches" in refused(client.post("/graphql", json=batch), 400, MISTAKEN)[0]["message"]


def test_nothing_is_changed_by_get(client: httpx.Client) -> None:
    """Whatever a link or an image makes a browser ask for."""
    answer = client.get("/graphql", params={"query": MUTATION})
    assert "POST" in refused(answer, 405, MISTAKEN)[0]["message"]
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
def test_what_a_form_of_another_site_can_send_is_refused(client: httpx.Client, kind: str) -> None:
    """A browser sends these media types without asking; JSON it does not."""
    for query in (MUTATION, "query cop { __typename }"):
        answer = client.post("/graphql", content=f"query={query}", headers={"Content-Type": kind})
        assert "application/json" in refused(answer, 415, MISTAKEN)[0]["message"]


def test_a_query_by_get_is_harmless_as_no_other_site_can_send_the_token(server: Server, client: httpx.Client) -> None:
    """It is answered to whoever sends the token as a header; a browser would ask before, and is not allowed to."""
    query = {"query": "query cop { __typename }"}
    assert client.get("/graphql", params=query).json() == {"data": {"__typename": "Query"}}
    for other in ({}, {"Cookie": f"Authorization=Bearer {TOKEN}"}):
        assert httpx.get(f"{server.url}/graphql", params=query, headers=other).status_code == 401
    assert httpx.get(f"{server.url}/graphql", params=query | {"token": TOKEN}).status_code == 401
    asks = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        httpx.options(f"{server.url}/graphql", headers=asks | {"Access-Control-Request-Headers": "authorization"}),
        client.post("/graphql", json=query, headers=asks),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_answers_carry_no_tracing(client: httpx.Client) -> None:
    """Also where it is asked for."""
    for headers in ({}, {"X-Apollo-Tracing": "1", "apollo-federation-include-trace": "ftv1"}):
        answer = client.post("/graphql", json={"query": "query cop { __typename }"}, headers=headers)
        assert answer.json() == {"data": {"__typename": "Query"}}


def test_the_schema_and_suggestions_are_for_those_who_have_a_token(server: Server, client: httpx.Client) -> None:
    """What a field is called is no secret: the schema is printed beside the program. Without a token it is not told."""
    for query in (SUGGESTION, "query cop { __schema { queryType { name } } }"):
        answer = httpx.post(f"{server.url}/graphql", json={"query": query})
        refused(answer, 401, "UNAUTHENTICATED")
        assert "directives" not in answer.text
    assert (
        "Did you mean 'directives'"
        in refused(client.post("/graphql", json={"query": SUGGESTION}), 200, MISTAKEN)[0]["message"]
    )


def test_graphiql_is_a_page_without_data(server: Server) -> None:
    """It stands at a path of its own, knows no token, and asks as everybody does: `/graphql` itself shows no page."""
    page = httpx.get(f"{server.url}/graphiql", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert TOKEN not in page.text
    refused(httpx.get(f"{server.url}/graphql", headers={"Accept": "text/html"}), 401, "UNAUTHENTICATED")
    for accept in ("text/html", "text/html, */*;q=0.8"):
        answer = httpx.get(f"{server.url}/graphql", headers=server.headers | {"Accept": accept})
        assert answer.status_code in (400, 406)
        assert answer.headers["content-type"] == "application/json"


def test_ten_attackers_make_nobody_wait_twice_as_long(server: Server, client: httpx.Client) -> None:
    """A known query, with them and without, by turns: its median stays within twice that of the quiet times.

    Each attacker sends the next attack as soon as the last was answered, in words that the server has not seen before.
    """
    new = [
        {"mac": f"AA:BB:CC:DD:{n // 250:02X}:{n % 250:02X}", "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00"}
        for n in range(2000)
    ]
    create = "mutation($i: [CreateSessionInput!]!) { createSessions(input: $i) { created } }"
    assert "errors" not in client.post("/graphql", json={"query": create, "variables": {"i": new}}).json()
    body = {"query": PAGE, "variables": {"n": 200}}

    def asked() -> float:
        began = time.perf_counter()
        answer = client.post("/graphql", json=body)
        taken = time.perf_counter() - began
        assert len(answer.json()["data"]["sessions"]["nodes"]) == 200
        return taken

    def refusals() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(
            float(line.split()[1]) for line in lines if line.startswith('netsessions_requests_total{door="graphql"')
        )

    for _ in range(20):
        asked()
    attackers = subprocess.Popen([sys.executable, "-m", "tests.attackers", str(server.port), TOKEN])
    try:
        before = refusals()
        while refusals() < before + 20:  # until they are all there
            assert attackers.poll() is None
            time.sleep(0.05)
        ratios: list[float] = []
        others = 0.0
        while len(ratios) < TRIES and min(ratios, default=2.0) >= 2:
            times: dict[Signals, list[float]] = {SIGSTOP: [], SIGCONT: []}
            for how in (SIGSTOP, SIGCONT) * ROUNDS:
                attackers.send_signal(how)
                asked()
                before, until = refusals(), time.monotonic() + SECONDS
                own = [asked()]
                while time.monotonic() < until or len(own) < 10:
                    own.append(asked())
                times[how] += own
                if how is SIGCONT:
                    others += refusals() - before - len(own)
            ratios.append(median(times[SIGCONT]) / median(times[SIGSTOP]))
        assert attackers.poll() is None
    finally:
        attackers.kill()
        attackers.wait()
    assert others >= 20, "they did attack"
    assert min(ratios) < 2, ratios
