"""Malformed and partial requests: the server responds with HTTP or closes the connection, and serves the next request."""

import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.support.server import TOKEN, Server, running

TIMEOUT = 5.0  # seconds to wait for a response or the end of a connection
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]*\r\n")
UPGRADE = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
BEARER = b"Authorization: Bearer " + TOKEN.encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests. After them it still runs, has no open sockets and no errors in its log, and stops in time."""
    with running(tmp_path_factory.mktemp("sockets")) as server:
        before = connections(server)
        yield server
        assert server.process.poll() is None
        deadline = time.monotonic() + TIMEOUT
        while connections(server) > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert connections(server) <= before
        log = server.output.read_text()
        assert "Traceback" not in log
        assert '"level": "error"' not in log
        stopped_at = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - stopped_at < TIMEOUT


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def connections(server: Server) -> int:
    """Return the number of open sockets of the server."""
    count = 0
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            count += os.readlink(file).startswith("socket:")
    return count


noise = st.binary(max_size=30)
good_paths = st.sampled_from(
    [
        b"/sessions/list?limit=2",
        b"/sessions/create",
        b"/sessions/start",
        b"/sessions/delete",
        b"/graphql",
        b"/health",
        b"/metrics",
        b"/sessions/session-events",
        b"/sessions/calendar?start=2025-08-01&end=2025-08-02",
        b"/sessions/AA:BB:CC:DD:EE:FF",
        b"/sessions/export",
        b"/sessions/calendar.ics",
        b"/graphql?query=%7B__typename%7D",
        b"/openapi.json",
        b"/docs",
        b"/",
    ]
)
bad_paths = (
    st.sampled_from(
        [
            b"/sessions/%FF%00",
            b"*",
            b"//",
            b"/a/../b",
            b"/%",
            b"\xff\xfe",
            b"/sessions/AA:BB",
            b"/graphql#x",
            b"/" + b"a" * 70_000,
            b"http://other.example/sessions/list",
            b"http://x/graphql",
            b"http://[::1/",
            b"https://:99999/graphql",
            b"x:",
            b"/sessions/a%2Fb",
        ]
    )
    | noise
)
bad_queries = st.sampled_from(
    [
        b"?mac=%",
        b"?mac=%00",
        b"?limit=" + b"9" * 5000,
        b"?" + b"a=1&" * 3000,
        b"?query=%7B__typename%7D&variables=%FF",
        b"?start=%F0%9F",
        b"?token=\xff",
        b"?page=-1",
        b"?\xc3\xa9=\xe9",
        b"?query={a&extensions=[",
        b"?mac=\xff",
        b"?period=%00",
    ]
) | noise.map(lambda query: b"?" + query)
bodies = st.sampled_from(
    [
        b"",
        b"{}",
        b"hello",
        b'{"query": "{ __typename }"}',
        b'{"mac": "\xff"}',
        b"[" * 5000,
        b'{"mac":"AA:BB:CC:DD:EE:FF"}',
        b'{"mac":"AA:BB:CC:DD:EE:FF","ip":"10.0.0.1"}',
        b'{"mac":"AA:BB:CC:DD:EE:FF","ip":"10.0.0.1","start_time":"2025-08-01T10:00"}',
        b"\0" * 9,
        b'{"query": "subscription { sessionChanges { kind } }"}',
        b'{"query": "{ sessions { nodes { id } } }"}',
        b"1e999",
    ]
) | st.binary(max_size=50)
chunked = st.sampled_from(
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"zz\r\nhello\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"-5\r\nhello\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5;a=\xff\r\nhello\r\n0\r\nX: \xff\r\n\r\n",
        b"1\r\n",
        b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"2\r\n{}\r\n0\r\n\r\n",
    ]
)
lengths = st.sampled_from(
    [b"-1", b"9" * 20, b"5, 6", b"\xb2", b"+1", b"0x5", b"", b"5\r\nContent-Length: 6", b"1", b"60"]
)
bad_headers = st.sampled_from(
    [
        b"Host: y",
        b"Host: \xff",
        BEARER,
        b"Authorization: Bearer \xff",
        b"Authorization: Basic eA==",
        b"Content-Type: \xff",
        b"Content-Type: text/plain",
        b"Accept: text/event-stream",
        b"Accept: ;;q=x,,",
        b"Accept: application/graphql-response+json;q=nan",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: x",
        b"Expect: 100-continue",
        b"Expect: x",
        b"Connection: close",
        b"Connection: upgrade\r\nUpgrade: h2c",
        UPGRADE + b"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
        UPGRADE + b"\xff\r\nSec-WebSocket-Version: 99",
        b"Idempotency-Key: \xff\xfe",
        b"Idempotency-Key: " + b"k" * 300,
        b"Idempotency-Key: k",
        b"Cookie: " + b"c" * 9000,
        b"X: " + b"x" * 70_000,
        b" folded",
        b'If-None-Match: "\xff"',
        b"Origin: null",
        b"Origin: http://\xff",
        b"X-Forwarded-For: \x01",
        b"X\0Y: z",
        b": empty",
        b"no colon",
    ]
) | st.builds(lambda value: b"X: " + value, noise)


@st.composite
def request(draw: st.DrawFn) -> bytes:
    """Generate a request with at most two defects, so that most requests pass the HTTP parser."""
    defects = draw(
        st.sets(
            st.sampled_from(
                ["method", "path", "query", "version", "length", "chunks", "header", "missing header", "end"]
            ),
            max_size=2,
        )
    )
    method = draw(st.sampled_from([b"GET", b"POST", b"POST", b"DELETE"]))
    if "method" in defects:
        method = draw(
            st.sampled_from([b"HEAD", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT", b"get", b"M-SEARCH", b"PRI"]) | noise
        )
    path = draw(bad_paths if "path" in defects else good_paths)
    query = draw(bad_queries) if "query" in defects else b""
    version = (
        draw(st.sampled_from([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"", b"HTP/1.1"]))
        if "version" in defects
        else b"HTTP/1.1"
    )
    body = draw(bodies) if method != b"GET" else b""
    headers = [b"Host: x", BEARER, b"Content-Type: application/json"]
    if "chunks" in defects:
        headers.append(b"Transfer-Encoding: chunked")
        body = draw(chunked)
    if "length" in defects or "chunks" not in defects:
        headers.append(b"Content-Length: " + (draw(lengths) if "length" in defects else b"%d" % len(body)))
    if "missing header" in defects:
        headers.pop(draw(st.integers(0, len(headers) - 1)))
    if "header" in defects:
        headers.insert(draw(st.integers(0, len(headers))), draw(bad_headers))
    end = draw(st.sampled_from([b"\n", b"\r", b"\r\r\n"])) if "end" in defects else b"\r\n"
    return method + b" " + path + query + b" " + version + end + end.join([*headers, b""]) + end + body


messages = st.one_of(
    request(), request(), request(), st.lists(request(), min_size=2, max_size=4).map(b"".join), st.binary(max_size=200)
)
# "shut" closes the sending side after the bytes, "reset" resets the connection, "half" sends the first half of the bytes.
SEND_MODES = ("whole", "whole", "shut", "reset", "pieces", "half")


def read(connection: socket.socket, seconds: float) -> bytes:
    """Return what the server sends until it closes the connection or sends nothing for the time."""
    connection.settimeout(seconds)
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except (TimeoutError, ConnectionError):
        pass
    return received


def send(server: Server, data: bytes, mode: str) -> bytes:
    """Send bytes in one of `SEND_MODES`, and return the response."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        try:
            if mode == "reset":
                connection.sendall(data)
                # Reset the connection, as if the client had crashed.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if mode == "pieces":
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(0, len(data), max(1, len(data) // 8)):
                    connection.sendall(data[at : at + max(1, len(data) // 8)])
                    time.sleep(0.001)
            else:
                connection.sendall(data[: len(data) // 2] if mode == "half" else data)
            if mode != "whole":
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has closed the connection
        return read(connection, 0.1 if mode == "whole" else TIMEOUT)


@seed(20212)
@settings(max_examples=500, database=None, suppress_health_check=list(HealthCheck))
@given(data=messages, mode=st.sampled_from(SEND_MODES))
def test_any_bytes_get_an_http_response_or_a_closed_connection(
    server: Server, client: httpx.Client, data: bytes, mode: str
) -> None:
    """No response is 500 or above or is not HTTP, and the next request succeeds."""
    received = send(server, data, mode)
    if received:
        assert STATUS.match(received), received[:200]
    for status in STATUS.findall(received):
        assert int(status) < 500, received
    assert client.get("/sessions/list?limit=1").status_code == 200


def test_connection_closed_during_a_response_is_not_an_error(server: Server, client: httpx.Client) -> None:
    """Invalid bytes after a request make the server close the connection during the response, like a client that leaves."""
    request = b"GET /sessions/list HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\r\n\r\n"
    for _ in range(20):
        send(server, request * 3 + b"\0\0\r\n\r\n", "shut")
    assert client.get("/health").status_code == 200
    log = server.output.read_text()
    assert "request failed" not in log
    assert "without completing" not in log
