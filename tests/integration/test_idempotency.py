"""Idempotency keys: a repeated request gets the first response and changes nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from resolvers import idempotency, live
from resolvers.context import Context, actor
from resolvers.errors import InvalidInputError, short_repr
from resolvers.idempotency import IdempotencyKey
from resolvers.maintenance.purge import Purge
from resolvers.sessions import SessionResult
from resolvers.validation.models import StartReport, StopReport, validate
from rest_compat.app import rest_app
from storage.opening import open_store
from storage.store import Transaction
from storage.tables import DAY, SECOND
from tests.conftest import MAC, make_client, run, sql
from tests.support.clock import with_clock_offset

Rows = Callable[[], list[tuple[Any, ...]]]
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
REPORT = {"mac": MAC, "ip": "10.0.0.1"}
CREATE = REPORT | {"start_time": "2025-08-20T10:00:00"}


@pytest.fixture
def client(context: Context) -> TestClient:
    return make_client(rest_app(context))


def send(client: TestClient, path: str, body: dict[str, Any], headers: Any = KEY) -> Any:
    return client.request("DELETE" if path == "delete" else "POST", f"/{path}", json=body, headers=headers)


@pytest.mark.parametrize(("path", "body"), [("create", CREATE), ("start", REPORT), ("stop", REPORT)])
def test_repeated_write_gets_the_first_response_and_changes_nothing(
    client: TestClient, rows: Rows, path: str, body: dict[str, Any]
) -> None:
    """This holds also after the session was deleted, and if the keys of the body come in another order."""
    first = send(client, path, body)
    assert (first.status_code, first.json()["success"]) == (200, True)
    assert first.json()["message"].endswith(f" for MAC {MAC}")
    assert len(rows()) == 1
    client.request("DELETE", "/delete", json={"mac": MAC})
    repeated = send(client, path, dict(reversed(body.items())))
    assert (repeated.status_code, repeated.content) == (200, first.content)
    assert rows() == []


def test_repeated_deletion_keeps_sessions_created_since(client: TestClient, rows: Rows) -> None:
    """It was about the sessions that existed when it was first sent."""
    send(client, "create", CREATE, {})
    first = send(client, "delete", {"mac": MAC})
    send(client, "create", CREATE, {})
    assert send(client, "delete", {"mac": MAC}).content == first.content
    assert len(rows()) == 1


def test_repeated_stop_without_an_instant_records_no_missing_connection(context: Context, url: str) -> None:
    """Without a key it would record one a second later, as the device is no longer connected."""
    run(live.start(context, validate(StartReport, REPORT, context.clock)))
    for seconds in range(3):
        body = send(make_client(rest_app(with_clock_offset(context, seconds * SECOND))), "stop", {"mac": MAC}).json()
        assert body["message"] == f"Session ended for MAC {MAC}"
    assert sql(url, "SELECT state FROM session") == [("COMPLETE",)]


@pytest.mark.parametrize(
    ("path", "body"),
    [("start", REPORT | {"info": "desk 7"}), ("stop", REPORT), ("delete", {"mac": MAC}), ("create", CREATE)],
)
def test_key_is_rejected_with_another_request(client: TestClient, rows: Rows, path: str, body: dict[str, Any]) -> None:
    """Another body or path with the same key changes nothing."""
    send(client, "start", REPORT)
    before = rows()
    response = send(client, path, body)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_input")
    assert response.json()["message"] == (
        "Idempotency-Key: was used for another request. Use a new key for each request."
    )
    assert rows() == before


def test_failed_request_does_not_use_up_its_key(client: TestClient, url: str) -> None:
    """The corrected request may have the same key."""
    for body in ({"mac": MAC}, {"mac": "x"}):
        assert send(client, "stop", body).status_code == 400
    assert sql(url, "SELECT * FROM answer") == []
    assert send(client, "stop", REPORT).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "é"])
def test_invalid_key_is_rejected(client: TestClient, rows: Rows, key: str) -> None:
    """The message names the header and quotes the value."""
    response = send(client, "start", REPORT, {"Idempotency-Key": key.encode()})
    assert response.status_code == 400
    quoted = short_repr(key.encode().decode("latin-1"))
    assert response.json()["message"] == (
        f"Idempotency-Key: {quoted} is not a key. Send 1 to 200 visible ASCII characters."
    )
    assert rows() == []


@pytest.mark.parametrize("key", ["x", "x" * 200])
def test_key_of_minimum_or_maximum_length_is_accepted(client: TestClient, key: str) -> None:
    """A key has 1 to 200 characters."""
    assert send(client, "start", REPORT, {"Idempotency-Key": key}).status_code == 200


def test_two_keys_are_rejected(client: TestClient, rows: Rows) -> None:
    """It would be ambiguous which one counts."""
    response = send(client, "start", REPORT, [("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert response.json()["message"] == "Idempotency-Key: is repeated. Send it once."
    assert rows() == []


def test_keys_of_different_tokens_are_independent(context: Context, rows: Rows) -> None:
    """Clients do not know the keys of others."""

    async def stop(who: str, at: str) -> str:
        actor.set(who)
        unit_of_work = live.stop_transaction(context, validate(StopReport, REPORT | {"at": at}, context.clock))
        return await idempotency.run_once(context, IdempotencyKey("key", at), unit_of_work)

    run(stop("scanner", "2025-08-20T10:00:00"))
    run(stop("router", "2025-08-20T11:00:00"))
    assert len(rows()) == 2
    with pytest.raises(InvalidInputError):
        run(stop("scanner", "2025-08-20T11:00:00"))


def test_created_sessions_are_counted_once(context: Context) -> None:
    """The metric does not count a repeated request, or a report that created no session."""
    counts: list[int] = []
    client = make_client(rest_app(replace(context, on_written=counts.append)))
    other = REPORT | {"mac": "02:00:5E:10:00:01"}
    for path, body in (("create", CREATE), ("create", CREATE), ("start", other), ("start", other)):
        assert send(client, path, body, {"Idempotency-Key": path}).status_code == 200
    assert client.post("/start", json=REPORT).status_code == 200
    assert sum(counts) == 2


def test_key_expires_after_a_day(context: Context, rows: Rows) -> None:
    """After that the request is a new one, even if the key is not purged yet."""
    for elapsed, expected in ((0, 1), (DAY, 1), (DAY + 1, 2)):
        assert send(make_client(rest_app(with_clock_offset(context, elapsed))), "create", CREATE).status_code == 200
        assert len(rows()) == expected


def test_expired_keys_are_purged(context: Context, client: TestClient, url: str) -> None:
    """Other keys are kept."""
    send(client, "start", REPORT)
    send(make_client(rest_app(with_clock_offset(context, DAY))), "start", REPORT, {"Idempotency-Key": "another"})
    run(Purge(with_clock_offset(context, DAY + 1))())
    assert sql(url, "SELECT key FROM answer") == [("netsessions another",)]


def test_concurrent_requests_with_one_key_run_once(context: Context, url: str) -> None:
    """They come from two stores on one database, and all get the same message."""
    runs: list[int] = []

    async def run_all() -> list[str]:
        other = Context(await open_store(url), context.clock)
        try:

            async def send_stop(n: int) -> str:
                chosen = (context, other)[n % 2]
                stop = live.stop_transaction(chosen, validate(StopReport, REPORT, chosen.clock))

                async def transact(transaction: Transaction) -> SessionResult:
                    runs.append(n)
                    result = await stop(transaction)
                    return result._replace(message=f"{n}: {result.message}")

                return await idempotency.run_once(chosen, IdempotencyKey("key", "request hash"), transact)

            return await asyncio.gather(*(send_stop(n) for n in range(16)))
        finally:
            await other.store.close()

    messages = run(run_all())
    assert len(set(messages)) == 1
    assert runs == [int(messages[0].partition(":")[0])]
    assert len(sql(url, "SELECT id FROM session")) == 1
