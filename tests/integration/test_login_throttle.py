"""Throttling of addresses that send wrong tokens."""

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from netsessions.http import login_throttle
from netsessions.http.login_throttle import LoginThrottle, network_of
from netsessions.settings import AccessPolicy
from resolvers.errors import TooManyRequestsError
from tests.support.clients import CLIENT_ADDRESS, OTHER_ADDRESS, ClientFor, MakeToken, open_socket
from tests.support.server import TOKEN


def statuses_of(client_for: ClientFor, token: str, access: AccessPolicy, address: str = CLIENT_ADDRESS) -> list[int]:
    """Return the status of a token for REST, GraphQL, the calendar feed and both kinds of WebSocket."""
    asking = client_for(token, access, address)
    answers = [asking.get("/sessions/list"), asking.post("/graphql", json={"query": "{ sessionTotals { all } }"})]
    answers.append(client_for(None, access, address).get("/sessions/calendar.ics", params={"token": token}))
    for answer in answers:
        if answer.status_code == 429:
            assert 0 < int(answer.headers["Retry-After"]) <= login_throttle.WINDOW_SECONDS
    statuses = [answer.status_code for answer in answers]
    try:
        with open_socket(client_for(None, access, address), token, in_header=True) as socket:
            assert socket.receive_json() == {"type": "connection_ack"}
            statuses.append(200)
    except WebSocketDenialResponse as denied:
        statuses.append(denied.status_code)
    with open_socket(client_for(None, access, address), token) as socket:
        try:
            assert socket.receive_json() == {"type": "connection_ack"}
            statuses.append(200)
        except WebSocketDisconnect as closed:
            statuses.append(closed.code)
    return statuses


def test_too_many_wrong_tokens_block_an_address_for_a_while(
    client_for: ClientFor, make_token: MakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This applies to every API and to valid tokens that were not used from there before. Other addresses are not blocked."""
    now = 1000.0
    monkeypatch.setattr(login_throttle, "monotonic", lambda: now)
    access, used_token, unused_token = (
        AccessPolicy(wrong_tokens_per_minute=5),
        make_token("read", "used"),
        make_token("read", "unused"),
    )
    assert client_for(used_token, access).get("/sessions/list").status_code == 200
    assert statuses_of(client_for, "a-wrong-token", access) == [401, 401, 401, 401, 4401]
    for token in ("a-wrong-token", unused_token, TOKEN):
        assert statuses_of(client_for, token, access) == [429, 429, 429, 429, 4429], token
    assert client_for(used_token, access).get("/sessions/list").status_code == 200
    assert client_for(TOKEN, access, OTHER_ADDRESS).get("/sessions/list").status_code == 200
    assert client_for(None, access).get("/health").status_code == 200
    now += login_throttle.WINDOW_SECONDS
    assert client_for(TOKEN, access).get("/sessions/list").status_code == 200
    # The count starts again.
    for _ in range(5):
        assert client_for("a-wrong-token", access).get("/sessions/list").status_code == 401
    assert client_for("a-wrong-token", access).get("/sessions/list").status_code == 429


def test_a_blocked_token_is_not_compared(client_for: ClientFor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked up either, so neither the response nor its time reveals whether it is valid."""
    access, compared = AccessPolicy(wrong_tokens_per_minute=1), []
    client_for("a-wrong-token", access).get("/sessions/list")
    monkeypatch.setattr("netsessions.http.authentication.hmac.compare_digest", lambda *pair: compared.append(pair))
    monkeypatch.setattr("resolvers.tokens.find_by_digest", lambda *pair: compared.append(pair))
    assert statuses_of(client_for, TOKEN, access) == [429, 429, 429, 429, 4429]
    assert compared == []


def test_requests_without_a_token_are_not_counted(client_for: ClientFor) -> None:
    """They get 401, however many there are."""
    access = AccessPolicy(wrong_tokens_per_minute=2)
    for _ in range(5):
        assert client_for(None, access).get("/sessions/list").status_code == 401
    assert client_for(TOKEN, access).get("/sessions/list").status_code == 200


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("somewhere", "somewhere", True),
        ("", "192.0.2.2", False),
    ],
)
def test_an_ipv6_64_network_counts_as_one_address(first: str, second: str, same: bool) -> None:
    """A host can use all addresses of its /64 network."""
    assert (network_of(first) == network_of(second)) == same


def test_the_throttle_remembers_a_bounded_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are dropped first."""
    monkeypatch.setattr(login_throttle, "MAX_ENTRIES", 10)
    failed = LoginThrottle(1)
    for n in range(100):
        failed.record_failure(f"10.0.0.{n}")
        failed.record_success(f"10.0.0.{n}", "digest")
    assert (len(failed._failures), len(failed._successes)) == (10, 10)
    failed.check("10.0.0.0", b"x")
    with pytest.raises(TooManyRequestsError):
        failed.check("10.0.0.99", b"x")
