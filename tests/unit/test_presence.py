"""Presence computed with numpy: unpacking, counting per bucket, and the estimate of a window's share."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers import presence
from resolvers.presence import count_buckets
from storage.queries.presence import NUMBER_OFFSET, SessionArrays, unpack_sessions
from storage.tables import SECOND
from tests.conftest import MAC

OTHER = "02:00:5E:10:00:01"


@given(st.lists(st.tuples(st.integers(0, 9 * NUMBER_OFFSET - NUMBER_OFFSET - 1), st.binary(min_size=6, max_size=6))))
def test_unpacking_restores_packed_columns(rows: list[tuple[int, bytes]]) -> None:
    """Numbers are packed as digits or as bytes. A MAC becomes an integer of its bytes."""
    digits = "".join(str(number + NUMBER_OFFSET) for number, _ in rows).encode()
    packed = b"".join((number + NUMBER_OFFSET).to_bytes(8, "big") for number, _ in rows)
    sessions = unpack_sessions((digits, packed, "".join(mac.hex(":").upper() for _, mac in rows).encode()))
    assert sessions.starts.tolist() == sessions.ends.tolist() == [number for number, _ in rows]
    assert [int(number).to_bytes(8, "little")[:6] for number in sessions.devices] == [mac for _, mac in rows]


@settings(max_examples=300)
@given(
    specs=st.lists(st.tuples(st.sampled_from([1, 2, 2**16, 2**33, 2**48 - 1]), st.integers(0, 29), st.integers(0, 9))),
    cuts=st.sets(st.integers(1, 29)),
    largest=st.sampled_from([presence.LARGEST, 64]),
)
@example(specs=[(1, 0, 9), (1, 2, 2), (1, 9, 0), (2, 9, 3)], cuts={9}, largest=64)
@example(specs=[(1, 0, 0)], cuts=set(), largest=64)
def test_buckets_equal_a_count_at_every_instant(
    specs: list[tuple[int, int, int]], cuts: set[int], largest: int
) -> None:
    """Buckets have any length. Sessions may have no duration, overlap, touch, or share their ends."""
    edges = [0, *sorted(cuts), 30]
    sessions = [(device, start, min(start + length, 30)) for device, start, length in specs]

    def online_at(moment: int) -> list[int]:
        return [n for n, (_, start, end) in enumerate(sessions) if start <= moment < end or start == end == moment]

    expected = []
    for since, until in pairwise(edges):
        moments = [online_at(moment) for moment in range(since, until)]
        overlapping = {n for online in moments for n in online}
        duration = sum(sessions[n][1] < sessions[n][2] for online in moments for n in online)
        peak = max(len({sessions[n][0] for n in online}) for online in moments)
        expected.append([duration, len(overlapping), len({sessions[n][0] for n in overlapping}), peak])
    devices, starts, ends = np.array(sessions, np.int64).reshape(-1, 3).T
    columns = SessionArrays(starts.copy(), ends.copy(), devices.astype(np.uint64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presence, "LARGEST", largest)
        assert count_buckets(columns, np.array(edges)).T.tolist() == expected


NO_CONTEXT: Any = None  # an estimate reads nothing


@pytest.mark.parametrize(
    ("macs", "window", "share"),
    [
        (None, (1000, 1100), 1.0),
        (None, (-5000, 5000), 1.0),
        (None, (1050, 1100), 0.5),
        (None, (0, 1025), 0.25),
        (None, (1100, 1200), 0.0),
        (None, (0, 1000), 0.0),
        ([MAC], (1000, 1100), 0.25),
        ([MAC, OTHER], (1000, 1050), 0.25),
        ([MAC] * 9, (1000, 1100), 1.0),
    ],
)
def test_the_share_of_a_window_is_estimated(macs: list[str] | None, window: tuple[int, int], share: float) -> None:
    """It depends on the overlap with the stored time range, and on the share of the devices."""
    request = presence._Request(NO_CONTEXT, {}, macs, first=1000, last=1099, devices=4)
    assert request.share(*window) == pytest.approx(share)


def test_the_share_is_estimated_without_devices() -> None:
    """No device and one device both make a share of 1."""
    for devices in (0, 1):
        assert presence._Request(NO_CONTEXT, {}, [MAC], first=7, last=7, devices=devices).share(0, 100) == 1


def test_device_order_is_a_stable_sort() -> None:
    """Also for many sessions, which numpy sorts by another algorithm than few."""
    devices = np.array([2**33, 1, 2**16, 2**16 + 1, 1] * 500, np.uint64)
    assert presence._device_order(devices).tolist() == sorted(range(len(devices)), key=devices.tolist().__getitem__)


def test_the_sum_of_long_durations_is_exact() -> None:
    """The sum has more microseconds than a float represents exactly."""
    n, length = 300_000, 86_400 * SECOND
    columns = SessionArrays(np.arange(n) % 7, np.full(n, length - 3), np.arange(n).astype(np.uint64))
    online, sessions, devices, peak = count_buckets(columns, np.array([0, length // 3, length])).tolist()
    early = sum(length // 3 - k % 7 for k in range(n))
    assert online == [early, n * (length - 3 - length // 3)]
    assert sessions == devices == peak == [n, n]
    assert sum(online) > 2**53
