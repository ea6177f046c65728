"""The `backup` and `restore` commands, for SQLite databases."""

from datetime import UTC, datetime
from pathlib import Path

import click

from netsessions.commands.common import cli_errors, progress_bar
from netsessions.commands.options import settings_options
from netsessions.settings import Settings
from storage.sqlite.backups import RestoreBlockedError, back_up, restore

FILE_ARGUMENT = click.argument("file", type=click.Path(path_type=Path))


@click.command("backup")
@FILE_ARGUMENT
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@settings_options("database_url")
def backup_command(settings: Settings, file: Path, force: bool) -> None:
    """Write a consistent snapshot of the database to FILE. A server on the database may keep running.

    FILE is a checked SQLite database. Use `netsessions restore` to restore it.
    """
    path = settings.database_path
    if path is None:
        raise click.ClickException("Use pg_dump to back up a PostgreSQL database, as in: pg_dump -Fc -f FILE NAME.")
    if not path.is_file():
        raise click.ClickException(f"{path} does not exist; set DATABASE_URL to the database.")
    if file.exists() and file.samefile(path):
        raise click.ClickException(f"{file} is the database itself; name another file.")
    if file.exists() and not force:
        raise click.ClickException(f"{file} already exists; name another file, or add --force to replace it.")
    with cli_errors(file), progress_bar("Pages") as progress:
        counts = back_up(path, file, progress)
    click.echo(f"Wrote {counts.sessions:,} sessions and {counts.devices:,} devices to {file}.")


@click.command("restore")
@FILE_ARGUMENT
@click.option("--force", is_flag=True, help="Replace a database that contains sessions. It is kept under another name.")
@settings_options("database_url")
def restore_command(settings: Settings, file: Path, force: bool) -> None:
    """Replace the database with a backup. Stop the server first. A backup of an older release is migrated."""
    path = settings.database_path
    if path is None:
        raise click.ClickException(
            "Use pg_restore to restore a pg_dump archive into PostgreSQL. To load a SQLite backup, use: netsessions copy "
            "sqlite:////path/of/FILE postgresql://…"
        )
    if not file.is_file():
        raise click.ClickException(f"{file} does not exist.")
    if path.exists() and file.samefile(path):
        raise click.ClickException(f"{file} is the database itself; name a backup.")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        with cli_errors(path), progress_bar("Pages") as progress:
            restored = restore(file, path, progress, stamp=stamp, force=force)
    except RestoreBlockedError as error:
        raise click.ClickException(str(error)) from None
    counts = restored.counts
    click.echo(f"Restored {counts.sessions:,} sessions and {counts.devices:,} devices into {path}.")
    if restored.previous is not None:
        click.echo(f"The previous database is kept as {restored.previous}.")
