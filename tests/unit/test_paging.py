"""Cursors and pages."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.errors import InvalidInputError
from resolvers.paging import decode_cursor, encode_cursor, paginate
from resolvers.validation.clock import Clock
from resolvers.validation.models import Page, validate
from tests.conftest import NOW, at

AT_NOON = Clock(ZoneInfo("UTC"), time=lambda: at(NOW))


@given(st.integers(1 - 2**63, 2**63 - 1), st.integers(0, 2**63 - 1))
@example(1 - 2**63, 2**63 - 1)
def test_decoding_restores_the_position_of_a_cursor(key: int, number: int) -> None:
    """For all integers of both databases."""
    assert decode_cursor("after", encode_cursor("NEWEST", key, number), "NEWEST", 2) == [key, number]


@pytest.mark.parametrize(
    "text",
    ["", "NEWEST", "NEWEST.1", "NEWEST.1.2.3", "OLDEST.1.2", "NEWEST.1.x", "NEWEST.01.2", "NEWEST. 1.2", "NEWEST.1.2.",
     f"NEWEST.1.{2**63}", f"NEWEST.{-(2**63)}.1"],
)  # fmt: skip
def test_text_that_is_not_a_cursor_of_the_list_is_rejected(text: str) -> None:
    """Another list, another number of values, or integers out of range."""
    with pytest.raises(InvalidInputError) as rejected:
        decode_cursor("after", text, "NEWEST", 2)
    assert str(rejected.value) == f"after: '{text}' is not a cursor of this list"


@pytest.mark.parametrize(
    ("paging", "fetched", "rows", "more"),
    [
        (None, [1, 2, 3], ["1", "2", "3"], (False, False)),
        ({"first": 2}, [1, 2], ["1", "2"], (False, False)),
        ({"first": 2}, [1, 2, 3], ["1", "2"], (True, False)),
        ({"first": 2, "after": "1"}, [2, 3], ["2", "3"], (False, True)),
        ({"last": 2}, [3, 2], ["2", "3"], (False, False)),
        ({"last": 2}, [3, 2, 1], ["2", "3"], (False, True)),
        ({"last": 2, "before": "3"}, [2, 1], ["1", "2"], (True, False)),
    ],
)
def test_a_page_shows_whether_rows_precede_and_follow(
    paging: dict[str, object] | None, fetched: list[int], rows: list[str], more: tuple[bool, bool]
) -> None:
    """The extra row and the cursor show it. The rows are in list order."""
    page = paginate(None if paging is None else validate(Page, paging, AT_NOON), fetched, str, "at {}".format)
    assert (page.rows, page.cursors) == (rows, [f"at {row}" for row in rows])
    assert (page.has_next, page.has_previous) == more
