"""The GraphQL enums."""

from enum import Enum

import strawberry
from strawberry import enum_value


@strawberry.enum(description="Which ends of a session are known.")
class SessionState(Enum):
    CONNECTED = enum_value("CONNECTED", description="The device is still connected.")
    COMPLETE = enum_value("COMPLETE", description="Both ends are known.")
    MISSING_CONNECTION = enum_value(
        "MISSING_CONNECTION", description="The disconnection is known. The connection was not observed."
    )
    MISSING_DISCONNECTION = enum_value(
        "MISSING_DISCONNECTION", description="The session has ended. The disconnection was not observed."
    )


@strawberry.enum(description="The sort order of a list of sessions.")
class SessionOrder(Enum):
    NEWEST = enum_value("NEWEST", description="Latest start first.")
    OLDEST = enum_value("OLDEST", description="Earliest start first.")
    LONGEST = enum_value("LONGEST", description="Longest duration first. An open session lasts until now.")
    SHORTEST = enum_value("SHORTEST", description="Shortest duration first. An open session lasts until now.")


@strawberry.enum(description="The kind of change of a session.")
class SessionChangeKind(Enum):
    CREATED = enum_value("CREATED", description="The session was created.")
    UPDATED = enum_value("UPDATED", description="A field of the session was changed.")
    DELETED = enum_value("DELETED", description="The session was deleted.")


@strawberry.enum(description="The events or sessions to list.")
class SessionEventType(Enum):
    ALL = enum_value("ALL", description="All connection and disconnection events.")
    SESSIONS = enum_value("SESSIONS", description="Sessions that overlap the period, one row each.")
    MISSING = enum_value(
        "MISSING", description="Sessions that overlap the period and have a missing end, one row each."
    )
    VOIDED = enum_value("VOIDED", description="Events whose type starts with `VOIDED`.")
    NEW = enum_value("NEW", description="Events of type `New Device`.")
    DOWN = enum_value("DOWN", description="Events of type `Device Down`.")


@strawberry.enum(
    description="The sort order of a list of events. "
    "Rows without a value come first, or last with `_DESC`. Equal rows are sorted newest first."
)
class SessionEventOrder(Enum):
    NEWEST = enum_value("NEWEST", description="Latest event first.")
    OLDEST = enum_value("OLDEST", description="Earliest event first.")
    MAC = enum_value("MAC", description="By MAC address, ascending.")
    MAC_DESC = enum_value("MAC_DESC", description="By MAC address, descending.")
    NAME = enum_value("NAME", description="By device name, ascending.")
    NAME_DESC = enum_value("NAME_DESC", description="By device name, descending.")
    OWNER = enum_value("OWNER", description="By device owner, ascending.")
    OWNER_DESC = enum_value("OWNER_DESC", description="By device owner, descending.")
    IP = enum_value("IP", description="By numeric IP address, ascending, IPv4 before IPv6.")
    IP_DESC = enum_value("IP_DESC", description="By numeric IP address, descending, IPv6 before IPv4.")
    EVENT_TYPE = enum_value("EVENT_TYPE", description="By event type, ascending.")
    EVENT_TYPE_DESC = enum_value("EVENT_TYPE_DESC", description="By event type, descending.")


@strawberry.enum(description="The sort order of a list of devices.")
class DeviceOrder(Enum):
    MAC = enum_value("MAC", description="By MAC address.")
    NAME = enum_value("NAME", description="By name, ignoring case. Devices without a name come last.")
    LAST_SEEN = enum_value("LAST_SEEN", description="Connected devices first, then by last sighting, latest first.")


@strawberry.enum(description="The length of a presence bucket.")
class PresenceBucketSize(Enum):
    HOUR = enum_value("HOUR", description="One hour.")
    DAY = enum_value("DAY", description="One calendar day in the server's time zone.")
