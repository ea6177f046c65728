"""Settings are validated before anything is opened; the server's token is generated once."""

from pathlib import Path
from stat import S_IMODE
from typing import Any

import click
import pytest
from pydantic import ValidationError

from netsessions.api_token import load_or_create
from netsessions.settings import Settings


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"database_url": "mysql://host/name"}, "other databases are not supported"),
        ({"database_url": "sqlite:///"}, "must name a file"),
        ({"database_url": "sqlite:///:memory:"}, "in-memory databases are not supported"),
        ({"database_url": "sqlite:///a.db?mode=ro"}, "without parameters"),
        ({"database_url": "postgresql://a/b", "database_read_url": "sqlite:///a.db"}, "only PostgreSQL has replicas"),
        (
            {"database_url": "sqlite:///a.db", "database_read_url": "postgresql://a/b"},
            "needs a PostgreSQL DATABASE_URL",
        ),
        ({"api_token": "short"}, "must be at least 8 visible ASCII characters"),
        ({"radius_clients": "192.0.2.1"}, "RADIUS_CLIENTS|="),
    ],
)
def test_invalid_setting_is_rejected(values: dict[str, Any], reason: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(ValidationError, match=reason):
        Settings(_env_file=None, **values)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings without a token, with the database in a folder that does not exist."""
    return Settings(_env_file=None, api_token=None, database_url=f"sqlite:///{tmp_path}/new/netsessions.db")


def test_token_is_generated_once_and_readable_by_its_owner_only(settings: Settings, tmp_path: Path) -> None:
    """The next start reads the same token."""
    token, path = load_or_create(settings)
    assert path == tmp_path / "new/api_token"
    assert S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 32
    assert load_or_create(settings) == (token, path)


@pytest.mark.parametrize("content", ["", "short", "two words", "pässwörter"])
def test_invalid_token_file_is_reported_and_not_changed(settings: Settings, tmp_path: Path, content: str) -> None:
    """It may be a mistake that the operator can correct."""
    path = tmp_path / "new/api_token"
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    message = r"api_token does not contain a token .* delete the file to have a new token generated"
    with pytest.raises(click.ClickException, match=message):
        load_or_create(settings)
    assert path.read_text(encoding="utf-8") == content
