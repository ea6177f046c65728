"""Whatever arrives on its port, in whole or in part, the server answers as HTTP says or hangs up, and serves the next."""

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

SECONDS = 5.0  # for which an answer, or the end of a connection, is waited for
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]*\r\n")
UPGRADE = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
BEARER = b"Authorization: Bearer " + TOKEN.encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all. Whatever came, it runs on, has nothing open and no failure in its log, and ends when it is to."""
    with running(tmp_path_factory.mktemp("sockets")) as server:
        before = connections(server)
        yield server
        assert server.process.poll() is None
        deadline = time.monotonic() + SECONDS
        while connections(server) > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert connections(server) <= before
        log = server.output.read_text()
        assert "Traceback" not in log
        assert '"level": "error"' not in log
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < SECONDS


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def connections(server: Server) -> int:
    """How many sockets the server has open."""
    found = 0
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(file).startswith("socket:")
    return found


odd = st.binary(max_size=30)
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
    | odd
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
) | odd.map(lambda query: b"?" + query)
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
) | st.builds(lambda value: b"X: " + value, odd)


@st.composite
def request(draw: st.DrawFn) -> bytes:
    """A request that is right but for a few things: most of what is wrong is to get past the parser, to those behind it."""
    wrong = draw(
        st.sets(
            st.sampled_from(["method", "path", "query", "version", "length", "chunks", "header", "less", "end"]),
            max_size=2,
        )
    )
    method = draw(st.sampled_from([b"GET", b"POST", b"POST", b"DELETE"]))
    if "method" in wrong:
        method = draw(
            st.sampled_from([b"HEAD", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT", b"get", b"M-SEARCH", b"PRI"]) | odd
        )
    path = draw(bad_paths if "path" in wrong else good_paths)
    query = draw(bad_queries) if "query" in wrong else b""
    version = (
        draw(st.sampled_from([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"", b"HTP/1.1"]))
        if "version" in wrong
        else b"HTTP/1.1"
    )
    body = draw(bodies) if method != b"GET" else b""
    given = [b"Host: x", BEARER, b"Content-Type: application/json"]
    if "chunks" in wrong:
        given.append(b"Transfer-Encoding: chunked")
        body = draw(chunked)
    if "length" in wrong or "chunks" not in wrong:
        given.append(b"Content-Length: " + (draw(lengths) if "length" in wrong else b"%d" % len(body)))
    if "less" in wrong:
        given.pop(draw(st.integers(0, len(given) - 1)))
    if "header" in wrong:
        given.insert(draw(st.integers(0, len(given))), draw(bad_headers))
    end = draw(st.sampled_from([b"\n", b"\r", b"\r\r\n"])) if "end" in wrong else b"\r\n"
    return method + b" " + path + query + b" " + version + end + end.join([*given, b""]) + end + body


arrivals = st.one_of(
    request(), request(), request(), st.lists(request(), min_size=2, max_size=4).map(b"".join), st.binary(max_size=200)
)
WAYS = ("whole", "whole", "shut", "cut", "pieces", "half")


def read(connection: socket.socket, seconds: float) -> bytes:
    """What the server sends until it hangs up, or nothing more comes within the time."""
    connection.settimeout(seconds)
    told = b""
    try:
        while more := connection.recv(65_536):
            told += more
    except (TimeoutError, ConnectionError):
        pass
    return told


def sent(server: Server, arrival: bytes, way: str) -> bytes:
    """Sends bytes in one of the ways in which a client may; answers what came back."""
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as connection:
        try:
            if way == "cut":
                connection.sendall(arrival)
                # An end without a goodbye, as of a client that has crashed.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if way == "pieces":
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(0, len(arrival), max(1, len(arrival) // 8)):
                    connection.sendall(arrival[at : at + max(1, len(arrival) // 8)])
                    time.sleep(0.001)
            else:
                connection.sendall(arrival[: len(arrival) // 2] if way == "half" else arrival)
            if way != "whole":
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up already
        return read(connection, 0.1 if way == "whole" else SECONDS)


@seed(20212)
@settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(arrival=arrivals, way=st.sampled_from(WAYS))
def test_whatever_arrives_is_answered_or_hung_up_on(
    server: Server, client: httpx.Client, arrival: bytes, way: str
) -> None:
    """No status of 500 or above, nothing that is not HTTP; and the next request is answered."""
    told = sent(server, arrival, way)
    if told:
        assert STATUS.match(told), told[:200]
    for status in STATUS.findall(told):
        assert int(status) < 500, told
    assert client.get("/sessions/list?limit=1").status_code == 200


def test_an_answer_to_who_was_hung_up_on_is_no_failure(server: Server, client: httpx.Client) -> None:
    """What follows a request is not HTTP: the server hangs up while it answers, and counts a client that went away."""
    request = b"GET /sessions/list HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\r\n\r\n"
    for _ in range(20):
        sent(server, request * 3 + b"\0\0\r\n\r\n", "shut")
    assert client.get("/health").status_code == 200
    log = server.output.read_text()
    assert "request failed" not in log
    assert "without completing" not in log
