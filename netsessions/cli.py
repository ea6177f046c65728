"""The command line: the `netsessions` command with its subcommands, one module of `netsessions.commands` each."""

import click

from netsessions.commands.backup import backup_command, restore_command
from netsessions.commands.copy import copy_command
from netsessions.commands.db import db_commands
from netsessions.commands.demo import demo_command
from netsessions.commands.import_sessions import import_command
from netsessions.commands.prune import prune_command
from netsessions.commands.radius import radius_command
from netsessions.commands.schema import schema_command
from netsessions.commands.serve import serve_command
from netsessions.commands.sweep import sweep_command
from netsessions.commands.token import token_commands


@click.group()
@click.version_option(package_name="netsessions")
def main() -> None:
    """Record when devices connect to and disconnect from a network, and query who was online when."""


for command in (
    serve_command,
    import_command,
    demo_command,
    prune_command,
    sweep_command,
    copy_command,
    backup_command,
    restore_command,
    db_commands,
    token_commands,
    radius_command,
    schema_command,
):
    main.add_command(command)
