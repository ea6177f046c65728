"""The commands that make, list and withdraw the tokens beside the server's own."""

import socket
from collections.abc import Mapping
from urllib.parse import urlencode

import click

from netsessions.commands.store_commands import with_store
from netsessions.settings import Settings, settings_options
from resolvers import tokens
from resolvers.context import Context
from resolvers.errors import InvalidInputError, NotFoundError
from resolvers.scopes import SCOPES
from resolvers.validation.addresses import parse_mac
from resolvers.validation.clock import Clock
from resolvers.validation.models import NewToken, read
from storage.queries.tokens import Scope, TokenRow

EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104, nothing is listened on here


def _mac(text: str) -> str:
    try:
        return parse_mac(text)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.") from None


@click.group("token")
def token_commands() -> None:
    """Make, list and withdraw tokens beside the server's own."""


@token_commands.command("make")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default=SCOPES[0], show_default=True, help="What it may do.")
@click.option("--mac", type=_mac, metavar="MAC", help="Put one device into the address; the token is not bound to it.")
@click.option(
    "--expires",
    metavar="WHEN",
    help="After a period, as in '90 days', or with a day, as in 2030-12-31; otherwise never.",
)
@settings_options("database_url", "host", "graphql_port", "timezone")
def make_command(settings: Settings, name: str, scope: Scope, mac: str | None, expires: str | None) -> None:
    """Make a token called NAME, and print it this once; for a calendar, with the address to subscribe to.

    Scopes: calendar reads the calendar to subscribe to, and nothing else; read reads everything; write records sessions,
    too; admin changes and deletes what is recorded, too.
    """
    if mac and scope != "calendar":
        raise click.UsageError(
            "--mac is for the address of a calendar; leave it out, or make a token of scope calendar."
        )

    given = {"name": name, "scope": scope, "expires": expires}

    async def work(context: Context) -> str:
        return await tokens.make(context, read(NewToken, given, context.clock))

    try:
        token = with_store(settings, work)
    except InvalidInputError as problem:
        raise click.UsageError(f"{problem}.") from None
    click.echo(f"Token:     {token}")
    if scope == "calendar":
        click.echo(f"Subscribe: {_address(settings, {'token': token} | ({'mac': mac} if mac else {}))}")
    click.echo("It is not kept anywhere, and cannot be shown again.")


def _address(settings: Settings, query: Mapping[str, str]) -> str:
    # A telephone that is to subscribe is another machine.
    address = settings.address(socket.gethostname() if settings.host in EVERY_ADDRESS else settings.host)
    return f"{address}/sessions/calendar.ics?{urlencode(query, safe=':')}"


@token_commands.command("list")
@settings_options("database_url", "timezone")
def list_command(settings: Settings) -> None:
    """List the tokens: name, scope, when each was made, and when it expires."""

    async def work(context: Context) -> list[str]:
        return [_line(row, context.clock) for row in await tokens.every(context)]

    for line in with_store(settings, work):
        click.echo(line)


def _line(row: TokenRow, clock: Clock) -> str:
    ends = "never" if row.expires_at is None else clock.minutes(row.expires_at)
    return "\t".join((row.name, row.scope, clock.minutes(row.made_at), ends))


@token_commands.command("withdraw")
@click.argument("name")
@settings_options("database_url")
def withdraw_command(settings: Settings, name: str) -> None:
    """Withdraw the token called NAME: from now on it is refused."""
    try:
        with_store(settings, lambda context: tokens.withdraw(context, name))
    except NotFoundError as problem:
        raise click.UsageError(f"{problem}.") from None
    click.echo(f"Withdrawn: {name}")
