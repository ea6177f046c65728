"""Time online, sessions, devices and peak per hour or day, computed with numpy from the sessions of a window.

Arrays are one-dimensional. Instants and durations are integers in microseconds. `n` sessions, `b` buckets.
"""

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
from storage.deadline import WithinDeadline
from storage.queries import presence as presence_queries
from storage.queries.presence import SessionArrays
from storage.queries.sessions import count_sessions
from storage.tables import HOUR

MAX_BUCKETS = 10_000
MAX_SESSIONS_PER_SCAN = 2**19  # sessions computed at once, 200 bytes each; a single bucket may have more
FULL_SCAN_SHARE = 1 / 8  # of all sessions; reading more than this share is faster by a table scan than by indexes
LARGEST = 2**62  # bound of intermediate sums, far below an overflow

Integers = NDArray[np.int64]


class Bucket(NamedTuple):
    """A half-open range of time and its figures; see `count_presence`. `start`, `end` and `online` are in microseconds."""

    start: int
    end: int
    online: int
    sessions: int
    devices: int
    peak: int


class _Request(NamedTuple):
    """A request without its window. `first` and `last` are the earliest and latest start of all stored sessions."""

    context: Context
    parameters: dict[str, Any]
    macs: list[str] | None
    first: int
    last: int
    devices: int  # number of stored devices

    def share(self, since: int, until: int) -> float:
        """Estimate which share of the stored sessions a window needs."""
        device_share = 1.0 if self.macs is None else len(self.macs) / max(self.devices, 1)
        overlap = min(until, self.last + 1) - max(since, self.first)
        return min(device_share * max(overlap, 0) / (self.last + 1 - self.first), 1.0)


async def count_presence(context: Context, query: PresenceQuery) -> list[Bucket]:
    """Return all buckets in order, empty ones included. Raise InvalidInputError.

    - `online`: total time of all sessions within the bucket. An open session lasts until now. A session with a missing
      end adds nothing.
    - `sessions`: number of sessions that overlap the bucket.
    - `devices`: number of their devices.
    - `peak`: largest number of devices online at the same time. A device with overlapping sessions counts once. A session
      that ends when another starts is offline at that instant.

    A session without duration is online at its instant, so every bucket with a device has a peak. Such a session has
    equal ends, or a missing end, or is open and starts in the future.
    """
    edges = _edges(context.clock, query)
    store, macs = context.store, None if query.macs is None else list(dict.fromkeys(query.macs))
    ((first, last, devices),) = await store.fetch(presence_queries.stored_extent(), {})
    if first is None or macs == []:
        return _to_buckets(edges, np.zeros((4, len(edges) - 1), np.int64))
    parameters = {"now": context.clock.now(), "mac": macs and macs[0], "macs": macs and json.dumps(macs)}
    return await _read(_Request(context, parameters, macs, first, last, devices), edges)


async def _read(request: _Request, edges: list[int]) -> list[Bucket]:
    """Return the buckets between the edges. If the window has too many sessions, read its halves concurrently."""
    since, until = edges[0], edges[-1]
    store, macs = request.context.store, request.macs
    parameters = request.parameters | presence_queries.window_params(since, until)
    device_filter: presence_queries.DeviceFilter = None if macs is None else "mac" if len(macs) == 1 else "macs"
    share = request.share(since, until)
    scan = share > FULL_SCAN_SHARE
    ((total,),) = await store.fetch(
        count_sessions(frozenset()) if scan else presence_queries.count_in_window(device_filter), parameters
    )
    if total * (share if scan else 1) > MAX_SESSIONS_PER_SCAN and len(edges) > 2:
        middle = len(edges) // 2
        first, second = await asyncio.gather(_read(request, edges[: middle + 1]), _read(request, edges[middle:]))
        return first + second
    async with WithinDeadline():
        await request.context.presence_slots.acquire()
    try:
        rows = await store.fetch(
            presence_queries.scan_window() if scan else presence_queries.seek_window(device_filter), parameters
        )
        return await asyncio.to_thread(_compute, rows, macs if scan else None, edges)
    finally:
        request.context.presence_slots.release()


def _compute(rows: list[Any], macs: list[str] | None, edges: list[int]) -> list[Bucket]:
    # Remove the row from the list, so that its large byte strings are freed as soon as they are unpacked.
    sessions = presence_queries.unpack_sessions(rows.pop(), macs)
    return _to_buckets(edges, count_buckets(sessions, np.array(edges, np.int64) - edges[0]))


def _to_buckets(edges: list[int], columns: NDArray[np.int64]) -> list[Bucket]:
    return [Bucket(*ends, *row) for ends, row in zip(pairwise(edges), columns.T.tolist(), strict=True)]


def _edges(clock: Clock, query: PresenceQuery) -> list[int]:
    """Return the starts of all buckets and the end of the last.

    Hours are counted from the start of each day. The last hour of a day is shorter if the clocks change by a part of an
    hour.
    """
    days = (query.end - query.start).days + 1
    if days < 1:
        raise InvalidInputError("end", "is before start")
    edges = [clock.day_start(query.start)]
    for n in range(1, days + 1):
        midnight = clock.day_start(query.start + timedelta(days=n))
        if query.bucket == "hour":
            edges += range(edges[-1] + HOUR, midnight, HOUR)
        # A zone that moved across the date line skipped a day.
        if midnight > edges[-1]:
            edges.append(midnight)
        if len(edges) > MAX_BUCKETS + 1:
            advice = "choose an earlier day" if query.bucket == "day" else "choose an earlier day, or the bucket DAY"
            raise InvalidInputError("end", f"is more than {MAX_BUCKETS} buckets away from start; {advice}")
    return edges


def count_buckets(sessions: SessionArrays, edges: Integers) -> Integers:
    """Return the figures of each bucket, shape (4, b): online time, sessions, devices, peak.

    `edges` has b + 1 instants. They are relative to the start of the window, as are the ends of the sessions.
    """
    buckets = len(edges) - 1
    if not len(sessions.starts):
        return np.zeros((4, buckets), np.int64)
    # Sessions are mostly stored in order of time, so this sort is cheap. What follows is faster on sorted arrays.
    order = np.argsort(sessions.starts, kind="stable")
    starts, ends, devices = sessions.starts[order], sessions.ends[order], sessions.devices[order]
    instants = np.bincount(_first_buckets(edges, starts[ends == starts]), minlength=buckets)
    # Extend sessions without duration to a microsecond, so that they overlap the bucket of their instant.
    np.maximum(ends, starts + 1, out=ends)
    last = _last_buckets(edges, ends)
    positions = np.searchsorted(starts, edges)
    started, ended = np.diff(positions), np.bincount(last, minlength=buckets)
    # Add up bucket by bucket: full buckets, plus the parts in last buckets, minus the parts before starts.
    continued = np.cumsum(started - ended)
    in_last = _sum_by_bucket(last, ends - edges[last], buckets)
    # The running sum of starts may overflow. The differences do not, so wrapping arithmetic yields the right ones.
    before_start = np.diff(np.append(0, np.cumsum(starts))[positions]) - started * edges[:-1]
    online = continued * np.diff(edges) + in_last - before_start - instants
    del order, last
    return np.stack((online, continued + ended, *_count_devices(starts, ends, devices, edges)))


def _first_buckets(edges: Integers, starts: Integers) -> Integers:
    """Return the index of the bucket that contains each start, shape (n,)."""
    return np.searchsorted(edges, starts, "right") - 1


def _last_buckets(edges: Integers, ends: Integers) -> Integers:
    """Return the index of the last bucket that overlaps each session with these ends, shape (n,)."""
    return np.searchsorted(edges, ends, "left") - 1


def _sum_by_bucket(buckets: Integers, amounts: Integers, count: int) -> Integers:
    """Return the sum of the amounts per bucket index, shape (count,).

    `bincount` adds up floats. The amounts are split into two parts of few bits, so that the sums are exact.
    """
    high = np.bincount(buckets, amounts >> 20, count).astype(np.int64)
    low = np.bincount(buckets, amounts & (2**20 - 1), count).astype(np.int64)
    return (high << 20) + low


def _count_devices(
    session_starts: Integers, session_ends: Integers, devices: NDArray[np.uint64], edges: Integers
) -> tuple[Integers, Integers]:
    """Return the number of devices and the peak of each bucket, shape (b,) each. Sessions are ordered by start."""
    order = _device_order(devices)
    devices = devices[order]
    is_new_device = np.append(True, devices[1:] != devices[:-1])
    starts, ends = session_starts[order], _running_latest_end(session_ends[order], is_new_device)
    # Merge sessions of one device that overlap or touch into one interval.
    is_opening = is_new_device.copy()
    is_opening[1:] |= starts[1:] > ends[:-1]
    opening = np.flatnonzero(is_opening)
    order, starts, is_new_device = order[opening], starts[opening], is_new_device[opening]
    ends = ends[np.append(opening[1:], len(ends)) - 1]
    first, last = _first_buckets(edges, starts), _last_buckets(edges, ends)
    # Count a device with several intervals in a bucket only for the first of them.
    first[1:] = np.where(is_new_device[1:], first[1:], np.maximum(first[1:], last[:-1] + 1))
    counted = first <= last
    buckets = len(edges) - 1
    appear = np.bincount(first[counted], minlength=buckets)
    vanish = np.bincount(last[counted] + 1, minlength=buckets + 1)[:buckets]
    # Restore the order of time, in which the ends are nearly sorted.
    is_kept = np.zeros(len(is_opening), np.bool_)
    is_kept[order] = True
    ends_by_start = np.empty(len(is_opening), np.int64)
    ends_by_start[order] = ends
    peaks = _peaks(session_starts[is_kept], np.sort(ends_by_start[is_kept], kind="stable"), edges)
    return np.cumsum(appear - vanish), peaks


def _device_order(devices: NDArray[np.uint64]) -> Integers:
    """Return the stable sort order of the devices, shape (n,).

    This is a radix sort: numpy sorts 16-bit integers by counting, in linear time.
    """
    order: Integers | None = None
    for digits in devices.view(np.uint16).reshape(-1, 4).T:
        if digits.min() != digits.max():
            step = np.argsort(digits if order is None else digits[order], kind="stable")
            order = step if order is None else order[step]
    return np.arange(len(devices)) if order is None else order


def _running_latest_end(ends: Integers, is_new_device: NDArray[np.bool_]) -> Integers:
    """Return the latest end so far of the same device for each session, shape (n,). Sessions are grouped by device."""
    # Shift each device's ends above those of the device before, so that one running maximum serves many devices.
    # Start again before the shifted values exceed LARGEST.
    device = np.cumsum(is_new_device) - 1
    height = int(ends.max()) + 1
    devices_per_run = LARGEST // height
    offsets = device % devices_per_run * height
    shifted = ends + offsets
    run_starts = np.searchsorted(device, np.arange(0, device[-1] + 1, devices_per_run))
    for since, until in pairwise([*run_starts.tolist(), len(ends)]):
        np.maximum.accumulate(shifted[since:until], out=shifted[since:until])
    shifted -= offsets
    return shifted


def _peaks(starts: Integers, ends: Integers, edges: Integers) -> Integers:
    """Return the largest number of simultaneous intervals in each bucket, shape (b,). Starts and ends are sorted."""
    # The number rises only at starts, so its maximum is at the bucket's start or at a start within the bucket.
    peaks = np.searchsorted(starts, edges[:-1], "right") - np.searchsorted(ends, edges[:-1], "right")
    positions = np.searchsorted(starts, edges)
    has_starts = np.flatnonzero(np.diff(positions))
    online = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "right")
    peaks[has_starts] = np.maximum(peaks[has_starts], np.maximum.reduceat(online, positions[has_starts]))
    return peaks
