"""The attacks of graphql-cop: the server rejects each one, or is not affected."""

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

ROUNDS, SECONDS, ATTEMPTS = 8, 0.5, 3  # other programs of the machine may disturb one attempt, not all
TOO_COMPLEX, INVALID = "QUERY_TOO_COMPLEX", "BAD_USER_INPUT"
PAGE = """query Page($n: Int) { sessions(first: $n) { pageInfo { hasNextPage endCursor }
    nodes { id mac ip state connectedAt disconnectedAt connectionEvent durationSeconds } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests of the module. It must not log an error."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started
        output = started.output.read_text()
    assert "Traceback" not in output
    assert '"error"' not in output


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def assert_rejected(response: httpx.Response, status: int, code: str) -> list[dict[str, Any]]:
    """Check that the request was rejected without execution and without details, and return its errors."""
    body = response.json()
    assert response.status_code == status, response.text
    assert body.keys() == {"errors"}
    for error in body["errors"]:
        assert error["extensions"] == {"code": code}
        assert len(error["message"]) < 300
    assert "Traceback" not in response.text
    assert "site-packages" not in response.text
    errors: list[dict[str, Any]] = body["errors"]
    return errors


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        (ALIASES, TOO_COMPLEX, "101 aliases; at most 30"),
        (DUPLICATION, TOO_COMPLEX, "500 root fields; at most 30"),
        (CIRCULAR, TOO_COMPLEX, "Maximum introspection depth exceeded"),
        ("query cop { __typename " + "@aa" * 51 + " }", TOO_COMPLEX, "51 directives; at most 50"),
        (DIRECTIVES, INVALID, "Unknown directive '@aa'"),
        (UNHANDLED, INVALID, "Syntax Error"),
        ("query cop { nope }", INVALID, "Cannot query field 'nope'"),
    ],
)
@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), ("application/graphql-response+json", 400)])
def test_overloading_and_invalid_queries_are_rejected(
    client: httpx.Client, query: str, code: str, message: str, accept: str, status: int
) -> None:
    """By POST and by GET, with a reason, and without details of the implementation."""
    headers = {"Accept": accept}
    for response in (
        client.post("/graphql", json={"query": query}, headers=headers),
        client.get("/graphql", params={"query": query}, headers=headers),
    ):
        assert message in assert_rejected(response, status, code)[0]["message"]


def test_batches_are_rejected(client: httpx.Client) -> None:
    """Also empty ones."""
    for batch in (BATCH, BATCH[:1], []):
        assert "batches" in assert_rejected(client.post("/graphql", json=batch), 400, INVALID)[0]["message"]


def test_mutation_by_get_is_rejected(client: httpx.Client) -> None:
    """A link or an image can make a browser send a GET request."""
    response = client.get("/graphql", params={"query": MUTATION})
    assert "POST" in assert_rejected(response, 405, INVALID)[0]["message"]
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
def test_form_media_types_are_rejected(client: httpx.Client, kind: str) -> None:
    """A browser sends these media types to other sites without a preflight request. JSON needs one."""
    for query in (MUTATION, "query cop { __typename }"):
        response = client.post("/graphql", content=f"query={query}", headers={"Content-Type": kind})
        assert "application/json" in assert_rejected(response, 415, INVALID)[0]["message"]


def test_cross_site_request_cannot_send_the_token(server: Server, client: httpx.Client) -> None:
    """The token must be in a header. A browser asks before it sends that header, and the server does not allow it."""
    query = {"query": "query cop { __typename }"}
    assert client.get("/graphql", params=query).json() == {"data": {"__typename": "Query"}}
    for other in ({}, {"Cookie": f"Authorization=Bearer {TOKEN}"}):
        assert httpx.get(f"{server.url}/graphql", params=query, headers=other).status_code == 401
    assert httpx.get(f"{server.url}/graphql", params=query | {"token": TOKEN}).status_code == 401
    preflight = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for response in (
        httpx.options(f"{server.url}/graphql", headers=preflight | {"Access-Control-Request-Headers": "authorization"}),
        client.post("/graphql", json=query, headers=preflight),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_responses_contain_no_tracing(client: httpx.Client) -> None:
    """Not even if the headers of the request enable it."""
    for headers in ({}, {"X-Apollo-Tracing": "1", "apollo-federation-include-trace": "ftv1"}):
        response = client.post("/graphql", json={"query": "query cop { __typename }"}, headers=headers)
        assert response.json() == {"data": {"__typename": "Query"}}


def test_introspection_and_suggestions_require_a_token(server: Server, client: httpx.Client) -> None:
    """The schema is public. It is still not returned without a token."""
    for query in (SUGGESTION, "query cop { __schema { queryType { name } } }"):
        response = httpx.post(f"{server.url}/graphql", json={"query": query})
        assert_rejected(response, 401, "UNAUTHENTICATED")
        assert "directives" not in response.text
    assert (
        "Did you mean 'directives'"
        in assert_rejected(client.post("/graphql", json={"query": SUGGESTION}), 200, INVALID)[0]["message"]
    )


def test_graphiql_page_contains_no_data(server: Server) -> None:
    """It has a path of its own and no token. `/graphql` itself serves no page."""
    page = httpx.get(f"{server.url}/graphiql", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert TOKEN not in page.text
    assert_rejected(httpx.get(f"{server.url}/graphql", headers={"Accept": "text/html"}), 401, "UNAUTHENTICATED")
    for accept in ("text/html", "text/html, */*;q=0.8"):
        response = httpx.get(f"{server.url}/graphql", headers=server.headers | {"Accept": accept})
        assert response.status_code in (400, 406)
        assert response.headers["content-type"] == "application/json"


def test_ten_attackers_do_not_double_the_latency(server: Server, client: httpx.Client) -> None:
    """Compare the median latency of a cached query with and without attackers, in turns.

    Each attacker sends its next attack as soon as the last response arrives, with a text that no cache contains.
    """
    new = [
        {"mac": f"AA:BB:CC:DD:{n // 250:02X}:{n % 250:02X}", "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00"}
        for n in range(2000)
    ]
    create = "mutation($i: [CreateSessionInput!]!) { createSessions(input: $i) { created } }"
    assert "errors" not in client.post("/graphql", json={"query": create, "variables": {"i": new}}).json()
    body = {"query": PAGE, "variables": {"n": 200}}

    def measure() -> float:
        started_at = time.perf_counter()
        response = client.post("/graphql", json=body)
        seconds = time.perf_counter() - started_at
        assert len(response.json()["data"]["sessions"]["nodes"]) == 200
        return seconds

    def count_requests() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(
            float(line.split()[1]) for line in lines if line.startswith('netsessions_requests_total{door="graphql"')
        )

    for _ in range(20):
        measure()
    attackers = subprocess.Popen([sys.executable, "-m", "tests.support.attackers", str(server.port), TOKEN])
    try:
        before = count_requests()
        while count_requests() < before + 20:  # until all have started
            assert attackers.poll() is None
            time.sleep(0.05)
        ratios: list[float] = []
        attacks = 0.0
        while len(ratios) < ATTEMPTS and min(ratios, default=2.0) >= 2:
            times: dict[Signals, list[float]] = {SIGSTOP: [], SIGCONT: []}
            for signal in (SIGSTOP, SIGCONT) * ROUNDS:
                attackers.send_signal(signal)
                measure()
                before, until = count_requests(), time.monotonic() + SECONDS
                latencies = [measure()]
                while time.monotonic() < until or len(latencies) < 10:
                    latencies.append(measure())
                times[signal] += latencies
                if signal is SIGCONT:
                    attacks += count_requests() - before - len(latencies)
            ratios.append(median(times[SIGCONT]) / median(times[SIGSTOP]))
        assert attackers.poll() is None
    finally:
        attackers.kill()
        attackers.wait()
    assert attacks >= 20, "the attackers did not send enough requests"
    assert min(ratios) < 2, ratios
