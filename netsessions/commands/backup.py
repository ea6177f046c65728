"""The commands that make a backup of a SQLite database, and put one back."""

from datetime import UTC, datetime
from pathlib import Path

import click

from netsessions.commands.store_commands import showing, told
from netsessions.settings import Settings, settings_options
from storage.sqlite.backups import RestoreRefusedError, back_up, restore

FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command("backup")
@FILE
@click.option("--force", is_flag=True, help="Replace FILE where it is there.")
@settings_options("database_url")
def backup_command(settings: Settings, file: Path, force: bool) -> None:
    """Write what the database holds at this moment into FILE, which is checked before it has its name.

    A server that runs on the database goes on meanwhile. FILE is a SQLite database, for `netsessions restore`.
    """
    path = settings.database_path
    if path is None:
        raise click.ClickException("A PostgreSQL database is backed up by pg_dump, as in: pg_dump -Fc -f FILE NAME.")
    if not path.is_file():
        raise click.ClickException(f"{path} is not there; name the database in DATABASE_URL.")
    if file.exists() and file.samefile(path):
        raise click.ClickException(f"{file} is the database itself; name another file.")
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already; name another file, or add --force to replace it.")
    with told(file), showing("Pages") as progress:
        held = back_up(path, file, progress)
    click.echo(f"Wrote {held.sessions:,} sessions and {held.devices:,} devices to {file}.")


@click.command("restore")
@FILE
@click.option(
    "--force", is_flag=True, help="Also where the database holds sessions; it is kept beside, under another name."
)
@settings_options("database_url")
def restore_command(settings: Settings, file: Path, force: bool) -> None:
    """Put a backup in the place of the database, while no server uses it; one of an earlier release is upgraded."""
    path = settings.database_path
    if path is None:
        raise click.ClickException(
            "Into PostgreSQL, restore what pg_dump wrote by pg_restore, and a SQLite backup by: netsessions copy "
            "sqlite:////path/of/FILE postgresql://…"
        )
    if not file.is_file():
        raise click.ClickException(f"{file} is not there.")
    if path.exists() and file.samefile(path):
        raise click.ClickException(f"{file} is the database itself; name a backup.")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        with told(path), showing("Pages") as progress:
            restored = restore(file, path, progress, stamp=stamp, force=force)
    except RestoreRefusedError as problem:
        raise click.ClickException(str(problem)) from None
    held = restored.held
    click.echo(f"Restored {held.sessions:,} sessions and {held.devices:,} devices into {path}.")
    if restored.aside is not None:
        click.echo(f"What was there is kept as {restored.aside}.")
