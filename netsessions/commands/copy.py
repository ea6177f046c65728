"""The `copy` command."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, TaskID

from netsessions.commands.common import cli_errors
from netsessions.settings import Settings
from resolvers.maintenance.copy import CopyReport, copy_database
from storage.migrations import migrate
from storage.opening import open_store
from storage.store import sqlite_path


def _parse_database_url(text: str) -> str:
    try:
        return Settings(database_url=text, database_read_url=None).database_url
    except ValidationError as error:
        reason = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(f"{reason}.") from None


@click.command("copy")
@click.argument("source", metavar="FROM_URL", type=_parse_database_url)
@click.argument("target", metavar="TO_URL", type=_parse_database_url)
def copy_command(source: str, target: str) -> None:
    """Copy all sessions and devices from one database to another, and compare the two.

    Write both URLs as in DATABASE_URL. Stop the server first. To resume an interrupted copy, run the command again.
    """
    source_path, target_path = sqlite_path(source), sqlite_path(target)
    if source_path is not None and not source_path.is_file():
        raise click.ClickException(f"{source_path} does not exist.")
    if source == target or (source_path and target_path and target_path.exists() and source_path.samefile(target_path)):
        raise click.ClickException("Both URLs name the same database.")
    with cli_errors():
        for url in (source, target):
            migrate(url)
        result = _copy(source, target)
    click.echo(
        f"Copied {result.copied:,} sessions. Both databases contain {result.sessions:,} sessions "
        f"(checksum {result.checksum}) and {result.devices:,} devices."
    )


def _copy(source: str, target: str) -> CopyReport:
    console = Console(stderr=True)
    with Progress(
        "{task.description}: {task.completed:,.0f} sessions",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(step: str, sessions: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=None)
            progress.advance(tasks[step], sessions)

        return asyncio.run(_copy_stores(source, target, advance))


async def _copy_stores(source: str, target: str, advance: Callable[[str, int], None]) -> CopyReport:
    async with AsyncExitStack() as stack:
        stores = []
        for url in (source, target):
            stores.append(await open_store(url))
            stack.push_async_callback(stores[-1].close)
        return await copy_database(stores[0], stores[1], advance)
