"""The RADIUS listener, and its command on a real socket."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyrad.packet import AccountingResponse

from netsessions.cli import main
from netsessions.radius import listener as listener_module
from netsessions.radius.listener import AccountingListener
from resolvers import radius_accounting
from resolvers.context import Context
from resolvers.radius_accounting import (
    UNKNOWN_IP,
    Outcome,
    Packet,
)
from resolvers.validation.clock import Clock
from storage.errors import StoreUnavailableError
from storage.tables import DAY, SECOND
from tests.conftest import MAC, NOW, at, run, sql
from tests.support.ports import free_port
from tests.support.radius import CLIENTS, SECRET, encode
from tests.support.server import INHERITED_VARIABLES, running


class FakeTransport:
    """Collects the responses of a listener."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, _: Any) -> None:
        self.sent.append(data)


async def settle() -> None:
    """Run the event loop until no task can continue."""
    for _ in range(20):
        await asyncio.sleep(0)


def start_listener(
    context: Context, monkeypatch: pytest.MonkeyPatch, store: Any
) -> tuple[AccountingListener, FakeTransport]:
    """Return a listener that stores packets with a function."""
    monkeypatch.setattr(radius_accounting, "apply_packet", store)
    listener, transport = AccountingListener(context, CLIENTS), FakeTransport()
    listener.connection_made(transport)
    return listener, transport


SENDER = ("127.0.0.1", 9)


def test_packets_of_one_session_are_stored_in_order(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other sessions do not wait. A response follows the commit. Closing finishes the packets in progress."""
    stored: list[tuple[str, str]] = []
    gates: dict[str, asyncio.Event] = {}

    async def store(_: Context, packet: Packet) -> Outcome | None:
        stored.append((packet.acct_session_id, packet.kind))
        await gates[packet.acct_session_id].wait()
        return None

    async def check() -> None:
        gates.update(a=asyncio.Event(), b=asyncio.Event())
        listener, transport = start_listener(context, monkeypatch, store)
        for name, kind in ((b"a", "Start"), (b"a", "Stop"), (b"b", "Start")):
            listener.datagram_received(encode(Acct_Session_Id=name, Acct_Status_Type=kind), SENDER)
        await settle()
        assert (stored, transport.sent) == ([("a", "START"), ("b", "START")], [])
        closing = asyncio.create_task(listener.close())
        gates["b"].set()
        await settle()
        assert (len(transport.sent), closing.done()) == (1, False)
        listener.datagram_received(encode(Acct_Session_Id=b"b"), SENDER)
        gates["a"].set()
        await closing
        assert (stored[2:], len(transport.sent)) == ([("a", "STOP")], 3)
        assert listener.counts == {"answered": 3}

    run(check())


def test_packet_that_cannot_be_stored_gets_no_response(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The NAS repeats it. A packet that arrives while the listener is busy gets no response either."""
    failures: list[Exception] = [StoreUnavailableError("locked"), RuntimeError("a defect")]

    async def store(_: Context, __: Packet) -> Outcome | None:
        if failures:
            raise failures.pop(0)
        return None

    async def check() -> None:
        listener, transport = start_listener(context, monkeypatch, store)
        for _ in range(2):
            listener.datagram_received(encode(), SENDER)
            await settle()
        assert transport.sent == []
        listener.datagram_received(encode(), SENDER)
        await settle()
        assert [data[0] for data in transport.sent] == [AccountingResponse]
        assert listener.counts == {"store_unavailable": 1, "failed": 1, "answered": 1}
        monkeypatch.setattr("netsessions.radius.listener.MAX_CONCURRENT_PACKETS", 0)
        listener.datagram_received(encode(), SENDER)
        assert listener.counts["busy"] == 1

    run(check())


def test_repeated_packet_has_the_time_of_its_first_arrival(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds during the retry window. The same octets on another day are a new packet."""
    times: list[int] = []
    now = at(NOW)

    async def store(_: Context, packet: Packet) -> Outcome | None:
        times.append(packet.at - at(NOW))
        return None

    async def check() -> None:
        nonlocal now
        later = Context(context.store, Clock(context.clock.zone, time=lambda: now))
        listener, _ = start_listener(later, monkeypatch, store)
        monkeypatch.setattr("netsessions.radius.listener.MAX_REMEMBERED_ARRIVALS", 2)
        repeated = encode()
        for data, wait in (
            (repeated, 1),
            (repeated, 1),
            (repeated, 0),
            (repeated, 1),
            (encode(), 1),
            (encode(), 1),
            (repeated, 1),
        ):
            listener.datagram_received(data, SENDER)
            await settle()
            now += wait * SECOND or DAY

    run(check())
    assert times == [0, 0, 0, *(DAY + seconds * SECOND for seconds in (2, 3, 4, 5))]


def test_packets_that_are_not_stored_are_logged(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line counts the new ones. There is no line if there are none."""
    lines: list[tuple[str, dict[str, int]]] = []

    class Log:
        def warning(self, event: str, **counts: int) -> None:
            lines.append((event, counts))

    batches = [{"answered": 9}, {"malformed": 2, "answered": 1}, {"malformed": 1, "wrong_secret": 1}, {}]

    async def check() -> None:
        listener = AccountingListener(context, CLIENTS)

        async def next_minute(_: float) -> None:
            if not batches:
                raise asyncio.CancelledError
            listener.counts.update(batches.pop(0))

        monkeypatch.setattr("netsessions.radius.listener.asyncio.sleep", next_minute)
        with pytest.raises(asyncio.CancelledError):
            await listener_module._run_jobs(listener, context)

    monkeypatch.setattr(listener_module, "log", Log())
    run(check())
    assert lines == [
        ("packets not stored", {"malformed": 2}),
        ("packets not stored", {"malformed": 1, "wrong_secret": 1}),
    ]


class RunningCommand:
    """A process of `netsessions radius`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port = free_port(socket.SOCK_DGRAM)
        self.output = folder / "radius.txt"
        environment = {k: v for k, v in os.environ.items() if k in INHERITED_VARIABLES} | {
            "RADIUS_CLIENTS": f"127.0.0.1={SECRET}",
            "RADIUS_PORT": str(self.port),
            "DATABASE_URL": url,
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netsessions", "radius"],
                env=environment,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Wait until it responds to a packet without a device, which it does not store."""
        deadline = time.monotonic() + 60
        while self.exchange(encode(Calling_Station_Id=None), timeout=0.2) is None:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()

    def exchange(self, data: bytes, timeout: float = 10) -> bytes | None:
        """Send a datagram and return the response, or None after a timeout."""
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect(("127.0.0.1", self.port))
            try:
                client.send(data)
                return client.recv(4096)
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)
                return None

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]


@contextmanager
def running_command(folder: Path, url: str) -> Iterator[RunningCommand]:
    """Run the command and stop it at the end of the test."""
    command = RunningCommand(folder, url)
    try:
        command.wait_until_ready()
        yield command
        command.process.terminate()
        command.process.wait(timeout=60)
    finally:
        command.process.kill()
        command.process.wait()


RADCLIENT = shutil.which("radclient")


@pytest.mark.skipif(
    RADCLIENT is None and "CI" not in os.environ, reason="radclient is not installed; it is in freeradius-utils"
)
def test_sessions_reported_by_radclient_are_served(tmp_path: Path, url: str) -> None:
    """FreeRADIUS's client gets responses, and the server next to the listener returns the session."""
    assert RADCLIENT is not None, "radclient is not installed; it is in freeradius-utils"

    def report(command: RunningCommand, **attributes: Any) -> None:
        defaults = {
            "Acct-Session-Id": '"4D2"',
            "NAS-Identifier": '"ap-1"',
            "Calling-Station-Id": '"AA-BB-CC-DD-EE-FF:net"',
        }
        words = ", ".join(f"{k} = {v}" for k, v in (defaults | attributes).items())
        client = [str(RADCLIENT), "-r", "1", "-t", "20", f"127.0.0.1:{command.port}", "acct", SECRET]
        result = subprocess.run(client, input=words, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Accounting-Response" in result.stdout

    query = "{ sessions { nodes { mac ip state disconnectionEvent info } } }"
    with (
        running(tmp_path, DATABASE_URL=url) as server,
        running_command(tmp_path, url) as command,
        server.client() as client,
    ):

        def session() -> Any:
            [node] = client.post("/graphql", json={"query": query}).json()["data"]["sessions"]["nodes"]
            return node

        report(command, **{"Acct-Status-Type": "Start"})
        assert session()["state"] == "CONNECTED"
        report(command, **{"Acct-Status-Type": "Interim-Update", "Framed-IP-Address": "10.0.0.1"})
        assert session()["ip"] == "10.0.0.1"
        report(command, **{"Acct-Status-Type": "Stop", "Acct-Terminate-Cause": "Idle-Timeout", "Proxy-State": "0x01"})
        assert session() == {
            "mac": MAC,
            "ip": "10.0.0.1",
            "state": "COMPLETE",
            "disconnectionEvent": "Disconnected",
            "info": "RADIUS: Idle-Timeout",
        }
        events = [line["event"] for line in command.lines()]
        assert events == ["session started", "session stopped"]
        assert sql(url, "SELECT kind, who FROM change ORDER BY seq") == [
            ("CREATED", "radius"),
            *[("UPDATED", "radius")] * 2,
        ]


def test_command_stops_on_sigterm_and_prints_the_dropped_packets(tmp_path: Path, url: str) -> None:
    """The stored packet is in the database. A wrong secret and a truncated packet got no response."""
    with running_command(tmp_path, url) as command:
        response = command.exchange(encode(Acct_Session_Time=3))
        assert response is not None
        assert response[0] == AccountingResponse
        assert command.exchange(encode("another"), timeout=0.5) is None
        assert command.exchange(encode()[:25], timeout=0.5) is None
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(timeout=60) == 0
        output = command.output.read_text()
        assert "malformed: 1" in output
        assert "wrong secret: 1" in output
        assert "Traceback" not in output
        assert SECRET not in output
    assert sql(url, "SELECT mac, ip FROM session") == [(MAC, UNKNOWN_IP)]


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ("", "is required"),
        ("127.0.0.1=a-secret 10.0.0.0/99=hidden", "entry 2 is not"),
        ("10.0.0.1/8=hidden", "entry 1 is not"),
        ("127.0.0.1=", "entry 1 is not"),
    ],
)
def test_invalid_client_list_is_rejected(clients: str, message: str) -> None:
    """The message does not contain a secret."""
    result = CliRunner().invoke(main, ["radius"], env={"RADIUS_CLIENTS": clients})
    assert result.exit_code == 2
    assert message in result.output
    assert "hidden" not in result.output


def test_port_in_use_is_reported(tmp_path: Path) -> None:
    """The message names the settings to change."""
    with socket.socket(type=socket.SOCK_DGRAM) as other_socket:
        other_socket.bind(("127.0.0.1", 0))
        environment = {
            "RADIUS_CLIENTS": f"127.0.0.1={SECRET}",
            "RADIUS_PORT": str(other_socket.getsockname()[1]),
            "DATABASE_URL": f"sqlite:///{tmp_path / 'n.db'}",
        }
        result = subprocess.run(
            [sys.executable, "-m", "netsessions", "radius"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert "set RADIUS_PORT or RADIUS_HOST to another" in result.stderr
