"""The endpoints of the REST API. Each parses a request, calls a resolver and serializes the result."""

from starlette.requests import Request
from starlette.responses import Response

from resolvers import devices, events, idempotency, live, sessions
from resolvers.context import Context
from resolvers.validation.models import (
    CalendarQuery,
    DeviceQuery,
    ExportQuery,
    FeedQuery,
    ListQuery,
    MacInput,
    NewSession,
    StartReport,
    StopReport,
)
from rest_compat import ical, serializers
from rest_compat.datatables import SORTS, TableQuery, write_table_row
from rest_compat.exports import FORMATS
from rest_compat.requests import parse_body, parse_query
from rest_compat.responses import JSON, json_rows, message_response, stream


async def create(context: Context, request: Request) -> Response:
    """POST /create."""
    new, key = await parse_body(NewSession, request, context)
    if key is None:
        return message_response((await sessions.create_one(context, new)).message)
    return message_response(await idempotency.run_once(context, key, sessions.create_transaction(context, new)))


async def start(context: Context, request: Request) -> Response:
    """POST /start."""
    report, key = await parse_body(StartReport, request, context)
    return message_response(await idempotency.run_once(context, key, live.start_transaction(context, report)))


async def stop(context: Context, request: Request) -> Response:
    """POST /stop."""
    report, key = await parse_body(StopReport, request, context)
    return message_response(await idempotency.run_once(context, key, live.stop_transaction(context, report)))


async def delete(context: Context, request: Request) -> Response:
    """DELETE /delete."""
    device, key = await parse_body(MacInput, request, context)
    return message_response(await idempotency.run_once(context, key, sessions.delete_transaction(context, device.mac)))


async def list_sessions(context: Context, request: Request) -> Response:
    """GET /list."""
    query = parse_query(ListQuery, request, context.clock)
    clock, now = context.clock, context.clock.now()
    chunks = sessions.list_sessions(context, query)
    return await json_rows("sessions", chunks, lambda row: serializers.write_session(row, clock, now))


async def export(context: Context, request: Request) -> Response:
    """GET /export."""
    query = parse_query(ExportQuery, request, context.clock)
    file_format = FORMATS[query.format]
    return await stream(
        sessions.list_sessions(context, query),
        file_format.write_rows,
        head=file_format.head,
        media_type=file_format.media_type,
        headers={"Content-Disposition": f'attachment; filename="{file_format.file_name}"'},
    )


async def calendar(context: Context, request: Request) -> Response:
    """GET /calendar."""
    query = parse_query(CalendarQuery, request, context.clock)
    chunks = sessions.calendar(context, query)
    return await json_rows("sessions", chunks, lambda row: serializers.write_calendar_entry(row, context.clock))


async def calendar_feed(context: Context, request: Request) -> Response:
    """GET /calendar.ics."""
    query = parse_query(FeedQuery, request, context.clock)
    rows = await devices.get_devices(context, [query.mac]) if query.mac else {}
    name = next((device.name for device in rows.values()), None)
    return await ical.respond(
        request, ical.title(query.mac, name), sessions.calendar_feed(context, query), context.clock
    )


async def device_sessions(context: Context, request: Request) -> Response:
    """GET /{mac}."""
    query = parse_query(DeviceQuery, request, context.clock, mac=request.path_params["mac"])
    now = context.clock.now()
    rows = (await sessions.of_device(context, query).rows()).rows
    text = ",".join(serializers.write_session(row, context.clock, now) for row in rows)
    return Response(f'{{"success":true,"sessions":[{text}]}}', media_type=JSON)


async def session_events(context: Context, request: Request) -> Response:
    """GET /session-events."""
    query = parse_query(TableQuery, request, context.clock)
    clock, now = context.clock, context.clock.now()
    window = events.period_parameters(context, query)
    total = await events.count_events(context, query, window)
    filtered = await events.count_events(context, query, window, query.search) if query.search else total
    chunks = events.stream_events(
        context,
        query,
        window,
        sort=SORTS[query.sortCol],
        descending=query.sortDir == "desc",
        search=query.search,
        limit=query.page_size,
        offset=query.offset,
    )
    write = write_table_row if query.format == "datatables" else serializers.write_event
    totals = {"total": total, "recordsFiltered": filtered}
    return await json_rows("data", chunks, lambda row: write(row, clock, now), totals)
