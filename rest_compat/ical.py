"""The calendar that other programs subscribe to, as RFC 5545 writes it: the library escapes and folds whatever is text.

What is alike in all events is written in one pass, as rows are: a component of the library for each takes ten times as long.
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

from resolvers import calendar_text as wording
from resolvers.validation.clock import Clock
from rest_compat.serializers import KEPT
from storage.queries.sessions import SpannedRow
from storage.tables import SECOND

MEDIA_TYPE = "text/calendar"
TITLE = "Sessions"
AGAIN_AFTER = timedelta(hours=1)
FEW = 100  # events that are written at a time: about two milliseconds, in which nobody else is answered
WHOLE = 50  # so many times as many, some 1.5 MB, are held to tell whether they changed
HEADERS = {"Cache-Control": "private"}

# What RFC 5545 has no place for in a text, and a summary is one line.
_CONTROL = re.compile("[\x00-\x1f\x7f]+")
_UTC = Clock(ZoneInfo("UTC"))
_BASIC = str.maketrans("", "", "-:")
_END = "END:VCALENDAR\r\n"
# TRANSPARENT: whoever looks at it is not busy while a device is there.
_EVENT = (
    "BEGIN:VEVENT\r\nUID:%s-%d@netsessions\r\nDTSTAMP:%s\r\nDTSTART:%s\r\nDTEND:%s\r\n%s%sCATEGORIES:%s\r\n"
    "TRANSP:TRANSPARENT\r\nEND:VEVENT\r\n"
)


def _line(name: str, text: str) -> str:
    line = Contentline.from_parts(name, Parameters(), vText(text))
    return f"{line.to_ical().decode()}\r\n"


@lru_cache(KEPT)
def _summary(name: str) -> str:
    return _line("SUMMARY", name)


def _called(name: str | None, mac: str) -> str:
    """What a person calls a device, in one line; its address where nobody named it."""
    return _CONTROL.sub(" ", name or "").strip() or mac


def _time(instant: int) -> str:
    return _UTC.seconds(instant).translate(_BASIC) + "Z"


def event(row: SpannedRow, clock: Clock) -> str:
    """A session as an event. It was last revised when it ended; one that is still connected, now."""
    stay = row.session
    end = _time(row.drawn_until)
    return _EVENT % (
        stay.mac.replace(":", ""),
        stay.id,
        end,
        _time(row.drawn_from),
        # An end has to be later than its start, and both are in whole seconds here.
        _time(max(row.drawn_until, row.drawn_from + SECOND)),
        _summary(_called(row.name, stay.mac)),
        _line("DESCRIPTION", wording.tooltip(stay, clock)),
        stay.state,
    )


def _head(title: str) -> str:
    calendar = Calendar()
    calendar.add("prodid", "-//netsessions//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", title)
    calendar.add("refresh-interval", vDuration(AGAIN_AFTER), {"VALUE": "DURATION"})
    calendar.add("x-published-ttl", vDuration(AGAIN_AFTER))
    head: str = calendar.to_ical().decode()
    return head.removesuffix(_END)


def title(mac: str | None, name: str | None) -> str:
    """What the calendar of all devices, or of one, is called."""
    return TITLE if mac is None else f"{TITLE}: {_called(name, mac)}"


async def answer(request: Request, called: str, found: AsyncIterator[list[SpannedRow]], clock: Clock) -> Response:
    """The events of the sessions. What is not long is answered whole, with a tag; more is streamed as it is written."""
    written = _written(called, found, clock)
    begun = []
    # Awaited here, while a failure still has a status.
    async for part in written:
        begun.append(part)
        if len(begun) == WHOLE:
            break
    else:
        return _whole(request, "".join(begun).encode())

    async def body() -> AsyncIterator[str]:
        async with aclosing(written):
            yield "".join(begun)
            async for part in written:
                yield part

    return StreamingResponse(body(), headers=HEADERS, media_type=MEDIA_TYPE)


async def _written(called: str, found: AsyncIterator[list[SpannedRow]], clock: Clock) -> AsyncGenerator[str, None]:
    # A reader who goes away midway must not leave the store's connection open behind them.
    async with aclosing(cast("AsyncGenerator[list[SpannedRow], None]", found)):
        yield _head(called)
        async for rows in found:
            for at in range(0, len(rows), FEW):
                yield "".join(event(row, clock) for row in rows[at : at + FEW])
                await asyncio.sleep(0)
        yield _END


def _whole(request: Request, body: bytes) -> Response:
    tag = f'"{sha256(body).hexdigest()}"'
    headers = HEADERS | {"ETag": tag}
    known = (given.strip().removeprefix("W/") for given in request.headers.get("if-none-match", "").split(","))
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=MEDIA_TYPE)
