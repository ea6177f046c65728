"""The iCalendar feed (RFC 5545).

The icalendar library escapes and folds text. The rest of an event comes from a template, which is ten times as fast as a
component of the library per event.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import cast
from zoneinfo import ZoneInfo

from icalendar import Calendar, vDuration, vText
from icalendar.parser import Contentline, Parameters
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from resolvers import calendar_text
from resolvers.constants import SECOND
from resolvers.sessions import CalendarRow
from resolvers.validation.clock import Clock
from rest_compat.serializers import CACHE_SIZE

MEDIA_TYPE = "text/calendar"
TITLE = "Sessions"
REFRESH_INTERVAL = timedelta(hours=1)
EVENTS_PER_PART = 100  # written in about two milliseconds, in which the event loop serves no other request
MAX_BUFFERED_PARTS = 50  # about 1.5 MB; longer feeds are streamed, without an ETag
HEADERS = {"Cache-Control": "private"}

# RFC 5545 allows no control characters in text, and a summary is a single line.
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f]+")
_UTC = Clock(ZoneInfo("UTC"))
_BASIC_FORMAT = str.maketrans("", "", "-:")
_END = "END:VCALENDAR\r\n"
# TRANSPARENT: the events do not make the calendar's owner appear busy.
_EVENT = (
    "BEGIN:VEVENT\r\nUID:%s-%d@netsessions\r\nDTSTAMP:%s\r\nDTSTART:%s\r\nDTEND:%s\r\n%s%sCATEGORIES:%s\r\n"
    "TRANSP:TRANSPARENT\r\nEND:VEVENT\r\n"
)


def title(mac: str | None, name: str | None) -> str:
    """Return the title of the calendar of all devices, or of one."""
    return TITLE if mac is None else f"{TITLE}: {_device_title(name, mac)}"


async def respond(request: Request, title: str, chunks: AsyncIterator[list[CalendarRow]], clock: Clock) -> Response:
    """Return the calendar of the sessions: a short one in one piece with an ETag, a long one streamed."""
    parts = _write(title, chunks, clock)
    buffered = []
    # Awaited before the response starts, so that a failure still gets its status.
    async for part in parts:
        buffered.append(part)
        if len(buffered) == MAX_BUFFERED_PARTS:
            break
    else:
        return _response_with_etag(request, "".join(buffered).encode())

    async def body() -> AsyncIterator[str]:
        async with aclosing(parts):
            yield "".join(buffered)
            async for part in parts:
                yield part

    return StreamingResponse(body(), headers=HEADERS, media_type=MEDIA_TYPE)


def _response_with_etag(request: Request, body: bytes) -> Response:
    etag = f'"{sha256(body).hexdigest()}"'
    headers = HEADERS | {"ETag": etag}
    if_none_match = request.headers.get("if-none-match", "").split(",")
    if etag in (value.strip().removeprefix("W/") for value in if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=MEDIA_TYPE)


async def _write(title: str, chunks: AsyncIterator[list[CalendarRow]], clock: Clock) -> AsyncGenerator[str, None]:
    # Closed explicitly, so that a client that disconnects does not leave a database connection open.
    async with aclosing(cast("AsyncGenerator[list[CalendarRow], None]", chunks)):
        yield _head(title)
        async for rows in chunks:
            for start in range(0, len(rows), EVENTS_PER_PART):
                yield "".join(write_event(row, clock) for row in rows[start : start + EVENTS_PER_PART])
                await asyncio.sleep(0)
        yield _END


def _head(title: str) -> str:
    calendar = Calendar()
    calendar.add("prodid", "-//netsessions//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", title)
    calendar.add("refresh-interval", vDuration(REFRESH_INTERVAL), {"VALUE": "DURATION"})
    calendar.add("x-published-ttl", vDuration(REFRESH_INTERVAL))
    head: str = calendar.to_ical().decode()
    return head.removesuffix(_END)


def write_event(row: CalendarRow, clock: Clock) -> str:
    """Return a session as a VEVENT. Its DTSTAMP is its end, or now if the device is connected."""
    session = row.session
    end = _time(row.drawn_until)
    return _EVENT % (
        session.mac.replace(":", ""),
        session.id,
        end,
        _time(row.drawn_from),
        # DTEND must be later than DTSTART, and both are in whole seconds.
        _time(max(row.drawn_until, row.drawn_from + SECOND)),
        _summary(_device_title(row.name, session.mac)),
        _content_line("DESCRIPTION", calendar_text.tooltip(session, clock)),
        session.state,
    )


def _time(instant: int) -> str:
    return _UTC.format_seconds(instant).translate(_BASIC_FORMAT) + "Z"


@lru_cache(CACHE_SIZE)
def _summary(device_title: str) -> str:
    return _content_line("SUMMARY", device_title)


def _device_title(name: str | None, mac: str) -> str:
    """Return the name of a device in one line, or its MAC address if it has none."""
    return _CONTROL_CHARACTERS.sub(" ", name or "").strip() or mac


def _content_line(name: str, text: str) -> str:
    line = Contentline.from_parts(name, Parameters(), vText(text))
    return f"{line.to_ical().decode()}\r\n"
