"""Requests that are sent again under an Idempotency-Key: answered as the first time, and done once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from resolvers import idempotency as answers
from resolvers import live
from resolvers.context import Context, acting
from resolvers.errors import InvalidInputError, shown
from resolvers.idempotency import Key
from resolvers.maintenance.purge import Forgetting
from resolvers.sessions import Reported
from resolvers.validation.models import StartReport, StopReport, read
from rest_compat.app import rest_door
from storage.opening import open_store
from storage.store import Transaction
from storage.tables import DAY, SECOND
from tests.conftest import MAC, client_of, run, sql
from tests.integration.test_corrections import later

Rows = Callable[[], list[tuple[Any, ...]]]
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
REPORT = {"mac": MAC, "ip": "10.0.0.1"}
CREATE = REPORT | {"start_time": "2025-08-20T10:00:00"}


@pytest.fixture
def client(context: Context) -> TestClient:
    return client_of(rest_door(context))


def send(client: TestClient, path: str, body: dict[str, Any], headers: Any = KEY) -> Any:
    return client.request("DELETE" if path == "delete" else "POST", f"/{path}", json=body, headers=headers)


@pytest.mark.parametrize(("path", "body"), [("create", CREATE), ("start", REPORT), ("stop", REPORT)])
def test_a_repeated_write_is_answered_as_the_first_and_done_once(
    client: TestClient, rows: Rows, path: str, body: dict[str, Any]
) -> None:
    """Without the key a create makes a second session; with it, whatever happened meanwhile, nothing is changed."""
    first = send(client, path, body)
    assert (first.status_code, first.json()["success"]) == (200, True)
    assert first.json()["message"].endswith(f" for MAC {MAC}")
    assert len(rows()) == 1
    client.request("DELETE", "/delete", json={"mac": MAC})
    again = send(client, path, dict(reversed(body.items())))
    assert (again.status_code, again.content) == (200, first.content)
    assert rows() == []


def test_a_repeated_deletion_spares_what_was_recorded_since(client: TestClient, rows: Rows) -> None:
    """It was meant for what was there when it was sent first."""
    send(client, "create", CREATE, {})
    first = send(client, "delete", {"mac": MAC})
    send(client, "create", CREATE, {})
    assert send(client, "delete", {"mac": MAC}).content == first.content
    assert len(rows()) == 1


def test_a_repeated_stop_without_an_instant_records_no_missing_connection(context: Context, url: str) -> None:
    """Which is what it would do a second later, as the device is not connected any more."""
    run(live.start(context, read(StartReport, REPORT, context.clock)))
    for seconds in range(3):
        told = send(client_of(rest_door(later(context, seconds * SECOND))), "stop", {"mac": MAC}).json()
        assert told["message"] == f"Session ended for MAC {MAC}"
    assert sql(url, "SELECT state FROM session") == [("COMPLETE",)]


@pytest.mark.parametrize(
    ("path", "body"),
    [("start", REPORT | {"info": "desk 7"}), ("stop", REPORT), ("delete", {"mac": MAC}), ("create", CREATE)],
)
def test_a_key_belongs_to_its_request(client: TestClient, rows: Rows, path: str, body: dict[str, Any]) -> None:
    """Another body or path under it is refused, and nothing is done."""
    send(client, "start", REPORT)
    before = rows()
    refused = send(client, path, body)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_input")
    assert refused.json()["message"] == ("Idempotency-Key: was sent with another request; make a new key for each")
    assert rows() == before


def test_a_request_that_failed_leaves_its_key_free(client: TestClient, url: str) -> None:
    """What was mistaken can be put right under the same key."""
    for body in ({"mac": MAC}, {"mac": "x"}):
        assert send(client, "stop", body).status_code == 400
    assert sql(url, "SELECT * FROM answer") == []
    assert send(client, "stop", REPORT).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "é"])
def test_what_is_no_key_is_refused(client: TestClient, rows: Rows, key: str) -> None:
    """By the name of the header, and as it was read."""
    refused = send(client, "start", REPORT, {"Idempotency-Key": key.encode()})
    assert refused.status_code == 400
    came = shown(key.encode().decode("latin-1"))
    assert refused.json()["message"] == (
        f"Idempotency-Key: {came} is not a key; send 1 to 200 visible ASCII characters"
    )
    assert rows() == []


@pytest.mark.parametrize("key", ["x", "x" * 200])
def test_a_key_is_as_short_or_as_long_as_is_told(client: TestClient, key: str) -> None:
    """Both are of the lengths that may be sent."""
    assert send(client, "start", REPORT, {"Idempotency-Key": key}).status_code == 200


def test_two_keys_are_refused(client: TestClient, rows: Rows) -> None:
    """It would be open which one counts."""
    refused = send(client, "start", REPORT, [("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert refused.json()["message"] == "Idempotency-Key: is given twice; give it once"
    assert rows() == []


def test_the_same_key_of_another_token_is_another_key(context: Context, rows: Rows) -> None:
    """Clients do not know each other's."""

    async def stop(who: str, at: str) -> str:
        acting.set(who)
        change = live.stopping(context, read(StopReport, REPORT | {"at": at}, context.clock))
        return await answers.once(context, Key("key", at), change)

    run(stop("scanner", "2025-08-20T10:00:00"))
    run(stop("router", "2025-08-20T11:00:00"))
    assert len(rows()) == 2
    with pytest.raises(InvalidInputError):
        run(stop("scanner", "2025-08-20T11:00:00"))


def test_what_is_new_is_counted_once(context: Context) -> None:
    """For the metrics: not again when it is sent again, and not where a report made no session."""
    counts: list[int] = []
    client = client_of(rest_door(replace(context, on_written=counts.append)))
    other = REPORT | {"mac": "02:00:5E:10:00:01"}
    for path, body in (("create", CREATE), ("create", CREATE), ("start", other), ("start", other)):
        assert send(client, path, body, {"Idempotency-Key": path}).status_code == 200
    assert client.post("/start", json=REPORT).status_code == 200
    assert sum(counts) == 2


def test_a_key_is_kept_for_a_day(context: Context, rows: Rows) -> None:
    """Up to its last moment the answer is given again; after it the request is a new one, also while the key is not yet
    cleared away."""
    for passed, there in ((0, 1), (DAY, 1), (DAY + 1, 2)):
        assert send(client_of(rest_door(later(context, passed))), "create", CREATE).status_code == 200
        assert len(rows()) == there


def test_old_keys_are_cleared_away(context: Context, client: TestClient, url: str) -> None:
    """Others are not."""
    send(client, "start", REPORT)
    send(client_of(rest_door(later(context, DAY))), "start", REPORT, {"Idempotency-Key": "another"})
    run(Forgetting(later(context, DAY + 1))())
    assert sql(url, "SELECT key FROM answer") == [("netsessions another",)]


def test_two_at_once_with_one_key_do_it_once(context: Context, url: str) -> None:
    """Of many, from two stores on one database; all are told the same."""
    done: list[int] = []

    async def both() -> list[str]:
        other = Context(await open_store(url), context.clock)
        try:

            async def create(n: int) -> str:
                here = (context, other)[n % 2]
                inner = live.stopping(here, read(StopReport, REPORT, here.clock))

                async def told(transaction: Transaction) -> Reported:
                    done.append(n)
                    reported = await inner(transaction)
                    return reported._replace(message=f"{n}: {reported.message}")

                return await answers.once(here, Key("key", "asked"), told)

            return await asyncio.gather(*(create(n) for n in range(16)))
        finally:
            await other.store.close()

    told = run(both())
    assert len(set(told)) == 1
    assert done == [int(told[0].partition(":")[0])]
    assert len(sql(url, "SELECT id FROM session")) == 1
