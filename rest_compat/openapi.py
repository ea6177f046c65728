"""The description of the REST door, made from the models that validate its input, so that the two cannot disagree."""

from typing import Any

from resolvers.idempotency import FIELD
from resolvers.validation.models import (
    KEY_LENGTH,
    CalendarQuery,
    DeviceQuery,
    ExportQuery,
    FeedQuery,
    Input,
    ListQuery,
    NewSession,
    OneDevice,
    StartReport,
    StopReport,
)
from resolvers.version import release
from rest_compat import ical
from rest_compat.exports import FORMS
from rest_compat.requests import TableQuery
from storage.sources.exported import COLUMNS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ERRORS = {
    400: "Bad input; the message names the field. Nothing was changed.",
    401: "No bearer token, or not a right one.",
    403: "The token is right, and may not do this.",
    404: "There is nothing at this path.",
    405: "The path does not take this method.",
    408: "It took longer than QUERY_SECONDS to begin; the database has given it up.",
    413: "The body is larger than the server takes.",
    415: "The body is not application/json.",
    429: "Too many wrong tokens came from this address.",
    500: "Something went wrong on the server.",
    503: "The store cannot be used at the moment; nothing was stored.",
    507: "There is no room for it where the store is kept; nothing was stored, and reads go on.",
}
OF_A_BODY, OF_A_QUESTION = (413, 415, 507), (408,)
MAYBE = ("connected_at", "disconnected_at", "disconnection_event")  # null in an exported session without such an end
BY_QUERY = "token"  # the parameter that carries one
BODIES = (NewSession, StartReport, StopReport, OneDevice)
AGAIN: Schema = {
    "name": FIELD,
    "in": "header",
    "required": False,
    "description": "Sent again with the same request within 24 hours, it is answered as the first time, and nothing is done.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH},
}


def document() -> Schema:
    """The OpenAPI 3.1 description of the paths."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "netsessions", "version": release(), "description": "When devices were on the network."},
        "security": [{"bearer": []}],
        "paths": {
            "/sessions/create": {"post": _operation("createSession", "Create a session", "Done", body=NewSession)},
            "/sessions/start": {
                "post": _operation("startSession", "A device connects, as it happens", "Done", body=StartReport)
            },
            "/sessions/stop": {
                "post": _operation("stopSession", "A device disconnects, as it happens", "Done", body=StopReport)
            },
            "/sessions/delete": {
                "delete": _operation("deleteSessions", "Delete all sessions of a device", "Done", body=OneDevice)
            },
            "/sessions/list": {"get": _operation("listSessions", "List sessions", "Sessions", query=ListQuery)},
            "/sessions/export": {
                "get": _operation("exportSessions", "Take sessions away as a file", _files(), query=ExportQuery)
            },
            "/sessions/calendar": {
                "get": _operation("calendar", "Sessions as calendar entries", "Calendar", query=CalendarQuery)
            },
            "/sessions/calendar.ics": {"get": _feed()},
            "/sessions/session-events": {
                "get": _operation("sessionEvents", "Events, or sessions, of a period", "Events", query=TableQuery)
            },
            "/sessions/{mac}": {
                "get": _operation("deviceSessions", "Latest sessions of a device", "Sessions", query=DeviceQuery)
            },
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                BY_QUERY: {
                    "type": "apiKey",
                    "in": "query",
                    "name": BY_QUERY,
                    "description": FeedQuery.model_fields[BY_QUERY].description,
                },
            },
            "schemas": {
                **{model.__name__: model.model_json_schema() for model in BODIES},
                **_answers(),
            },
        },
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> Schema:
    return {"application/json": {"schema": _reference(name)}}


def _operation(
    identity: str,
    summary: str,
    answer: str | Schema,
    *,
    query: type[Input] | None = None,
    body: type[Input] | None = None,
) -> Schema:
    done = answer if isinstance(answer, dict) else {"description": "Done.", "content": _json(answer)}
    responses: Schema = {"200": done}
    for status, description in ERRORS.items():
        if status not in (OF_A_BODY if body is None else OF_A_QUESTION):
            responses[str(status)] = {"description": description, "content": _json("Failure")} | _headers(status)
    operation: Schema = {"operationId": identity, "summary": summary, "responses": responses}
    if query is not None:
        operation["parameters"] = _parameters(query)
    if body is not None:
        operation["parameters"] = [AGAIN]
        operation["requestBody"] = {"required": True, "content": _json(body.__name__)}
    return operation


def _files() -> Schema:
    """The answer that is a file."""
    schemas = {"csv": TEXT, "ndjson": _reference("ExportedSession")}
    content = {FORMS[name].media_type.partition(";")[0]: {"schema": schema} for name, schema in schemas.items()}
    description = (
        f"CSV (RFC 4180) with the columns {', '.join(COLUMNS)}, or the same as a JSON object on each line. Instants are in "
        "UTC. Texts stand as they were stored: have a spreadsheet read them as text, never as formulas."
    )
    return {"description": description, "content": content, "headers": {"Content-Disposition": {"schema": TEXT}}}


def _feed() -> Schema:
    """The one answer that is not JSON, and may be asked for without a header."""
    operation = _operation("calendarFeed", "A calendar to subscribe to, RFC 5545", "Failure", query=FeedQuery)
    operation["parameters"] = [p for p in operation["parameters"] if p["name"] != BY_QUERY]
    operation["responses"] |= {
        "200": {"description": "Done.", "content": {ical.MEDIA_TYPE: {"schema": TEXT}}},
        "304": {"description": "The calendar is as it was at the ETag that was sent as If-None-Match."},
    }
    operation["security"] = [{"bearer": []}, {BY_QUERY: []}]
    return operation


def _headers(status: int) -> Schema:
    again = dict.fromkeys((429, 503, 507), "Retry-After")
    names = {401: "WWW-Authenticate", 405: "Allow", **again}
    return {"headers": {names[status]: {"schema": TEXT}}} if status in names else {}


def _parameters(model: type[Input]) -> list[Schema]:
    """A parameter for each field; a device's address stands in the path of the one model that is about one device."""
    whole = model.model_json_schema()
    in_path = {"mac"} if model is DeviceQuery else set()
    found = []
    for name, field in whole["properties"].items():
        place = "path" if name in in_path else "query"
        required = name in whole.get("required", [])
        parameter = {"name": name, "in": place, "required": required, "schema": _without_null(field)}
        if "description" in field:
            parameter["description"] = field["description"]
        found.append(parameter)
    return found


def _without_null(field: Schema) -> Schema:
    """A parameter's schema: what is left out of a query string is left out, never null."""
    kept = {key: value for key, value in field.items() if key not in ("title", "description", "anyOf")}
    if kept.get("default", ...) is None:
        del kept["default"]
    others = [one for one in field.get("anyOf", []) if one != {"type": "null"}]
    return kept | (others[0] if len(others) == 1 else {"anyOf": others} if others else {})


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _answers() -> dict[str, Schema]:
    success: Schema = {"type": "boolean", "const": True}
    count: Schema = {"type": "integer", "minimum": 0}
    maybe: Schema = {"type": ["string", "null"]}
    six = ("ses_MAC", "ses_Connection", "ses_Disconnection", "ses_Duration", "ses_IP", "ses_Info")
    entry = ("resourceId", "title", "start", "end", "color", "tooltip", "className")
    seconds: Schema = {"type": ["integer", "null"]}
    flag: Schema = {"type": "integer", "enum": [0, 1]}
    positions = [TEXT, maybe, maybe, maybe, maybe, TEXT, TEXT, TEXT, seconds, TEXT, count, TEXT, flag, TEXT]
    last: Schema = {"const": 0}
    table: Schema = {"type": "array", "prefixItems": [*positions, last], "items": False, "minItems": 15}
    row_or_table: Schema = {"anyOf": [_reference("EventRow"), _reference("TableRow")]}
    return {
        "Failure": _object(success={"type": "boolean", "const": False}, message=TEXT, error=TEXT),
        "Done": _object(success=success, message=TEXT),
        "SessionRow": _object(**dict.fromkeys(six, TEXT)),
        "ExportedSession": _object(**{name: maybe if name in MAYBE else TEXT for name in COLUMNS}),
        "CalendarEntry": _object(**dict.fromkeys(entry, TEXT)),
        "EventRow": _object(**dict.fromkeys(six, TEXT), eve_DateTime=maybe, eve_EventType=maybe),
        "TableRow": table,
        "Sessions": _object(success=success, sessions={"type": "array", "items": _reference("SessionRow")}),
        "Calendar": _object(success=success, sessions={"type": "array", "items": _reference("CalendarEntry")}),
        "Events": _object(
            success=success, data={"type": "array", "items": row_or_table}, total=count, recordsFiltered=count
        ),
    }
