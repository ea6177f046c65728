"""The web pages as files: headers, caching, compression and limits."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from netsessions.http import static_files
from tests.support.server import Server, running

PAGES = ("/", "/calendar", "/events", "/devices/AA:BB:CC:DD:EE:FF", "/graphiql", "/docs")
WEB = static_files.WEB_FOLDER
CLIENT = httpx.Client(timeout=60)  # shared, because creating a client takes long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("pages")) as started:
        yield started


def assets() -> list[str]:
    """Return the paths of all built files that pages load."""
    return [f"/assets/{path.name}" for path in (WEB / "assets").iterdir() if path.suffix not in (".br", ".gz")]


def send_request(server: Server, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Send a request without a token. By default, the client accepts no compression."""
    return CLIENT.request(method, server.url + path, headers={"Accept-Encoding": "identity"} | headers)


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    """Return the sources in Content-Security-Policy by directive."""
    directives = (directive.split() for directive in response.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in directives}


@pytest.mark.parametrize("path", PAGES)
def test_page_needs_no_token_and_is_revalidated_each_time(server: Server, path: str) -> None:
    response = send_request(server, path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    again = send_request(server, path, **{"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == response.headers["etag"]
    assert send_request(server, path, **{"If-None-Match": '"another"'}).status_code == 200


def test_all_pages_are_one_document_except_graphiql_and_docs(server: Server) -> None:
    """The script shows the page for the path."""
    documents = [send_request(server, path).text for path in PAGES]
    assert set(documents[:4]) == {(WEB / "index.html").read_text()}
    assert documents[4] == (WEB / "graphiql.html").read_text()
    assert len(set(documents)) == 3


def test_assets_are_cached_for_a_year(server: Server) -> None:
    assert assets()
    for path in assets():
        response = send_request(server, path)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_scripts_and_styles_have_their_media_types(server: Server) -> None:
    """With `nosniff`, browsers do not load them otherwise."""
    for path in assets():
        kind = send_request(server, path, "HEAD").headers.get("content-type", "")
        if path.endswith(".js"):
            assert kind.startswith("text/javascript")
        elif path.endswith(".css"):
            assert kind.startswith("text/css")


def test_every_page_and_asset_has_the_security_headers(server: Server) -> None:
    """Also with status 304."""
    for path in (*PAGES, *assets(), "/docs/docs.js", "/docs/assets/swagger-ui-bundle.js"):
        for etag in ("", send_request(server, path).headers["etag"]):
            response = send_request(server, path, **{"If-None-Match": etag})
            assert response.status_code == (304 if etag else 200)
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["cross-origin-opener-policy"] == "same-origin"
            assert response.headers["vary"] == "Accept-Encoding"
            policy = policy_of(response)
            assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
            assert policy["frame-ancestors"] == ["'none'"]
            assert policy["script-src"] == policy["connect-src"] == policy["font-src"] == ["'self'"]
            assert policy["img-src"] == ["'self'", "data:"]
            if not path.startswith(("/graphiql", "/docs")):
                assert policy["style-src"] == ["'self'"]
                assert "worker-src" not in policy


@pytest.mark.parametrize("path", ["/", "/graphiql", "an asset"])
def test_compressed_files_are_sent_to_clients_that_accept_them(server: Server, path: str) -> None:
    """Brotli is preferred to gzip, a weight of 0 excludes an encoding, and each encoding has its own ETag."""
    path = path if path.startswith("/") else next(name for name in assets() if name.endswith(".js"))
    plain = send_request(server, path)
    assert "content-encoding" not in plain.headers
    etags = {plain.headers["etag"]}
    for accepted, coding in (
        ("gzip, deflate, br, zstd", "br"),
        ("BR", "br"),
        ("gzip;q=1.0, br;q=0.5", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.000, gzip;q=0.001", "gzip"),
        ("br;q=0, gzip; q=0", None),
        ("zstd, *;q=0.1", None),
        ("", None),
    ):
        with CLIENT.stream("GET", server.url + path, headers={"Accept-Encoding": accepted}) as response:
            raw = b"".join(response.iter_raw())
        assert response.headers.get("content-encoding") == coding, accepted
        assert response.headers["content-type"] == plain.headers["content-type"]
        assert len(raw) == int(response.headers["content-length"])
        if coding == "gzip":
            assert gzip.decompress(raw) == plain.content
        if coding == "br":
            assert len(raw) < len(plain.content)
        etags.add(response.headers["etag"])
    assert len(etags) == 3


def test_head_returns_the_headers_of_get(server: Server) -> None:
    for path in (*PAGES, assets()[0]):
        head, get = send_request(server, path, "HEAD"), send_request(server, path)
        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


@pytest.mark.parametrize("path", PAGES)
def test_pages_allow_only_get_and_head(server: Server, path: str) -> None:
    response = send_request(server, path, "POST")
    assert (response.status_code, set(response.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/index.html",
        "/devices",
        "/devices/",
        "/devices/AA:BB:CC:DD:EE:FF/more",
        "/calendar/",
        "/assets",
        "/assets/",
        "/assets/nothing.js",
        "/assets/..",
        "/assets/.",
        "/assets/%00",
        "/assets/..%2findex.html",
        "/assets/..%5cindex.html",
        "/assets/%2e%2e/%2e%2e/pages.py",
        "/assets/%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/docs/assets/..%2f__init__.py",
        "/docs/assets/nothing",
        f"/assets/{'a' * 300}",
    ],
)
def test_unknown_path_gets_404_and_none_leads_out_of_the_folder(server: Server, path: str) -> None:
    """The error is JSON like any other."""
    # A plain connection, because HTTP clients normalize paths.
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 404
        assert json.load(response)["error"] == "not_found"


def test_compressed_file_is_not_served_under_its_own_name(server: Server) -> None:
    """It would lack Content-Encoding."""
    for path in assets():
        assert send_request(server, f"{path}.br").status_code == 404


def test_without_ui_only_the_apis_are_served(tmp_path: Path) -> None:
    """The startup message does not mention the pages."""
    with running(tmp_path, "--no-ui") as server:
        for path in (*PAGES, *assets(), "/docs/docs.js", "/docs/assets/swagger-ui.css"):
            assert send_request(server, path).status_code == 404
        with server.client() as client:
            for path in ("/graphql?query={__typename}", "/sessions/list", "/metrics", "/health", "/openapi.json"):
                assert client.get(path).status_code == 200
        server.stop()
        assert not re.search("graphiql|docs", server.output.read_text().partition("{")[0], re.IGNORECASE)
    with running(tmp_path, UI="false") as server:
        assert send_request(server, "/").status_code == 404


def test_pages_that_are_not_built_say_how_to_build_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else works."""
    monkeypatch.setattr(static_files, "WEB_FOLDER", tmp_path / "web")
    client = TestClient(Starlette(routes=static_files.routes()))
    for path in ("/", "/graphiql"):
        response = client.get(path)
        assert response.status_code == 503
        assert "make install" in response.text
        assert "Traceback" not in response.text
    assert client.get("/assets/index.js").status_code == 404
    assert client.get("/docs").status_code == 200


def loaded_by(page: str) -> set[Path]:
    """Return the scripts that a page loads, directly or through other scripts, at once or later."""
    scripts = {path for path in (WEB / "assets").iterdir() if path.suffix == ".js"}
    loaded: set[Path] = set()
    unread = [WEB / page]
    while unread:
        text = unread.pop().read_text(encoding="utf-8")
        named = {path for path in scripts - loaded if path.name in text}
        loaded |= named
        unread.extend(named)
    return loaded


def test_pages_load_at_most_60_kb_of_scripts() -> None:
    """Compressed, all pages together, including scripts that load later, without GraphiQL."""
    scripts = loaded_by("index.html")
    assert scripts
    assert sum(path.with_name(f"{path.name}.br").stat().st_size for path in scripts) <= 60_000
    assert loaded_by("graphiql.html") - scripts
    assert not [path for path in scripts if "monaco" in path.name]


def test_pages_name_no_other_host() -> None:
    """Except XML namespaces, which are not requested, and a link in an error message of the router."""
    texts = [(WEB / "index.html").read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8") for path in loaded_by("index.html")]
    texts += [path.read_text(encoding="utf-8") for path in (WEB / "assets").glob("*.svg")]
    urls = set(re.findall(r"""(?:\bhttps?:|\bwss?:|["'`])//[\w.-]+[^"'`\s]*""", "".join(texts)))
    explained = {url for url in urls if url.startswith("https://github.com/preactjs/preact-iso#")}
    assert {url for url in urls - explained if not url.startswith("http://www.w3.org/")} == set()


def test_documents_and_styles_load_nothing_from_other_hosts() -> None:
    """GraphiQL's scripts contain URLs in texts. The browser tests check what they request."""
    for path in (*WEB.glob("*.html"), *(WEB / "assets").glob("*.css"), static_files.DOCS_FOLDER / "docs.html"):
        text = path.read_text(encoding="utf-8")
        loads = re.findall(r"""(?:src|href)=["']?([^"'> ]+)|url\(["']?([^"')]+)|@import\s+["']([^"']+)""", text)
        for address in ("".join(groups) for groups in loads):
            assert re.match(r"(/(?!/)|data:|#|[\w.-]+$)", address), f"{path.name}: {address[:100]}"


def test_every_text_file_has_compressed_copies() -> None:
    """So that nothing is compressed during a request."""
    texts = [path for path in WEB.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg")]
    assert len(texts) > 4
    for path in texts:
        assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()
        assert path.with_name(f"{path.name}.br").is_file()
