"""Origins of browsers: WebSocket handshakes and CORS."""

from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import InvalidStatus

from netsessions.settings import AccessPolicy, Settings
from resolvers.context import Context
from tests.support.clients import ClientFor, bearer, open_socket
from tests.support.server import TOKEN, running
from tests.support.websocket import open_websocket

OWN_ORIGINS = ["http://testserver", "https://testserver"]
FOREIGN_ORIGINS = ["http://evil.example", "https://testserver.evil.example", "http://testserver:8080", "null", ""]


@pytest.mark.parametrize("origin", OWN_ORIGINS + FOREIGN_ORIGINS)
def test_a_websocket_from_another_origin_is_rejected(context: Context, client_for: ClientFor, origin: str) -> None:
    """The handshake fails with 403, whatever the token. The same origin is accepted."""
    host = "testserver:443" if origin.startswith("https") and origin in OWN_ORIGINS else "testserver"
    headers: dict[str, Any] = {"Origin": origin, "Host": host}
    if origin in OWN_ORIGINS:
        with open_socket(client_for(None), TOKEN, **headers) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}
        return
    for in_header in (True, False):
        with (
            pytest.raises(WebSocketDisconnect) as rejected,
            open_socket(client_for(None), TOKEN, in_header=in_header, **headers),
        ):
            pass
        assert rejected.value.code == 1008  # closed before accepting, which the web server sends as 403


def test_the_server_rejects_a_foreign_origin_with_403(tmp_path: Path) -> None:
    """An origin in ALLOWED_ORIGINS is accepted."""
    with running(tmp_path, ALLOWED_ORIGINS="https://ui.example HTTP://Other.Example:80") as server:
        for origin in ("https://ui.example", "http://other.example", server.url):
            with open_websocket(server, origin=origin, additional_headers=bearer(TOKEN)) as socket:
                socket.send('{"type": "connection_init"}')
                assert "connection_ack" in socket.recv(timeout=20)
        with pytest.raises(InvalidStatus) as rejected:
            open_websocket(server, origin="https://evil.example", additional_headers=bearer(TOKEN))
        assert rejected.value.response.status_code == 403


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}


def test_cors_allows_only_the_configured_origins(client_for: ClientFor) -> None:
    """CORS is off by default. ALLOWED_ORIGINS enables it for these origins, without cookies."""
    allowed_origin, other_origin = {"Origin": "https://ui.example"}, {"Origin": "https://evil.example"}
    for answer in (
        client_for().get("/sessions/list", headers=allowed_origin),
        client_for(None).options("/graphql", headers=allowed_origin | PREFLIGHT),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    access = AccessPolicy(allowed_origins=("https://ui.example",))
    for path in ("/graphql", "/sessions/create", "/metrics"):
        allowed = client_for(None, access).options(path, headers=allowed_origin | PREFLIGHT)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, allowed_origin["Origin"])
        assert client_for(None, access).options(path, headers=other_origin | PREFLIGHT).status_code == 400
    for asking, status in ((client_for(access=access), 200), (client_for("wrong-token", access), 401)):
        answer = asking.get("/sessions/list", headers=allowed_origin)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, allowed_origin["Origin"])
        assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in asking.get("/sessions/list", headers=other_origin).headers


@pytest.mark.parametrize(
    "text", ["*", "ui.example", "https://ui.example/path", "https://ui.example?x", "https://a@ui.example", "file:///x"]
)
def test_an_invalid_origin_is_rejected_at_startup(text: str) -> None:
    """The message names the entry by its position."""
    with pytest.raises(ValueError, match="entry 2 is not"):
        Settings(allowed_origins=f"https://good.example {text}")
