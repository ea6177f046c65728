"""Scopes of tokens: each operation requires one, in both APIs and over WebSocket."""

import json
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull, get_named_type

from rest_compat.openapi import document
from schema.build import build as build_schema
from schema.private_api import core_schema
from tests.conftest import MAC, Execute, sql
from tests.support.clients import ClientFor, MakeToken, error_code, open_socket

SESSION = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00Z"}
ADMIN = {"updateSession", "endSession", "deleteSession", "deleteSessions", "updateDevice"}


def literal(input_type: Any, session_id: str) -> str:
    """Return a GraphQL literal of an input type."""
    if isinstance(input_type, GraphQLNonNull):
        return literal(input_type.of_type, session_id)
    if isinstance(input_type, GraphQLList):
        return f"[{literal(input_type.of_type, session_id)}]"
    if isinstance(input_type, GraphQLInputObjectType):
        return f"{{{arguments(input_type.fields, session_id)}}}"
    examples = {
        "MAC": MAC,
        "IPAddress": "10.0.0.1",
        "ID": session_id,
        "DateTime": "2025-08-01T10:00:00Z",
        "String": "x",
    }
    return json.dumps(examples[input_type.name])


def arguments(fields: Any, session_id: str) -> str:
    """Return the required arguments, and all times, as GraphQL literals."""
    return ", ".join(
        f"{name}: {literal(field.type, session_id)}"
        for name, field in fields.items()
        if isinstance(field.type, GraphQLNonNull) or get_named_type(field.type).name == "DateTime"
    )


def mutations(session_id: str) -> dict[str, str]:
    """Return a request for each mutation of the schema by its name, so that new ones are covered."""
    fields = core_schema(build_schema()).mutation_type.fields  # type: ignore[union-attr]
    return {
        name: f"mutation {{ {name}({arguments(field.args, session_id)}) {{ __typename }} }}"
        for name, field in fields.items()
    }


@pytest.fixture
def session_id(execute: Execute) -> str:
    """Return the id of a stored session."""
    created = "mutation($i: CreateSessionInput!) { createSession(input: $i) { session { id } } }"
    fields = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-07-01T10:00:00Z"}
    answer: str = execute(created, i=fields)["data"]["createSession"]["session"]["id"]
    return answer


def test_every_mutation_requires_a_scope(
    client_for: ClientFor, make_token: MakeToken, url: str, session_id: str
) -> None:
    """A read token changes nothing, and a write token only records, for all mutations of the schema."""
    reads, writes, admin = (
        client_for(make_token("read", "r")),
        client_for(make_token("write", "w")),
        client_for(make_token("admin", "a")),
    )
    before = sql(url, "SELECT * FROM session")
    for name, query in mutations(session_id).items():
        answer = reads.post("/graphql", json={"query": query})
        assert (answer.status_code, error_code(answer)) == (403, "FORBIDDEN"), name
        assert "scope" in answer.json()["errors"][0]["message"]
    assert sql(url, "SELECT * FROM session") == before
    codes = {name: error_code(writes.post("/graphql", json={"query": q})) for name, q in mutations(session_id).items()}
    assert {name for name, code in codes.items() if code == "FORBIDDEN"} == ADMIN
    assert {code for name, code in codes.items() if name not in ADMIN} == {""}
    for name, query in mutations(session_id).items():
        assert error_code(admin.post("/graphql", json={"query": query})) != "FORBIDDEN", name
    # Also if the query is cached and takes the fast path.
    cached_query = mutations(session_id)["deleteSession"]
    assert [error_code(writes.post("/graphql", json={"query": cached_query})) for _ in range(3)] == ["FORBIDDEN"] * 3


def test_each_rest_path_requires_the_scope_of_its_mutation(client_for: ClientFor, make_token: MakeToken) -> None:
    """A token without the scope gets 403 as JSON. Paths that read accept all three scopes."""
    reads, writes, admin = (
        client_for(make_token("read", "r")),
        client_for(make_token("write", "w")),
        client_for(make_token("admin", "a")),
    )
    for path, operations in document()["paths"].items():
        [(method, operation)] = operations.items()
        body = SESSION if path.endswith("create") else {k: SESSION[k] for k in ("mac", "ip")}
        body = {"mac": MAC} if path.endswith("delete") else body
        options: dict[str, Any] = (
            {"params": {"start": "2025-08-01", "end": "2025-08-02"}} if path.endswith("calendar") else {}
        )
        if method != "get":
            options = {"json": body}
        statuses = [
            client.request(method, path.format(mac=MAC), **options).status_code for client in (reads, writes, admin)
        ]
        needs_admin = operation["operationId"] in ADMIN
        assert statuses == ([200] * 3 if method == "get" else [403, 403 if needs_admin else 200, 200]), path
    answer = reads.request("DELETE", "/sessions/delete", json={"mac": MAC})
    assert answer.json() == {
        "success": False,
        "message": "This operation requires the scope admin; the token has the scope read.",
        "error": "forbidden",
    }
    assert reads.get("/metrics").status_code == 200
    assert error_code(reads.post("/graphql", json={"query": "{ sessionTotals { all } }"})) == ""


def test_the_history_has_the_names_of_tokens(client_for: ClientFor, make_token: MakeToken, session_id: str) -> None:
    """Each change has the name of the token that made it, also over WebSocket."""
    client_for(make_token("write", "scanner")).post("/sessions/stop", json={"mac": MAC, "at": "2025-08-02T10:00:00Z"})
    update = f'mutation {{ updateSession(id: "{session_id}", ip: "10.0.0.9") {{ ip }} }}'
    with open_socket(client_for(None), make_token("admin", "ada")) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
        socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": update}})
        assert socket.receive_json()["payload"]["data"]["updateSession"] == {"ip": "10.0.0.9"}
    request = {"query": f'{{ sessionHistory(id: "{session_id}") {{ by }} }}'}
    assert client_for().post("/graphql", json=request).json()["data"]["sessionHistory"] == [
        {"by": "scanner"},
        {"by": "ada"},
    ]


@pytest.mark.parametrize("in_header", [True, False])
def test_websocket_operations_require_the_same_scopes(
    client_for: ClientFor, make_token: MakeToken, session_id: str, in_header: bool
) -> None:
    """The token may come in a header or in the first message."""
    with open_socket(client_for(None), make_token("write"), in_header=in_header) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
        for name, codes in (("deleteSession", ["FORBIDDEN"]), ("createSession", []), ("updateDevice", ["FORBIDDEN"])):
            query = mutations(session_id)[name]
            socket.send_json({"id": name, "type": "subscribe", "payload": {"query": query}})
            answer = socket.receive_json()["payload"]
            assert [error["extensions"]["code"] for error in answer.get("errors", [])] == codes
            assert socket.receive_json() == {"id": name, "type": "complete"}
