"""The program's commands beside the server: they open the store, have a resolver do the work, and print what it did."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, TaskID

from netsessions.maintenance import SWEEP
from netsessions.settings import Settings, settings_options
from resolvers.context import Context, acting
from resolvers.errors import InvalidInputError
from resolvers.heartbeats import sweep
from resolvers.maintenance.copy import Copied, NotTheSameError, copy
from resolvers.maintenance.demo import DAYS, Made, NotEmptyError, make_demo
from resolvers.maintenance.prune import Pruned, prune
from resolvers.validation.clock import Clock, Period, parse_period
from storage.errors import StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.opening import open_store
from storage.postgresql.citus import SHARDS, shard
from storage.sources.files import SourceError
from storage.store import sqlite_path

T = TypeVar("T")


def period(text: str) -> Period:
    """An option that is a period."""
    try:
        return parse_period(text)
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

    with told(settings.database_path):
        migrate(settings.database_url)
        return asyncio.run(run())


@contextmanager
def told(path: Path | None = None) -> Iterator[None]:
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


@contextmanager
def showing(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how much of how much is done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@click.command("prune")
@click.option("--older-than", type=period, required=True, metavar="PERIOD", help="As in '2 years', '90 days' or P2Y.")
@click.option("--dry-run", is_flag=True, help="Count what would go, and delete nothing.")
@settings_options("database_url", "timezone")
def prune_command(settings: Settings, older_than: Period, dry_run: bool) -> None:
    """Delete the sessions that ended longer ago than a period, a few at a time. Open ones stay."""

    async def work(context: Context) -> tuple[Pruned, str]:
        with showing("Sessions") as progress:
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
@click.option("--unseen-for", type=period, required=True, metavar="PERIOD", help="As in '10 minutes' or PT10M.")
@settings_options("database_url", "timezone")
def sweep_command(settings: Settings, unseen_for: Period) -> None:
    """End the sessions of devices that no heartbeat has told of for longer than a period, at their last one."""

    async def work(context: Context) -> int:
        acting.set(SWEEP)
        return await sweep(context, unseen_for)

    try:
        ended = with_store(settings, work)
    except InvalidInputError as problem:
        raise click.UsageError(f"--unseen-for: {problem.problem}.") from None
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

    async def run(tell: Callable[[str, int], None]) -> Copied:
        async with AsyncExitStack() as stack:
            stores = []
            for url in (source, target):
                stores.append(await open_store(url))
                stack.push_async_callback(stores[-1].close)
            return await copy(stores[0], stores[1], tell)

    with told():
        for url in (source, target):
            migrate(url)
        with Progress("{task.description}: {task.completed:,.0f} sessions", console=console, transient=True,
                      disable=not console.is_terminal) as bar:  # fmt: skip
            tasks: dict[str, TaskID] = {}

            def tell(step: str, more: int) -> None:
                if step not in tasks:
                    tasks[step] = bar.add_task(step, total=None)
                bar.advance(tasks[step], more)

            copied = asyncio.run(run(tell))
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
    with told():
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
