"""The command `radius`, which runs the RADIUS Accounting listener."""

import click

from netsessions.commands.common import run_with_store
from netsessions.commands.options import settings_options
from netsessions.log_config import configure_logging
from netsessions.radius.listener import run_listener
from netsessions.settings import Settings


@click.command("radius")
@settings_options("radius_clients", "radius_host", "radius_port", "database_url", "log_level")
def radius_command(settings: Settings) -> None:
    """Record the sessions that network access servers report by RADIUS Accounting.

    Run it alongside the server, on the same database. It stops at SIGTERM or Ctrl-C.
    """
    if not settings.parsed_radius_clients:
        raise click.UsageError("RADIUS_CLIENTS (--radius-clients): is required. Set it like 192.168.1.0/24=secret.")
    configure_logging(settings.log_level)
    counts = run_with_store(settings, lambda context: run_listener(context, settings))
    click.echo(f"Answered {counts.pop('answered', 0):,} packets.")
    for name, n in sorted(counts.items()):
        click.echo(f"  {name.replace('_', ' ')}: {n:,}")
