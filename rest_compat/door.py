"""The REST door as an ASGI app, to be mounted at /sessions behind authentication: parse, call, translate."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar, cast

import orjson
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from resolvers import events, sessions
from resolvers.context import Context
from resolvers.inputs import CalendarQuery, DeviceQuery, ListQuery, NewSession, OneDevice
from rest_compat import requests, rows
from rest_compat.errors import translated

JSON = "application/json"
NAMES = ("list", "calendar", "session-events", "create", "delete")

Endpoint = Callable[[Context, Request], Awaitable[Response]]
Row = TypeVar("Row")


class _DeviceConvertor(StringConvertor):
    """A path segment that is none of the names, so that GET /create is a wrong method and not an odd MAC."""

    regex = rf"(?!(?:{'|'.join(NAMES)})$)[^/]+"


register_url_convertor("sessions_device", _DeviceConvertor())


def rest_door(context: Context) -> ASGIApp:
    """The six documented paths, below wherever it is mounted."""

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def answer(request: Request) -> Response:
            # Caught here and not by the app, which would raise an unknown exception again after its answer.
            try:
                return await endpoint(context, request)
            except Exception as problem:
                return translated(problem)

        return Route(path, answer, methods=[method])

    async def unrouted(_: Request, problem: Exception) -> Response:
        if isinstance(problem, HTTPException) and problem.headers and "Allow" in problem.headers:
            allowed = sorted(problem.headers["Allow"].split(", "))
            problem = HTTPException(problem.status_code, headers={"Allow": ", ".join(allowed)})
        return translated(problem)

    app = Starlette(
        routes=[
            route("/create", create, "POST"),
            route("/delete", delete, "DELETE"),
            route("/list", listing, "GET"),
            route("/calendar", calendar, "GET"),
            route("/session-events", session_events, "GET"),
            route("/{mac:sessions_device}", of_device, "GET"),
        ],
        exception_handlers={HTTPException: unrouted},
    )
    app.router.redirect_slashes = False
    return app


async def create(context: Context, request: Request) -> Response:
    """POST /create."""
    new = await requests.body(NewSession, request, context.clock)
    await sessions.create(context, [new])
    return _done(sessions.created_message(new.mac))


async def delete(context: Context, request: Request) -> Response:
    """DELETE /delete."""
    device = await requests.body(OneDevice, request, context.clock)
    await sessions.delete(context, device.mac)
    return _done(sessions.deleted_message(device.mac))


async def listing(context: Context, request: Request) -> Response:
    """GET /list."""
    query = requests.query(ListQuery, request, context.clock)
    now = context.clock.now()
    found = sessions.every(context, query)
    return await _streamed("sessions", found, lambda row: rows.session(row, context.clock, now))


async def calendar(context: Context, request: Request) -> Response:
    """GET /calendar."""
    query = requests.query(CalendarQuery, request, context.clock)
    found = sessions.calendar(context, query)
    return await _streamed("sessions", found, lambda row: rows.calendar(row, context.clock))


async def of_device(context: Context, request: Request) -> Response:
    """GET /{mac}."""
    query = requests.query(DeviceQuery, request, context.clock, mac=request.path_params["mac"])
    now = context.clock.now()
    found = (await sessions.of_device(context, query).rows()).rows
    written = ",".join(rows.session(row, context.clock, now) for row in found)
    return Response(f'{{"success":true,"sessions":[{written}]}}', media_type=JSON)


async def session_events(context: Context, request: Request) -> Response:
    """GET /session-events."""
    query = requests.query(requests.TableQuery, request, context.clock)
    now = context.clock.now()
    window = events.window(context, query)
    total = await events.count(context, query, window)
    filtered = await events.count(context, query, window, query.search) if query.search else total
    found = events.table(
        context,
        query,
        window,
        sort=requests.SORTS[query.sortCol],
        descending=query.sortDir == "desc",
        search=query.search,
        limit=query.page_size,
        offset=query.offset,
    )
    write = rows.table if query.format == "datatables" else rows.event
    totals = {"total": total, "recordsFiltered": filtered}
    return await _streamed("data", found, lambda row: write(row, context.clock, now), totals)


def _done(message: str) -> Response:
    return Response(orjson.dumps({"success": True, "message": message}), media_type=JSON)


async def _streamed(
    name: str, found: AsyncIterator[list[Row]], write: Callable[[Row], str], more: dict[str, int] | None = None
) -> Response:
    """The rows under a name. What is one chunk is answered whole; more is streamed, a chunk at a time."""
    head = f'{{"success":true,"{name}":['
    tail = "]," + orjson.dumps(more).decode()[1:] if more else "]}"
    # Both are awaited here, while a failure still has a status.
    first, second = await anext(found, None), await anext(found, None)
    if second is None:
        return Response(head + ",".join(map(write, first or ())) + tail, media_type=JSON)

    async def body() -> AsyncIterator[str]:
        # A reader who goes away midway must not leave the store's connection open behind them.
        async with aclosing(cast("AsyncGenerator[list[Row], None]", found)):
            yield head + ",".join(map(write, first or ()))
            yield "," + ",".join(map(write, second))
            async for chunk in found:
                yield "," + ",".join(map(write, chunk))
            yield tail

    return StreamingResponse(body(), media_type=JSON)
