"""How present devices were, bucket by bucket: which buckets there are, and what a sweep over sessions finds in each."""

import asyncio
import json
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.validation.clock import Clock
from resolvers.validation.models import PresenceQuery
from storage.deadline import InTime
from storage.queries import presence as ask
from storage.queries.presence import Stays
from storage.queries.sessions import count
from storage.tables import HOUR

MOST_BUCKETS = 10_000
MOST_AT_ONCE = 2**19  # sessions in one sweep, some 200 bytes each, unless a single bucket has more
# Of all sessions, the part from which on reading the whole table takes less than to seek them.
SCANNED = 1 / 8
LARGEST = 2**62

Numbers = NDArray[np.int64]


class Bucket(NamedTuple):
    """A half-open span of time, its ends and the time spent online in microseconds; see `presence`."""

    start: int
    end: int
    online: int
    sessions: int
    devices: int
    peak: int


class _Asked(NamedTuple):
    """What is asked, but for the window; `first` and `last` are the first and the last start that the store has."""

    context: Context
    parameters: dict[str, Any]
    macs: list[str] | None
    first: int
    last: int
    devices: int  # that the store has

    def share(self, since: int, until: int) -> float:
        """What part of the store a window asks for, about."""
        part = 1.0 if self.macs is None else len(self.macs) / max(self.devices, 1)
        inside = min(until, self.last + 1) - max(since, self.first)
        return min(part * max(inside, 0) / (self.last + 1 - self.first), 1.0)


async def presence(context: Context, query: PresenceQuery) -> list[Bucket]:
    """One bucket after the other, also empty ones; raises InvalidInputError.

    `online` adds up the time of every session inside the bucket, until now where it is still connected; one of which an
    end was never seen adds nothing. `sessions` counts those that overlap the bucket, `devices` whose they are.

    `peak` is the largest number of devices that were there at one moment. A device whose sessions overlap is one; where a
    session ends at the instant at which another starts, only the other is there. A session that is an instant (its ends
    equal, one of them never seen, or open and not begun by now) is there at its instant: so there is a peak wherever
    there is a device.
    """
    edges = _edges(context.clock, query)
    store, macs = context.store, None if query.macs is None else list(dict.fromkeys(query.macs))
    ((first, last, devices),) = await store.fetch(ask.extent(), {})
    if first is None or macs == []:
        return _shown(edges, np.zeros((4, len(edges) - 1), np.int64))
    parameters = {"now": context.clock.now(), "mac": macs and macs[0], "macs": macs and json.dumps(macs)}
    return await _read(_Asked(context, parameters, macs, first, last, devices), edges)


async def _read(asked: _Asked, edges: list[int]) -> list[Bucket]:
    """The buckets between the edges: of many sessions, each half by itself."""
    since, until = edges[0], edges[-1]
    store, macs, parameters = asked.context.store, asked.macs, asked.parameters | ask.window(since, until)
    whose: ask.Whose = None if macs is None else "mac" if len(macs) == 1 else "macs"
    share = asked.share(since, until)
    scan = share > SCANNED
    ((most,),) = await store.fetch(count(frozenset()) if scan else ask.count(whose), parameters)
    if most * (share if scan else 1) > MOST_AT_ONCE and len(edges) > 2:
        # The halves are read and swept beside each other, on as many processors as there are.
        middle = len(edges) // 2
        first, second = await asyncio.gather(_read(asked, edges[: middle + 1]), _read(asked, edges[middle:]))
        return first + second
    async with InTime():
        await asked.context.sweeps.acquire()
    try:
        found = await store.fetch(ask.scanned() if scan else ask.sought(whose), parameters)
        return await asyncio.to_thread(_measured, found, macs if scan else None, edges)
    finally:
        asked.context.sweeps.release()


def _measured(found: list[Any], only: list[str] | None, edges: list[int]) -> list[Bucket]:
    # Taken out of the list, so that the texts are gone once they have been read.
    stays = ask.unpacked(found.pop(), only)
    return _shown(edges, swept(stays, np.array(edges, np.int64) - edges[0]))


def _shown(edges: list[int], columns: NDArray[np.int64]) -> list[Bucket]:
    return [Bucket(*ends, *row) for ends, row in zip(pairwise(edges), columns.T.tolist(), strict=True)]


def _edges(clock: Clock, query: PresenceQuery) -> list[int]:
    """Where buckets begin, and where the last one ends.

    Hours are counted from the start of each day. The day's last is shorter where clocks change by a part of an hour.
    """
    days = (query.end - query.start).days + 1
    if days < 1:
        raise InvalidInputError("end", "is before start")
    edges = [clock.midnight(query.start)]
    for n in range(1, days + 1):
        midnight = clock.midnight(query.start + timedelta(days=n))
        if query.bucket == "hour":
            edges += range(edges[-1] + HOUR, midnight, HOUR)
        # A zone that moved across the date line has left out a day.
        if midnight > edges[-1]:
            edges.append(midnight)
        if len(edges) > MOST_BUCKETS + 1:
            advice = "name an earlier day" if query.bucket == "day" else "name an earlier day, or ask for days"
            raise InvalidInputError("end", f"is more than {MOST_BUCKETS} buckets away from start; {advice}")
    return edges


def swept(stays: Stays, edges: Numbers) -> Numbers:
    """What `Bucket` holds of each bucket, in four rows; the edges are relative to the window's start, as the stays are."""
    if not len(stays.starts):
        return np.zeros((4, len(edges) - 1), np.int64)
    buckets = len(edges) - 1
    # Reports mostly come, and are stored, in the order of time: then this costs little, and what follows it less.
    order = np.argsort(stays.starts, kind="stable")
    starts, ends, devices = stays.starts[order], stays.ends[order], stays.devices[order]
    instants = np.bincount(_first(edges, starts[ends == starts]), minlength=buckets)
    # A session that is an instant lasts for a microsecond, so that it overlaps what holds its instant, and nothing else.
    np.maximum(ends, starts + 1, out=ends)
    last = _last(edges, ends)
    places = np.searchsorted(starts, edges)
    begun, ended = np.diff(places), np.bincount(last, minlength=buckets)
    # Whoever began in an earlier bucket is there from its start, and whoever ends in a later one until its end.
    stayed = np.cumsum(begun - ended)
    early = _sums(last, ends - edges[last], buckets)
    # These sums may overflow; what is left of them in the end does not, and so is right.
    late = np.diff(np.append(0, np.cumsum(starts))[places]) - begun * edges[:-1]
    online = stayed * np.diff(edges) + early - late - instants
    del order, last
    return np.stack((online, stayed + ended, *_distinct(starts, ends, devices, edges)))


def _first(edges: Numbers, starts: Numbers) -> Numbers:
    """The bucket in which each start lies."""
    return np.searchsorted(edges, starts, "right") - 1


def _last(edges: Numbers, ends: Numbers) -> Numbers:
    """The last bucket that is reached by what ends then."""
    return np.searchsorted(edges, ends, "left") - 1


def _sums(buckets: Numbers, amounts: Numbers, count: int) -> Numbers:
    """The sum of the amounts in each bucket. numpy adds up floats here: in two parts, they are exact."""
    high = np.bincount(buckets, amounts >> 20, count).astype(np.int64)
    low = np.bincount(buckets, amounts & (2**20 - 1), count).astype(np.int64)
    return (high << 20) + low


def _distinct(begun: Numbers, ends: Numbers, devices: NDArray[np.uint64], edges: Numbers) -> tuple[Numbers, Numbers]:
    """How many devices each bucket has, and how many at one moment of it. Sessions are given in the order of time."""
    order = _by_device(devices)
    devices = devices[order]
    new = np.append(True, devices[1:] != devices[:-1])
    starts, ends = begun[order], _latest(ends[order], new)
    # Sessions of one device that overlap or meet become one stay.
    opening = new.copy()
    opening[1:] |= starts[1:] > ends[:-1]
    at = np.flatnonzero(opening)
    order, starts, new, ends = order[at], starts[at], new[at], ends[np.append(at[1:], len(starts)) - 1]
    first, last = _first(edges, starts), _last(edges, ends)
    # A device that is in a bucket twice counts with its first stay there.
    first[1:] = np.where(new[1:], first[1:], np.maximum(first[1:], last[:-1] + 1))
    counted = first <= last
    buckets = len(edges) - 1
    appear = np.bincount(first[counted], minlength=buckets)
    vanish = np.bincount(last[counted] + 1, minlength=buckets + 1)[:buckets]
    # Back in the order of time, in which ends are nearly sorted.
    kept = np.zeros(len(opening), np.bool_)
    kept[order] = True
    in_time = np.empty(len(opening), np.int64)
    in_time[order] = ends
    return np.cumsum(appear - vanish), _peaks(begun[kept], np.sort(in_time[kept], kind="stable"), edges)


def _by_device(devices: NDArray[np.uint64]) -> Numbers:
    """The order that gathers what is of one device and keeps it in its order. Numbers of two bytes are sorted by counting."""
    order: Numbers | None = None
    for part in devices.view(np.uint16).reshape(-1, 4).T:
        if part.min() != part.max():
            further = np.argsort(part if order is None else part[order], kind="stable")
            order = further if order is None else order[further]
    return np.arange(len(devices)) if order is None else order


def _latest(ends: Numbers, new: NDArray[np.bool_]) -> Numbers:
    """The largest end so far of the same device, where `new` says with which session another one begins."""
    # One device is lifted above the other, as far as the numbers reach; then it begins anew.
    device = np.cumsum(new) - 1
    height = int(ends.max()) + 1
    storey = LARGEST // height
    lifted = ends + device % storey * height
    anew = np.searchsorted(device, np.arange(0, device[-1] + 1, storey))
    for since, until in pairwise([*anew.tolist(), len(ends)]):
        np.maximum.accumulate(lifted[since:until], out=lifted[since:until])
    lifted -= device % storey * height
    return lifted


def _peaks(starts: Numbers, ends: Numbers, edges: Numbers) -> Numbers:
    """How many stays there are at most at one moment of each bucket; both ends of them are given in order."""

    # Their number rises at starts alone: the largest is that at the bucket's start, or at one inside.
    peaks = np.searchsorted(starts, edges[:-1], "right") - np.searchsorted(ends, edges[:-1], "right")
    places = np.searchsorted(starts, edges)
    some = np.flatnonzero(np.diff(places))
    there = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "right")
    peaks[some] = np.maximum(peaks[some], np.maximum.reduceat(there, places[some]))
    return peaks
