"""The program's commands beside the server: they open the store, have a resolver do the work, and print what it did."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, TaskID

from netsessions.settings import Settings, settings_options, zone_of
from resolvers.clock import Clock, Period, parse_period
from resolvers.context import Context, acting
from resolvers.demo import DAYS, Made, NotEmptyError, make_demo
from resolvers.errors import InvalidInputError
from resolvers.importing import Refusals, Report, import_file
from resolvers.live import sweep
from resolvers.moving import Copied, NotTheSameError, copy
from resolvers.retention import Pruned, prune
from storage.citus import SHARDS, shard
from storage.errors import StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.netalertx import SourceError
from storage.opening import open_store
from storage.store import sqlite_path

T = TypeVar("T")


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_of(name)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.") from None


def with_store(settings: Settings, work: Callable[[Context], Awaitable[T]]) -> T:
    """Opens the store, creating it where there is none, for one piece of work; whatever fails becomes one sentence."""

    async def run() -> T:
        store = await open_store(settings.database_url)
        try:
            return await work(Context(store, Clock(settings.zone)))
        finally:
            await store.close()

    with _told(settings.database_path):
        migrate(settings.database_url)
        return asyncio.run(run())


@contextmanager
def _told(path: Path | None = None) -> Iterator[None]:
    """Whatever fails becomes one sentence."""
    name = path or "The database"
    try:
        yield
    except (SourceError, StoreUnusableError, NotTheSameError) as problem:
        raise click.ClickException(str(problem)) from None
    except StoreUnavailableError as problem:
        raise click.ClickException(f"{name} cannot be used now ({problem}). {problem.advice}") from None
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

        report = with_store(settings, work)
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


def _period(text: str) -> Period:
    try:
        return parse_period(text)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.") from None


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how much of how much is done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@click.command("prune")
@click.option("--older-than", type=_period, required=True, metavar="PERIOD", help="As in '2 years', '90 days' or P2Y.")
@click.option("--dry-run", is_flag=True, help="Count what would go, and delete nothing.")
@settings_options("database_url", "timezone")
def prune_command(settings: Settings, older_than: Period, dry_run: bool) -> None:
    """Delete the sessions that ended longer ago than a period, a few at a time. Open ones stay."""

    async def work(context: Context) -> tuple[Pruned, str]:
        with _progress("Sessions") as progress:
            pruned = await prune(context, older_than, dry_run=dry_run, progress=progress)
        return pruned, context.clock.minutes(pruned.before)

    try:
        pruned, before = with_store(settings, work)
    except InvalidInputError as problem:
        raise click.UsageError(f"--older-than: {problem.problem}.") from None
    what = f"sessions that ended before {before} ({settings.timezone})"
    if dry_run:
        click.echo(f"Would delete {pruned.sessions:,} {what}.\nThis was a dry run: nothing was deleted.")
    else:
        click.echo(f"Deleted {pruned.sessions:,} {what}, and {pruned.devices:,} devices of which nothing was left.")


@click.command("sweep")
@click.option("--unseen-for", type=_period, required=True, metavar="PERIOD", help="As in '10 minutes' or PT10M.")
@settings_options("database_url", "timezone")
def sweep_command(settings: Settings, unseen_for: Period) -> None:
    """End the sessions of devices that no heartbeat has told of for longer than a period, at their last one."""
    acting.set("sweep")
    ended = with_store(settings, lambda context: sweep(context, unseen_for))
    click.echo(f"Ended {ended:,} sessions.")


def _address(text: str) -> str:
    try:
        return Settings(database_url=text, database_read_url=None).database_url
    except ValidationError as refused:
        reason = refused.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(f"{reason}.") from None


@click.command("copy")
@click.argument("source", metavar="FROM_URL", type=_address)
@click.argument("target", metavar="TO_URL", type=_address)
def copy_command(source: str, target: str) -> None:
    """Copy all sessions and devices of one database into another, and compare the two.

    Both are written as in DATABASE_URL; stop the server meanwhile. A copy that was interrupted goes on where it is called
    again.
    """
    path = sqlite_path(source)
    if path is not None and not path.is_file():
        raise click.ClickException(f"{path} is not there.")
    there = sqlite_path(target)
    if source == target or (path and there and there.exists() and path.samefile(there)):
        raise click.ClickException("Both addresses are of the same database.")
    console = Console(stderr=True)

    async def run(told: Callable[[str, int], None]) -> Copied:
        async with AsyncExitStack() as stack:
            stores = []
            for url in (source, target):
                stores.append(await open_store(url))
                stack.push_async_callback(stores[-1].close)
            return await copy(stores[0], stores[1], told)

    with _told():
        for url in (source, target):
            migrate(url)
        with Progress("{task.description}: {task.completed:,.0f} sessions", console=console, transient=True,
                      disable=not console.is_terminal) as bar:  # fmt: skip
            tasks: dict[str, TaskID] = {}

            def told(step: str, more: int) -> None:
                if step not in tasks:
                    tasks[step] = bar.add_task(step, total=None)
                bar.advance(tasks[step], more)

            copied = asyncio.run(run(told))
    click.echo(f"Copied {copied.copied:,} sessions. Both databases hold {copied.sessions:,} sessions (checksum "
               f"{copied.checksum}) and {copied.devices:,} devices.")  # fmt: skip


@click.group("db")
def db_commands() -> None:
    """Look after the database."""


@db_commands.command("shard")
@settings_options("database_url")
def shard_command(settings: Settings) -> None:
    """Distribute the tables over the servers of a Citus cluster, by MAC."""
    if settings.database_path:
        raise click.ClickException(f"{settings.database_path} is one file; only PostgreSQL with Citus can be sharded.")
    with _told():
        migrate(settings.database_url)
        done = shard(settings.database_url)
    for table in done.already:
        click.echo(f"{table}: distributed already, left as it is.")
    for table in done.distributed:
        rows = "its rows were moved there, their local copies removed" if done.filled else "it was empty"
        click.echo(f"{table}: distributed by mac over {SHARDS} shards; {rows}.")


@click.command("demo")
@settings_options("database_url")
def demo_command(settings: Settings) -> None:
    """Fill an empty database with an invented network."""

    async def work(context: Context) -> Made:
        return await make_demo(context)

    try:
        made = with_store(settings, work)
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
