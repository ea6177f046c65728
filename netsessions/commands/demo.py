"""The `demo` command."""

import click

from netsessions.commands.common import run_with_store
from netsessions.commands.options import settings_options
from netsessions.settings import Settings
from resolvers.maintenance.demo import DAYS, NotEmptyError, make_demo


@click.command("demo")
@settings_options("database_url")
def demo_command(settings: Settings) -> None:
    """Fill an empty database with a generated network."""
    try:
        demo = run_with_store(settings, make_demo)
    except NotEmptyError:
        raise click.ClickException(
            f"{settings.database_path or 'The database'} already contains sessions; "
            "set DATABASE_URL to another database for the demo."
        ) from None
    click.echo(f"Created {demo.sessions:,} sessions of {demo.devices} devices over the last {DAYS} days:")
    click.echo(f"  still connected       {demo.connected:>6,}")
    click.echo(f"  connection missing    {demo.missing_connection:>6,}")
    click.echo(f"  disconnection missing {demo.missing_disconnection:>6,}")
    for event_type, count in sorted(demo.event_types.items(), key=lambda item: -item[1]):
        click.echo(f"  {event_type:<21} {count:>6,}")
