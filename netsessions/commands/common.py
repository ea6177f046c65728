"""Helpers that the commands share: open the store, convert exceptions to CLI errors, show progress."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from netsessions.settings import Settings
from resolvers.context import Context
from resolvers.maintenance.copy import DatabasesDifferError
from resolvers.validation.clock import Clock
from storage.errors import StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.opening import open_store
from storage.sources.files import SourceError

Result = TypeVar("Result")


def run_with_store(settings: Settings, use_store: Callable[[Context], Awaitable[Result]]) -> Result:
    """Open the store, await `use_store`, and close the store. Return the result of `use_store`.

    Create and migrate the database if necessary. Raise ClickException, as `cli_errors` does.
    """

    async def run() -> Result:
        store = await open_store(settings.database_url)
        try:
            return await use_store(Context(store, Clock(settings.zone)))
        finally:
            await store.close()

    with cli_errors(settings.database_path):
        migrate(settings.database_url)
        return asyncio.run(run())


@contextmanager
def cli_errors(path: Path | None = None) -> Iterator[None]:
    """Convert errors of the store, of source files and of the file system to ClickException.

    `path` is the file that the message names.
    """
    name = path or "The database"
    try:
        yield
    except (SourceError, StoreUnusableError, DatabasesDifferError) as error:
        raise click.ClickException(str(error)) from None
    except StoreUnavailableError as error:
        raise click.ClickException(f"{name} cannot be used now ({error}). {error.advice}") from None
    except OSError as error:
        raise click.ClickException(f"{name} cannot be used as a database ({error.strerror}).") from None


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal. Yield a function that sets the completed and total number of steps."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda completed, total: progress.update(task, completed=completed, total=total)
