"""Composition of the server: the store, the two APIs, the pages and the middleware around them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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
from netsessions.http import static_files
from netsessions.http.access_log import AccessLog
from netsessions.http.authentication import AuthenticationMiddleware, Authenticator, ClientAddressMiddleware
from netsessions.http.metrics import Metrics
from netsessions.http.send_timeout import SendTimeoutMiddleware
from netsessions.http.shutdown import GracefulShutdown
from netsessions.maintenance import run_maintenance
from netsessions.settings import DEFAULT_ACCESS, AccessPolicy, Settings
from resolvers.context import Context
from resolvers.validation.clock import Clock
from rest_compat.app import rest_app
from rest_compat.openapi import document
from schema.http.app import GraphQLApp
from storage.errors import StoreUnavailableError
from storage.opening import open_store
from storage.queries.sessions import any_session
from storage.replicas import Watermarks

HEALTH_TIMEOUT = 2  # seconds in which the database must return one row

# CORS: what pages of the allowed origins may send and read.
CORS_METHODS = ("GET", "POST", "DELETE")
CORS_REQUEST_HEADERS = (
    "Authorization",
    "Idempotency-Key",
    "If-None-Match",
    "Apollo-Require-Preflight",
    "X-Apollo-Operation-Name",
)
CORS_RESPONSE_HEADERS = ("Content-Disposition", "ETag", "Retry-After", "WWW-Authenticate")

Endpoint = Callable[[Request], Awaitable[Response]]

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


@asynccontextmanager
async def running_app(
    settings: Settings, token: str, watermarks: Watermarks | None = None
) -> AsyncIterator[GracefulShutdown]:
    """Open the store of a migrated database, yield the app, and close the store. Raise `StoreUnusableError` and OSError.

    This is not an ASGI lifespan, because the web server would print the traceback of a lifespan that fails. The command
    reports a store that cannot be opened in one sentence.
    """
    store = await open_store(settings.database_url, settings.database_read_url, watermarks)
    try:
        metrics = Metrics()
        context = Context(store, Clock(settings.zone), metrics.sessions_written.inc, settings.limits)
        app = build(context, token, metrics, settings.access, ui=settings.ui)
        async with run_maintenance(context, settings.unseen_for):
            has_replicas = settings.database_read_url
            yield GracefulShutdown(ClientAddressMiddleware(app) if has_replicas else app, context.feed.close)
        await context.feed.close()
    finally:
        await store.close()


def build(
    context: Context, token: str, metrics: Metrics, access: AccessPolicy = DEFAULT_ACCESS, *, ui: bool = True
) -> Starlette:
    """Return the app with all paths of the server. The caller opens and closes the store. `ui` adds the pages."""
    authenticator = Authenticator(context, token, access)
    graphql = AuthenticationMiddleware(
        GraphQLApp(context, access.allowed_origins, access.subscriptions_per_connection),
        authenticator,
        schema.errors.error_response,
    )
    authenticated = Middleware(
        AuthenticationMiddleware, authenticator, rest_compat.errors.error_response, {"/sessions/calendar.ics"}
    )
    app = Starlette(
        routes=[
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            Mount("/sessions", rest_app(context), middleware=[authenticated]),
            Route("/sessions", _not_found, middleware=[authenticated]),
            Route("/metrics", _metrics_endpoint(metrics), middleware=[authenticated]),
            Route("/health", _health_endpoint(context)),
            Route("/openapi.json", _openapi_endpoint()),
            *(static_files.routes() if ui else []),
        ],
        middleware=_middleware(metrics, access),
        exception_handlers={HTTPException: _error_response, StoreUnavailableError: _error_response},
    )
    # A client that follows a redirect may repeat a POST as a GET and may drop its token.
    app.router.redirect_slashes = False
    return app


def _middleware(metrics: Metrics, access: AccessPolicy) -> list[Middleware]:
    cors = Middleware(
        CORSMiddleware,
        access.allowed_origins,
        CORS_METHODS,
        CORS_REQUEST_HEADERS,
        expose_headers=CORS_RESPONSE_HEADERS,
    )
    return [
        Middleware(AccessLog, metrics),
        *([cors] if access.allowed_origins else []),
        Middleware(SendTimeoutMiddleware),
    ]


def _health_endpoint(context: Context) -> Endpoint:
    async def health(_: Request) -> Response:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT):
                await context.store.fetch(any_session(), {})
        except (TimeoutError, StoreUnavailableError) as error:
            log.warning("store unavailable", cause=str(error) or f"no response in {HEALTH_TIMEOUT} s")
            message = "The database does not respond. The server log has the cause."
            return JSONResponse({"status": "unavailable", "message": message}, 503)
        return JSONResponse({"status": "ok"})

    return health


def _openapi_endpoint() -> Endpoint:
    description = document()

    async def openapi(_: Request) -> Response:
        return JSONResponse(description)

    return openapi


def _metrics_endpoint(metrics: Metrics) -> Endpoint:
    async def export(_: Request) -> Response:
        return Response(generate_latest(metrics.registry_of_all_workers()), media_type=CONTENT_TYPE_LATEST)

    return export


async def _not_found(_: Request) -> Response:
    raise HTTPException(404)


async def _error_response(_: Request, error: Exception) -> Response:
    return rest_compat.errors.error_response(error)
