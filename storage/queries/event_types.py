"""Event types that have a meaning, and the kinds of event lists. Any other text is a valid event type, too."""

from typing import Any, Literal

from sqlalchemy import ColumnElement, and_

NEW_DEVICE, DEVICE_DOWN, VOIDED_PREFIX = "New Device", "Device Down", "VOIDED"

# A list has all events, or those of some types, or sessions: all of them, or those with a missing end.
TypedEventKind = Literal["VOIDED", "NEW", "DOWN"]
EventKind = Literal["ALL", "SESSIONS", "MISSING", TypedEventKind]


def has_kind(event_type: Any, kind: TypedEventKind) -> ColumnElement[bool]:
    """Return the condition that an event type belongs to a kind. An index can search it."""
    match kind:
        case "VOIDED":  # every type with the prefix, as a range
            after_prefix = VOIDED_PREFIX[:-1] + chr(ord(VOIDED_PREFIX[-1]) + 1)
            return and_(event_type >= VOIDED_PREFIX, event_type < after_prefix)
        case "NEW":
            return event_type == NEW_DEVICE
        case "DOWN":
            return event_type == DEVICE_DOWN
