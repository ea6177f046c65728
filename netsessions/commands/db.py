"""The `db` command group: administer the database."""

import click

from netsessions.commands.common import cli_errors
from netsessions.commands.options import settings_options
from netsessions.settings import Settings
from storage.migrations import migrate
from storage.postgresql.citus import SHARD_COUNT, distribute_tables


@click.group("db")
def db_commands() -> None:
    """Administer the database."""


@db_commands.command("shard")
@settings_options("database_url")
def shard_command(settings: Settings) -> None:
    """Distribute the tables over the servers of a Citus cluster, by MAC."""
    if settings.database_path:
        raise click.ClickException(
            f"{settings.database_path} is a SQLite file; only PostgreSQL with Citus can be sharded."
        )
    with cli_errors():
        migrate(settings.database_url)
        result = distribute_tables(settings.database_url)
    for table in result.already_distributed:
        click.echo(f"{table}: already distributed, not changed.")
    for table in result.distributed:
        rows = "its rows were moved to the shards, the local copies removed" if result.had_rows else "it was empty"
        click.echo(f"{table}: distributed by mac over {SHARD_COUNT} shards; {rows}.")
