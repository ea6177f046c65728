"""How much one request may ask for: each limit is a setting, has a default, and is told of where it is met."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse
from sqlalchemy import text
from starlette.testclient import TestClient

from netsessions.server.config import configured
from netsessions.settings import Settings
from resolvers.context import Context
from resolvers.limits import DEFAULT, Limits
from rest_compat.app import rest_door
from schema.build import build
from schema.http.app import GraphQLDoor
from schema.validation.documents import Documents
from schema.validation.limits import Cost, measured
from storage.deadline import deadline
from storage.errors import TookTooLongError
from storage.queries.sessions import any_session
from storage.sqlite.store import READERS
from tests.conftest import DATABASES, MAC, client_of, run, sql
from tests.support.server import running

FOREVER = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
SESSION = "id mac ip state connectedAt disconnectedAt connectionEvent disconnectionEvent durationSeconds info"
DEVICE = "id mac name owner isConnected firstSeen lastSeen"
WHOLE = (
    f"query($n: Int) {{ sessions(first: $n) {{ totalCount edges {{ cursor node {{ {SESSION} device {{ {DEVICE} }} }} }}"
)
WHOLE += " pageInfo { hasNextPage endCursor } } }"
ALL = f"query($n: Int) {{ sessions(first: $n) {{ nodes {{ {SESSION} device {{ {DEVICE} }} }} }} }}"
FRAGMENT = f"fragment All on SessionConnection {{ nodes {{ {SESSION} device {{ {DEVICE} }} }} }}"
RESPONSE = {"Accept": "application/graphql-response+json"}

Door = Callable[..., TestClient]


@pytest.fixture
def door(context: Context) -> Door:
    """The GraphQL door under limits of one's own."""
    return lambda **own: client_of(GraphQLDoor(replace(context, limits=replace(DEFAULT, **own))))


def refused(client: TestClient, query: str, **variables: Any) -> str:
    """The message to a query that asks for too much, in either media type; it is not executed."""
    asked = {"query": query, "variables": variables}
    answers = [client.post("/", json=asked), client.post("/", json=asked, headers=RESPONSE)]
    assert [answer.status_code for answer in answers] == [200, 400]
    first, second = (answer.json() for answer in answers)
    assert first == second
    assert "data" not in first
    [error] = first["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    return str(error["message"])


def passes(client: TestClient, query: str, **variables: Any) -> None:
    """A query is executed, also when it is known."""
    for _ in range(2):
        answer = client.post("/", json={"query": query, "variables": variables})
        assert "errors" not in answer.json()


def test_limits_hold_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults are those of the settings; each can be set, and a message of a WebSocket is a body."""
    names = {"seconds": "query_seconds"} | {
        each.name: f"max_{each.name}" for each in fields(Limits) if each.name != "seconds"
    }
    assert Settings(_env_file=None).limits == DEFAULT
    others = {"body": 20_000, "tokens": 500, "cost": 20_000}
    own = Limits(**{limit: others.get(limit, 99) for limit in names})
    for limit, name in names.items():
        monkeypatch.setenv(name.upper(), str(getattr(own, limit)))
    assert Settings(_env_file=None).limits == own
    assert configured(None, Settings(_env_file=None)).ws_max_size == 20_000


@pytest.mark.parametrize(
    ("limit", "most", "within", "beyond", "told"),
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
         "fragment a on Query { __typename }", "3 fields of the root; at most 2"),
        ("cost", 120, "{ sessions { totalCount nodes { id mac } } }", "{ sessions { nodes { id mac ip } } }", "150 values"),
        ("cost", 120, "{ sessions(first: 60) { nodes { id mac } } }", "{ sessions(last: 61) { nodes { id mac } } }", "122"),
        ("cost", 800, '{ presence(start: "2025-08-01", end: "2025-08-02") { start end } }',
         '{ presence(start: "2025-08-01", end: "2025-08-02") { start end peak } }', "1200 values"),
    ],
)  # fmt: skip
def test_a_query_within_a_limit_is_answered_and_one_beyond_it_is_not(
    door: Door, limit: str, most: int, within: str, beyond: str, told: str
) -> None:
    """The code is QUERY_TOO_COMPLEX, and the message says how much there is and how much may be."""
    client = door(**{limit: most})
    passes(client, within)
    assert told in refused(client, beyond)


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
def test_what_is_beyond_a_default_is_refused(door: Door, limit: str, beyond: str) -> None:
    """Without any setting."""
    assert limit in refused(door(), beyond)


def test_the_largest_page_of_whole_sessions_with_their_devices_costs_what_may_be(door: Door) -> None:
    """By default; a second such list beside it does not."""
    client = door()
    for query in (ALL, WHOLE):
        passes(client, query, n=10_000)
    two = f"query($n: Int) {{ a: sessions(first: $n) {{ ...All }} b: sessions(first: $n) {{ ...All }} }} {FRAGMENT}"
    passes(client, two, n=50)
    assert "340000 values; at most 250000" in refused(client, two, n=10_000)


def test_the_cost_of_a_known_query_depends_on_its_variables(door: Door) -> None:
    """Also by their defaults, and where a page is asked for from its end."""
    client = door(cost=1000)
    query = "query($n: Int = 100, $m: Int) { sessions(first: $n, last: $m) { nodes { id mac } } }"
    passes(client, query, n=500)
    assert "1002 values" in refused(client, query, n=501)
    passes(client, query)
    assert "1002 values" in refused(client, query, n=None, m=501)
    passes(client, query, n=None, m=None)


def test_new_sessions_cost_by_their_number(door: Door) -> None:
    """Written in the query or given by a variable; nothing of what costs too much is stored."""
    client = door(cost=20)
    member = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-01T10:00:00"}
    query = "mutation($i: [CreateSessionInput!]!) { createSessions(input: $i) { created } }"
    assert "25 values" in refused(client, query, i=[member] * 3)
    written = '[{mac: "%s", ip: "10.0.0.1", startTime: "2025-08-01"}]' % MAC
    assert "25 values" in refused(
        client, "mutation { createSessions(input: [%s]) { created } }" % ", ".join([written[1:-1]] * 3)
    )
    assert client.post("/", json={"query": "{ sessions { totalCount } }"}).json()["data"]["sessions"]["totalCount"] == 0
    passes(client, query, i=[member])


def test_10000_new_sessions_cost_what_may_be(door: Door) -> None:
    """As many as a call takes."""
    members = [{"mac": MAC, "ip": "10.0.0.1"}] * 10_000
    query = "mutation($d: [SeenInput!]!) { heartbeat(devices: $d) { seen } }"
    assert client_answer(door(), query, d=members) == {"heartbeat": {"seen": 1}}


def client_answer(client: TestClient, query: str, **variables: Any) -> Any:
    """The data of an answer without errors."""
    body = client.post("/", json={"query": query, "variables": variables}).json()
    assert "errors" not in body, body
    return body["data"]


def test_a_page_has_as_many_rows_as_may_be(door: Door) -> None:
    """In the words that it always had, and after the limit that is set."""
    for most in (DEFAULT.page, 60):
        client = door(page=most)
        for name in ("first", "last"):
            passes(client, f"{{ devices({name}: {most}) {{ nodes {{ mac }} }} }}")
            answer = client.post("/", json={"query": f"{{ devices({name}: {most + 1}) {{ nodes {{ mac }} }} }}"}).json()
            [error] = answer["errors"]
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": name}
            assert error["message"] == f"{name}: {most + 1} is out of range; at least 0, at most {most}"


def test_a_body_that_is_too_large_is_413_at_both_doors(context: Context) -> None:
    """With the bytes that may be; one of just as many is read."""
    limited = replace(context, limits=replace(DEFAULT, body=100))
    query = b'{"query": "{ __typename }"}'
    graphql, rest = client_of(GraphQLDoor(limited)), client_of(rest_door(limited))
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
def test_what_grows_with_each_spread_is_refused_at_once(door: Door, query: str) -> None:
    """A short query cannot keep the server busy: fragments that spread each other, fields that are to be compared."""
    if "f100" in query:
        query += "fragment f100 on %s { __typename }" % ("Session" if "Session" in query else "Query")
    client = door()
    began = time.process_time()
    [error, *_] = client.post("/", json={"query": query}).json()["errors"]
    assert error["extensions"]["code"] in ("QUERY_TOO_COMPLEX", "BAD_USER_INPUT")
    assert time.process_time() - began < 3


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"descriptions": False},
        {"specified_by_url": True, "directive_is_repeatable": True, "schema_description": True,
         "input_value_deprecation": True},
    ],
)  # fmt: skip
def test_introspection_is_within_the_limits(door: Door, how: dict[str, bool]) -> None:
    """As GraphiQL and code generators ask for it."""
    passes(door(), get_introspection_query(**how))


def test_what_our_own_pages_ask_is_within_the_limits() -> None:
    """Whatever its variables are."""
    schema = build()._schema
    document = parse((Path(__file__).parents[2] / "ui" / "src" / "operations.graphql").read_text(encoding="utf-8"))
    assert measured(document, DEFAULT) is None
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    assert len(operations) > 5
    assert [each.name for each in operations if Cost.of(schema, document, each, DEFAULT)] == []


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_limits_hold_for_what_is_streamed(door: Door) -> None:
    """Server-sent events answer a query and a subscription in the same words."""
    for query in ("{ a: __typename b: __typename }", "subscription { a: sessionChanges { b: mac } }"):
        answer = door(aliases=1).post("/", json={"query": query}, headers={"Accept": "text/event-stream"})
        [data] = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        [error] = json.loads(data[6:])["errors"]
        assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
        assert "2 aliases; at most 1" in error["message"]


def test_parsed_documents_are_kept_within_a_bound() -> None:
    """In number and in length, refused ones too; one that is too long is parsed each time."""
    documents = Documents(replace(DEFAULT, tokens=100_000))
    for n in range(300):
        documents.of(f"{{ a{n} }}")
    assert len(documents.recent) == 256
    assert documents.of("{ a299 }") is documents.of("{ a299 }")
    documents.of("{ a }" + " " * 20_000)
    assert len(documents.recent) == 256
    for n in range(300):
        documents.of(f"{{ a{n} }}".ljust(19_000))
    assert len(documents.recent) == 1_000_000 // 19_000


def asked_for(seconds: float) -> None:
    """What is asked from now on has so long."""
    deadline.set(asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize("way", ["fetch", "stream"])
def test_what_takes_too_long_is_given_up_by_the_database(context: Context, url: str, way: str) -> None:
    """Nothing goes on working on it, and every connection answers again."""
    store = context.store

    async def one() -> None:
        asked_for(0.3)
        with pytest.raises(TookTooLongError):
            await (store.fetch(FOREVER, {}) if way == "fetch" else anext(store.stream(FOREVER, {})))

    async def many(work: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(work() for _ in range(2 * READERS)))

    run(many(one))
    run(many(lambda: store.fetch(any_session(), {})))
    if url.startswith("postgresql"):
        working = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
            AND query LIKE '%RECURSIVE%' AND pid <> pg_backend_pid()"""
        until = time.monotonic() + 20
        while sql(url, working) != [(0,)]:
            assert time.monotonic() < until
    else:
        began = time.process_time()
        time.sleep(0.5)  # in which a reader that went on would have worked
        assert time.process_time() - began < 0.3


def forever(monkeypatch: pytest.MonkeyPatch, context: Context, after: int = 0) -> None:
    """Makes the store work without end, after so many questions."""
    fetch, stream = context.store.fetch, context.store.stream
    asked: list[Any] = []

    async def slow(question: Any, parameters: Any, **how: Any) -> Any:
        asked.append(question)
        return await (fetch(question, parameters, **how) if len(asked) <= after else fetch(FOREVER, {}))

    monkeypatch.setattr(context.store, "fetch", slow)
    monkeypatch.setattr(context.store, "stream", lambda *_: stream(FOREVER, {}))


@pytest.mark.parametrize(
    ("after", "query"),
    [
        (0, "{ sessionTotals { all } }"),
        (0, "{ sessions { nodes { id } } }"),
        (1, "{ devices { nodes { lastSeen } } }"),
        (0, '{ sessionCalendar(start: "2025-08-01", end: "2025-08-02") { title } }'),
        (0, '{ presence(start: "2025-08-01", end: "2025-08-02") { peak } }'),
    ],
)
def test_a_query_that_takes_too_long_is_answered_408(
    context: Context, monkeypatch: pytest.MonkeyPatch, after: int, query: str
) -> None:
    """With QUERY_TIMEOUT, also where it is known, and where what takes long is gathered for all rows."""
    limited = replace(context, limits=replace(DEFAULT, seconds=0.3))
    client = client_of(GraphQLDoor(limited))
    mutation = (
        f'mutation {{ createSession(input: {{mac: "{MAC}", ip: "::1", startTime: "2025-08-19T10:00"}}) {{ message }} }}'
    )
    client_answer(client, mutation)
    for _ in range(2):
        with monkeypatch.context() as patched:
            forever(patched, limited, after)
            answer = client.post("/", json={"query": query})
        assert answer.status_code == 408
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "QUERY_TIMEOUT"
        assert "QUERY_SECONDS" in error["message"]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path", ["/list", "/export", "/calendar?start=2025-08-01&end=2025-08-02", f"/{MAC}", "/session-events"]
)
def test_a_list_that_takes_too_long_to_begin_is_answered_408(
    context: Context, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """At every REST path that reads."""
    limited = replace(context, limits=replace(DEFAULT, seconds=0.3))
    forever(monkeypatch, limited)
    answer = client_of(rest_door(limited)).get(path)
    assert answer.status_code == 408
    assert answer.json()["error"] == "query_timeout"
    assert "QUERY_SECONDS" in answer.json()["message"]


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_what_has_begun_to_be_streamed_is_not_cut_off(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its beginning has to come in time; from then on its reader decides."""
    seen: list[bool] = []

    async def stream(*_: Any) -> AsyncGenerator[list[Any], None]:
        for _chunk in range(4):
            seen.append(deadline.get() is not None)
            yield []

    monkeypatch.setattr(context.store, "stream", stream)
    assert client_of(rest_door(context)).get("/export").status_code == 200
    assert seen == [True, True, False, False]


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_a_write_is_not_cut_off(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """At either door it is carried through, and answered."""
    seen: list[float | None] = []
    write, record = context.store.write, context.store.record_one

    async def watched(*given: Any, **how: Any) -> Any:
        seen.append(deadline.get())
        return await write(*given, **how)

    async def watched_one(*given: Any) -> Any:
        seen.append(deadline.get())
        return await record(*given)

    monkeypatch.setattr(context.store, "write", watched)
    monkeypatch.setattr(context.store, "record_one", watched_one)
    graphql, rest = client_of(GraphQLDoor(context)), client_of(rest_door(context))
    new = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00"}
    assert rest.post("/create", json=new).status_code == 200
    assert rest.request("DELETE", "/delete", json={"mac": MAC}).status_code == 200
    for _ in range(2):
        client_answer(graphql, 'mutation { deleteSessions(mac: "%s") { deleted } }' % MAC)
    assert len(seen) >= 4
    assert set(seen) == {None}


@pytest.mark.parametrize("url", DATABASES[:1], indirect=True)
def test_a_subscription_has_no_end(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its own, or of the store's."""
    seen: list[float | None] = []

    async def watch(*_: Any) -> AsyncGenerator[Any, None]:
        seen.append(deadline.get())
        return
        yield

    monkeypatch.setattr(type(context.feed), "watch", watch)
    client = client_of(GraphQLDoor(context))
    query = "subscription { sessionChanges { mac } }"
    answer = client.post("/", json={"query": query}, headers={"Accept": "text/event-stream"})
    assert "event: complete" in answer.text
    assert seen == [None]


def test_the_flags_of_a_server_are_its_limits(tmp_path: Any) -> None:
    """Those of its command line reach both doors."""
    with running(tmp_path, "--max-aliases", "1", "--max-body", "2000") as server, server.client() as client:
        asked = {"query": "{ a: __typename b: __typename }"}
        assert "at most 1" in client.post("/graphql", json=asked).json()["errors"][0]["message"]
        assert client.post("/graphql", json={"query": "{ __typename }" + " " * 2000}).status_code == 413
        assert client.post("/sessions/create", json={"info": "x" * 2000}).status_code == 413


def test_the_schema_is_built_within_default_limits() -> None:
    """Whoever builds it for a command needs none of its own."""
    assert build(DEFAULT).as_str() == build().as_str()
