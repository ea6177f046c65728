"""The command line: starts the server, prints the schema, and carries the other commands."""

import asyncio
import gc
import signal
import socket
import sys
from typing import NoReturn

import click
import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from netsessions.app import running_app
from netsessions.commands.backup import backup_command, restore_command
from netsessions.commands.import_sessions import import_command
from netsessions.commands.store_commands import copy_command, db_commands, demo_command, prune_command, sweep_command
from netsessions.commands.token import token_commands
from netsessions.http.access_log import configure_logging
from netsessions.radius.listener import radius_command
from netsessions.server import workers
from netsessions.server.config import configured
from netsessions.settings import Settings, settings_options, token_for
from schema import sdl
from storage.errors import StoreUnusableError
from storage.opening import make_ready

STUCK_MS = 30_000  # for which what was sent may lie unread


@click.group()
@click.version_option(package_name="netsessions")
def main() -> None:
    """Records when devices connect to and disconnect from a network, and answers who was there when."""


main.add_command(import_command)
main.add_command(demo_command)
main.add_command(prune_command)
main.add_command(sweep_command)
main.add_command(copy_command)
main.add_command(backup_command)
main.add_command(restore_command)
main.add_command(db_commands)
main.add_command(token_commands)
main.add_command(radius_command)


@main.command()
@settings_options(
    "graphql_port",
    "host",
    "api_token",
    "database_url",
    "database_read_url",
    "workers",
    "ui",
    "unseen_for",
    "max_body",
    "max_page",
    "max_tokens",
    "max_depth",
    "max_aliases",
    "max_directives",
    "max_root_fields",
    "max_cost",
    "query_seconds",
    "allowed_origins",
    "wrong_tokens_per_minute",
    "connections_per_token",
    "subscriptions_per_connection",
    "timezone",
    "log_level",
)
def serve(settings: Settings) -> None:
    """Start the server."""
    configure_logging(settings.log_level)
    # uvicorn drains on these signals and then raises them again; by default that would end in an exit code other than 0.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, _exit)
    try:
        token, kept = token_for(settings)
        if kept is not None:
            click.echo(f"Token: in {kept}")
        with _listen(settings) as listener:
            make_ready(settings.database_url)
            if settings.workers > 1:
                _greet(settings)
                workers.serve(settings, token, listener)
            else:
                with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
                    runner.run(_serve(settings, token, listener))
    except StoreUnusableError as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise click.ClickException(
            f"{settings.data_folder} cannot be used as the data folder ({problem.strerror}); "
            "name another file in DATABASE_URL."
        ) from None


async def _serve(settings: Settings, token: str, listener: socket.socket) -> None:
    async with running_app(settings, token) as app:
        _greet(settings)
        config = configured(app, settings)
        # What is there by now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        await uvicorn.Server(config).serve([listener])


def _greet(settings: Settings) -> None:
    address = settings.address(settings.host)
    pages = f"Pages:    {address}/\nGraphiQL: {address}/graphiql\n" if settings.ui else ""
    click.echo(f"{pages}REST:     {address}/{'docs' if settings.ui else 'sessions'}\nGraphQL:  {address}/graphql")


def _listen(settings: Settings) -> socket.socket:
    """Takes the port before anything is opened; one that is taken becomes a sentence."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.graphql_port), family=family, backlog=2048)
    except OSError as problem:
        reason = str(problem.strerror).partition(" (")[0]
        raise click.ClickException(
            f"Port {settings.graphql_port} of {settings.host} cannot be listened on ({reason}); "
            "set GRAPHQL_PORT or HOST to another."
        ) from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections have it from their listener: one whose client takes nothing any more is gone after that.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
    return listener


def _exit(*_: object) -> NoReturn:
    sys.exit(0)


@main.command()
def schema() -> None:
    """Print the GraphQL schema."""
    click.echo(sdl(), nl=False)
