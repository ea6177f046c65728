"""The command that brings sessions in from another file, and prints what became of each record."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.progress import Progress

from netsessions.commands.store_commands import period, with_store
from netsessions.settings import Settings, settings_options, zone_of
from resolvers.context import Context
from resolvers.imports.importer import import_file
from resolvers.imports.reports import Refusals, Report
from resolvers.validation.clock import Period
from storage.sources.recognition import FORMATS, LEASES, Format


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_of(name)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.") from None


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timezone",
    "zone",
    type=_zone,
    metavar="ZONE",
    help="Zone of the file's local times.  [default: the server's TIMEZONE]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What FILE is, where its content does not tell; netalertx stands for Pi.Alert, too.",
)
@click.option(
    "--lease-time",
    type=period,
    metavar="PERIOD",
    help="How long leases last of which the file tells no start (dnsmasq), as in '12 hours'.",
)
@click.option("--dry-run", is_flag=True, help="Read and count everything, and store nothing.")
@settings_options("database_url")
def import_command(
    settings: Settings, file: Path, zone: ZoneInfo | None, form: Format | None, lease_time: Period | None, dry_run: bool
) -> None:
    """Take over the sessions of another file.

    FILE is a database of NetAlertX or Pi.Alert; sessions exported as CSV or NDJSON; or the leases file of ISC dhcpd, Kea
    or dnsmasq. It is only read. A second import of the same file adds nothing.
    """
    store = settings.database_path
    with suppress(OSError):  # of one that is not there, or cannot be: whoever opens it says so
        # Not even opened: the store's own locks would end with the file that is read.
        if store is not None and file.samefile(store):
            raise click.ClickException(f"{file} is the store itself; name another file.")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Sessions", total=None)

        async def work(context: Context) -> Report:
            return await import_file(
                context,
                file,
                zone,
                form=form,
                lease_time=lease_time,
                dry_run=dry_run,
                progress=lambda read, total: bar.update(task, completed=read, total=total),
            )

        report = with_store(settings, work)
    if not report.local_time and zone is not None:
        click.echo(f"--timezone {zone.key} is ignored: the times of this file are UTC.", err=True)
    if report.format not in LEASES and lease_time is not None:
        click.echo("--lease-time is ignored: this file holds no leases.", err=True)
    _print(report, dry_run=dry_run)


def _print(report: Report, *, dry_run: bool) -> None:
    click.echo(
        f"Format: {report.format}. Times read as {f'local time of {report.zone}' if report.local_time else 'UTC'}."
    )
    click.echo(f"Sessions read:  {report.read:>10,}")
    click.echo(f"  imported      {report.imported:>10,}")
    click.echo(f"    still connected       {report.connected:>10,}")
    click.echo(f"    connection missing    {report.missing_connection:>10,}")
    click.echo(f"    disconnection missing {report.missing_disconnection:>10,}")
    click.echo(f"  completed     {report.completed:>10,}")
    click.echo(f"  already there {report.already_there:>10,}")
    if report.renewals:
        click.echo(f"  renewals      {report.renewals:>10,}")
    click.echo(f"  refused       {report.refused_count:>10,}")
    place = "line" if report.by_line else "row"
    _print_refusals(report.refused, place)
    click.echo(f"Devices named:  {report.devices_named:>10,}")
    _print_refusals(report.devices_refused, place)
    if dry_run:
        click.echo("This was a dry run: nothing was stored.")


def _print_refusals(refused: Mapping[str, Refusals], place: str) -> None:
    for reason, refusals in sorted(refused.items(), key=lambda item: -item[1].count):
        click.echo(f"    {reason}: {refusals.count:,}")
        for line, value in refusals.examples:
            click.echo(f"      {place} {line}: {value}")
