"""`netsessions.app.build` as a library function, without the logging configuration of the commands."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio
import sys
from zoneinfo import ZoneInfo

import httpx2 as httpx

from netsessions.app import build
from netsessions.http.metrics import Metrics
from resolvers.context import Context
from resolvers.validation.clock import Clock
from storage.errors import StoreUnavailableError
from storage.migrations import migrate
from storage.opening import open_store

URL = f"sqlite:///{sys.argv[1]}"


def failing(error):
    async def fetch(*_, **__):
        raise error

    return fetch


async def main():
    store = await open_store(URL)
    context = Context(store, Clock(ZoneInfo("UTC")))
    transport = httpx.ASGITransport(build(context, "token", Metrics()), raise_app_exceptions=False)
    headers = {"Authorization": "Bearer token"}
    async with httpx.AsyncClient(transport=transport, base_url="http://app", headers=headers) as client:
        query = {"query": "{ sessionTotals { all } }"}
        statuses = [
            (await client.get("/health")).status_code,
            (await client.get("/sessions/list")).status_code,
            (await client.post("/graphql", json=query)).status_code,
            (await client.get("/sessions/list", headers={"Authorization": "Bearer wrong"})).status_code,
            (await client.get("/nowhere")).status_code,
        ]
        for error in (StoreUnavailableError("locked"), RuntimeError("defect")):
            type(store).fetch = failing(error)
            statuses += [
                (await client.get("/health")).status_code,
                (await client.get("/sessions/session-events")).status_code,
                (await client.post("/graphql", json=query)).status_code,
            ]
    print(statuses)
    await store.close()


migrate(URL)
asyncio.run(main())
"""


def test_app_works_without_the_logging_configuration_of_the_commands(tmp_path: Path) -> None:
    """Requests are served in a fresh interpreter, also those that fail and are logged."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "netsessions.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    statuses = "[200, 200, 200, 401, 404, 503, 503, 503, 500, 500, 200]"
    assert done.stdout.splitlines()[-1] == statuses, done.stdout + done.stderr
    assert "RuntimeError: defect" in done.stdout + done.stderr
