"""Describes the REST door, from the models that validate what comes in."""

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from resolvers.inputs import CalendarQuery, DeviceQuery, Input, ListQuery, NewSession, OneDevice
from rest_compat.table import TableQuery


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT, COUNT, TRUE = {"type": "string"}, {"type": "integer"}, {"type": "boolean", "const": True}
MAYBE = {"type": ["string", "null"]}
SESSION = dict.fromkeys(("ses_MAC", "ses_Connection", "ses_Disconnection", "ses_Duration", "ses_IP", "ses_Info"), TEXT)
ENTRY = dict.fromkeys(("resourceId", "title", "start", "end", "color", "tooltip", "className"), TEXT)
TABLE_ROW = {"type": "array", "minItems": 15, "maxItems": 15}

SCHEMAS: dict[str, Any] = {
    "Done": _object(success=TRUE, message=TEXT),
    "Sessions": _object(success=TRUE, sessions={"type": "array", "items": _object(**SESSION)}),
    "Calendar": _object(success=TRUE, sessions={"type": "array", "items": _object(**ENTRY)}),
    "Events": _object(
        success=TRUE,
        data={
            "type": "array",
            "items": {"anyOf": [_object(**SESSION, eve_DateTime=MAYBE, eve_EventType=MAYBE), TABLE_ROW]},
        },
        total=COUNT,
        recordsFiltered=COUNT,
    ),
    "Failure": _object(success={"type": "boolean", "const": False}, message=TEXT, error=TEXT),
}


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


FAILURES = {
    400: "Bad input; the message names the field.",
    401: "No right token.",
    405: "Another method is answered here.",
    500: "The server failed; its log has the cause.",
    503: "The store cannot be used now; try again.",
}
OF_BODIES = {413: "The body is too large.", 415: "The body is not JSON."}


def _parameters(model: type[BaseModel], *path: str) -> list[dict[str, Any]]:
    schema = model.model_json_schema(mode="validation")
    return [
        {
            "name": name,
            "in": "path" if name in path else "query",
            "required": name in path or name in schema.get("required", ()),
            "description": rule.pop("description", ""),
            "schema": rule,
        }
        for name, rule in schema["properties"].items()
    ]


def _operation(summary: str, answer: str, *, body: type[Input] | None = None, **more: Any) -> dict[str, Any]:
    failures = FAILURES | (OF_BODIES if body else {})
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": _content(answer)}}
    for status, meaning in sorted(failures.items()):
        responses[str(status)] = {"description": meaning, "content": _content("Failure")}
    operation = {"summary": summary, "responses": responses} | more
    if body:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def document() -> dict[str, Any]:
    """The OpenAPI document of the six paths."""
    bodies = {model.__name__: model.model_json_schema(mode="validation") for model in (NewSession, OneDevice)}
    events = _parameters(TableQuery)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "netsessions",
            "version": version("netsessions"),
            "description": "When devices connected to and disconnected from the network.",
        },
        "security": [{"token": []}],
        "paths": {
            "/sessions/create": {"post": _operation("Record a session", "Done", body=NewSession)},
            "/sessions/delete": {"delete": _operation("Delete all sessions of a device", "Done", body=OneDevice)},
            "/sessions/list": {"get": _operation("List sessions", "Sessions", parameters=_parameters(ListQuery))},
            "/sessions/calendar": {
                "get": _operation("Sessions for a calendar", "Calendar", parameters=_parameters(CalendarQuery))
            },
            "/sessions/session-events": {"get": _operation("Events of a period", "Events", parameters=events)},
            "/sessions/{mac}": {
                "get": _operation("A device's latest sessions", "Sessions", parameters=_parameters(DeviceQuery, "mac"))
            },
        },
        "components": {
            "schemas": SCHEMAS | bodies,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
