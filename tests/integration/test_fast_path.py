"""The fast path answers what the ordinary one answers, byte for byte."""

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
from schema.fast_path.executor import CompiledExecutor
from schema.http.app import GraphQLDoor
from schema.types import Planned
from storage.opening import open_store
from storage.store import Transaction
from storage.tables import DAY, HOUR, MISSING, SECOND
from tests.conftest import DATABASES, MAC, at, client_of, new_database, run

NOW = at("2025-08-20T12:00:00Z")
OTHER = "02:00:5E:10:00:01"
HOSTILE = [
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
    {"disconnected_at": None, "disconnection_event": MISSING},
    {"connected_at": None, "connection_event": MISSING},
    {"connected_at": NOW - 3 * DAY + 1, "disconnected_at": NOW - 2 * DAY - 999_999},
    {"connected_at": -5 * 365 * DAY - 1, "disconnected_at": -SECOND + 7},
    {"connected_at": NOW + DAY, "disconnected_at": None, "disconnection_event": None},
    {"connected_at": NOW - HOUR, "disconnected_at": NOW - HOUR},
]
# A duration beyond Int, which GraphQL answers with an error beside the data; asked for by its own address.
TOO_LONG = {"mac": OTHER, "ip": "2001:db8::ffff", "connected_at": at("1901-01-01T00:00Z"), "disconnected_at": NOW - DAY}


def stays() -> list[dict[str, Any]]:
    """Sessions of every state, with every text that is hard to write, at two devices."""
    made = []
    for n in range(48):
        text = HOSTILE[n % len(HOSTILE)]
        stay = {
            "mac": MAC if n % 3 else OTHER,
            "ip": "10.0.0.7" if n % 2 else "2001:db8::7",
            "connected_at": NOW - n * HOUR,
            "disconnected_at": NOW - n * HOUR + 90 * SECOND,
            "connection_event": text or "Connected",
            "disconnection_event": text or "Disconnected",
            "info": text,
            "live": 0,
            "seen_at": None,
        }
        made.append(stay | ENDS[n % len(ENDS)])
    made.append(made[0] | ENDS[0] | TOO_LONG)
    return [stay | {"id": 2**62 + n} for n, stay in enumerate(made)]


@pytest.fixture(scope="module", params=DATABASES)
def writing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, TestClient]]:
    """The same two, over a store that changes."""
    yield from both(new_database(request.param, tmp_path_factory.mktemp("writing")), [])


@pytest.fixture(scope="module", params=DATABASES)
def doors(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, TestClient]]:
    """The fast door and the ordinary one over the same store."""
    yield from both(new_database(request.param, tmp_path_factory.mktemp("compiled")), stays())


def both(url: str, rows: list[dict[str, Any]]) -> Iterator[tuple[TestClient, TestClient]]:
    """Both doors over a store of these sessions."""
    store = run(open_store(url))

    async def fill(transaction: Transaction) -> None:
        await transaction.name([{"mac": MAC, "name": HOSTILE[1], "owner": None}])
        if rows:
            await transaction.record(rows)

    run(store.write(fill))
    context = Context(store, Clock(ZoneInfo("Europe/Berlin"), time=lambda: NOW))
    fast, ordinary = GraphQLDoor(context), GraphQLDoor(context)
    ordinary.schema = build(fast=False)
    yield client_of(fast), client_of(ordinary)
    run(store.close())


def sorted_errors(content: bytes) -> bytes | dict[str, Any]:
    """An answer byte for byte; with several errors, which come in the order in which the database met them, those sorted."""
    if content.count(b'"locations"') < 2:
        return content
    body: dict[str, Any] = json.loads(content)
    return body | {"errors": sorted(body["errors"], key=repr)}


def same(doors: tuple[TestClient, TestClient], query: str, **more: Any) -> bytes:
    """The answer of both doors, of the fast one also when it knows the query already, and what there is to settle of it."""
    fast, ordinary = doors
    body = {"query": query} | more
    expected = ordinary.post("/", json=body)
    for _ in range(3):
        answer = fast.post("/", json=body)
        assert sorted_errors(answer.content) == sorted_errors(expected.content)
        assert answer.status_code == expected.status_code
    return expected.content


FIELDS = (
    "id", "mac", "ip", "state", "connectedAt", "disconnectedAt", "connectionEvent", "disconnectionEvent",
    "durationSeconds", "info", "__typename",
)  # fmt: skip
FRAGMENTS = {
    "Plain": "fragment Plain on Session { id again: mac ip }",
    "Deep": "fragment Deep on Session { ...Plain info ... on Node { id __typename } }",
    "Whose": "fragment Whose on Session { mac device { mac name owner } }",
}
CONDITIONS = ("", "", "", " @include(if: $yes)", " @skip(if: $yes)", " @skip(if: $no)", " @include(if: false)")
condition = st.sampled_from(CONDITIONS)


@st.composite
def field(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(FIELDS))
    # An alias tells what it stands for, so that no two fields of one name can conflict.
    alias = draw(st.sampled_from(["", f"a_{name}: ", f"b_{name}: "]))
    return f"{alias}{name}{draw(condition)}"


@st.composite
def session(draw: st.DrawFn, depth: int = 2) -> str:
    """A selection of a session."""
    parts = draw(st.lists(field(), min_size=1, max_size=6))
    if depth and draw(st.booleans()):
        on = draw(st.sampled_from(["", " on Session", " on Node"]))
        inner = "id __typename" if on == " on Node" else draw(session(depth - 1))
        parts.append(f"...{on}{draw(condition)} {{ {inner} }}")
    if depth and draw(st.booleans()):
        parts.append(f"...{draw(st.sampled_from(list(FRAGMENTS)))}{draw(condition)}")
    if draw(st.integers(0, 9)) == 0:
        parts.append(f"device{draw(condition)} {{ mac name }}")
    return " ".join(draw(st.permutations(parts)))


@st.composite
def connection(draw: st.DrawFn) -> str:
    """A selection of a page of sessions."""
    node = draw(session())
    parts = draw(
        st.lists(
            st.sampled_from(
                [
                    f"nodes {{ {node} }}",
                    f"nodes {{ {node} }}",
                    f"edges {{ cursor node {{ {node} }} }}",
                    f"edges {{ place: cursor __typename stay: node {{ {node} }} again: cursor }}",
                    "edges { cursor }",
                    "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }",
                    "pageInfo { end: endCursor __typename }",
                    "totalCount",
                    "__typename",
                ]
            ),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    return " ".join(parts)


@st.composite
def root(draw: st.DrawFn, name: str) -> str:
    """One field of the query."""
    match draw(st.integers(0, 7)):
        case 0 | 1:
            mac = draw(st.sampled_from(["$mac", f'"{OTHER}"', '"aabb.ccdd.eeff"', '"nonsense"']))
            return f'{name}: deviceSessions(mac: {mac}, period: "{draw(st.sampled_from(["2 days", "200 years"]))}")' + (
                f"{draw(condition)} {{ {draw(session())} }}"
            )
        case 2:
            if draw(st.integers(0, 4)) == 0:
                return f"{name}: server {{ version zone: timeZone now{draw(condition)} __typename }}"
            order = draw(
                st.sampled_from(["", "orderBy: OLDEST, ", "orderBy: NAME_DESC, ", 'search: "e", orderBy: IP, '])
            )
            rows = draw(st.sampled_from(["nodes", "edges { cursor } nodes", "totalCount pageInfo { endCursor } nodes"]))
            return (
                f"{name}: sessionEvents({order}first: 5) {{ {rows} {{ eventType session {{ {draw(session())} }} }} }}"
            )
        case 3:
            return f'{name}: node(id: "S:{MAC}:{2**62 + 1}") {{ id ... on Session {{ {draw(session())} }} }}'
        case _:
            order = draw(st.sampled_from(["NEWEST", "OLDEST", "LONGEST", "SHORTEST"]))
            page = draw(st.sampled_from(["first: $n", "first: 7", "last: 3", "first: 0", "first: 100", "first: -1"]))
            narrowed = draw(
                st.sampled_from(
                    [
                        "",
                        "filter: { macs: [$mac] }, ",
                        "filter: { states: [COMPLETE, MISSING_CONNECTION] }, ",
                        'filter: { overlaps: { from: "2025-08-19T00:00Z" }, search: "e" }, ',
                        'filter: { ips: ["2001:db8::ffff"] }, ',
                        'filter: { startDate: "2025-08-19", endDate: "2025-08-20" }, ',
                    ]
                )
            )
            return f"{name}: sessions({narrowed}orderBy: {order}, {page}) {{ {draw(connection())} }}"


@st.composite
def document(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request of one or two operations, with the variables that they declare."""
    declared = "($yes: Boolean!, $no: Boolean = false, $n: Int, $mac: MAC!)"
    used = (
        "v: __typename @include(if: $yes) @skip(if: $no) w: sessions(first: $n, filter: {macs: [$mac]}) { __typename }"
    )
    operations = [
        f"query {name}{declared} {{ {used} {' '.join(draw(root(f'r{n}')) for n in range(draw(st.integers(1, 2))))} }}"
        for name in ("One", "Two")[: draw(st.integers(1, 2))]
    ]
    text = " ".join(operations)
    for name in ("Deep", "Whose", "Plain"):
        if f"...{name}" in text:
            text += " " + FRAGMENTS[name]
    variables = {"yes": draw(st.booleans()), "n": draw(st.sampled_from([None, 4])), "mac": MAC}
    if draw(st.booleans()):
        variables["no"] = draw(st.booleans())
    return text, {"variables": variables, "operationName": "One"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(request_=document())
def test_generated_queries_are_answered_the_same(
    doors: tuple[TestClient, TestClient], request_: tuple[str, dict[str, Any]]
) -> None:
    """Aliases, fragments, directives, variables, several operations, missing ends, errors beside data."""
    same(doors, request_[0], **request_[1])


@st.composite
def alone(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request of one list without directives, with arguments from variables, right and wrong, and in the text."""
    text = draw(root("list").filter(lambda made: "@" not in made))
    declared = draw(
        st.sampled_from(
            [
                '($n: Int, $mac: MAC! = "aabb.ccdd.eeff")',
                '($n: Int = 2, $mac: MAC = "nonsense")',
                "($n: Int, $mac: MAC)",
                "($n: Int!, $mac: MAC!)",
            ]
        )
    )
    again = draw(st.sampled_from(["", f" list: {text.removeprefix('list: ')}", " more: __typename"]))
    text = f"query One{declared} {{ {text}{again} }}"
    for name in ("Deep", "Whose", "Plain"):
        if f"...{name}" in text:
            text += " " + FRAGMENTS[name]
    variables = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "n": st.sampled_from([None, 4, -1, 2**40, "4", 1.5]),
                "mac": st.sampled_from([MAC, "aabb.ccdd.eeff", "nonsense", None, 5]),
                "unknown": st.just(1),
            },
        )
    )
    return text, {"variables": variables}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(request_=alone())
def test_generated_lists_are_answered_the_same(
    doors: tuple[TestClient, TestClient], request_: tuple[str, dict[str, Any]]
) -> None:
    """What is settled of a query that is one list leaves its variables and arguments as they are with each request."""
    same(doors, request_[0], **request_[1])


def test_a_known_list_goes_straight_to_its_resolver(
    doors: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is executed once it is settled; with directives, or beside another field, all of it is."""
    executions = 0
    executed = CompiledExecutor.execute_operation

    def counted(executor: CompiledExecutor) -> Any:
        nonlocal executions
        executions += 1
        return executed(executor)

    monkeypatch.setattr(CompiledExecutor, "execute_operation", counted)
    query = "query($n: Int) { sessions(first: $n) { nodes { mac } } }"
    for asked, expected in (
        (query, 2),
        (query.replace("mac", "mac @include(if: true)"), 4),
        (query[:-1] + " a: __typename }", 4),
    ):
        executions = 0
        for n in (1, 2, 3, 4):
            answer = doors[0].post("/", json={"query": asked, "variables": {"n": n}}).json()
            assert len(answer["data"]["sessions"]["nodes"]) == n
        assert executions == expected, asked


PLAIN = "{ sessions(first: 100) { nodes { %s } pageInfo { endCursor } } }" % " ".join(FIELDS)


def test_every_plain_column_is_made_by_the_database(
    doors: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hostile texts and addresses pass unchanged, and no session was completed field by field."""
    without_too_long = PLAIN.replace("first: 100", 'first: 100, filter: { ips: ["10.0.0.7", "2001:db8::7"] }')
    expected = same(doors, without_too_long)
    monkeypatch.setattr(Planned, "__await__", None)
    assert doors[0].post("/", json={"query": without_too_long}).content == expected
    device = f'{{ deviceSessions(mac: "{MAC}", period: "2 days") {{ info edge: disconnectedAt }} }}'
    assert b"data" in doors[0].post("/", json={"query": device}).content


def test_an_error_beside_the_data_is_the_ordinary_one(doors: tuple[TestClient, TestClient]) -> None:
    """A duration that Int cannot hold is null with an error that names its place."""
    assert b'"path":["sessions","nodes",' in same(doors, PLAIN)


def test_more_fields_than_a_function_takes_are_answered_the_same(doors: tuple[TestClient, TestClient]) -> None:
    """Beyond that number the ordinary way is taken."""
    fields = " ".join(f"...{{ id mac{n}: mac }}" if n < 25 else "info" for n in range(70))
    same(doors, "{ sessions(first: 3) { nodes { %s } } }" % fields)


def test_a_known_query_is_still_told_what_is_wrong_with_its_request(doors: tuple[TestClient, TestClient]) -> None:
    """Variables, the operation's name, and methods are looked at each time."""
    query = "query One($n: Int!) { sessions(first: $n) { totalCount } }"
    assert b"errors" not in same(doors, query, variables={"n": 1})
    assert b"errors" in same(doors, query, variables={"n": "many"})
    assert b"errors" in same(doors, query)
    assert b"Two" in same(doors, query, variables={"n": 1}, operationName="Two")


def test_a_known_list_is_still_told_what_is_wrong_with_its_variables(doors: tuple[TestClient, TestClient]) -> None:
    """By their types, and by what the list takes."""
    query = "query($n: Int!, $after: String) { sessions(first: $n, after: $after) { nodes { mac } } }"
    assert b"errors" not in same(doors, query, variables={"n": 1})
    assert b"Int cannot represent" in same(doors, query, variables={"n": "many"})
    assert b"after: " in same(doors, query, variables={"n": 1, "after": "none"})
    assert b"out of range" in same(doors, query, variables={"n": 10_001})


def test_known_queries_are_bounded(doors: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ever new queries do not fill the memory, nor do long ones. What is asked again stays."""
    monkeypatch.setattr("schema.validation.documents.KNOWN", 3)
    fast, _ = doors
    known = fast.app.schema._documents.recent  # type: ignore[attr-defined]
    for n in (0, 1, 2, 3, 4, 2, 5):
        fast.post("/", json={"query": f"{{ a{n}: __typename }}"})
    assert list(known) == [f"{{ a{n}: __typename }}" for n in (4, 2, 5)]
    fast.post("/", json={"query": "{ __typename }" + " " * 20_000})
    assert len(known) == 3


value = st.one_of(
    st.sampled_from([MAC, "10.0.0.1", "2025-08-01T10:00:00Z", "2025-08-01T09:00:00", "Connected", MISSING, "", None]),
    st.sampled_from([5, True, 1.5, ["x"], {"mac": MAC}]),
)
member = st.one_of(
    st.fixed_dictionaries(
        {"mac": st.just(MAC), "ip": st.just("10.0.0.1"), "startTime": st.just("2025-08-01T10:00:00Z")},
        optional={"endTime": value, "eventTypeConn": value, "eventTypeDisc": value, "info": value},
    ),
    st.dictionaries(st.sampled_from(["mac", "ip", "startTime", "endTime", "info", "nonsense"]), value, max_size=4),
    value,
)
CREATE_MANY = "mutation($input: %s) { createSessions(input: $input) { created } }"


@settings(max_examples=150, deadline=None)
@given(
    given=st.one_of(st.lists(member, max_size=3), member),
    of=st.sampled_from(["[CreateSessionInput!]!"]),
    more=st.booleans(),
)
def test_new_sessions_are_taken_or_refused_the_same(
    writing: tuple[TestClient, TestClient], given: Any, of: str, more: bool
) -> None:
    """What is put past coercion would have come through it unchanged; all else meets its error."""
    same(writing, CREATE_MANY % of, variables={"input": given} | ({"unknown": 1} if more else {}))


@pytest.mark.parametrize("name", ["createSession(input: $i) { message session { mac ip state info durationSeconds } }"])
@pytest.mark.parametrize("info", [*HOSTILE, None, 5])
def test_a_new_session_is_answered_the_same(writing: tuple[TestClient, TestClient], name: str, info: Any) -> None:
    """As the store has it, whichever way it came."""
    given = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00Z", "info": info}
    same(writing, f"mutation($i: CreateSessionInput!) {{ {name} }}", variables={"i": given})
    literal = f'{{mac: "{MAC}", ip: "::1", endTime: null, startTime: "2025-08-01"}}'
    same(writing, f"mutation {{ createSession(input: {literal}) {{ message }} }}")


@pytest.mark.parametrize(
    "selected",
    [
        "start end onlineSeconds sessions devices peak",
        "__typename from: start until: end peak peak ...Online @include(if: $yes) devices @skip(if: $yes)",
        "... on PresenceBucket { sessions @include(if: false) } ...Online",
        "sessions nonsense",
    ],
)
def test_buckets_are_filled_in_as_the_ordinary_way_does(doors: tuple[TestClient, TestClient], selected: str) -> None:
    """With aliases, fragments and conditions; also where there are two lists, and where one fails."""
    query = f"""query P($yes: Boolean!) {{
        days: presence(start: "2025-08-01", end: "2025-08-20") {{ {selected} }}
        presence(start: "2025-08-19", end: "2025-08-20", bucket: HOUR, macs: ["{MAC}"]) {{ {selected} }}
        sessionTotals {{ all }} }}
        fragment Online on PresenceBucket {{ seconds: onlineSeconds __typename }}"""
    same(doors, query, variables={"yes": True})
    same(doors, query.replace("2025-08-20", "2025-08-18"), variables={"yes": True})
