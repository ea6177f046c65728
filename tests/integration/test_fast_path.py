"""The fast path returns the same responses as the ordinary path, byte for byte."""

import json
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from resolvers.context import Context
from resolvers.validation.clock import Clock
from schema.build import build
from schema.connections import LazyConnection
from schema.fast_path.executor import CompilingExecutor
from schema.http.app import GraphQLApp
from storage.opening import open_store
from storage.store import Transaction
from storage.tables import DAY, HOUR, MISSING_EVENT, SECOND, SESSION_DEFAULTS
from tests.conftest import DATABASES, MAC, at, make_client, new_database, run
from tests.support.query_strategies import FIELDS, OTHER_MAC, documents, single_lists

NOW = at("2025-08-20T12:00:00Z")
HOSTILE_TEXTS = [
    "",
    'quote " and \\ and / and \' and "}]',
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "Büro — 会議室 — 🛜 — \u2028\u2029\ufeff\ufffe",
    "\U0010ffff" + "e\u0301",
    "%s %d {0} :mac ?1 $mac '); DROP TABLE session; --",
]
ENDS: list[dict[str, Any]] = [
    {},
    {"disconnected_at": None, "disconnection_event": None},
    {"disconnected_at": None, "disconnection_event": MISSING_EVENT},
    {"connected_at": None, "connection_event": MISSING_EVENT},
    {"connected_at": NOW - 3 * DAY + 1, "disconnected_at": NOW - 2 * DAY - 999_999},
    {"connected_at": -5 * 365 * DAY - 1, "disconnected_at": -SECOND + 7},
    {"connected_at": NOW + DAY, "disconnected_at": None, "disconnection_event": None},
    {"connected_at": NOW - HOUR, "disconnected_at": NOW - HOUR},
]
# Its duration exceeds Int, which is a field error in GraphQL. It has an IP address of its own, so that a filter selects it.
TOO_LONG_SESSION = {
    "mac": OTHER_MAC,
    "ip": "2001:db8::ffff",
    "connected_at": at("1901-01-01T00:00Z"),
    "disconnected_at": NOW - DAY,
}


def session_rows() -> list[dict[str, Any]]:
    """Return sessions of two devices in every state, with texts that are hard to escape."""
    rows = []
    for n in range(48):
        text = HOSTILE_TEXTS[n % len(HOSTILE_TEXTS)]
        row = {
            **SESSION_DEFAULTS,
            "mac": MAC if n % 3 else OTHER_MAC,
            "ip": "10.0.0.7" if n % 2 else "2001:db8::7",
            "connected_at": NOW - n * HOUR,
            "disconnected_at": NOW - n * HOUR + 90 * SECOND,
            "connection_event": text or "Connected",
            "disconnection_event": text or "Disconnected",
            "info": text,
        }
        rows.append(row | ENDS[n % len(ENDS)])
    rows.append(rows[0] | ENDS[0] | TOO_LONG_SESSION)
    return [row | {"id": 2**62 + n} for n, row in enumerate(rows)]


@pytest.fixture(scope="module", params=DATABASES)
def empty_clients(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, TestClient]]:
    """A client of the fast path and one of the ordinary path, over an empty store."""
    yield from make_clients(new_database(request.param, tmp_path_factory.mktemp("writing")), [])


@pytest.fixture(scope="module", params=DATABASES)
def clients(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, TestClient]]:
    """A client of the fast path and one of the ordinary path, over the sessions of `session_rows`."""
    yield from make_clients(new_database(request.param, tmp_path_factory.mktemp("compiled")), session_rows())


def make_clients(url: str, rows: list[dict[str, Any]]) -> Iterator[tuple[TestClient, TestClient]]:
    """Yield the client of the fast path and that of the ordinary path, over a store with these sessions."""
    store = run(open_store(url))

    async def fill(transaction: Transaction) -> None:
        await transaction.insert_devices([{"mac": MAC, "name": HOSTILE_TEXTS[1], "owner": None}])
        if rows:
            await transaction.insert_sessions(rows)

    run(store.write(fill))
    context = Context(store, Clock(ZoneInfo("Europe/Berlin"), time=lambda: NOW))
    fast, ordinary = GraphQLApp(context), GraphQLApp(context)
    ordinary.schema = build(fast=False)
    yield make_client(fast), make_client(ordinary)
    run(store.close())


def with_sorted_errors(content: bytes) -> bytes | dict[str, Any]:
    """Return the body. If it has several errors, sort them: the order depends on the database."""
    if content.count(b'"locations"') < 2:
        return content
    body: dict[str, Any] = json.loads(content)
    return body | {"errors": sorted(body["errors"], key=repr)}


def assert_same(clients: tuple[TestClient, TestClient], query: str, **options: Any) -> bytes:
    """Return the response, which is the same on both paths, also when the fast path has a cached document or plan."""
    fast, ordinary = clients
    body = {"query": query} | options
    expected = ordinary.post("/", json=body)
    for _ in range(3):
        response = fast.post("/", json=body)
        assert with_sorted_errors(response.content) == with_sorted_errors(expected.content)
        assert response.status_code == expected.status_code
    return expected.content


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(operation=documents())
def test_generated_queries_have_the_same_response(
    clients: tuple[TestClient, TestClient], operation: tuple[str, dict[str, Any]]
) -> None:
    """Aliases, fragments, directives, variables, several operations, missing ends, and field errors."""
    assert_same(clients, operation[0], **operation[1])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(operation=single_lists())
def test_generated_lists_have_the_same_response(
    clients: tuple[TestClient, TestClient], operation: tuple[str, dict[str, Any]]
) -> None:
    """A cached plan does not contain variables and arguments."""
    assert_same(clients, operation[0], **operation[1])


def test_cached_plan_replaces_execution_for_a_single_list(
    clients: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a directive or a second field, each request is executed."""
    executions = 0
    execute_operation = CompilingExecutor.execute_operation

    def counting(executor: CompilingExecutor) -> Any:
        nonlocal executions
        executions += 1
        return execute_operation(executor)

    monkeypatch.setattr(CompilingExecutor, "execute_operation", counting)
    query = "query($n: Int) { sessions(first: $n) { nodes { mac } } }"
    for query_text, expected in (
        (query, 2),
        (query.replace("mac", "mac @include(if: true)"), 4),
        (query[:-1] + " a: __typename }", 4),
    ):
        executions = 0
        for n in (1, 2, 3, 4):
            response = clients[0].post("/", json={"query": query_text, "variables": {"n": n}}).json()
            assert len(response["data"]["sessions"]["nodes"]) == n
        assert executions == expected, query_text


ALL_COLUMNS = "{ sessions(first: 100) { nodes { %s } pageInfo { endCursor } } }" % " ".join(FIELDS)


def test_database_makes_the_json_of_every_column(
    clients: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts and addresses are unchanged, and no session is completed field by field."""
    without_too_long = ALL_COLUMNS.replace("first: 100", 'first: 100, filter: { ips: ["10.0.0.7", "2001:db8::7"] }')
    expected = assert_same(clients, without_too_long)
    monkeypatch.setattr(LazyConnection, "__await__", None)
    assert clients[0].post("/", json={"query": without_too_long}).content == expected
    device = f'{{ deviceSessions(mac: "{MAC}", period: "2 days") {{ info edge: disconnectedAt }} }}'
    assert b"data" in clients[0].post("/", json={"query": device}).content


def test_field_error_is_the_same(clients: tuple[TestClient, TestClient]) -> None:
    """A duration that exceeds Int is null, with an error that contains its path."""
    assert b'"path":["sessions","nodes",' in assert_same(clients, ALL_COLUMNS)


def test_more_fields_than_an_sql_function_takes(clients: tuple[TestClient, TestClient]) -> None:
    """The ordinary path completes them."""
    fields = " ".join(f"...{{ id mac{n}: mac }}" if n < 25 else "info" for n in range(70))
    assert_same(clients, "{ sessions(first: 3) { nodes { %s } } }" % fields)


def test_cached_query_still_checks_variables_and_operation_name(clients: tuple[TestClient, TestClient]) -> None:
    """Each request is checked."""
    query = "query One($n: Int!) { sessions(first: $n) { totalCount } }"
    assert b"errors" not in assert_same(clients, query, variables={"n": 1})
    assert b"errors" in assert_same(clients, query, variables={"n": "many"})
    assert b"errors" in assert_same(clients, query)
    assert b"Two" in assert_same(clients, query, variables={"n": 1}, operationName="Two")


def test_cached_plan_still_checks_types_and_arguments(clients: tuple[TestClient, TestClient]) -> None:
    """The type of a variable, and the range of an argument."""
    query = "query($n: Int!, $after: String) { sessions(first: $n, after: $after) { nodes { mac } } }"
    assert b"errors" not in assert_same(clients, query, variables={"n": 1})
    assert b"Int cannot represent" in assert_same(clients, query, variables={"n": "many"})
    assert b"after: " in assert_same(clients, query, variables={"n": 1, "after": "none"})
    assert b"out of range" in assert_same(clients, query, variables={"n": 10_001})


def test_document_cache_is_bounded(clients: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """New documents replace the least recently used, and long documents are not cached."""
    monkeypatch.setattr("schema.validation.documents.MAX_DOCUMENTS", 3)
    fast, _ = clients
    cached = fast.app.schema.documents.recent  # type: ignore[attr-defined]
    for n in (0, 1, 2, 3, 4, 2, 5):
        fast.post("/", json={"query": f"{{ a{n}: __typename }}"})
    assert list(cached) == [f"{{ a{n}: __typename }}" for n in (4, 2, 5)]
    fast.post("/", json={"query": "{ __typename }" + " " * 20_000})
    assert len(cached) == 3


values = st.one_of(
    st.sampled_from(
        [MAC, "10.0.0.1", "2025-08-01T10:00:00Z", "2025-08-01T09:00:00", "Connected", MISSING_EVENT, "", None]
    ),
    st.sampled_from([5, True, 1.5, ["x"], {"mac": MAC}]),
)
members = st.one_of(
    st.fixed_dictionaries(
        {"mac": st.just(MAC), "ip": st.just("10.0.0.1"), "startTime": st.just("2025-08-01T10:00:00Z")},
        optional={"endTime": values, "eventTypeConn": values, "eventTypeDisc": values, "info": values},
    ),
    st.dictionaries(st.sampled_from(["mac", "ip", "startTime", "endTime", "info", "nonsense"]), values, max_size=4),
    values,
)
CREATE_MANY = "mutation($input: %s) { createSessions(input: $input) { created } }"


@settings(max_examples=150)
@given(
    sessions=st.one_of(st.lists(members, max_size=3), members),
    variable_type=st.sampled_from(["[CreateSessionInput!]!"]),
    has_unknown=st.booleans(),
)
def test_create_sessions_accepts_and_rejects_the_same(
    empty_clients: tuple[TestClient, TestClient], sessions: Any, variable_type: str, has_unknown: bool
) -> None:
    """A value that bypasses coercion would not be changed by it. Any other value gets its error."""
    assert_same(
        empty_clients,
        CREATE_MANY % variable_type,
        variables={"input": sessions} | ({"unknown": 1} if has_unknown else {}),
    )


@pytest.mark.parametrize("name", ["createSession(input: $i) { message session { mac ip state info durationSeconds } }"])
@pytest.mark.parametrize("info", [*HOSTILE_TEXTS, None, 5])
def test_create_session_has_the_same_response(
    empty_clients: tuple[TestClient, TestClient], name: str, info: Any
) -> None:
    """The input is a variable or a literal."""
    new_session = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00Z", "info": info}
    assert_same(empty_clients, f"mutation($i: CreateSessionInput!) {{ {name} }}", variables={"i": new_session})
    literal = f'{{mac: "{MAC}", ip: "::1", endTime: null, startTime: "2025-08-01T10:00:00Z"}}'
    response = assert_same(empty_clients, f"mutation {{ createSession(input: {literal}) {{ message }} }}")
    assert b"Session created for MAC" in response


@pytest.mark.parametrize(
    "selected",
    [
        "start end onlineSeconds sessions devices peak",
        "__typename from: start until: end peak peak ...Online @include(if: $yes) devices @skip(if: $yes)",
        "... on PresenceBucket { sessions @include(if: false) } ...Online",
        "sessions nonsense",
    ],
)
def test_presence_buckets_are_the_same(clients: tuple[TestClient, TestClient], selected: str) -> None:
    """With aliases, fragments and directives, in two lists, and with an error in one."""
    query = f"""query P($yes: Boolean!) {{
        days: presence(start: "2025-08-01", end: "2025-08-20") {{ {selected} }}
        presence(start: "2025-08-19", end: "2025-08-20", bucket: HOUR, macs: ["{MAC}"]) {{ {selected} }}
        sessionTotals {{ all }} }}
        fragment Online on PresenceBucket {{ seconds: onlineSeconds __typename }}"""
    assert_same(clients, query, variables={"yes": True})
    assert_same(clients, query.replace("2025-08-20", "2025-08-18"), variables={"yes": True})
