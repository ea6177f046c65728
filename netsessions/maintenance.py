"""What a running server does by itself, every minute: forgets what nobody can ask for any more, ends what is not seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from resolvers.context import Context, acting
from resolvers.heartbeats import sweep
from resolvers.maintenance.purge import Forgetting
from resolvers.validation.clock import Period
from storage.errors import StoreUnavailableError

EVERY = 60  # seconds
SWEEP = "sweep"  # by whom the journal says that a session was ended

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


@asynccontextmanager
async def kept_up(context: Context, unseen_for: Period | None) -> AsyncIterator[None]:
    """While this is open, it is done; sessions are ended only where told after how long."""
    keeping = asyncio.create_task(_keep(context, unseen_for))
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep(context: Context, unseen_for: Period | None) -> None:
    acting.set(SWEEP)
    forgetting = Forgetting(context)
    while True:
        try:
            await forgetting()
            if unseen_for is not None and (ended := await sweep(context, unseen_for)):
                log.info("sessions ended", sessions=ended, reason="not seen")
        except StoreUnavailableError as cause:
            log.warning("store unavailable", cause=str(cause))
        except Exception:
            log.exception("upkeep failed")
        await asyncio.sleep(EVERY)
