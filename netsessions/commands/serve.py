"""The `serve` command: start the server in one process, or as several worker processes."""

import asyncio
import gc
import signal
import socket
import sys
from typing import NoReturn

import click
import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from netsessions.api_token import load_or_create
from netsessions.app import running_app
from netsessions.commands.options import settings_options
from netsessions.log_config import configure_logging
from netsessions.server import workers
from netsessions.server.config import uvicorn_config
from netsessions.settings import Settings
from storage.errors import StoreUnusableError
from storage.opening import prepare_database

UNACKNOWLEDGED_MS = 30_000  # how long sent data may stay unacknowledged before the kernel closes the connection


@click.command("serve")
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
def serve_command(settings: Settings) -> None:
    """Start the server."""
    configure_logging(settings.log_level)
    # After draining, uvicorn raises the signal again. Without these handlers the exit code would not be 0.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _exit)
    try:
        token, token_file = load_or_create(settings)
        if token_file is not None:
            click.echo(f"Token: in {token_file}")
        with _listen(settings) as listener:
            prepare_database(settings.database_url)
            if settings.workers > 1:
                _print_addresses(settings)
                workers.serve(settings, token, listener)
            else:
                with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
                    runner.run(_serve(settings, token, listener))
    except StoreUnusableError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"{settings.data_folder} cannot be used as the data folder ({error.strerror}); "
            "set DATABASE_URL to a file in another folder."
        ) from None


async def _serve(settings: Settings, token: str, listener: socket.socket) -> None:
    async with running_app(settings, token) as app:
        _print_addresses(settings)
        config = uvicorn_config(app, settings)
        # Objects created at startup live as long as the process: exclude them from garbage collection.
        gc.collect()
        gc.freeze()
        await uvicorn.Server(config).serve([listener])


def _print_addresses(settings: Settings) -> None:
    address = settings.address(settings.host)
    pages = f"Pages:    {address}/\nGraphiQL: {address}/graphiql\n" if settings.ui else ""
    click.echo(f"{pages}REST:     {address}/{'docs' if settings.ui else 'sessions'}\nGraphQL:  {address}/graphql")


def _listen(settings: Settings) -> socket.socket:
    """Listen on the configured host and port. Raise ClickException."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.graphql_port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise click.ClickException(
            f"Cannot listen on port {settings.graphql_port} of {settings.host} ({reason}); "
            "set GRAPHQL_PORT or HOST to another."
        ) from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Accepted connections inherit the option.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return listener


def _exit(*_: object) -> NoReturn:
    sys.exit(0)
