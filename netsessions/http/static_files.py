"""The web pages, served from files that were built and compressed beforehand. They need no token: the pages ask for one."""

import re
from collections.abc import Callable
from hashlib import blake2b
from mimetypes import guess_type
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

DOCS_FOLDER = Path(__file__).parent
WEB_FOLDER = DOCS_FOLDER.parent / "web"
NOT_BUILT = (
    "The pages are not built. Run `make install` in the source folder to build them. The APIs work without them.\n"
)

# 'self' includes WebSockets to this server.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# GraphiQL's editor creates style elements and attributes.
GRAPHIQL_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
REVALIDATE = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"  # for files whose names contain a hash of their content
ENCODINGS = {"br": ".br", "gzip": ".gz"}  # in order of preference


def routes() -> list[Route]:
    """Return the routes of all pages, for GET and HEAD."""
    index = _page(WEB_FOLDER / "index.html")
    return [
        *(Route(path, index) for path in ("/", "/calendar", "/events", "/devices/{mac}")),
        Route("/graphiql", _page(WEB_FOLDER / "graphiql.html", GRAPHIQL_POLICY)),
        Route("/assets/{name}", _folder(WEB_FOLDER / "assets", IMMUTABLE)),
        Route("/docs", _page(DOCS_FOLDER / "docs.html")),
        Route("/docs/docs.js", _page(DOCS_FOLDER / "docs.js")),
        Route("/docs/assets/{name}", _folder(Path(swagger_ui_path), REVALIDATE)),
    ]


def _page(path: Path, policy: str = POLICY) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        if not path.is_file():
            return PlainTextResponse(NOT_BUILT, 503)
        return _file_response(request, path, REVALIDATE, policy)

    return serve


def _folder(folder: Path, cache_control: str) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        # The name cannot lead out of the folder: the route allows no slash in it, and `..` is not a file.
        return _file_response(request, folder / request.path_params["name"], cache_control, POLICY)

    return serve


def _file_response(request: Request, path: Path, cache_control: str, policy: str) -> Response:
    """Return a file, compressed if the client accepts it. Raise HTTPException with 404. Blocks on the disk."""
    media_type, compression = guess_type(path.name)
    if compression:
        raise HTTPException(404)
    headers = HEADERS | {"Cache-Control": cache_control, "Content-Security-Policy": policy}
    try:
        for encoding in _accepted_encodings(request.headers.get("accept-encoding", "")):
            compressed = path.with_name(path.name + ENCODINGS[encoding])
            if compressed.is_file():
                path, headers["Content-Encoding"] = compressed, encoding
                break
        content = path.read_bytes()
    except (OSError, ValueError):
        raise HTTPException(404) from None
    # A hash of the content, because files of two installed versions may have the same time and size.
    headers["ETag"] = f'"{blake2b(content, digest_size=16).hexdigest()}"'
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


def _accepted_encodings(accept_encoding: str) -> list[str]:
    """Return the encodings of our files that a client accepts, in our order of preference."""
    parts = (part.partition(";") for part in accept_encoding.lower().split(","))
    accepted = {name.strip() for name, _, weight in parts if not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)}
    return [encoding for encoding in ENCODINGS if encoding in accepted]
