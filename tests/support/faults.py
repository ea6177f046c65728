"""Checks of stored sessions and responses after a fault."""

from storage.store import sqlite_path
from tests.conftest import sql
from tests.support.load import Load


def stored_infos(url: str) -> set[str]:
    """Return `info` of all sessions. Check the integrity of the file, and that no session is stored or recorded twice."""
    if sqlite_path(url):
        assert sql(url, "PRAGMA integrity_check") == [("ok",)]
    infos = [row[0] for row in sql(url, "SELECT info FROM session")]
    assert len(infos) == len(set(infos))
    assert sql(url, "SELECT count(*) FROM change WHERE kind = 'CREATED'") == [(len(infos),)]
    return set(infos)


def check_responses(load: Load, reads: set[int], status: str) -> None:
    """Check the status of all reads, and that every rejected write has the status and body of the fault."""
    assert set(load.reads) <= reads
    for info, response in load.rejected.items():
        assert response.status_code == int(status), response.text
        assert int(response.headers["Retry-After"]) > 0
        body = response.json()
        if info.startswith("graphql"):
            code = {"503": "SERVICE_UNAVAILABLE", "507": "INSUFFICIENT_STORAGE"}[status]
            assert body["errors"][0]["extensions"]["code"] == code
        else:
            assert body["success"] is False
            assert body["error"] == {"503": "unavailable", "507": "insufficient_storage"}[status]
