"""What is answered to who asks for pages: files that were built, with what a browser is to do with them."""

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

from netsessions.http import static_files as pages
from tests.support.server import Server, running

PAGES = ("/", "/calendar", "/events", "/devices/AA:BB:CC:DD:EE:FF", "/graphiql", "/docs")
BUILT = pages.WEB
CLIENT = httpx.Client(timeout=60)  # one for all: each takes its time to be made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("pages")) as started:
        yield started


def assets() -> list[str]:
    """The addresses of all built files that pages load."""
    return [f"/assets/{path.name}" for path in (BUILT / "assets").iterdir() if path.suffix not in (".br", ".gz")]


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """What a client without a token is answered; it takes nothing compressed unless told."""
    return CLIENT.request(method, server.url + path, headers={"Accept-Encoding": "identity"} | headers)


def policy_of(answer: httpx.Response) -> dict[str, list[str]]:
    """Content-Security-Policy, by its directives."""
    directives = (directive.split() for directive in answer.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in directives}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_a_token_and_is_asked_for_anew_each_time(server: Server, path: str) -> None:
    """Its assets' names tell their content; its own does not."""
    answer = ask(server, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    again = ask(server, path, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]
    assert ask(server, path, **{"If-None-Match": '"another"'}).status_code == 200


def test_paths_of_the_pages_answer_one_document_and_graphiql_another(server: Server) -> None:
    """Which page it is, the address tells the script."""
    documents = [ask(server, path).text for path in PAGES]
    assert set(documents[:4]) == {(BUILT / "index.html").read_text()}
    assert documents[4] == (BUILT / "graphiql.html").read_text()
    assert len(set(documents)) == 3


def test_an_asset_is_kept_for_ever(server: Server) -> None:
    """A year; each of them, and nothing but."""
    assert assets()
    for path in assets():
        answer = ask(server, path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_scripts_and_styles_have_the_type_without_which_a_browser_refuses_them(server: Server) -> None:
    """They are told not to guess."""
    for path in assets():
        kind = ask(server, path, "HEAD").headers.get("content-type", "")
        if path.endswith(".js"):
            assert kind.startswith("text/javascript")
        elif path.endswith(".css"):
            assert kind.startswith("text/css")


def test_every_page_and_asset_carries_the_headers(server: Server) -> None:
    """Also when it was not modified."""
    for path in (*PAGES, *assets(), "/docs/docs.js", "/docs/assets/swagger-ui-bundle.js"):
        for etag in ("", ask(server, path).headers["etag"]):
            answer = ask(server, path, **{"If-None-Match": etag})
            assert answer.status_code == (304 if etag else 200)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["vary"] == "Accept-Encoding"
            policy = policy_of(answer)
            assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
            assert policy["frame-ancestors"] == ["'none'"]
            assert policy["script-src"] == policy["connect-src"] == policy["font-src"] == ["'self'"]
            assert policy["img-src"] == ["'self'", "data:"]
            if not path.startswith(("/graphiql", "/docs")):
                assert policy["style-src"] == ["'self'"]
                assert "worker-src" not in policy


@pytest.mark.parametrize("path", ["/", "/graphiql", "an asset"])
def test_what_was_compressed_ahead_goes_to_who_takes_it(server: Server, path: str) -> None:
    """Brotli before gzip, and nothing with a weight of 0; each is another representation."""
    path = path if path.startswith("/") else next(name for name in assets() if name.endswith(".js"))
    plain = ask(server, path)
    assert "content-encoding" not in plain.headers
    seen = {plain.headers["etag"]}
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
        with CLIENT.stream("GET", server.url + path, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers.get("content-encoding") == coding, accepted
        assert answer.headers["content-type"] == plain.headers["content-type"]
        assert len(raw) == int(answer.headers["content-length"])
        if coding == "gzip":
            assert gzip.decompress(raw) == plain.content
        if coding == "br":
            assert len(raw) < len(plain.content)
        seen.add(answer.headers["etag"])
    assert len(seen) == 3


def test_head_answers_as_get_without_the_body(server: Server) -> None:
    """For who only looks whether it is there."""
    for path in (*PAGES, assets()[0]):
        told, there = ask(server, path, "HEAD"), ask(server, path)
        assert (told.status_code, told.content) == (200, b"")
        assert {**told.headers, "date": ""} == {**there.headers, "date": ""}


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_read_only(server: Server, path: str) -> None:
    """Another method is refused as everywhere."""
    answer = ask(server, path, "POST")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


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
def test_what_is_no_page_and_no_file_of_theirs_is_not_found(server: Server, path: str) -> None:
    """Nor does any way lead out of their folder. As JSON, like all failures."""
    # Not by a client that would tidy the path up.
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 404
        assert json.load(answer)["error"] == "not_found"


def test_a_compressed_file_is_not_answered_under_its_own_name(server: Server) -> None:
    """It would come without the header that says what it is."""
    for path in assets():
        assert ask(server, f"{path}.br").status_code == 404


def test_without_ui_only_the_doors_are_left(tmp_path: Path) -> None:
    """And nothing is told of the pages at the start."""
    with running(tmp_path, "--no-ui") as server:
        for path in (*PAGES, *assets(), "/docs/docs.js", "/docs/assets/swagger-ui.css"):
            assert ask(server, path).status_code == 404
        with server.client() as client:
            for path in ("/graphql?query={__typename}", "/sessions/list", "/metrics", "/health", "/openapi.json"):
                assert client.get(path).status_code == 200
        server.stop()
        assert not re.search("graphiql|docs", server.output.read_text().partition("{")[0], re.IGNORECASE)
    with running(tmp_path, UI="false") as server:
        assert ask(server, "/").status_code == 404


def test_pages_that_were_not_built_say_how_to_build_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence; whatever else there is goes on."""
    monkeypatch.setattr(pages, "WEB", tmp_path / "web")
    client = TestClient(Starlette(routes=pages.routes()))
    for path in ("/", "/graphiql"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "make install" in answer.text
        assert "Traceback" not in answer.text
    assert client.get("/assets/index.js").status_code == 404
    assert client.get("/docs").status_code == 200


def loaded_by(page: str) -> set[Path]:
    """The scripts of a built page: those that it names, and those that they name, at once or when they are wanted."""
    scripts = {path for path in (BUILT / "assets").iterdir() if path.suffix == ".js"}
    found: set[Path] = set()
    waiting = [BUILT / page]
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        more = {path for path in scripts - found if path.name in text}
        found |= more
        waiting.extend(more)
    return found


def test_the_pages_load_at_most_60_kb_of_scripts() -> None:
    """Compressed, all of them together, also what comes only when it is wanted; GraphiQL is no part of them."""
    scripts = loaded_by("index.html")
    assert scripts
    assert sum(path.with_name(f"{path.name}.br").stat().st_size for path in scripts) <= 60_000
    assert loaded_by("graphiql.html") - scripts
    assert not [path for path in scripts if "monaco" in path.name]


def test_the_pages_name_no_other_host() -> None:
    """But for namespaces, which are names and not asked for, and what the router says in an error."""
    texts = [(BUILT / "index.html").read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8") for path in loaded_by("index.html")]
    texts += [path.read_text(encoding="utf-8") for path in (BUILT / "assets").glob("*.svg")]
    named = set(re.findall(r"""(?:\bhttps?:|\bwss?:|["'`])//[\w.-]+[^"'`\s]*""", "".join(texts)))
    explained = {name for name in named if name.startswith("https://github.com/preactjs/preact-iso#")}
    assert {name for name in named - explained if not name.startswith("http://www.w3.org/")} == set()


def test_no_document_or_style_loads_from_another_host() -> None:
    """GraphiQL's scripts have addresses in texts to read; what they ask for, the tests in a browser watch."""
    for path in (*BUILT.glob("*.html"), *(BUILT / "assets").glob("*.css"), pages.HERE / "docs.html"):
        text = path.read_text(encoding="utf-8")
        loads = re.findall(r"""(?:src|href)=["']?([^"'> ]+)|url\(["']?([^"')]+)|@import\s+["']([^"']+)""", text)
        for address in ("".join(found) for found in loads):
            assert re.match(r"(/(?!/)|data:|#|[\w.-]+$)", address), f"{path.name}: {address[:100]}"


def test_every_text_lies_there_compressed_too() -> None:
    """Nothing is compressed while somebody waits."""
    texts = [path for path in BUILT.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg")]
    assert len(texts) > 4
    for path in texts:
        assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()
        assert path.with_name(f"{path.name}.br").is_file()
