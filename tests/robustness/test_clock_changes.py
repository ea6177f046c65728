"""A system clock that jumps."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from zoneinfo import ZoneInfo

from resolvers.context import Context
from resolvers.validation.clock import Clock
from rest_compat.app import rest_app
from schema.http.app import GraphQLApp
from storage.opening import open_store
from storage.tables import DAY, HOUR
from tests.conftest import MAC, NOW, at, make_client, run, sql
from tests.support.load import READ


def test_requests_succeed_while_the_clock_jumps(url: str) -> None:
    """By up to a quarter of a day, under a load of requests that use the time. No id is used twice."""
    random = Random(7)
    offset = 0

    def now() -> int:
        return at(NOW) + time.monotonic_ns() // 1000 + offset

    store = run(open_store(url))
    context = Context(store, Clock(ZoneInfo("UTC"), time=now))
    stopped = threading.Event()

    def jump() -> None:
        nonlocal offset
        while not stopped.wait(0.01):
            offset = random.choice((-1, 1)) * random.randrange(DAY // 4)

    created: list[str] = []

    def send_requests(n: int) -> None:
        rest, graphql = make_client(rest_app(context)), make_client(GraphQLApp(context))
        device = {"mac": f"AA:BB:CC:DD:EE:{n:02X}", "ip": "10.0.0.1"}
        heartbeat = "mutation($d: [SeenInput!]!) { heartbeat(devices: $d) { seen } }"
        for m in range(25):
            body = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00", "info": f"{n}.{m}"}
            key = {"Idempotency-Key": f"{n}.{m}"}
            responses = [
                rest.post("/create", json=body, headers=key),
                rest.post("/create", json=body, headers=key),
                rest.post("/start", json=device),
                graphql.post("/", json={"query": heartbeat, "variables": {"d": [device]}}),
                rest.post("/stop", json={"mac": device["mac"]}),
                rest.get("/list?limit=3"),
                rest.get(f"/{device['mac']}?period=1%20day"),
                graphql.post("/", json={"query": READ}),
            ]
            for response in responses:
                assert response.status_code == 200, response.text
                assert "errors" not in response.json()
            created.append(body["info"])

    jumper = threading.Thread(target=jump)
    jumper.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(send_requests, range(6)))
    finally:
        stopped.set()
        jumper.join()
    run(store.close())
    sessions = sql(url, f"SELECT info, id FROM session WHERE mac = '{MAC}'")
    assert sorted(row[0] for row in sessions) == sorted(created)
    assert len(sql(url, "SELECT DISTINCT id FROM session")) == sql(url, "SELECT count(*) FROM session")[0][0]
    entries = sql(url, "SELECT count(*), count(DISTINCT id) FROM change WHERE kind = 'CREATED'")
    assert entries == sql(url, "SELECT count(*), count(*) FROM session")


def test_idempotency_keys_expire_by_the_clock_of_the_server(url: str) -> None:
    """Setting the clock back keeps a key longer. Setting it forward by a day expires it."""
    moment = at(NOW)
    store = run(open_store(url))
    rest = make_client(rest_app(Context(store, Clock(ZoneInfo("UTC"), time=lambda: moment))))
    for shift, expected in ((0, 1), (-2 * DAY, 1), (DAY - HOUR, 1), (DAY + HOUR, 2)):
        moment = at(NOW) + shift
        body = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00"}
        assert rest.post("/create", json=body, headers={"Idempotency-Key": "one"}).status_code == 200
        assert sql(url, "SELECT count(*) FROM session") == [(expected,)]
    run(store.close())
