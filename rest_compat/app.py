"""The REST door as an ASGI app, to be mounted at /sessions behind authentication: parse, call, translate."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TypeVar, cast

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from resolvers import devices, events, live, sessions
from resolvers import idempotency as answers
from resolvers.context import Context
from resolvers.validation.models import (
    CalendarQuery,
    DeviceQuery,
    ExportQuery,
    FeedQuery,
    ListQuery,
    NewSession,
    OneDevice,
    StartReport,
    StopReport,
)
from rest_compat import ical, requests
from rest_compat import serializers as rows
from rest_compat.errors import translated
from rest_compat.exports import FORMS
from storage.deadline import deadline

JSON = "application/json"

Endpoint = Callable[[Context, Request], Awaitable[Response]]
Row = TypeVar("Row")


def rest_door(context: Context) -> ASGIApp:
    """The documented paths and those beside them, below wherever it is mounted."""
    # A path that is none of the names is a device's address; so GET /create is a wrong method and not an odd MAC.
    named: dict[str, tuple[Endpoint, str]] = {
        "/create": (create, "POST"),
        "/start": (start, "POST"),
        "/stop": (stop, "POST"),
        "/delete": (delete, "DELETE"),
        "/list": (listing, "GET"),
        "/export": (export, "GET"),
        "/calendar": (calendar, "GET"),
        "/calendar.ics": (feed, "GET"),
        "/session-events": (session_events, "GET"),
    }
    device: tuple[Endpoint, str] = (of_device, "GET")

    async def answer(scope: Scope, receive: Receive) -> Response:
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        endpoint, method = named.get(path, device)
        if endpoint is of_device and (path.rfind("/") != 0 or path == "/"):
            raise HTTPException(404)
        allowed = ("GET", "HEAD") if method == "GET" else (method,)
        if scope["method"] not in allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        scope["path_params"] = {"mac": path[1:]}
        if method != "GET":
            return await endpoint(context, Request(scope, receive))
        until = deadline.set(asyncio.get_running_loop().time() + context.limits.seconds)
        try:
            return await endpoint(context, Request(scope, receive))
        finally:
            # What has begun to be streamed goes on for as long as its reader takes it.
            deadline.reset(until)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return
        try:
            response = await answer(scope, receive)
        except Exception as problem:
            response = translated(problem)
        await response(scope, receive, send)

    return door


async def create(context: Context, request: Request) -> Response:
    """POST /create."""
    new, key = await requests.body(NewSession, request, context)
    if key is None:
        return _done((await sessions.create_one(context, new)).message)
    return _done(await answers.once(context, key, sessions.creating(context, new)))


async def start(context: Context, request: Request) -> Response:
    """POST /start."""
    report, key = await requests.body(StartReport, request, context)
    return _done(await answers.once(context, key, live.starting(context, report)))


async def stop(context: Context, request: Request) -> Response:
    """POST /stop."""
    report, key = await requests.body(StopReport, request, context)
    return _done(await answers.once(context, key, live.stopping(context, report)))


async def delete(context: Context, request: Request) -> Response:
    """DELETE /delete."""
    device, key = await requests.body(OneDevice, request, context)
    return _done(await answers.once(context, key, sessions.deleting(context, device.mac)))


async def listing(context: Context, request: Request) -> Response:
    """GET /list."""
    query = requests.query(ListQuery, request, context.clock)
    now = context.clock.now()
    found = sessions.every(context, query)
    return await _listed("sessions", found, lambda row: rows.session(row, context.clock, now))


async def export(context: Context, request: Request) -> Response:
    """GET /export."""
    query = requests.query(ExportQuery, request, context.clock)
    form = FORMS[query.format]
    return await _streamed(
        sessions.every(context, query),
        form.rows,
        head=form.head,
        media_type=form.media_type,
        headers={"Content-Disposition": f'attachment; filename="{form.name}"'},
    )


async def calendar(context: Context, request: Request) -> Response:
    """GET /calendar."""
    query = requests.query(CalendarQuery, request, context.clock)
    found = sessions.calendar(context, query)
    return await _listed("sessions", found, lambda row: rows.calendar(row, context.clock))


async def feed(context: Context, request: Request) -> Response:
    """GET /calendar.ics."""
    query = requests.query(FeedQuery, request, context.clock)
    known = await devices.get_many(context, [query.mac]) if query.mac else {}
    name = next((device.name for device in known.values()), None)
    return await ical.answer(request, ical.title(query.mac, name), sessions.feed(context, query), context.clock)


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
    return await _listed("data", found, lambda row: write(row, context.clock, now), totals)


def _done(message: str) -> Response:
    return Response(orjson.dumps({"success": True, "message": message}), media_type=JSON)


async def _listed(
    name: str, found: AsyncIterator[list[Row]], write: Callable[[Row], str], more: dict[str, int] | None = None
) -> Response:
    """The rows as JSON under a name."""
    head = f'{{"success":true,"{name}":['
    tail = "]," + orjson.dumps(more).decode()[1:] if more else "]}"
    return await _streamed(found, lambda rows: ",".join(map(write, rows)), head=head, between=",", tail=tail)


async def _streamed(
    found: AsyncIterator[list[Row]],
    write: Callable[[list[Row]], str],
    *,
    head: str,
    between: str = "",
    tail: str = "",
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The rows, written. What is one chunk is answered whole; more is streamed, a chunk at a time."""
    # Both are awaited here, while a failure still has a status.
    first, second = await anext(found, None), await anext(found, None)
    begun = head + write(first or [])
    if second is None:
        return Response(begun + tail, headers=headers, media_type=media_type)

    async def body() -> AsyncIterator[str]:
        # A reader who goes away midway must not leave the store's connection open behind them.
        async with aclosing(cast("AsyncGenerator[list[Row], None]", found)):
            yield begun
            yield between + write(second)
            async for chunk in found:
                yield between + write(chunk)
            yield tail

    return StreamingResponse(body(), headers=headers, media_type=media_type)
