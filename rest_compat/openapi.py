"""The OpenAPI description of the REST API, derived from the models that validate its input and from the failures."""

from typing import Any

from resolvers.constants import EXPORT_COLUMNS
from resolvers.failures import CATALOGUE
from resolvers.idempotency import HEADER
from resolvers.validation.models import (
    KEY_LENGTH,
    CalendarQuery,
    DeviceQuery,
    ExportQuery,
    FeedQuery,
    Input,
    ListQuery,
    MacInput,
    NewSession,
    StartReport,
    StopReport,
)
from resolvers.version import program_version
from rest_compat import ical
from rest_compat.datatables import TableQuery
from rest_compat.exports import FORMATS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WRITE_ONLY, READ_ONLY = (413, 415, 507), (408,)  # statuses
NULLABLE = ("connected_at", "disconnected_at", "disconnection_event")  # in an exported session
QUERY_AUTH = "token"  # in the query string of the calendar feed
BODIES = (NewSession, StartReport, StopReport, MacInput)
IDEMPOTENCY_KEY: Schema = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Repeat a request with the same key within 24 hours to get the first response again and change nothing.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH},
}


def document() -> Schema:
    """Return the OpenAPI 3.1 description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "netsessions",
            "version": program_version(),
            "description": "When devices were on the network.",
        },
        "security": [{"bearer": []}],
        "paths": {
            "/sessions/create": {"post": _operation("createSession", "Create a session", "Done", body=NewSession)},
            "/sessions/start": {
                "post": _operation("startSession", "Report that a device connects now", "Done", body=StartReport)
            },
            "/sessions/stop": {
                "post": _operation("stopSession", "Report that a device disconnects now", "Done", body=StopReport)
            },
            "/sessions/delete": {
                "delete": _operation("deleteSessions", "Delete all sessions of a device", "Done", body=MacInput)
            },
            "/sessions/list": {"get": _operation("listSessions", "List sessions", "Sessions", query=ListQuery)},
            "/sessions/export": {
                "get": _operation("exportSessions", "Export sessions as a file", _export_response(), query=ExportQuery)
            },
            "/sessions/calendar": {
                "get": _operation("calendar", "List sessions as calendar entries", "Calendar", query=CalendarQuery)
            },
            "/sessions/calendar.ics": {"get": _calendar_feed()},
            "/sessions/session-events": {
                "get": _operation("sessionEvents", "List events, or sessions, of a period", "Events", query=TableQuery)
            },
            "/sessions/{mac}": {
                "get": _operation(
                    "deviceSessions", "List the latest sessions of a device", "Sessions", query=DeviceQuery
                )
            },
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                QUERY_AUTH: {
                    "type": "apiKey",
                    "in": "query",
                    "name": QUERY_AUTH,
                    "description": FeedQuery.model_fields[QUERY_AUTH].description,
                },
            },
            "schemas": {
                **{model.__name__: model.model_json_schema() for model in BODIES},
                **_response_schemas(),
            },
        },
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> Schema:
    return {"application/json": {"schema": _reference(name)}}


def _failure_responses() -> dict[int, Schema]:
    """Return the response for each status. Kinds of failure with the same status share one."""
    responses: dict[int, Schema] = {}
    for kind in CATALOGUE:
        if kind.status is None or kind.name is None:
            continue
        if kind.status in responses:
            responses[kind.status]["description"] += f" {kind.meaning}"
            continue
        responses[kind.status] = {"description": kind.meaning, "content": _json("Failure")}
        if kind.header:
            responses[kind.status]["headers"] = {kind.header: {"schema": TEXT}}
    return responses


_FAILURES = _failure_responses()


def _operation(
    operation_id: str,
    summary: str,
    success: str | Schema,
    *,
    query: type[Input] | None = None,
    body: type[Input] | None = None,
) -> Schema:
    done = success if isinstance(success, dict) else {"description": "Success.", "content": _json(success)}
    responses: Schema = {"200": done}
    for status, response in _FAILURES.items():
        if status not in (WRITE_ONLY if body is None else READ_ONLY):
            responses[str(status)] = {**response}
    operation: Schema = {"operationId": operation_id, "summary": summary, "responses": responses}
    if query is not None:
        operation["parameters"] = _parameters(query)
    if body is not None:
        operation["parameters"] = [IDEMPOTENCY_KEY]
        operation["requestBody"] = {"required": True, "content": _json(body.__name__)}
    return operation


def _export_response() -> Schema:
    schemas = {"csv": TEXT, "ndjson": _reference("ExportedSession")}
    content = {FORMATS[name].media_type.partition(";")[0]: {"schema": schema} for name, schema in schemas.items()}
    description = (
        f"CSV (RFC 4180) with the columns {', '.join(EXPORT_COLUMNS)}, or NDJSON with the same keys. Instants are in UTC. "
        "Texts are written unchanged: import them into a spreadsheet as text, never as formulas."
    )
    return {"description": description, "content": content, "headers": {"Content-Disposition": {"schema": TEXT}}}


def _calendar_feed() -> Schema:
    """Return the only operation that accepts a token in the query string and does not respond in JSON."""
    operation = _operation("calendarFeed", "Subscribe to a calendar (RFC 5545)", "Failure", query=FeedQuery)
    operation["parameters"] = [p for p in operation["parameters"] if p["name"] != QUERY_AUTH]
    operation["responses"] |= {
        "200": {"description": "Success.", "content": {ical.MEDIA_TYPE: {"schema": TEXT}}},
        "304": {"description": "The calendar has not changed since the ETag in If-None-Match."},
    }
    operation["security"] = [{"bearer": []}, {QUERY_AUTH: []}]
    return operation


def _parameters(model: type[Input]) -> list[Schema]:
    """Return a parameter for each field of a model. The MAC address of `DeviceQuery` is in the path."""
    schema = model.model_json_schema()
    in_path = {"mac"} if model is DeviceQuery else set()
    parameters = []
    for name, field in schema["properties"].items():
        location = "path" if name in in_path else "query"
        required = name in schema.get("required", [])
        parameter = {"name": name, "in": location, "required": required, "schema": _without_null(field)}
        if "description" in field:
            parameter["description"] = field["description"]
        parameters.append(parameter)
    return parameters


def _without_null(field: Schema) -> Schema:
    """Return the schema of a parameter without null, which a query string cannot express."""
    schema = {key: value for key, value in field.items() if key not in ("title", "description", "anyOf")}
    if schema.get("default", ...) is None:
        del schema["default"]
    options = [option for option in field.get("anyOf", []) if option != {"type": "null"}]
    return schema | (options[0] if len(options) == 1 else {"anyOf": options} if options else {})


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _response_schemas() -> dict[str, Schema]:
    success: Schema = {"type": "boolean", "const": True}
    count: Schema = {"type": "integer", "minimum": 0}
    nullable: Schema = {"type": ["string", "null"]}
    session_keys = ("ses_MAC", "ses_Connection", "ses_Disconnection", "ses_Duration", "ses_IP", "ses_Info")
    entry_keys = ("resourceId", "title", "start", "end", "color", "tooltip", "className")
    seconds: Schema = {"type": ["integer", "null"]}
    flag: Schema = {"type": "integer", "enum": [0, 1]}
    positions = [TEXT, nullable, nullable, nullable, nullable, TEXT, TEXT, TEXT, seconds, TEXT, count, TEXT, flag, TEXT]
    last: Schema = {"const": 0}
    table: Schema = {"type": "array", "prefixItems": [*positions, last], "items": False, "minItems": 15}
    row_or_table: Schema = {"anyOf": [_reference("EventRow"), _reference("TableRow")]}
    return {
        "Failure": _object(success={"type": "boolean", "const": False}, message=TEXT, error=TEXT),
        "Done": _object(success=success, message=TEXT),
        "SessionRow": _object(**dict.fromkeys(session_keys, TEXT)),
        "ExportedSession": _object(**{name: nullable if name in NULLABLE else TEXT for name in EXPORT_COLUMNS}),
        "CalendarEntry": _object(**dict.fromkeys(entry_keys, TEXT)),
        "EventRow": _object(**dict.fromkeys(session_keys, TEXT), eve_DateTime=nullable, eve_EventType=nullable),
        "TableRow": table,
        "Sessions": _object(success=success, sessions={"type": "array", "items": _reference("SessionRow")}),
        "Calendar": _object(success=success, sessions={"type": "array", "items": _reference("CalendarEntry")}),
        "Events": _object(
            success=success, data={"type": "array", "items": row_or_table}, total=count, recordsFiltered=count
        ),
    }
