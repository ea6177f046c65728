"""Serializers of the REST API."""

from zoneinfo import ZoneInfo

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.validation.clock import Clock
from rest_compat import serializers
from rest_compat.datatables import write_table_row
from storage.queries.events import EventRow
from storage.tables import SessionRow
from tests.conftest import at


@given(st.text(), st.sampled_from(["Connected", "New Device"]), st.text(min_size=1))
@example('"\\\x00\x1f\x7f\u2028\U0001f6dc', "New Device", "</script>")
def test_serialized_rows_equal_those_of_a_json_encoder(info: str, event: str, end_event: str) -> None:
    """For any text."""
    clock, now = Clock(ZoneInfo("UTC")), at("2025-08-20T12:00:00Z")
    row = SessionRow("AA:BB:CC:DD:EE:FF", 1, "10.0.0.1", 0, 7_200_000_000, event, end_event, info, "COMPLETE")
    prefix = "New Device" if event == "New Device" else ""
    session_keys = {
        "ses_MAC": row.mac,
        "ses_Connection": "1970-01-01 00:00",
        "ses_Disconnection": "1970-01-01 02:00",
        "ses_Duration": "2h 0m",
        "ses_IP": row.ip,
        "ses_Info": ", ".join(filter(None, (prefix, info))),
    }
    event_row = EventRow(row, 7_200_000_000, end_event, 7_200_000_000, 1, info, None)
    with_event = session_keys | {"eve_DateTime": "1970-01-01 02:00", "eve_EventType": end_event}
    assert serializers.write_session(row, clock, now) == orjson.dumps(session_keys).decode()
    assert serializers.write_event(event_row, clock, now) == orjson.dumps(with_event).decode()
    assert orjson.loads(write_table_row(event_row, clock, now))[:5] == [
        "1970-01-01 02:00",
        info,
        None,
        "1970-01-01 02:00",
        end_event,
    ]
