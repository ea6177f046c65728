"""GraphQL over HTTP: what its specification asks of a server, by the audits of the npm package graphql-http and by ours."""

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
AUDITS = 61
RESPONSE = "application/graphql-response+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for tests that change nothing."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_every_audit_of_graphql_http_is_ok(server: Server) -> None:
    """All of them: no MUST, SHOULD or MAY is left open."""
    missing = [str(each) for each in (NODE, UI / "node_modules" / "graphql-http") if not each.exists()]
    if missing:
        assert not os.environ.get("CI"), missing
        pytest.skip(f"there is no {' and no '.join(missing)}; npm ci in ui brings the packages")
    answer = subprocess.run(
        [NODE, Path(__file__).with_name("graphql_http.mjs"), UI, f"{server.url}/graphql", TOKEN],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert len(found) == AUDITS
    assert [audit for audit in found if audit["status"] != "ok"] == []


@pytest.mark.parametrize(
    ("accept", "answered"),
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
        ("application/json;q=0.9, application/graphql-response+json", f"{RESPONSE}; charset=utf-8"),
        ("application/graphql-response+json, application/json", f"{RESPONSE}; charset=utf-8"),
        ("APPLICATION/graphql-response+JSON; charset=utf-8", f"{RESPONSE}; charset=utf-8"),
        (f"{RESPONSE}, application/graphql+json, application/json, text/event-stream, multipart/mixed",
         f"{RESPONSE}; charset=utf-8"),
    ],
)  # fmt: skip
def test_an_answer_is_of_the_media_type_that_is_liked_most(
    client: httpx.Client, accept: str | None, answered: str
) -> None:
    """The new one where it is named, JSON otherwise; a mistake in the query has a status of its own in the new one only."""
    headers = {"Accept": accept or "*/*"}
    answer = client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, answered)
    assert answer.json() == {"data": {"__typename": "Query"}}
    mistaken = client.post("/graphql", json={"query": "{ nope }"}, headers=headers)
    assert (mistaken.status_code, mistaken.headers["content-type"]) == (400 if RESPONSE in answered else 200, answered)
    assert "data" not in mistaken.json()


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", "", "application/json;q=x"])
def test_who_accepts_none_of_our_media_types_is_refused_with_406(client: httpx.Client, accept: str) -> None:
    """Before anything is carried out; the answer names what there is."""
    answer = client.post("/graphql", json={"query": "{ __typename }"}, headers={"Accept": accept})
    assert answer.status_code == 406
    assert RESPONSE in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("accept", ["application/json", RESPONSE])
def test_a_failure_in_a_field_is_an_answer_with_data(client: httpx.Client, accept: str) -> None:
    """It was executed: 200, the data that there is, and a code that tells what was wrong."""
    query = '{ one: __typename node(id: "x") { id } }'
    answer = client.post("/graphql", json={"query": query}, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.json()["data"] == {"one": "Query", "node": None}
    assert answer.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "id"}


@pytest.mark.parametrize(
    ("method", "how", "status"),
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
@pytest.mark.parametrize("accept", ["application/json", RESPONSE])
def test_what_is_no_request_is_refused_with_a_status_and_a_code(
    client: httpx.Client, method: str, how: dict[str, Any], status: int, accept: str
) -> None:
    """In the media type that was asked for, and without data."""
    answer = client.request(method, "/graphql", **how | {"headers": how.get("headers", {}) | {"Accept": accept}})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith(accept)
    assert "data" not in answer.json()
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    if status == 405:
        assert answer.headers["allow"] in ("POST", "GET, POST")


@pytest.mark.parametrize("query", ["query A { __typename } query B { __typename }", "{", "{ nope }", "{ node { id } }"])
def test_a_mistaken_query_is_not_executed(client: httpx.Client, query: str) -> None:
    """Also not the first of several operations, where none is named. Plain JSON tells it under 200."""
    for accept, status in (("application/json", 200), (RESPONSE, 400)):
        answer = client.post("/graphql", json={"query": query}, headers={"Accept": accept})
        assert answer.status_code == status
        assert "data" not in answer.json()
        assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_query_by_get_takes_variables_and_the_name_of_an_operation(client: httpx.Client) -> None:
    """Also beyond ASCII."""
    query = "query A { __typename } query B($s: String) { devices(search: $s) { totalCount } }"
    given = {"query": query, "operationName": "B", "variables": json.dumps({"s": "Ünïcode ✓"})}
    assert client.get("/graphql", params=given).json() == {"data": {"devices": {"totalCount": 0}}}


def test_the_schema_is_not_told_without_a_token(server: Server, client: httpx.Client) -> None:
    """Introspection is a query as others are; with a token, it passes the limits."""
    asked = {"query": get_introspection_query(input_value_deprecation=True)}
    refused = httpx.post(f"{server.url}/graphql", json=asked)
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "sessions" not in refused.text
    assert httpx.get(f"{server.url}/graphql", params=asked).status_code == 401
    assert client.post("/graphql", json=asked).json()["data"]["__schema"]["queryType"]["name"] == "Query"
