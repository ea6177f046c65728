"""The program's commands beside the server: they open the store, have a resolver do the work, and print what it did."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.progress import Progress

from netsessions.settings import Settings, settings_options, zone_of
from resolvers.clock import Clock
from resolvers.context import Context
from resolvers.demo import DAYS, Made, NotEmptyError, make_demo
from resolvers.importing import Refusals, Report, import_file
from storage.errors import StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.netalertx import SourceError
from storage.store import open_store

T = TypeVar("T")


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_of(name)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.") from None


def _with_store(settings: Settings, work: Callable[[Context], Awaitable[T]]) -> T:
    """Opens the store, creating it where there is none, for one piece of work; whatever fails becomes one sentence."""

    async def run() -> T:
        store = await open_store(settings.database_url)
        try:
            return await work(Context(store, Clock(settings.zone)))
        finally:
            await store.close()

    name = settings.database_path or "The PostgreSQL database"
    try:
        migrate(settings.database_url)
        return asyncio.run(run())
    except (SourceError, StoreUnusableError) as problem:
        raise click.ClickException(str(problem)) from None
    except StoreUnavailableError as problem:
        raise click.ClickException(f"{name} cannot be written now ({problem}). {problem.advice}") from None
    except OSError as problem:
        raise click.ClickException(f"{name} cannot be used as a database ({problem.strerror}).") from None


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timezone",
    "zone",
    type=_zone,
    metavar="ZONE",
    help="Zone of the file's local times.  [default: the server's TIMEZONE]",
)
@click.option("--dry-run", is_flag=True, help="Read and count everything, and store nothing.")
@settings_options("database_url")
def import_command(settings: Settings, file: Path, zone: ZoneInfo | None, dry_run: bool) -> None:
    """Take over the sessions and device names of a NetAlertX or Pi.Alert database.

    FILE is only read. A second import of the same file adds nothing.
    """
    store = settings.database_path
    # Not even opened: the store's own locks would end with the file that is read.
    if store is not None and file.exists() and store.exists() and file.samefile(store):
        raise click.ClickException(f"{file} is the store itself; name a database of NetAlertX or Pi.Alert.")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Sessions", total=None)

        async def work(context: Context) -> Report:
            return await import_file(
                context,
                file,
                zone,
                dry_run=dry_run,
                progress=lambda read, total: bar.update(task, completed=read, total=total),
            )

        report = _with_store(settings, work)
    if not report.local_time and zone is not None:
        click.echo(f"--timezone {zone.key} is ignored: the times of this file are UTC.", err=True)
    _print(report, dry_run=dry_run)


def _print(report: Report, *, dry_run: bool) -> None:
    click.echo(f"Times read as {f'local time of {report.zone}' if report.local_time else 'UTC'}.")
    click.echo(f"Sessions read:  {report.read:>10,}")
    click.echo(f"  imported      {report.imported:>10,}")
    click.echo(f"    still connected       {report.connected:>10,}")
    click.echo(f"    connection missing    {report.missing_connection:>10,}")
    click.echo(f"    disconnection missing {report.missing_disconnection:>10,}")
    click.echo(f"  completed     {report.completed:>10,}")
    click.echo(f"  already there {report.already_there:>10,}")
    click.echo(f"  refused       {report.refused_count:>10,}")
    _print_refusals(report.refused)
    click.echo(f"Devices named:  {report.devices_named:>10,}")
    _print_refusals(report.devices_refused)
    if dry_run:
        click.echo("This was a dry run: nothing was stored.")


def _print_refusals(refused: Mapping[str, Refusals]) -> None:
    for reason, refusals in sorted(refused.items(), key=lambda item: -item[1].count):
        click.echo(f"    {reason}: {refusals.count:,}")
        for rowid, value in refusals.examples:
            click.echo(f"      row {rowid}: {value}")


@click.command("demo")
@settings_options("database_url")
def demo_command(settings: Settings) -> None:
    """Fill an empty database with an invented network."""

    async def work(context: Context) -> Made:
        return await make_demo(context)

    try:
        made = _with_store(settings, work)
    except NotEmptyError:
        raise click.ClickException(
            f"{settings.database_path or 'The database'} holds sessions already; "
            "name another one in DATABASE_URL for the demo."
        ) from None
    click.echo(f"Made {made.sessions:,} sessions of {made.devices} devices over the last {DAYS} days:")
    click.echo(f"  still connected       {made.connected:>6,}")
    click.echo(f"  connection missing    {made.missing_connection:>6,}")
    click.echo(f"  disconnection missing {made.missing_disconnection:>6,}")
    for event_type, count in sorted(made.event_types.items(), key=lambda item: -item[1]):
        click.echo(f"  {event_type:<21} {count:>6,}")
