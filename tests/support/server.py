"""Starts the program as a user does: in a separate process, on a real socket."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from tests.support.ports import free_port

TOKEN = "a-token-for-tests"
# COVERAGE_PROCESS_CONFIG is set while coverage is measured, and extends it to the servers.
INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")


class Server:
    """A `netsessions serve` process."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self.port = int(settings.get("GRAPHQL_PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        self.output = folder / f"output-{self.port}.txt"
        environment = {k: v for k, v in os.environ.items() if k in INHERITED_VARIABLES} | {
            "API_TOKEN": TOKEN,
            "GRAPHQL_PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{folder / 'netsessions.db'}",
        }
        environment = {k: v for k, v in (environment | settings).items() if v}
        self.database = environment["DATABASE_URL"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "netsessions", "serve", *arguments],
                env=environment,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Wait until the server responds. Fails if it exits, or after a minute."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.output.read_text())

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the process to end. Return its exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=60)

    def client(self) -> httpx.Client:
        """Return an HTTP client that sends the token."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=60)

    def peak_memory(self) -> int:
        """Return the peak resident memory so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[Server]:
    """Start a server and wait until it is ready. Stop it at the end with SIGTERM, so that it saves its coverage data."""
    server = Server(folder, *arguments, **settings)
    try:
        server.wait_until_ready()
        yield server
        if server.process.poll() is None:
            server.stop()
    finally:
        server.process.kill()
        server.process.wait()


def wait_for_workers(server: Server, count: int) -> None:
    """Wait until `count` workers have started since the start of the server."""

    def started() -> int:
        return server.output.read_text().count("startup complete")

    wait_until(lambda: started() >= count, seconds=60)
    assert started() == count


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until the condition is true. Fails after the given time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
