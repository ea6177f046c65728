"""Starts the program as a user does, in a process of its own on a real socket."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from tests.support.ports import free_port

TOKEN = "a-token-for-tests"
# The last is there where lines are counted: those of processes that tests start count, too.
INHERITED = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")


class Server:
    """A running `netsessions serve`."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self.port = int(settings.get("GRAPHQL_PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        self.output = folder / f"output-{self.port}.txt"
        environment = {k: v for k, v in os.environ.items() if k in INHERITED} | {
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

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.output.read_text())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; answers its exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=60)

    def client(self) -> httpx.Client:
        """A client that carries the token."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=60)

    def memory(self) -> int:
        """Its largest resident memory so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[Server]:
    """A server that answers, and is ended with the test, in order: only so it writes down which lines it ran."""
    server = Server(folder, *arguments, **settings)
    try:
        server.wait()
        yield server
        if server.process.poll() is None:
            server.stop()
    finally:
        server.process.kill()
        server.process.wait()
