"""The `schema` command."""

import click

from schema import sdl


@click.command("schema")
def schema_command() -> None:
    """Print the GraphQL schema."""
    click.echo(sdl(), nl=False)
