"""The program as users run it: a process with a socket and a database file."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from prometheus_client import generate_latest

from netsessions.http.metrics import Metrics
from tests.conftest import sql
from tests.support.server import TOKEN, Server, running, wait_for_workers, wait_until
from tests.support.sessions import GENERATE_ROWS, session_fields


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    """A server with an empty database."""
    with running(tmp_path, DATABASE_URL=url) as started:
        yield started


def stored_infos(server: Server) -> set[str]:
    """Return the `info` of every session, read over a new connection. Checks the integrity of the database first."""
    if server.database.startswith("sqlite"):
        assert sql(server.database, "PRAGMA integrity_check") == [("ok",)]
    infos = [row[0] for row in sql(server.database, "SELECT info FROM session")]
    assert len(infos) == len(set(infos))
    return set(infos)


@pytest.mark.parametrize(
    "path", ["/sessions/list", "/sessions/nowhere", "/sessions", "/graphql", "/metrics", "/nowhere"]
)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_request_without_valid_token_is_rejected(shared_server: Server, path: str, header: str | None) -> None:
    """Both APIs return 401 with `WWW-Authenticate` and an error in JSON."""
    headers = {} if header is None else {"Authorization": header}
    response = httpx.get(shared_server.url + path, headers=headers)
    if path == "/nowhere":
        assert response.status_code in (401, 404)
    else:
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        body = response.json()
        if path == "/graphql":
            assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        else:
            assert body["success"] is False
            assert set(body) == {"success", "message", "error"}


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests that write nothing."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


def test_health_needs_no_token_and_metrics_count_by_api(server: Server) -> None:
    """Metrics count requests by API and outcome, and sessions written."""
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    with server.client() as client:
        client.post("/sessions/create", json=session_fields(1))
        client.post("/sessions/create", json=session_fields(1, mac="x"))
        client.post("/graphql", json={"query": "{ __typename }"})
        metrics = client.get("/metrics").text
    assert 'netsessions_requests_total{door="rest",outcome="ok"} 1.0' in metrics
    assert 'netsessions_requests_total{door="rest",outcome="refused"} 1.0' in metrics
    assert 'netsessions_requests_total{door="graphql",outcome="ok"} 1.0' in metrics
    assert "netsessions_sessions_written_total 1.0" in metrics


def test_pages_need_no_token(shared_server: Server) -> None:
    """GraphiQL, the OpenAPI document and its page; unknown paths get an error in JSON."""
    for path, content in (("/graphiql", "text/html"), ("/docs", "text/html"), ("/openapi.json", "application/json")):
        response = httpx.get(shared_server.url + path)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(content)
    assert set(httpx.get(f"{shared_server.url}/openapi.json").json()["paths"]) == {
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
    with shared_server.client() as client:
        assert client.get("/nowhere").json()["error"]


def test_log_has_one_line_per_request_and_never_the_token(server: Server) -> None:
    """A line is JSON with API, status and duration. The token is not logged even if it is in the query string."""
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


def test_token_is_generated_and_stored_if_not_configured(tmp_path: Path) -> None:
    """Only its owner can read the file. The server prints its path, and uses the same token at the next start."""
    with running(tmp_path, API_TOKEN="") as server:
        token_file = tmp_path / "api_token"
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
        token = token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}/sessions/list", headers=headers).status_code == 200
        server.stop()
        output = server.output.read_text()
        assert str(token_file) in output
        assert token not in output
        assert f"{server.url}/graphiql" in output
    with running(tmp_path, API_TOKEN="") as server:
        assert httpx.get(f"{server.url}/sessions/list", headers=headers).status_code == 200


def test_concurrent_creates_are_all_stored(server: Server) -> None:
    """32 clients create sessions, half of them through each API. All are acknowledged and stored."""
    mutation = "mutation($input: CreateSessionInput!) { createSession(input: $input) { message } }"

    def create(n: int) -> None:
        with server.client() as client:
            for m in range(n, 1600, 32):
                if m % 2:
                    fields = session_fields(m)
                    fields["startTime"] = fields.pop("start_time")
                    body = client.post("/graphql", json={"query": mutation, "variables": {"input": fields}}).json()
                    assert "errors" not in body
                else:
                    response = client.post("/sessions/create", json=session_fields(m))
                    assert response.json()["success"] is True

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(create, range(32)))
    assert stored_infos(server) == {str(n) for n in range(1600)}
    assert "database is locked" not in server.output.read_text()


def test_list_of_200_000_sessions_is_streamed_in_bounded_memory(tmp_path: Path, url: str) -> None:
    """The server's memory grows by less than 64 MB, and the response is complete."""
    count = 200_000
    row = "'AA:BB:CC:DD:EE:FF', n, '10.0.0.1', n * 60000000, n * 60000000 + 1, 'Connected', 'Disconnected', ''"
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    select = GENERATE_ROWS[url.partition(":")[0]].format(count=count, row=row.replace("n *", "CAST(n AS BIGINT) *"))
    sql(url, f"INSERT INTO session ({columns}) {select}")
    with running(tmp_path, DATABASE_URL=url) as server:
        with server.client() as client:
            client.get("/sessions/list?limit=10")
            before = server.peak_memory()
            rows, tail, head = 0, b"", b""
            with client.stream("GET", "/sessions/list") as response:
                assert response.status_code == 200
                for chunk in response.iter_bytes():
                    head = (head + chunk)[:40]
                    rows += (tail + chunk).count(b'"ses_MAC"') - tail.count(b'"ses_MAC"')
                    tail = (tail + chunk)[-20:]
        assert head.startswith(b'{"success":true,"sessions":[{')
        assert tail.endswith(b"}]}")
        assert rows == count
        assert server.peak_memory() - before < 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"TIMEZONE": "Mars/Olympus"}, "TIMEZONE"),
        ({"GRAPHQL_PORT": "99999"}, "GRAPHQL_PORT"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"API_TOKEN": "short"}, "API_TOKEN"),
    ],
)
def test_invalid_setting_is_reported_at_startup(tmp_path: Path, settings: dict[str, str], name: str) -> None:
    """The message names the setting, without a traceback, and the server does not start."""
    server = Server(tmp_path, **settings)
    assert server.process.wait(timeout=60) != 0
    output = server.output.read_text()
    assert name in output
    assert "Traceback" not in output


def test_both_apis_report_the_same_message_for_the_same_mistake(shared_server: Server) -> None:
    """Validation is shared."""
    mutation = "mutation($input: CreateSessionInput!) { createSession(input: $input) { message } }"
    graphql_names = {"start_time": "startTime", "end_time": "endTime", "event_type_conn": "eventTypeConn"}
    mistakes: list[dict[str, Any]] = [
        {"mac": "nonsense"},
        {"ip": "1.2.3.4.5"},
        {"start_time": "soon"},
        {"start_time": None},
        {"end_time": "2025-07-01T00:00:00"},
        {"event_type_conn": ""},
        {"info": "x" * 20_000},
    ]
    with shared_server.client() as client:
        for mistake in mistakes:
            fields = session_fields(1, **mistake)
            rest = client.post("/sessions/create", json=fields)
            assert rest.status_code == 400
            graphql_fields = {graphql_names.get(name, name): value for name, value in fields.items()}
            graphql = client.post("/graphql", json={"query": mutation, "variables": {"input": graphql_fields}})
            assert graphql.json()["errors"][0]["message"] == rest.json()["message"], mistake


def test_workers_share_port_database_and_metrics(tmp_path: Path, url: str) -> None:
    """Each session is stored once, and `/metrics` of one worker reports the sum of all."""
    with running(tmp_path, "--workers", "2", DATABASE_URL=url) as server:
        wait_for_workers(server, 2)

        def create(n: int) -> None:
            with server.client() as client:
                for m in range(n, 400, 16):
                    assert client.post("/sessions/create", json=session_fields(m)).status_code == 200

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(create, range(16)))
        with server.client() as client:
            metrics = client.get("/metrics").text
        assert 'netsessions_requests_total{door="rest",outcome="ok"} 400.0' in metrics
        assert "netsessions_sessions_written_total 400.0" in metrics
        assert stored_infos(server) == {str(n) for n in range(400)}
        assert server.stop() == 0


def test_metrics_file_of_a_starting_worker_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A starting worker has created its file, which is still empty."""
    (tmp_path / "counter_1.db").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert generate_latest(Metrics().registry_of_all_workers()) == b""


def is_listening(server: Server) -> bool:
    """Return whether a process accepts connections on the server's port."""
    try:
        httpx.get(f"{server.url}/health", timeout=5)
    except httpx.TransportError:
        return False
    return True


def test_workers_exit_with_their_parent(tmp_path: Path) -> None:
    """Even if the parent was killed. Then the port is free again."""
    with running(tmp_path, "--workers", "2") as server:
        wait_for_workers(server, 2)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: not is_listening(server))


def test_killed_worker_is_replaced(tmp_path: Path, url: str) -> None:
    """The metrics of the killed worker still count."""
    with running(tmp_path, "--workers", "2", DATABASE_URL=url) as server:
        wait_for_workers(server, 2)
        with server.client() as client:
            assert client.post("/sessions/create", json=session_fields(1)).status_code == 200
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        workers = [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        for pid in workers:
            os.kill(int(pid), signal.SIGKILL)
        wait_for_workers(server, 4)
        with server.client() as client:
            assert client.post("/sessions/create", json=session_fields(2)).status_code == 200
            assert "netsessions_sessions_written_total 2.0" in client.get("/metrics").text
