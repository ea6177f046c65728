"""Sessions that tests create through the GraphQL API."""

from typing import Any

from tests.conftest import MAC, Execute

CREATE_SESSION = """mutation($input: CreateSessionInput!) { createSession(input: $input) { message session {
    id mac ip state connectedAt disconnectedAt connectionEvent disconnectionEvent durationSeconds info } } }"""
SESSION_INPUT = {
    "mac": MAC,
    "ip": "192.168.1.10",
    "startTime": "2025-08-01T10:00:00",
    "endTime": "2025-08-01T12:00:00",
}


def session_input(**changes: Any) -> dict[str, Any]:
    """Return SESSION_INPUT with changed fields. A field set to `...` is left out."""
    return {name: value for name, value in (SESSION_INPUT | changes).items() if value is not ...}


def create_session(execute: Execute, **changes: Any) -> dict[str, Any]:
    """Create a session and return its fields."""
    response = execute(CREATE_SESSION, input=session_input(**changes))
    session: dict[str, Any] = response["data"]["createSession"]["session"]
    return session
