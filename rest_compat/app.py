"""The REST API as an ASGI app, to be mounted at /sessions behind authentication."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from resolvers.context import Context
from resolvers.deadline import end_deadline, start_deadline
from rest_compat import endpoints
from rest_compat.errors import error_response

Endpoint = Callable[[Context, Request], Awaitable[Response]]


def rest_app(context: Context) -> ASGIApp:
    """Return the app with the documented paths and their additions, relative to the path where it is mounted."""

    def write(path: str, endpoint: Endpoint, method: str = "POST") -> Route:
        return NamedRoute(path, EndpointApp(context, endpoint), methods=[method])

    def read(path: str, endpoint: Endpoint, route: type[Route] = NamedRoute) -> Route:
        return route(path, ReadEndpointApp(context, endpoint), methods=["GET"])

    router = Router(
        [
            write("/create", endpoints.create),
            write("/start", endpoints.start),
            write("/stop", endpoints.stop),
            read("/list", endpoints.list_sessions),
            read("/session-events", endpoints.session_events),
            read("/calendar", endpoints.calendar),
            read("/calendar.ics", endpoints.calendar_feed),
            read("/export", endpoints.export),
            write("/delete", endpoints.delete, "DELETE"),
            read("/{mac}", endpoints.device_sessions, Route),
        ],
        redirect_slashes=False,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await router(scope, receive, send)
        except HTTPException as error:  # of the router; endpoints handle their own
            headers = dict(error.headers or {})
            if "Allow" in headers:  # Starlette joins a set, whose order varies
                headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
            await error_response(HTTPException(error.status_code, headers=headers))(scope, receive, send)

    return app


class NamedRoute(Route):
    """A route that matches its path with any method, so that GET /create is a wrong method and not an invalid MAC."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not scope["path"].endswith(self.path):  # ten times as fast as the regular expression
            return Match.NONE, {}
        match, child_scope = super().matches(scope)
        return (Match.FULL if match is Match.PARTIAL else match), child_scope


class EndpointApp:
    """An endpoint as an ASGI app. Every exception becomes an error response."""

    def __init__(self, context: Context, endpoint: Endpoint) -> None:
        self._context = context
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._endpoint(self._context, Request(scope, receive))
        except Exception as error:
            response = error_response(error)
        await response(scope, receive, send)


class ReadEndpointApp(EndpointApp):
    """An endpoint that reads. The deadline ends when the response starts, so that long responses can be streamed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = start_deadline(self._context.limits)
        try:
            response = await self._endpoint(self._context, Request(scope, receive))
        except Exception as error:
            response = error_response(error)
        finally:
            end_deadline(deadline)
        await response(scope, receive, send)
