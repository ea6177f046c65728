"""The `token` command group: create, list and revoke tokens in addition to the server's own."""

import socket
from collections.abc import Mapping
from copy import copy
from inspect import cleandoc
from urllib.parse import urlencode

import click

from netsessions.commands.common import run_with_store
from netsessions.commands.options import settings_options
from netsessions.settings import Settings
from resolvers import tokens
from resolvers.context import Context
from resolvers.errors import InvalidInputError, NotFoundError
from resolvers.scopes import SCOPES
from resolvers.validation.addresses import parse_mac
from resolvers.validation.clock import Clock
from resolvers.validation.models import NewToken, validate
from storage.queries.tokens import Scope, TokenRow

ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104, only compared


def _parse_mac_option(text: str) -> str:
    try:
        return parse_mac(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


@click.group("token")
def token_commands() -> None:
    """Create, list and revoke tokens in addition to the server's own."""


@token_commands.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default=SCOPES[0], show_default=True, help="What the token allows.")
@click.option(
    "--mac",
    type=_parse_mac_option,
    metavar="MAC",
    help="Add one device to the calendar address; the token is not restricted to it.",
)
@click.option(
    "--expires",
    metavar="WHEN",
    help="A period, such as '90 days', or a last day, such as 2030-12-31. If not set, the token does not expire.",
)
@settings_options("database_url", "host", "graphql_port", "timezone")
def create_command(settings: Settings, name: str, scope: Scope, mac: str | None, expires: str | None) -> None:
    """Create a token called NAME and print it once; for a calendar, with the address to subscribe to.

    Scopes: `calendar` reads the calendar feed and nothing else; `read` reads everything; `write` also records sessions;
    `admin` also changes and deletes records.
    """
    if mac and scope != "calendar":
        raise click.UsageError("--mac needs the scope calendar: it is part of the calendar address.")

    fields = {"name": name, "scope": scope, "expires": expires}

    async def create(context: Context) -> str:
        return await tokens.create(context, validate(NewToken, fields, context.clock))

    try:
        token = run_with_store(settings, create)
    except InvalidInputError as error:
        raise click.UsageError(f"{error}.") from None
    click.echo(f"Token:     {token}")
    if scope == "calendar":
        click.echo(f"Subscribe: {_calendar_url(settings, {'token': token} | ({'mac': mac} if mac else {}))}")
    click.echo("It is not stored and cannot be shown again.")


def _calendar_url(settings: Settings, query: Mapping[str, str]) -> str:
    # The subscriber is another machine, such as a phone: it needs a host name in place of a wildcard address.
    address = settings.address(socket.gethostname() if settings.host in ALL_ADDRESSES else settings.host)
    return f"{address}/sessions/calendar.ics?{urlencode(query, safe=':')}"


@token_commands.command("list")
@settings_options("database_url", "timezone")
def list_command(settings: Settings) -> None:
    """List the tokens: name, scope, time of creation, and expiry."""

    async def describe_tokens(context: Context) -> list[str]:
        return [_describe(row, context.clock) for row in await tokens.list_tokens(context)]

    for line in run_with_store(settings, describe_tokens):
        click.echo(line)


def _describe(row: TokenRow, clock: Clock) -> str:
    expires = "never" if row.expires_at is None else clock.format_minutes(row.expires_at)
    return "\t".join((row.name, row.scope, clock.format_minutes(row.made_at), expires))


@token_commands.command("revoke")
@click.argument("name")
@settings_options("database_url")
def revoke_command(settings: Settings, name: str) -> None:
    """Revoke the token called NAME. The server rejects it at once."""
    try:
        run_with_store(settings, lambda context: tokens.revoke(context, name))
    except NotFoundError as error:
        raise click.UsageError(f"{error}.") from None
    click.echo(f"Revoked: {name}")


def _alias(command: click.Command, name: str) -> click.Command:
    """Return the command under an old name, which the help of the group does not list."""
    alias = copy(command)
    alias.name = name
    alias.hidden = True
    alias.help = f"Old name of `token {command.name}`.\n\n{cleandoc(command.help or '')}"
    return alias


token_commands.add_command(_alias(create_command, "make"))
token_commands.add_command(_alias(revoke_command, "withdraw"))
