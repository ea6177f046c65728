"""GraphQL over HTTP: the audits of the npm package graphql-http, media types, statuses and methods."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from graphql import get_introspection_query

from tests.support.server import TOKEN, Server, running

UI = Path(__file__).parents[2] / "ui"
NODE = Path(sys.executable).parent / "node"
NUMBER_OF_AUDITS = 61
GRAPHQL_RESPONSE = "application/graphql-response+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that change nothing."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_all_graphql_http_audits_pass(server: Server) -> None:
    """Every MUST, SHOULD and MAY of the specification."""
    missing = [str(path) for path in (NODE, UI / "node_modules" / "graphql-http") if not path.exists()]
    if missing:
        assert not os.environ.get("CI"), missing
        pytest.skip(f"missing: {', '.join(missing)}. Run npm ci in ui.")
    process = subprocess.run(
        [NODE, Path(__file__).with_name("graphql_http.mjs"), UI, f"{server.url}/graphql", TOKEN],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    audits = json.loads(process.stdout)
    assert len(audits) == NUMBER_OF_AUDITS
    assert [audit for audit in audits if audit["status"] != "ok"] == []


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json, multipart/mixed", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("application/graphql-response+json;q=0.5, application/json", "application/json"),
        ("application/graphql-response+json;q=0, */*", "application/json"),
        ("application/json;q=0.9, application/graphql-response+json", f"{GRAPHQL_RESPONSE}; charset=utf-8"),
        ("application/graphql-response+json, application/json", f"{GRAPHQL_RESPONSE}; charset=utf-8"),
        ("APPLICATION/graphql-response+JSON; charset=utf-8", f"{GRAPHQL_RESPONSE}; charset=utf-8"),
        (f"{GRAPHQL_RESPONSE}, application/graphql+json, application/json, text/event-stream, multipart/mixed",
         f"{GRAPHQL_RESPONSE}; charset=utf-8"),
    ],
)  # fmt: skip
def test_response_has_the_preferred_media_type(client: httpx.Client, accept: str | None, content_type: str) -> None:
    """JSON by default. An invalid query has status 400 in application/graphql-response+json only."""
    headers = {"Accept": accept or "*/*"}
    response = client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, content_type)
    assert response.json() == {"data": {"__typename": "Query"}}
    invalid = client.post("/graphql", json={"query": "{ nope }"}, headers=headers)
    status = 400 if GRAPHQL_RESPONSE in content_type else 200
    assert (invalid.status_code, invalid.headers["content-type"]) == (status, content_type)
    assert "data" not in invalid.json()


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", "", "application/json;q=x"])
def test_unsupported_media_types_get_406(client: httpx.Client, accept: str) -> None:
    """Nothing is executed. The message names the supported media types."""
    response = client.post("/graphql", json={"query": "{ __typename }"}, headers={"Accept": accept})
    assert response.status_code == 406
    assert GRAPHQL_RESPONSE in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
def test_field_error_has_status_200_and_data(client: httpx.Client, accept: str) -> None:
    """The query was executed. The error has a code."""
    query = '{ one: __typename node(id: "x") { id } }'
    response = client.post("/graphql", json={"query": query}, headers={"Accept": accept})
    assert response.status_code == 200
    assert response.json()["data"] == {"one": "Query", "node": None}
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "id"}


@pytest.mark.parametrize(
    ("method", "options", "status"),
    [
        ("GET", {"params": {"query": "mutation { deleteSessions(mac: \"AA:BB:CC:DD:EE:FF\") { deleted } }"}}, 405),
        ("GET", {"params": {"query": "subscription { sessionChanges { mac } }"}}, 400),
        ("GET", {}, 400),
        ("GET", {"params": {"query": "{ __typename }", "variables": "{"}}, 400),
        ("GET", {"params": {"query": "{ __typename }", "variables": "[]"}}, 400),
        ("PUT", {"json": {"query": "{ __typename }"}}, 405),
        ("OPTIONS", {}, 405),
        ("POST", {"content": "{ __typename }", "headers": {"Content-Type": "application/graphql"}}, 415),
        ("POST", {"content": "{}", "headers": {"Content-Type": "application/json; charset=utf-16"}}, 415),
        ("POST", {"data": {"query": "{ __typename }"}}, 415),
        ("POST", {"json": [{"query": "{ __typename }"}]}, 400),
        ("POST", {"json": {"query": "query A { __typename }", "operationName": "B"}}, 400),
        ("POST", {"json": {"query": "subscription { sessionChanges { mac } }"}}, 400),
        ("POST", {"json": {"query": ""}}, 400),
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
def test_invalid_request_gets_a_status_and_a_code(
    client: httpx.Client, method: str, options: dict[str, Any], status: int, accept: str
) -> None:
    """In the requested media type, and without data."""
    response = client.request(
        method, "/graphql", **options | {"headers": options.get("headers", {}) | {"Accept": accept}}
    )
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith(accept)
    assert "data" not in response.json()
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    if status == 405:
        assert response.headers["allow"] in ("POST", "GET, POST")


@pytest.mark.parametrize("query", ["query A { __typename } query B { __typename }", "{", "{ nope }", "{ node { id } }"])
def test_invalid_query_is_not_executed(client: httpx.Client, query: str) -> None:
    """Several operations without a name are invalid, too. The status of application/json is 200."""
    for accept, status in (("application/json", 200), (GRAPHQL_RESPONSE, 400)):
        response = client.post("/graphql", json={"query": query}, headers={"Accept": accept})
        assert response.status_code == status
        assert "data" not in response.json()
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_get_request_accepts_variables_and_operation_name(client: httpx.Client) -> None:
    """With characters beyond ASCII."""
    query = "query A { __typename } query B($s: String) { devices(search: $s) { totalCount } }"
    params = {"query": query, "operationName": "B", "variables": json.dumps({"s": "Ünïcode ✓"})}
    assert client.get("/graphql", params=params).json() == {"data": {"devices": {"totalCount": 0}}}


def test_introspection_requires_a_token(server: Server, client: httpx.Client) -> None:
    """With a token, introspection is within the limits."""
    introspection = {"query": get_introspection_query(input_value_deprecation=True)}
    rejected = httpx.post(f"{server.url}/graphql", json=introspection)
    assert rejected.status_code == 401
    assert rejected.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "sessions" not in rejected.text
    assert httpx.get(f"{server.url}/graphql", params=introspection).status_code == 401
    assert client.post("/graphql", json=introspection).json()["data"]["__schema"]["queryType"]["name"] == "Query"
