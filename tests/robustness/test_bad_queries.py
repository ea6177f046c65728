"""Whatever GraphQL is asked, in words of the schema or not, it answers or refuses, and never fails."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from graphql import StringValueNode, build_schema
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import Mode, from_schema, nodes
from sqlalchemy import text
from starlette.testclient import TestClient

from resolvers.context import Context
from resolvers.validation.clock import Clock
from schema.http.app import GraphQLDoor
from storage.opening import open_store
from tests.conftest import DATABASES, MAC, NOW, at, client_of, new_database, run

SDL = (Path(__file__).parents[2] / "schema" / "schema.graphql").read_text()
BUILT = build_schema(SDL)
Door = tuple[TestClient, Context]
CODES = {"BAD_USER_INPUT", "NOT_FOUND", "QUERY_TOO_COMPLEX"}
COUNT = text("SELECT count(*), count(disconnected_at), max(id) FROM session")

anything = st.text(max_size=30)
macs = st.sampled_from([MAC, "aabb.ccdd.eeff", "02-00-00-00-00-01", "020000000002"])
ips = st.ip_addresses().map(str) | st.just("10.0.0.1")
times = st.datetimes().map(lambda t: t.isoformat()) | st.sampled_from(
    [
        "2025-08-01T10:00:00Z",
        "2025-08-02T10:00:00+02:00",
        "1900-01-01T00:00Z",
        "9999-12-31T23:59:59Z",
        "2025-08-20T12:00",
    ]
)
days = st.dates().map(str) | st.sampled_from(["2025-08-01", "2025-08-20", "0001-01-01", "9999-12-31"])
periods = st.sampled_from(["7 days", "1 month", "P7D", "999999999 years", "PT0S", "P999999999M", "1 minute"])


def mostly(usual: st.SearchStrategy[str]) -> st.SearchStrategy[StringValueNode]:
    """Values that have a meaning, and one in ten that need not."""
    return st.integers(0, 9).flatmap(lambda n: usual if n else anything).map(nodes.String)


SCALARS = {
    "MAC": mostly(macs),
    "IPAddress": mostly(ips),
    "DateTime": mostly(times),
    "Date": mostly(days),
    "Period": mostly(periods),
}
FIELDS = [name for kind in (BUILT.query_type, BUILT.mutation_type) if kind for name in kind.fields]
OF_ONE_FIELD = st.one_of([from_schema(SDL, fields=[name], custom_scalars=SCALARS) for name in FIELDS])
OPERATIONS = from_schema(SDL, custom_scalars=SCALARS)
MISTAKEN = from_schema(SDL, custom_scalars=SCALARS, mode=Mode.NEGATIVE)


@pytest.fixture(scope="module", params=DATABASES)
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The door over a store that is empty at first, and what it was made of. What a door raises is raised here."""
    url = new_database(request.param, tmp_path_factory.mktemp("queries"))
    store = run(open_store(url))
    context = Context(store, Clock(ZoneInfo("Europe/Berlin"), time=lambda: at(NOW)))
    yield client_of(GraphQLDoor(context)), context
    run(store.close())


def held(context: Context) -> Any:
    # By the store's own connections: a new one for each case would take longer than the case.
    return run(context.store.fetch(COUNT, {}))


def checked(door: Door, body: Any) -> dict[str, Any]:
    """The answer to a body: well-formed, no failure, a code with every error; what was not executed changed nothing."""
    client, context = door
    before = held(context)
    answer = client.post("/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400), answer.text
    assert answer.headers["content-type"] == "application/json"
    told: dict[str, Any] = json.loads(answer.content)
    assert told.keys() <= {"data", "errors"}
    for error in told.get("errors", []):
        assert error["message"]
        assert error["extensions"]["code"] in CODES, error
    if "data" not in told:
        assert told["errors"]
        assert held(context) == before
    return told


@seed(20212)
@settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(query=OF_ONE_FIELD)
def test_a_field_is_answered_or_refused_and_then_nothing_has_changed(door: Door, query: str) -> None:
    """Each query and mutation, with every argument and input, and with values that are right and values that are not."""
    before = held(door[1])
    told = checked(door, json.dumps({"query": query}))
    assert told.get("data") or held(door[1]) == before


@seed(20212)
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(query=OPERATIONS)
def test_many_fields_at_once_are_answered_or_refused(door: Door, query: str) -> None:
    """The same with several in one request; each mutation is whole by itself, those before one that fails are done."""
    checked(door, json.dumps({"query": query}))


@seed(20212)
@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(query=MISTAKEN)
def test_what_the_schema_does_not_allow_is_refused(door: Door, query: str) -> None:
    """A mistake anywhere in a query is told, and nothing of it is carried out."""
    assert "data" not in checked(door, json.dumps({"query": query}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)
WITH_VARIABLES = """query Q($macs: [MAC!], $ips: [IPAddress!], $states: [SessionState!], $range: DateTimeRange, $day: Date,
    $period: Period, $first: Int, $cursor: String, $id: ID!) {
  sessions(filter: {macs: $macs, ips: $ips, states: $states, overlaps: $range, startDate: $day, search: $cursor},
    first: $first, after: $cursor) { nodes { id mac } }
  sessionTotals(period: $period) { all } node(id: $id) { id } sessionHistory(id: $id) { at } }"""
CREATING = "mutation Q($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
FILLED = {"macs": [MAC], "ips": ["10.0.0.1"], "first": 5, "id": "S:x", "day": "2025-08-01", "period": "7 days"}
GIVEN = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00Z"}
given_sessions = st.lists(
    st.dictionaries(st.sampled_from([*GIVEN, "endTime", "info", "eventTypeConn", "x"]), json_values).map(
        lambda wrong: GIVEN | wrong
    ),
    max_size=4,
)


@seed(20212)
@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.tuples(
        st.just(WITH_VARIABLES),
        st.dictionaries(st.sampled_from([*FILLED, "states", "range", "cursor"]), json_values).map(
            lambda wrong: FILLED | wrong
        ),
    )
    | st.tuples(st.just(CREATING), st.fixed_dictionaries({"input": given_sessions | json_values}))
)
def test_variables_of_any_shape_are_taken_or_refused(door: Door, asked: tuple[str, dict[str, Any]]) -> None:
    """Numbers beyond all bounds, texts, lists and objects where others are expected."""
    checked(door, json.dumps({"query": asked[0], "variables": asked[1], "operationName": "Q"}))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A request in which bytes were lost, changed or put in."""
    content = bytearray(
        json.dumps({"query": draw(st.sampled_from([WITH_VARIABLES, CREATING])), "variables": FILLED}).encode()
    )
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(content)))
        content[where : where + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"{", b"}", b'"', b"\\", b"...", b"\x00", b"[" * 2000, b"{a" * 3000])
        )
    return bytes(content)


whole_bodies = st.fixed_dictionaries(
    {},
    optional={
        "query": json_values | st.sampled_from(["{ __typename }", "query A { __typename } query B { __typename }"]),
        "variables": json_values,
        "operationName": json_values,
        "extensions": json_values,
    },
)


@seed(20212)
@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | spoilt() | whole_bodies.map(json.dumps) | json_values.map(json.dumps))
def test_a_body_that_is_no_request_is_refused(door: Door, body: bytes | str) -> None:
    """Bytes that are not JSON, JSON that is no request, requests that were damaged on their way."""
    checked(door, body)
