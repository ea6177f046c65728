"""The pages for people: GraphiQL over the GraphQL door, and the description of the REST door."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

_HERE = Path(__file__).parent
_GRAPHIQL = (_HERE / "graphiql.html").read_text(encoding="utf-8")
_DOCS = (_HERE / "docs.html").read_text(encoding="utf-8")

docs_assets = StaticFiles(directory=swagger_ui_path)


async def graphiql(_: Request) -> Response:
    """A page to write GraphQL in."""
    return HTMLResponse(_GRAPHIQL)


async def docs(_: Request) -> Response:
    """A page to read about the REST door, and to try it."""
    return HTMLResponse(_DOCS)
