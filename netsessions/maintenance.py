"""Jobs that a running server performs every minute: purge expired records, and end sessions without heartbeats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from resolvers.context import Context, actor
from resolvers.heartbeats import sweep
from resolvers.maintenance.purge import Purge
from resolvers.validation.periods import Period
from storage.errors import StoreUnavailableError

INTERVAL_SECONDS = 60
SWEEP_ACTOR = "sweep"

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


@asynccontextmanager
async def run_maintenance(context: Context, unseen_for: Period | None) -> AsyncIterator[None]:
    """Run maintenance jobs while the context is open. Sweep stale sessions only if `unseen_for` is set."""
    task = asyncio.create_task(_run_jobs(context, unseen_for))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run_jobs(context: Context, unseen_for: Period | None) -> None:
    actor.set(SWEEP_ACTOR)
    purge = Purge(context)
    while True:
        try:
            await purge()
            if unseen_for is not None and (ended := await sweep(context, unseen_for)):
                log.info("sessions ended", sessions=ended, reason="not seen")
        except StoreUnavailableError as cause:
            log.warning("store unavailable", cause=str(cause))
        except Exception:
            log.exception("maintenance failed")
        await asyncio.sleep(INTERVAL_SECONDS)
