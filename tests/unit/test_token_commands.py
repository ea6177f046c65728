"""`token create` and `token revoke`, and their old names."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from netsessions.cli import main
from netsessions.commands.token import token_commands


def token_command(database: Path, *arguments: str) -> Result:
    """Run a command of the group `token` on a SQLite file."""
    return CliRunner().invoke(main, ["token", *arguments], env={"DATABASE_URL": f"sqlite:///{database}"})


@pytest.mark.parametrize(("create", "revoke"), [("create", "revoke"), ("make", "withdraw")])
def test_token_is_created_listed_and_revoked(tmp_path: Path, create: str, revoke: str) -> None:
    """The old names do the same as the new ones."""
    database = tmp_path / "netsessions.db"
    created = token_command(database, create, "phone", "--scope", "read")
    assert created.exit_code == 0, created.output
    assert created.output.startswith("Token:     ")
    assert token_command(database, "list").output.startswith("phone\tread\t")
    revoked = token_command(database, revoke, "phone")
    assert (revoked.exit_code, revoked.output) == (0, "Revoked: phone\n")
    assert token_command(database, "list").output == ""


def test_help_lists_the_new_names_only() -> None:
    """The help of an old name says which command replaces it."""
    listed = CliRunner().invoke(main, ["token", "--help"]).output
    assert "create" in listed
    assert "revoke" in listed
    assert "make" not in listed
    assert "withdraw" not in listed
    for old_name, name in (("make", "create"), ("withdraw", "revoke")):
        assert token_commands.commands[old_name].callback is token_commands.commands[name].callback
        assert f"Old name of `token {name}`" in CliRunner().invoke(main, ["token", old_name, "--help"]).output
