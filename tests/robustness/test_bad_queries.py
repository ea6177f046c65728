"""Fuzzing of the GraphQL API: generated and damaged requests get data or an error with a code, never an internal error."""

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
from schema.http.app import GraphQLApp
from storage.opening import open_store
from tests.conftest import DATABASES, MAC, NOW, at, make_client, new_database, run

SDL = (Path(__file__).parents[2] / "schema" / "schema.graphql").read_text()
SCHEMA = build_schema(SDL)
Api = tuple[TestClient, Context]
CODES = {"BAD_USER_INPUT", "NOT_FOUND", "QUERY_TOO_COMPLEX"}
SUMMARY = text("SELECT count(*), count(disconnected_at), max(id) FROM session")
any_text = st.text(max_size=30)
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


def usually(usual: st.SearchStrategy[str]) -> st.SearchStrategy[StringValueNode]:
    """Return usual values, and in one of ten cases any text."""
    return st.integers(0, 9).flatmap(lambda n: usual if n else any_text).map(nodes.String)


SCALARS = {
    "MAC": usually(macs),
    "IPAddress": usually(ips),
    "DateTime": usually(times),
    "Date": usually(days),
    "Period": usually(periods),
}
FIELDS = [name for kind in (SCHEMA.query_type, SCHEMA.mutation_type) if kind for name in kind.fields]
SINGLE_FIELD_QUERIES = st.one_of([from_schema(SDL, fields=[name], custom_scalars=SCALARS) for name in FIELDS])
QUERIES = from_schema(SDL, custom_scalars=SCALARS)
INVALID_QUERIES = from_schema(SDL, custom_scalars=SCALARS, mode=Mode.NEGATIVE)


@pytest.fixture(scope="module", params=DATABASES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A client and its context, over a store that is empty at first. Exceptions of the app are raised in the test."""
    url = new_database(request.param, tmp_path_factory.mktemp("queries"))
    store = run(open_store(url))
    context = Context(store, Clock(ZoneInfo("Europe/Berlin"), time=lambda: at(NOW)))
    yield make_client(GraphQLApp(context)), context
    run(store.close())


def summary(context: Context) -> Any:
    # A new connection for each case would take longer than the case.
    return run(context.store.fetch(SUMMARY, {}))


def send_and_check(api: Api, body: Any) -> dict[str, Any]:
    """Send a body. Check that the response is valid, that errors have codes, and that nothing changed without execution."""
    client, context = api
    before = summary(context)
    response = client.post("/", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 400), response.text
    assert response.headers["content-type"] == "application/json"
    result: dict[str, Any] = json.loads(response.content)
    assert result.keys() <= {"data", "errors"}
    for error in result.get("errors", []):
        assert error["message"]
        assert error["extensions"]["code"] in CODES, error
    if "data" not in result:
        assert result["errors"]
        assert summary(context) == before
    return result


@seed(20212)
@settings(max_examples=500, database=None, suppress_health_check=list(HealthCheck))
@given(query=SINGLE_FIELD_QUERIES)
def test_single_field_gets_data_or_an_error_without_a_change(api: Api, query: str) -> None:
    """Each query and mutation, with all arguments and inputs, and with valid and invalid values."""
    before = summary(api[1])
    result = send_and_check(api, json.dumps({"query": query}))
    assert result.get("data") or summary(api[1]) == before


@seed(20212)
@settings(max_examples=100, database=None, suppress_health_check=list(HealthCheck))
@given(query=QUERIES)
def test_several_fields_get_data_or_errors(api: Api, query: str) -> None:
    """Each mutation is a transaction. Those before a failed one are committed."""
    send_and_check(api, json.dumps({"query": query}))


@seed(20212)
@settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
@given(query=INVALID_QUERIES)
def test_query_that_violates_the_schema_is_not_executed(api: Api, query: str) -> None:
    """For all kinds of violations."""
    assert "data" not in send_and_check(api, json.dumps({"query": query}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
WITH_VARIABLES = """query Q($macs: [MAC!], $ips: [IPAddress!], $states: [SessionState!], $range: DateTimeRange, $day: Date,
    $period: Period, $first: Int, $cursor: String, $id: ID!) {
  sessions(filter: {macs: $macs, ips: $ips, states: $states, overlaps: $range, startDate: $day, search: $cursor},
    first: $first, after: $cursor) { nodes { id mac } }
  sessionTotals(period: $period) { all } node(id: $id) { id } sessionHistory(id: $id) { at } }"""
CREATE_SESSIONS = "mutation Q($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
VARIABLES = {"macs": [MAC], "ips": ["10.0.0.1"], "first": 5, "id": "S:x", "day": "2025-08-01", "period": "7 days"}
SESSION_INPUT = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00Z"}
session_inputs = st.lists(
    st.dictionaries(st.sampled_from([*SESSION_INPUT, "endTime", "info", "eventTypeConn", "x"]), json_values).map(
        lambda changes: SESSION_INPUT | changes
    ),
    max_size=4,
)


@seed(20212)
@settings(max_examples=200, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.tuples(
        st.just(WITH_VARIABLES),
        st.dictionaries(st.sampled_from([*VARIABLES, "states", "range", "cursor"]), json_values).map(
            lambda changes: VARIABLES | changes
        ),
    )
    | st.tuples(st.just(CREATE_SESSIONS), st.fixed_dictionaries({"input": session_inputs | json_values}))
)
def test_variables_of_any_shape_get_data_or_errors(api: Api, operation: tuple[str, dict[str, Any]]) -> None:
    """Huge numbers, and strings, lists and objects where other types are expected."""
    send_and_check(api, json.dumps({"query": operation[0], "variables": operation[1], "operationName": "Q"}))


@st.composite
def damaged_requests(draw: st.DrawFn) -> bytes:
    """A request in which bytes were removed, changed or inserted."""
    content = bytearray(
        json.dumps({"query": draw(st.sampled_from([WITH_VARIABLES, CREATE_SESSIONS])), "variables": VARIABLES}).encode()
    )
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(content)))
        content[where : where + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"{", b"}", b'"', b"\\", b"...", b"\x00", b"[" * 2000, b"{a" * 3000])
        )
    return bytes(content)


request_objects = st.fixed_dictionaries(
    {},
    optional={
        "query": json_values | st.sampled_from(["{ __typename }", "query A { __typename } query B { __typename }"]),
        "variables": json_values,
        "operationName": json_values,
        "extensions": json_values,
    },
)


@seed(20212)
@settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | damaged_requests() | request_objects.map(json.dumps) | json_values.map(json.dumps))
def test_damaged_body_gets_an_error(api: Api, body: bytes | str) -> None:
    """Bytes that are not JSON, JSON that is not a request, and damaged requests."""
    send_and_check(api, body)
