"""Constants of the store that the APIs use, so that they need not import `storage`."""

from storage.queries.event_types import NEW_DEVICE
from storage.sources.exported import EXPORT_COLUMNS
from storage.tables import CONNECTED, MISSING_EVENT, SECOND

__all__ = ["CONNECTED", "EXPORT_COLUMNS", "MISSING_EVENT", "NEW_DEVICE", "SECOND"]
