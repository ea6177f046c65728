"""The `sweep` command."""

import click

from netsessions.commands.common import run_with_store
from netsessions.commands.options import parse_period_option, settings_options
from netsessions.maintenance import SWEEP_ACTOR
from netsessions.settings import Settings
from resolvers.context import Context, actor
from resolvers.errors import InvalidInputError
from resolvers.heartbeats import sweep
from resolvers.validation.periods import Period


@click.command("sweep")
@click.option(
    "--unseen-for",
    type=parse_period_option,
    required=True,
    metavar="PERIOD",
    help="Time without a heartbeat, such as '10 minutes' or PT10M.",
)
@settings_options("database_url", "timezone")
def sweep_command(settings: Settings, unseen_for: Period) -> None:
    """End the sessions of devices without a heartbeat for longer than a period.

    Each session ends at its last heartbeat.
    """

    async def end_sessions(context: Context) -> int:
        actor.set(SWEEP_ACTOR)
        return await sweep(context, unseen_for)

    try:
        ended = run_with_store(settings, end_sessions)
    except InvalidInputError as error:
        raise click.UsageError(f"--unseen-for: {error.problem}.") from None
    click.echo(f"Ended {ended:,} sessions.")
