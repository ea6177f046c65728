"""The server behaves as /openapi.json describes, in thousands of requests generated from the description."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import ignored_auth, positive_data_acceptance
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case

from rest_compat.openapi import document
from tests.conftest import DATABASES, Rows, new_database, sql
from tests.support.server import Server, running

CASES = {"sqlite": 110, "postgresql": 40}  # requests per operation, valid and invalid each: more than 2,000 in total
UNITS = ("minute", "hours", "DAY", "Weeks", "month", "years")
# Tokens have their own tests. A description cannot express that a time must be in the past, or that an end follows a start.
EXCLUDED = [ignored_auth, positive_data_acceptance]

schemathesis.openapi.format(
    "period",
    st.builds("{} {}".format, st.integers(0, 200), st.sampled_from(UNITS)) | st.sampled_from(["P7D", "PT1H", "P"]),
)
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)}


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on each database, with a session of each state. Its log must contain no traceback in the end."""
    folder = tmp_path_factory.mktemp("openapi")
    with running(folder, DATABASE_URL=new_database(request.param, folder)) as server:
        with server.client() as client:
            for n, fields in enumerate(
                (
                    {"start_time": "2025-08-01T10:00:00", "end_time": "2025-08-01T12:00:00"},
                    {"start_time": "2025-08-01T10:00:00", "event_type_conn": "New Device"},
                    {"start_time": "2025-08-01T10:00:00", "event_type_disc": "<missing event>"},
                    {"end_time": "2025-08-01T10:00:00", "event_type_conn": "<missing event>"},
                )
            ):
                body = {"mac": f"AA:BB:CC:DD:EE:F{n}", "ip": "192.168.1.10", "info": 'a "text"\n€ 😀'} | fields
                assert client.post("/sessions/create", json=body).status_code == 200
        yield server
        assert "Traceback" not in server.output.read_text()


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_response_matches_the_description(server: Server, name: str, mode: GenerationMode) -> None:
    """Status, media type, headers and body are as described. Invalid requests are rejected and change nothing."""
    accepted = 0
    kind = "postgresql" if server.database.startswith("postgresql") else "sqlite"

    def stored() -> Rows:
        return sql(server.database, "SELECT count(*), count(disconnected_at), max(id) FROM session")

    @seed(20212)
    @settings(max_examples=CASES[kind], database=None, suppress_health_check=list(HealthCheck))
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    def send(case: Case[Any]) -> None:
        nonlocal accepted
        before = stored()
        response = case.call(server.url, session=session, headers=server.headers)
        # The client leaves out a parameter without a value, so a request that it made invalid would be valid.
        sent = parse_qs(urlsplit(str(response.request.url)).query, keep_blank_values=True)
        assume(set(case.query or ()) <= set(sent))
        case.validate_response(response, excluded_checks=EXCLUDED)
        assert response.status_code < 500
        assert response.status_code == 200 or stored() == before
        accepted += response.status_code == 200

    with requests.Session() as session:
        send()
    # Otherwise only rejections would have been checked.
    assert accepted or not mode.is_positive
