"""The `import` command: imports sessions from a file and prints a report."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.progress import Progress

from netsessions.commands.common import run_with_store
from netsessions.commands.options import parse_period_option, settings_options
from netsessions.settings import Settings, parse_time_zone
from resolvers.context import Context
from resolvers.imports.importer import import_file
from resolvers.imports.reports import ImportReport, Rejections
from resolvers.validation.periods import Period
from storage.sources.recognition import FORMATS, LEASE_FORMATS, Format


def _parse_zone_option(name: str) -> ZoneInfo:
    try:
        return parse_time_zone(name)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timezone",
    "zone",
    type=_parse_zone_option,
    metavar="ZONE",
    help="Time zone of local times in FILE.  [default: the server's TIMEZONE]",
)
@click.option(
    "--format",
    "source_format",
    type=click.Choice(FORMATS),
    help="Format of FILE, if it is not detected. netalertx includes Pi.Alert.",
)
@click.option(
    "--lease-time",
    type=parse_period_option,
    metavar="PERIOD",
    help="Duration of leases whose start FILE does not state (dnsmasq), such as '12 hours'.",
)
@click.option("--dry-run", is_flag=True, help="Read FILE and print the report, but store nothing.")
@settings_options("database_url")
def import_command(
    settings: Settings,
    file: Path,
    zone: ZoneInfo | None,
    source_format: Format | None,
    lease_time: Period | None,
    dry_run: bool,
) -> None:
    """Import sessions from a file.

    FILE is a database of NetAlertX or Pi.Alert, a CSV or NDJSON export, or a leases file of ISC dhcpd, Kea or dnsmasq. It
    is not changed. Importing the same file again adds nothing.
    """
    store = settings.database_path
    with suppress(OSError):  # reported when the file is opened
        # Closing the store's file in this process would release the locks of SQLite on it.
        if store is not None and file.samefile(store):
            raise click.ClickException(f"{file} is the store itself. Choose another file.")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress_bar:
        task = progress_bar.add_task("Sessions", total=None)

        async def import_into(context: Context) -> ImportReport:
            return await import_file(
                context,
                file,
                zone,
                source_format=source_format,
                lease_time=lease_time,
                dry_run=dry_run,
                progress=lambda read, total: progress_bar.update(task, completed=read, total=total),
            )

        report = run_with_store(settings, import_into)
    if not report.has_local_times and zone is not None:
        click.echo(f"--timezone {zone.key} is ignored: this file has UTC times.", err=True)
    if report.format not in LEASE_FORMATS and lease_time is not None:
        click.echo("--lease-time is ignored: this file has no leases.", err=True)
    _print_report(report, dry_run=dry_run)


def _print_report(report: ImportReport, *, dry_run: bool) -> None:
    click.echo(
        f"Format: {report.format}. Times read as {f'local time of {report.zone}' if report.has_local_times else 'UTC'}."
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
    click.echo(f"  rejected      {report.rejected_count:>10,}")
    position = "line" if report.has_line_numbers else "row"
    _print_rejections(report.rejected, position)
    click.echo(f"Devices named:  {report.devices_named:>10,}")
    _print_rejections(report.rejected_devices, position)
    if dry_run:
        click.echo("This was a dry run: nothing was stored.")


def _print_rejections(rejected: Mapping[str, Rejections], position: str) -> None:
    for reason, rejections in sorted(rejected.items(), key=lambda item: -item[1].count):
        click.echo(f"    {reason}: {rejections.count:,}")
        for line, value in rejections.examples:
            click.echo(f"      {position} {line}: {value}")
