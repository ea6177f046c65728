"""GraphQL over HTTP, as its specification has it: what a request asks for, and in which media type it is to be answered."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from cross_web import HTTPException
from starlette.types import Scope
from strawberry.http import GraphQLRequestData

JSON = "application/json"
RESPONSE = "application/graphql-response+json"  # of which the status tells whether the request was one
EVENTS = "text/event-stream"
WAYS = 256  # of writing one of these headers that are kept

EXAMPLE = '{"query": "{ sessionTotals { all } }"}'


class RefusedError(HTTPException):
    """A request that is none, with the headers that tell why."""

    def __init__(self, status_code: int, reason: str, **headers: str) -> None:
        super().__init__(status_code, reason)
        self.headers = headers


@lru_cache(WAYS)
def media_type(accept: bytes) -> str:
    """Of the media types that a client accepts, the one to answer in; raises `RefusedError` where there is none of ours.

    Who names none in particular is answered as JSON, with the status 200 that JSON has always had.
    """
    quality = {name: _quality(accept, name) for name in (RESPONSE, JSON, EVENTS)}
    best = max(quality, key=lambda name: quality[name])  # the first of several
    if not quality[best]:
        raise RefusedError(406, f"Answers are {JSON}, {RESPONSE} or, to subscriptions, {EVENTS}; accept one of them.")
    return best


def _quality(accept: bytes, name: str) -> float:
    """How much a client likes a media type, from 0 to 1. Wildcards mean JSON."""
    ranges = {}
    for given in accept.decode("latin-1").lower().split(","):
        wanted, *parameters = (part.strip() for part in given.split(";"))
        ranges[wanted] = next((_number(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    broader = ("application/*", "*/*") if name == JSON else ()
    return next((ranges[each] for each in (name, *broader) if each in ranges), 0.0)


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


@lru_cache(WAYS)
def _is_json(content_type: bytes) -> bool:
    """Whether a body is JSON in UTF-8."""
    name, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    charset = next((p[8:].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    return name == JSON and charset in ("utf-8", "utf8")


def requested(scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> GraphQLRequestData:
    """The one operation of a request; raises `RefusedError`."""
    if scope["method"] == "POST":
        if not _is_json(headers.get(b"content-type", b"")):
            raise RefusedError(415, "Send the body as JSON in UTF-8, with Content-Type: application/json.")
        data = _json(body, "body")
    elif scope["method"] == "GET":
        data = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        for name in ("variables", "extensions"):
            data[name] = _json(data[name], name) if data.get(name) else None
    else:
        raise RefusedError(405, "This path takes GET and POST.", Allow="GET, POST")
    return _operation(data)


def _json(text: str | bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        raise RefusedError(400, f"{name}: is not JSON: {problem}") from None


def _operation(data: Any) -> GraphQLRequestData:
    if isinstance(data, list):
        raise RefusedError(400, "Operations are not taken in batches; send each by itself.")
    if not isinstance(data, dict):
        raise RefusedError(400, f"Send a JSON object, as in {EXAMPLE}.")
    query, name = data.get("query"), data.get("operationName")
    variables, extensions = data.get("variables"), data.get("extensions")
    if not isinstance(query, str):
        raise RefusedError(400, f"query: is to be the text of a query, as in {EXAMPLE}.")
    if not isinstance(name, str | None):
        raise RefusedError(400, "operationName: is to be text, or left out.")
    if not isinstance(variables, dict | None):
        raise RefusedError(400, "variables: is to be an object, or left out.")
    if not isinstance(extensions, dict | None):
        raise RefusedError(400, "extensions: is to be an object, or left out.")
    return GraphQLRequestData(query=query, variables=variables, operation_name=name, extensions=extensions)
