"""The pages for people, as files that were built and compressed ahead of time. They need no token: they ask for one."""

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

HERE = Path(__file__).parent
WEB = HERE.parent / "web"
NOT_BUILT = (
    "The pages are not built. `make install`, in the folder of the sources, builds them; everything else answers.\n"
)

# To 'self' belong WebSockets to this server, too.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# GraphiQL's editor writes style elements and attributes as it goes.
GRAPHIQL_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
REVALIDATED = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"  # for files whose names tell their content
CODINGS = {"br": ".br", "gzip": ".gz"}  # the best first


def _codings(accepted: str) -> list[str]:
    """What a client takes of what lies beside a file, the best first."""
    parts = (part.partition(";") for part in accepted.lower().split(","))
    taken = {name.strip() for name, _, weight in parts if not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)}
    return [coding for coding in CODINGS if coding in taken]


def _answer(request: Request, path: Path, cache: str, policy: str) -> Response:
    """A file, or the same compressed; 404 where there is none. It may wait for the disk."""
    kind, packed = guess_type(path.name)
    if packed:
        raise HTTPException(404)
    headers = HEADERS | {"Cache-Control": cache, "Content-Security-Policy": policy}
    try:
        for coding in _codings(request.headers.get("accept-encoding", "")):
            beside = path.with_name(path.name + CODINGS[coding])
            if beside.is_file():
                path, headers["Content-Encoding"] = beside, coding
                break
        content = path.read_bytes()
    except (OSError, ValueError):
        raise HTTPException(404) from None
    # Of the content, as the files of two installed versions may be of one time and one size.
    headers["ETag"] = f'"{blake2b(content, digest_size=16).hexdigest()}"'
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


def _one(path: Path, policy: str = POLICY) -> Callable[[Request], Response]:
    def file(request: Request) -> Response:
        if not path.is_file():
            return PlainTextResponse(NOT_BUILT, 503)
        return _answer(request, path, REVALIDATED, policy)

    return file


def _each(folder: Path, cache: str) -> Callable[[Request], Response]:
    def file(request: Request) -> Response:
        # No way leads out: a name that a route takes has no slash in it, and `..` is no file.
        return _answer(request, folder / request.path_params["name"], cache, POLICY)

    return file


def routes() -> list[Route]:
    """Every path of the pages, for GET and HEAD."""
    index = _one(WEB / "index.html")
    return [
        *(Route(path, index) for path in ("/", "/calendar", "/events", "/devices/{mac}")),
        Route("/graphiql", _one(WEB / "graphiql.html", GRAPHIQL_POLICY)),
        Route("/assets/{name}", _each(WEB / "assets", FOR_EVER)),
        Route("/docs", _one(HERE / "docs.html")),
        Route("/docs/docs.js", _one(HERE / "docs.js")),
        Route("/docs/assets/{name}", _each(Path(swagger_ui_path), REVALIDATED)),
    ]
