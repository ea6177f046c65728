"""Limits of a request: each has a setting and a default, and a message when it is exceeded."""

import json
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse
from starlette.testclient import TestClient

from netsessions.server.config import uvicorn_config
from netsessions.settings import Settings
from resolvers.context import Context
from resolvers.limits import DEFAULT_LIMITS, Limits
from rest_compat.app import rest_app
from schema.build import build
from schema.http.app import GraphQLApp
from schema.private_api import core_schema
from schema.validation.documents import DocumentCache
from schema.validation.limits import Cost, check_limits
from tests.conftest import DATABASES, MAC, make_client
from tests.support.clients import graphql_data
from tests.support.server import running

SESSION = "id mac ip state connectedAt disconnectedAt connectionEvent disconnectionEvent durationSeconds info"
DEVICE = "id mac name owner isConnected firstSeen lastSeen"
CONNECTION_QUERY = (
    f"query($n: Int) {{ sessions(first: $n) {{ totalCount edges {{ cursor node {{ {SESSION} device {{ {DEVICE} }} }} }}"
)
CONNECTION_QUERY += " pageInfo { hasNextPage endCursor } } }"
NODES_QUERY = f"query($n: Int) {{ sessions(first: $n) {{ nodes {{ {SESSION} device {{ {DEVICE} }} }} }} }}"
FRAGMENT = f"fragment All on SessionConnection {{ nodes {{ {SESSION} device {{ {DEVICE} }} }} }}"
RESPONSE_MEDIA_TYPE = {"Accept": "application/graphql-response+json"}

ClientWithLimits = Callable[..., TestClient]


@pytest.fixture
def client_with(context: Context) -> ClientWithLimits:
    """Return a function that makes a GraphQL client with other limits."""
    return lambda **limits: make_client(GraphQLApp(replace(context, limits=replace(DEFAULT_LIMITS, **limits))))


def rejection(client: TestClient, query: str, **variables: Any) -> str:
    """Return the message of a query that is rejected as too complex, with either media type."""
    request = {"query": query, "variables": variables}
    answers = [client.post("/", json=request), client.post("/", json=request, headers=RESPONSE_MEDIA_TYPE)]
    assert [answer.status_code for answer in answers] == [200, 400]
    first, second = (answer.json() for answer in answers)
    assert first == second
    assert "data" not in first
    [error] = first["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    return str(error["message"])


def check_accepted(client: TestClient, query: str, **variables: Any) -> None:
    """Check that a query is executed, also when it is cached."""
    for _ in range(2):
        answer = client.post("/", json={"query": query, "variables": variables})
        assert "errors" not in answer.json()


def test_limits_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each limit can be set. The body limit applies to WebSocket messages, too."""
    names = {"seconds": "query_seconds"} | {
        field.name: f"max_{field.name}" for field in fields(Limits) if field.name != "seconds"
    }
    assert Settings(_env_file=None).limits == DEFAULT_LIMITS
    others = {"body": 20_000, "tokens": 500, "cost": 20_000}
    own = Limits(**{limit: others.get(limit, 99) for limit in names})
    for limit, name in names.items():
        monkeypatch.setenv(name.upper(), str(getattr(own, limit)))
    assert Settings(_env_file=None).limits == own
    assert uvicorn_config(None, Settings(_env_file=None)).ws_max_size == 20_000


@pytest.mark.parametrize(
    ("limit", "limit_value", "within", "beyond", "message"),
    [
        ("tokens", 12, "{ " + "__typename " * 10 + "}", "{ " + "__typename " * 11 + "}", "12 tokens"),
        ("tokens", 12, "{ __typename }" + " " * 226, "{ __typename }" + " " * 227, "241 characters; at most 240"),
        ("depth", 2, "{ sessions { totalCount } }", "{ sessions { nodes { id } } }", "3 levels of fields; at most 2"),
        ("depth", 2, "{ ...a } fragment a on Query { sessions { ... { totalCount } } }",
         "{ ...a } fragment a on Query { sessions { ... { nodes { id } } } }", "3 levels"),
        ("aliases", 1, "{ a: __typename }", "{ a: __typename b: __typename }", "2 aliases; at most 1"),
        ("aliases", 1, "{ sessions { nodes { a: id } } }", "{ sessions { nodes { a: id b: id } } }", "2 aliases"),
        ("directives", 1, "{ __typename @skip(if: false) }", "{ a: __typename @skip(if: false) ... @include(if: true) "
         "{ b: __typename } }", "2 directives; at most 1"),
        ("root_fields", 2, "{ __typename __typename }", "{ __typename ... { __typename } ...a } "
         "fragment a on Query { __typename }", "3 root fields; at most 2"),
        ("cost", 120, "{ sessions { totalCount nodes { id mac } } }", "{ sessions { nodes { id mac ip } } }", "150 values"),
        ("cost", 120, "{ sessions(first: 60) { nodes { id mac } } }", "{ sessions(last: 61) { nodes { id mac } } }", "122"),
        ("cost", 800, '{ presence(start: "2025-08-01", end: "2025-08-02") { start end } }',
         '{ presence(start: "2025-08-01", end: "2025-08-02") { start end peak } }', "1200 values"),
    ],
)  # fmt: skip
def test_a_query_beyond_a_limit_is_rejected(
    client_with: ClientWithLimits, limit: str, limit_value: int, within: str, beyond: str, message: str
) -> None:
    """The message has the size of the query and the limit."""
    client = client_with(**{limit: limit_value})
    check_accepted(client, within)
    assert message in rejection(client, beyond)


@pytest.mark.parametrize(
    ("limit", "beyond"),
    [
        ("tokens", "{ __typename " + "__typename " * 10_000 + "}"),
        ("levels", "{ sessions " + "{ nodes " * 20 + "{ id }" + " }" * 20 + " }"),
        ("aliases", "{ sessions { nodes { " + " ".join(f"a{n}: id" for n in range(31)) + " } } }"),
        ("directives", "{ " + "... @skip(if: true) { __typename } " * 51 + "}"),
        ("fields", "{ " + "__typename " * 31 + "}"),
    ],
)  # fmt: skip
def test_a_query_beyond_a_default_limit_is_rejected(client_with: ClientWithLimits, limit: str, beyond: str) -> None:
    """No setting is needed."""
    assert limit in rejection(client_with(), beyond)


def test_the_cost_limit_allows_the_largest_page_with_all_fields(client_with: ClientWithLimits) -> None:
    """Two such lists in a query exceed it."""
    client = client_with()
    for query in (NODES_QUERY, CONNECTION_QUERY):
        check_accepted(client, query, n=10_000)
    two = f"query($n: Int) {{ a: sessions(first: $n) {{ ...All }} b: sessions(first: $n) {{ ...All }} }} {FRAGMENT}"
    check_accepted(client, two, n=50)
    assert "340000 values; at most 250000" in rejection(client, two, n=10_000)


def test_the_cost_of_a_cached_query_depends_on_its_variables(client_with: ClientWithLimits) -> None:
    """Default values and `last` count, too."""
    client = client_with(cost=1000)
    query = "query($n: Int = 100, $m: Int) { sessions(first: $n, last: $m) { nodes { id mac } } }"
    check_accepted(client, query, n=500)
    assert "1002 values" in rejection(client, query, n=501)
    check_accepted(client, query)
    assert "1002 values" in rejection(client, query, n=None, m=501)
    check_accepted(client, query, n=None, m=None)


def test_the_cost_of_a_mutation_depends_on_its_number_of_inputs(client_with: ClientWithLimits) -> None:
    """As literals or in a variable. A rejected mutation stores nothing."""
    client = client_with(cost=20)
    member = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00"}
    query = "mutation($i: [CreateSessionInput!]!) { createSessions(input: $i) { created } }"
    assert "25 values" in rejection(client, query, i=[member] * 3)
    written = '[{mac: "%s", ip: "10.0.0.1", startTime: "2025-08-01"}]' % MAC
    assert "25 values" in rejection(
        client, "mutation { createSessions(input: [%s]) { created } }" % ", ".join([written[1:-1]] * 3)
    )
    assert client.post("/", json={"query": "{ sessions { totalCount } }"}).json()["data"]["sessions"]["totalCount"] == 0
    check_accepted(client, query, i=[member])


def test_the_cost_limit_allows_a_full_list_of_inputs(client_with: ClientWithLimits) -> None:
    """10,000 inputs."""
    members = [{"mac": MAC, "ip": "10.0.0.1"}] * 10_000
    query = "mutation($d: [SeenInput!]!) { heartbeat(devices: $d) { seen } }"
    assert graphql_data(client_with(), query, d=members) == {"heartbeat": {"seen": 1}}


def test_the_page_size_is_limited(client_with: ClientWithLimits) -> None:
    """The message has the configured limit."""
    for max_page in (DEFAULT_LIMITS.page, 60):
        client = client_with(page=max_page)
        for name in ("first", "last"):
            check_accepted(client, f"{{ devices({name}: {max_page}) {{ nodes {{ mac }} }} }}")
            answer = client.post(
                "/", json={"query": f"{{ devices({name}: {max_page + 1}) {{ nodes {{ mac }} }} }}"}
            ).json()
            [error] = answer["errors"]
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": name}
            assert error["message"] == f"{name}: {max_page + 1} is out of range; at least 0, at most {max_page}"


def test_a_body_that_is_too_large_gets_413_from_both_apis(context: Context) -> None:
    """A body of exactly the limit is accepted."""
    limited = replace(context, limits=replace(DEFAULT_LIMITS, body=100))
    query = b'{"query": "{ __typename }"}'
    graphql, rest = make_client(GraphQLApp(limited)), make_client(rest_app(limited))
    headers = {"Content-Type": "application/json"}
    assert graphql.post("/", content=query.ljust(100), headers=headers).status_code == 200
    answer = graphql.post("/", content=query.ljust(101), headers=headers)
    assert answer.status_code == 413
    assert "larger than 100 bytes" in answer.json()["errors"][0]["message"]
    assert rest.post("/create", content=b"{}".ljust(100)).json()["error"] == "invalid_input"
    answer = rest.post("/create", content=b"{}".ljust(101))
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


@pytest.mark.parametrize(
    "query",
    [
        "{ ...f0 } " + "".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }} " for n in range(100)),
        "{ sessions { nodes { ...f0 } } } "
        + "".join(f"fragment f{n} on Session {{ ...f{n + 1} ...f{n + 1} }} " for n in range(100)),
        "{ sessions { nodes { " + "device { mac } " * 1500 + "} } }",
        "{ ...f0 } fragment f0 on Query { ...f0 }",
    ],
)
def test_a_query_of_exponential_size_is_rejected_quickly(client_with: ClientWithLimits, query: str) -> None:
    """Nested fragment spreads and repeated fields cannot keep the server busy."""
    if "f100" in query:
        query += "fragment f100 on %s { __typename }" % ("Session" if "Session" in query else "Query")
    client = client_with()
    began = time.process_time()
    [error, *_] = client.post("/", json={"query": query}).json()["errors"]
    assert error["extensions"]["code"] in ("QUERY_TOO_COMPLEX", "BAD_USER_INPUT")
    assert time.process_time() - began < 3


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"descriptions": False},
        {"specified_by_url": True, "directive_is_repeatable": True, "schema_description": True,
         "input_value_deprecation": True},
    ],
)  # fmt: skip
def test_introspection_is_within_the_limits(client_with: ClientWithLimits, options: dict[str, bool]) -> None:
    """With the options of GraphiQL and code generators."""
    check_accepted(client_with(), get_introspection_query(**options))


def test_the_queries_of_the_pages_are_within_the_limits() -> None:
    """For all values of their variables."""
    schema = core_schema(build())
    document = parse((Path(__file__).parents[2] / "ui" / "src" / "operations.graphql").read_text(encoding="utf-8"))
    assert check_limits(document, DEFAULT_LIMITS) is None
    operations = [definition for definition in document.definitions if isinstance(definition, OperationDefinitionNode)]
    assert len(operations) > 5
    assert [
        operation.name for operation in operations if Cost.estimate(schema, document, operation, DEFAULT_LIMITS)
    ] == []


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_limits_apply_to_event_streams(client_with: ClientWithLimits) -> None:
    """The message is the same for queries and subscriptions."""
    for query in ("{ a: __typename b: __typename }", "subscription { a: sessionChanges { b: mac } }"):
        answer = client_with(aliases=1).post("/", json={"query": query}, headers={"Accept": "text/event-stream"})
        [data] = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        [error] = json.loads(data[6:])["errors"]
        assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
        assert "2 aliases; at most 1" in error["message"]


def test_the_document_cache_is_bounded() -> None:
    """In number and total length, rejected documents included. Too long documents are not cached."""
    documents = DocumentCache(replace(DEFAULT_LIMITS, tokens=100_000))
    for n in range(300):
        documents.get_or_parse(f"{{ a{n} }}")
    assert len(documents.recent) == 256
    assert documents.get_or_parse("{ a299 }") is documents.get_or_parse("{ a299 }")
    documents.get_or_parse("{ a }" + " " * 20_000)
    assert len(documents.recent) == 256
    for n in range(300):
        documents.get_or_parse(f"{{ a{n} }}".ljust(19_000))
    assert len(documents.recent) == 1_000_000 // 19_000


def test_command_line_flags_set_the_limits_of_both_apis(tmp_path: Any) -> None:
    """Each API applies its own."""
    with running(tmp_path, "--max-aliases", "1", "--max-body", "2000") as server, server.client() as client:
        request = {"query": "{ a: __typename b: __typename }"}
        assert "at most 1" in client.post("/graphql", json=request).json()["errors"][0]["message"]
        assert client.post("/graphql", json={"query": "{ __typename }" + " " * 2000}).status_code == 413
        assert client.post("/sessions/create", json={"info": "x" * 2000}).status_code == 413


def test_the_schema_is_built_with_default_limits() -> None:
    """Commands that build it need not pass limits."""
    assert build(DEFAULT_LIMITS).as_str() == build().as_str()
