"""The composition root: opens the store and puts identity, doors and pages around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

import rest_compat.errors
import schema.errors
from netsessions.http import static_files as pages
from netsessions.http.access_log import Metrics, Observe
from netsessions.http.authentication import Asking, Guard, RequireToken
from netsessions.http.send_timeout import Patience
from netsessions.http.shutdown import Ending
from netsessions.maintenance import kept_up
from netsessions.settings import ACCESS, Access, Settings
from resolvers.context import Context
from resolvers.validation.clock import Clock
from rest_compat.app import rest_door
from rest_compat.openapi import document
from schema.http.app import GraphQLDoor
from storage.errors import StoreUnavailableError
from storage.opening import open_store
from storage.queries.sessions import any_session
from storage.replicas import Marks

HEALTH_SECONDS = 2  # a store that takes longer for one row serves nobody

# What pages of other origins may send, where there are any that may, and read beside the answer itself.
METHODS = ("GET", "POST", "DELETE")
HEADERS = ("Authorization", "Idempotency-Key", "If-None-Match", "Apollo-Require-Preflight", "X-Apollo-Operation-Name")
EXPOSED = ("Content-Disposition", "ETag", "Retry-After", "WWW-Authenticate")

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


@asynccontextmanager
async def running_app(settings: Settings, token: str, marks: Marks | None = None) -> AsyncIterator[Ending]:
    """The app over an open store of a migrated database, which is closed with it; raises `StoreUnusableError` and OSError.

    Not a lifespan: the doors are made of an open store, and a store that cannot be opened is the operator's to hear of in
    a sentence, where a web server would print the traceback of a failed lifespan.
    """
    store = await open_store(settings.database_url, settings.database_read_url, marks)
    try:
        metrics = Metrics()
        context = Context(store, Clock(settings.zone), metrics.written.inc, settings.limits)
        app = build(context, token, metrics, settings.access, ui=settings.ui)
        async with kept_up(context, settings.unseen_for):
            yield Ending(Asking(app) if settings.database_read_url else app, context.feed.close)
        await context.feed.close()
    finally:
        await store.close()


def build(context: Context, token: str, metrics: Metrics, access: Access = ACCESS, *, ui: bool = True) -> Starlette:
    """Every path of the server; the pages for people are among them with `ui`. It neither opens nor closes anything."""
    described = document()

    async def health(_: Request) -> Response:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await context.store.fetch(any_session(), {})
        except (TimeoutError, StoreUnavailableError) as cause:
            log.warning("store unavailable", cause=str(cause) or "no answer in time")
            message = "The store does not answer; the log has the cause."
            return JSONResponse({"status": "unavailable", "message": message}, 503)
        return JSONResponse({"status": "ok"})

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    async def exposition(_: Request) -> Response:
        return Response(generate_latest(metrics.of_all_workers()), media_type=CONTENT_TYPE_LATEST)

    async def nothing(_: Request) -> Response:
        raise HTTPException(404)

    async def refused(_: Request, problem: Exception) -> Response:
        return rest_compat.errors.translated(problem)

    guard = Guard(context, token, access)
    door = GraphQLDoor(context, access.origins, access.subscriptions)
    graphql = RequireToken(door, guard, schema.errors.refused)
    identity = Middleware(RequireToken, guard, rest_compat.errors.translated, {"/sessions/calendar.ics"})
    middleware = [Middleware(Observe, metrics), Middleware(Patience)]
    if access.origins:
        middleware.insert(1, Middleware(CORSMiddleware, access.origins, METHODS, HEADERS, expose_headers=EXPOSED))
    app = Starlette(
        routes=[
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            Mount("/sessions", rest_door(context), middleware=[identity]),
            Route("/sessions", nothing, middleware=[identity]),
            Route("/metrics", exposition, middleware=[identity]),
            Route("/health", health),
            Route("/openapi.json", openapi),
            *(pages.routes() if ui else []),
        ],
        middleware=middleware,
        exception_handlers={HTTPException: refused, StoreUnavailableError: refused},
    )
    # A client that follows a redirect repeats a POST as a GET, and may leave its token behind.
    app.router.redirect_slashes = False
    return app
