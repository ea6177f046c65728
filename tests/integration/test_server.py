"""The program as its users meet it: a process, a socket, a file."""

import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from prometheus_client import generate_latest

from netsessions.http.access_log import Metrics
from tests.conftest import sql
from tests.support.server import TOKEN, Server, running


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    """A server on an empty store."""
    with running(tmp_path, DATABASE_URL=url) as started:
        yield started


def stay(n: int, **changed: Any) -> dict[str, Any]:
    """The n-th session of some device."""
    return {
        "mac": f"AA:BB:CC:DD:{n % 7:02X}:{n % 251:02X}",
        "ip": "192.168.1.10",
        "start_time": "2025-08-01T10:00:00",
        "info": str(n),
    } | changed


def stored(server: Server) -> set[str]:
    """The infos of all sessions in the file, read over a new connection after its integrity is checked."""
    if server.database.startswith("sqlite"):
        assert sql(server.database, "PRAGMA integrity_check") == [("ok",)]
    infos = [row[0] for row in sql(server.database, "SELECT info FROM session")]
    assert len(infos) == len(set(infos))
    return set(infos)


@pytest.mark.parametrize(
    "path", ["/sessions/list", "/sessions/nowhere", "/sessions", "/graphql", "/metrics", "/nowhere"]
)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_without_the_right_token_nothing_is_answered(server_once: Server, path: str, header: str | None) -> None:
    """401 with the way to authenticate, as JSON, at every door."""
    headers = {} if header is None else {"Authorization": header}
    answer = httpx.get(server_once.url + path, headers=headers)
    if path == "/nowhere":
        assert answer.status_code in (401, 404)
    else:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        body = answer.json()
        if path == "/graphql":
            assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        else:
            assert body["success"] is False
            assert set(body) == {"success", "message", "error"}


@pytest.fixture(scope="module")
def server_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for tests that change nothing."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


def test_health_needs_no_token_and_metrics_count_by_door(server: Server) -> None:
    """Requests by door and outcome, and sessions written."""
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    with server.client() as client:
        client.post("/sessions/create", json=stay(1))
        client.post("/sessions/create", json=stay(1, mac="x"))
        client.post("/graphql", json={"query": "{ __typename }"})
        metrics = client.get("/metrics").text
    assert 'netsessions_requests_total{door="rest",outcome="ok"} 1.0' in metrics
    assert 'netsessions_requests_total{door="rest",outcome="refused"} 1.0' in metrics
    assert 'netsessions_requests_total{door="graphql",outcome="ok"} 1.0' in metrics
    assert "netsessions_sessions_written_total 1.0" in metrics


def test_the_pages_open_without_a_token(server_once: Server) -> None:
    """GraphiQL, the description of the REST door and its page; unknown paths are JSON."""
    for path, content in (("/graphiql", "text/html"), ("/docs", "text/html"), ("/openapi.json", "application/json")):
        answer = httpx.get(server_once.url + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(content)
    assert set(httpx.get(f"{server_once.url}/openapi.json").json()["paths"]) == {
        "/sessions/create",
        "/sessions/start",
        "/sessions/stop",
        "/sessions/delete",
        "/sessions/list",
        "/sessions/export",
        "/sessions/calendar",
        "/sessions/calendar.ics",
        "/sessions/{mac}",
        "/sessions/session-events",
    }
    with server_once.client() as client:
        assert client.get("/nowhere").json()["error"]


def test_logs_are_a_line_a_request_and_never_hold_the_token(server: Server) -> None:
    """Structured, with door, status and time; also when the token is in the wrong place."""
    with server.client() as client:
        client.get(f"/sessions/list?token={TOKEN}")
        client.post("/graphql", json={"query": "{ __typename }"})
    assert server.stop() == 0
    output = server.output.read_text()
    assert TOKEN not in output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line.get("event") == "request" and line["path"] != "/health"]
    assert [(line["door"], line["status"]) for line in requests] == [("rest", 400), ("graphql", 200)]
    assert all(line["ms"] >= 0 for line in requests)


def test_a_token_is_made_and_kept_where_none_is_given(tmp_path: Path) -> None:
    """In a file that only its owner reads; the start says where, and a second start takes the same."""
    with running(tmp_path, API_TOKEN="") as server:
        kept = tmp_path / "api_token"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        token = kept.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}/sessions/list", headers=headers).status_code == 200
        server.stop()
        output = server.output.read_text()
        assert str(kept) in output
        assert token not in output
        assert f"{server.url}/graphiql" in output
    with running(tmp_path, API_TOKEN="") as server:
        assert httpx.get(f"{server.url}/sessions/list", headers=headers).status_code == 200


def test_32_clients_create_at_once_and_nothing_is_lost(server: Server) -> None:
    """Every one is acknowledged and stored, half of them by each door."""
    mutation = "mutation($input: CreateSessionInput!) { createSession(input: $input) { message } }"

    def create(n: int) -> None:
        with server.client() as client:
            for m in range(n, 1600, 32):
                if m % 2:
                    given = stay(m)
                    given["startTime"] = given.pop("start_time")
                    body = client.post("/graphql", json={"query": mutation, "variables": {"input": given}}).json()
                    assert "errors" not in body
                else:
                    answer = client.post("/sessions/create", json=stay(m))
                    assert answer.json()["success"] is True

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(create, range(32)))
    assert stored(server) == {str(n) for n in range(1600)}
    assert "database is locked" not in server.output.read_text()


NUMBERS = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count} - 1) SELECT {row} FROM s",
    "postgresql": "SELECT {row} FROM generate_series(0, {count} - 1) AS s(n)",
}


def test_a_list_of_200_000_sessions_streams_in_bounded_memory(tmp_path: Path, url: str) -> None:
    """The server's memory grows by less than 64 MB, and the answer is whole."""
    count = 200_000
    row = "'AA:BB:CC:DD:EE:FF', n, '10.0.0.1', n * 60000000, n * 60000000 + 1, 'Connected', 'Disconnected', ''"
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    made = NUMBERS[url.partition(":")[0]].format(count=count, row=row.replace("n *", "CAST(n AS BIGINT) *"))
    sql(url, f"INSERT INTO session ({columns}) {made}")
    with running(tmp_path, DATABASE_URL=url) as server:
        with server.client() as client:
            client.get("/sessions/list?limit=10")
            before = server.memory()
            rows, tail, head = 0, b"", b""
            with client.stream("GET", "/sessions/list") as answer:
                assert answer.status_code == 200
                for chunk in answer.iter_bytes():
                    head = (head + chunk)[:40]
                    rows += (tail + chunk).count(b'"ses_MAC"') - tail.count(b'"ses_MAC"')
                    tail = (tail + chunk)[-20:]
        assert head.startswith(b'{"success":true,"sessions":[{')
        assert tail.endswith(b"}]}")
        assert rows == count
        assert server.memory() - before < 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"TIMEZONE": "Mars/Olympus"}, "TIMEZONE"),
        ({"GRAPHQL_PORT": "99999"}, "GRAPHQL_PORT"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"API_TOKEN": "short"}, "API_TOKEN"),
    ],
)
def test_a_mistaken_setting_is_named_at_the_start(tmp_path: Path, settings: dict[str, str], named: str) -> None:
    """One sentence, no traceback, and nothing is begun."""
    server = Server(tmp_path, **settings)
    assert server.process.wait(timeout=60) != 0
    output = server.output.read_text()
    assert named in output
    assert "Traceback" not in output


def test_both_doors_say_the_same_of_the_same_mistake(server_once: Server) -> None:
    """One sentence for one mistake, whichever way it came in."""
    mutation = "mutation($input: CreateSessionInput!) { createSession(input: $input) { message } }"
    public = {"start_time": "startTime", "end_time": "endTime", "event_type_conn": "eventTypeConn"}
    mistakes: list[dict[str, Any]] = [
        {"mac": "nonsense"},
        {"ip": "1.2.3.4.5"},
        {"start_time": "soon"},
        {"start_time": None},
        {"end_time": "2025-07-01T00:00:00"},
        {"event_type_conn": ""},
        {"info": "x" * 20_000},
    ]
    with server_once.client() as client:
        for mistake in mistakes:
            given = stay(1, **mistake)
            rest = client.post("/sessions/create", json=given)
            assert rest.status_code == 400
            renamed = {public.get(name, name): value for name, value in given.items()}
            graphql = client.post("/graphql", json={"query": mutation, "variables": {"input": renamed}})
            assert graphql.json()["errors"][0]["message"] == rest.json()["message"], mistake


def wait_for_workers(server: Server, count: int) -> None:
    """Until so many have started in all."""
    deadline = time.monotonic() + 30
    while (started := server.output.read_text().count("startup complete")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert started == count


def test_workers_share_a_port_a_database_and_their_counts(tmp_path: Path, url: str) -> None:
    """Each answers, each session is stored once, and whoever scrapes one of them is told of all."""
    with running(tmp_path, "--workers", "2", DATABASE_URL=url) as server:
        wait_for_workers(server, 2)

        def create(n: int) -> None:
            with server.client() as client:
                for m in range(n, 400, 16):
                    assert client.post("/sessions/create", json=stay(m)).status_code == 200

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(create, range(16)))
        with server.client() as client:
            metrics = client.get("/metrics").text
        assert 'netsessions_requests_total{door="rest",outcome="ok"} 400.0' in metrics
        assert "netsessions_sessions_written_total 400.0" in metrics
        assert stored(server) == {str(n) for n in range(400)}
        assert server.stop() == 0


def test_a_worker_that_starts_keeps_nobody_from_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has made its file, and nothing is in it yet."""
    (tmp_path / "counter_1.db").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert generate_latest(Metrics().of_all_workers()) == b""


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """Also where it was killed: the port is free again."""
    with running(tmp_path, "--workers", "2") as server:
        wait_for_workers(server, 2)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        time.sleep(5)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health", timeout=5)


def test_a_worker_that_ends_is_replaced(tmp_path: Path, url: str) -> None:
    """And what was counted by the one that ended still counts."""
    with running(tmp_path, "--workers", "2", DATABASE_URL=url) as server:
        wait_for_workers(server, 2)
        with server.client() as client:
            assert client.post("/sessions/create", json=stay(1)).status_code == 200
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        workers = [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        for pid in workers:
            os.kill(int(pid), signal.SIGKILL)
        wait_for_workers(server, 4)
        with server.client() as client:
            assert client.post("/sessions/create", json=stay(2)).status_code == 200
            assert "netsessions_sessions_written_total 2.0" in client.get("/metrics").text
