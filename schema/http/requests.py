"""GraphQL over HTTP: parse the operation of a request, and negotiate the media type of the response."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from cross_web import HTTPException
from starlette.types import Scope
from strawberry.http import GraphQLRequestData

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"  # invalid requests have a status of 4xx
EVENT_STREAM = "text/event-stream"
MAX_CACHED_HEADERS = 256

EXAMPLE = '{"query": "{ sessionTotals { all } }"}'


class RequestError(HTTPException):
    """The request is not a valid GraphQL-over-HTTP request. Carries the headers of the response."""

    def __init__(self, status_code: int, reason: str, **headers: str) -> None:
        super().__init__(status_code, reason)
        self.headers = headers


@lru_cache(MAX_CACHED_HEADERS)
def negotiate_media_type(accept: bytes) -> str:
    """Return the media type that an `Accept` header prefers. Raise `RequestError` (406) if it accepts none.

    A header with wildcards only selects JSON.
    """
    quality = {name: _quality(accept, name) for name in (GRAPHQL_RESPONSE, JSON, EVENT_STREAM)}
    best = max(quality, key=lambda name: quality[name])  # the first one of equals
    if not quality[best]:
        raise RequestError(
            406, f"Accept: allows no supported media type. Accept {JSON}, {GRAPHQL_RESPONSE} or {EVENT_STREAM}."
        )
    return best


def _quality(accept: bytes, name: str) -> float:
    """Return the quality value of a media type, from 0 to 1. Wildcards apply to JSON only."""
    qualities = {}
    for media_range in accept.decode("latin-1").lower().split(","):
        media_type, *parameters = (part.strip() for part in media_range.split(";"))
        qualities[media_type] = next((_parse_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    wildcards = ("application/*", "*/*") if name == JSON else ()
    return next((qualities[media_type] for media_type in (name, *wildcards) if media_type in qualities), 0.0)


def _parse_quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


@lru_cache(MAX_CACHED_HEADERS)
def _is_json(content_type: bytes) -> bool:
    """Return whether a `Content-Type` is JSON in UTF-8."""
    name, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    charset = next((p[8:].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    return name == JSON and charset in ("utf-8", "utf8")


def parse_request(scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> GraphQLRequestData:
    """Return the operation of a GET or POST request. Raise `RequestError`."""
    if scope["method"] == "POST":
        if not _is_json(headers.get(b"content-type", b"")):
            raise RequestError(415, "Send the body as JSON in UTF-8, with Content-Type: application/json.")
        data = _parse_json(body, "body")
    elif scope["method"] == "GET":
        data = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        for name in ("variables", "extensions"):
            data[name] = _parse_json(data[name], name) if data.get(name) else None
    else:
        raise RequestError(405, f"{scope['method']} is not allowed. Use GET or POST.", Allow="GET, POST")
    return _parse_operation(data)


def _parse_json(text: str | bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"{name}: is not JSON: {error}") from None


def _parse_operation(data: Any) -> GraphQLRequestData:
    if isinstance(data, list):
        raise RequestError(400, "Operation batches are not supported. Send each operation as its own request.")
    if not isinstance(data, dict):
        raise RequestError(400, f"The body is not a JSON object. Send one, for example {EXAMPLE}.")
    query, operation_name = data.get("query"), data.get("operationName")
    variables, extensions = data.get("variables"), data.get("extensions")
    if not isinstance(query, str):
        raise RequestError(400, f"query: must be a string, for example {EXAMPLE}.")
    if not isinstance(operation_name, str | None):
        raise RequestError(400, "operationName: must be a string. It may be left out.")
    if not isinstance(variables, dict | None):
        raise RequestError(400, "variables: must be an object. It may be left out.")
    if not isinstance(extensions, dict | None):
        raise RequestError(400, "extensions: must be an object. It may be left out.")
    return GraphQLRequestData(query=query, variables=variables, operation_name=operation_name, extensions=extensions)
