"""The `prune` command."""

import click

from netsessions.commands.common import progress_bar, run_with_store
from netsessions.commands.options import parse_period_option, settings_options
from netsessions.settings import Settings
from resolvers.context import Context
from resolvers.errors import InvalidInputError
from resolvers.maintenance.prune import PruneResult, prune
from resolvers.validation.periods import Period


@click.command("prune")
@click.option(
    "--older-than",
    type=parse_period_option,
    required=True,
    metavar="PERIOD",
    help="Age to delete from, such as '2 years', '90 days' or P2Y.",
)
@click.option("--dry-run", is_flag=True, help="Count the sessions to delete, without deleting them.")
@settings_options("database_url", "timezone")
def prune_command(settings: Settings, older_than: Period, dry_run: bool) -> None:
    """Delete sessions that ended longer ago than a period, in small batches. Open sessions are kept."""

    async def delete_sessions(context: Context) -> tuple[PruneResult, str]:
        with progress_bar("Sessions") as progress:
            pruned = await prune(context, older_than, dry_run=dry_run, progress=progress)
        return pruned, context.clock.format_minutes(pruned.before)

    try:
        pruned, before = run_with_store(settings, delete_sessions)
    except InvalidInputError as error:
        raise click.UsageError(f"--older-than: {error.problem}.") from None
    description = f"sessions that ended before {before} ({settings.timezone})"
    if dry_run:
        click.echo(f"Would delete {pruned.sessions:,} {description}.\nThis was a dry run: nothing was deleted.")
    else:
        click.echo(
            f"Deleted {pruned.sessions:,} {description}, and {pruned.devices:,} devices that had no other records."
        )
