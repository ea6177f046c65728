"""A setting that cannot work is refused in a sentence before anything is opened, and a token is made once."""

from pathlib import Path
from stat import S_IMODE
from typing import Any

import click
import pytest
from pydantic import ValidationError

from netsessions.settings import Settings, token_for


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"database_url": "mysql://host/name"}, "other databases are not served"),
        ({"database_url": "sqlite:///"}, "must name a file"),
        ({"database_url": "sqlite:///:memory:"}, "a database in memory is not served"),
        ({"database_url": "sqlite:///a.db?mode=ro"}, "without parameters"),
        ({"database_url": "postgresql://a/b", "database_read_url": "sqlite:///a.db"}, "only PostgreSQL has replicas"),
        ({"database_url": "sqlite:///a.db", "database_read_url": "postgresql://a/b"}, "needs a DATABASE_URL of Post"),
        ({"api_token": "short"}, "must be at least 8 visible ASCII characters"),
        ({"radius_clients": "192.0.2.1"}, "RADIUS_CLIENTS|="),
    ],
)
def test_a_setting_that_cannot_work_is_refused(told: dict[str, Any], why: str) -> None:
    """With what to write in its place."""
    with pytest.raises(ValidationError, match=why):
        Settings(_env_file=None, **told)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a store in a folder that is not there yet, without a token."""
    return Settings(_env_file=None, api_token=None, database_url=f"sqlite:///{tmp_path}/new/netsessions.db")


def test_a_token_is_made_once_and_is_its_owners_alone(settings: Settings, tmp_path: Path) -> None:
    """The next start finds it."""
    token, kept = token_for(settings)
    assert kept == tmp_path / "new/api_token"
    assert S_IMODE(kept.stat().st_mode) == 0o600
    assert len(token) >= 32
    assert token_for(settings) == (token, kept)


@pytest.mark.parametrize("content", ["", "short", "two words", "pässwörter"])
def test_a_file_that_holds_no_token_is_named_and_left(settings: Settings, tmp_path: Path, content: str) -> None:
    """It may be a mistake that a person can put right."""
    kept = tmp_path / "new/api_token"
    kept.parent.mkdir()
    kept.write_text(content, encoding="utf-8")
    with pytest.raises(click.ClickException, match=r"api_token holds no token .* delete it to have one made"):
        token_for(settings)
    assert kept.read_text(encoding="utf-8") == content
