"""Sample files, and functions that import files, for tests of the import."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from click.testing import CliRunner, Result

from resolvers.context import Context
from resolvers.imports.importer import import_file
from resolvers.imports.reports import ImportReport
from resolvers.validation.periods import parse_period
from storage.sources.recognition import LEASE_FORMATS, Format
from tests.conftest import at, run, sql

MISSING = "<missing event>"

A, B, C, D, E = (f"AA:BB:CC:00:00:0{n}" for n in range(1, 6))

CSV_HEADER = "mac,ip,connected_at,disconnected_at,connection_event,disconnection_event,state,info\r\n"

Row = tuple[Any, ...]

Rows = Callable[[], list[Row]]


def import_and_check(
    context: Context,
    file: Path,
    source_format: Format | None = None,
    *,
    zone: str | None = None,
    lease_time: str | None = None,
    dry_run: bool = False,
) -> ImportReport:
    """Import a file. Assert that the report counts every record once."""
    report = run(
        import_file(
            context,
            file,
            ZoneInfo(zone) if zone else None,
            source_format=source_format,
            lease_time=parse_period(lease_time) if lease_time else None,
            dry_run=dry_run,
            progress=lambda done, total: None,
        )
    )
    counted = report.imported + report.completed + report.already_there + report.renewals + report.rejected_count
    assert report.read == counted
    assert report.renewals == 0 or report.format in LEASE_FORMATS
    return report


def run_command(url: str, command: click.Command, *arguments: str) -> Result:
    """Run a CLI command on a database."""
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": url, "TIMEZONE": "UTC"})


def without_ids(rows: list[Row]) -> list[Row]:
    """Return all columns of sessions except the ids."""
    return sorted((row[0], *row[2:9]) for row in rows)


def distinct_sessions(rows: list[Row]) -> set[Row]:
    """Return the distinct sessions, without ids and states."""
    return {(row[0], *row[2:8]) for row in rows}


def device_rows(url: str) -> list[Row]:
    return sql(url, "SELECT mac, name, owner FROM device ORDER BY mac")


def device_names(url: str) -> dict[str, str]:
    return dict(sql(url, "SELECT mac, name FROM device WHERE name IS NOT NULL"))


def csv_line(mac: str, end: str, info: str = "") -> str:
    """Return a line of a CSV export. `end` has the columns from `disconnected_at` to `state`."""
    return f"{mac},10.0.0.1,2025-08-01T10:00:00Z,{end},{info}\r\n"


START = "2025-08-01T10:00:00Z"

OPEN, COMPLETE = ",Connected,,CONNECTED", "2025-08-01T12:00:00Z,Connected,Disconnected,COMPLETE"

DHCPD = r"""# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
server-duid "\000\001}{;\"";

lease 192.168.1.10 {
  starts 3 2025/08/20 08:00:00;
  ends 3 2025/08/20 10:00:00;
  cltt 3 2025/08/20 08:00:00;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet aa:bb:cc:00:00:01;
  uid "\001\252\273};";
  client-hostname "old";
}
lease 192.168.1.10 {
  starts 3 2025/08/20 09:00:00; ends 3 2025/08/20 11:00:00;
  binding state active; hardware ethernet aa:bb:cc:00:00:01; client-hostname "K\303\274che";
}
lease 192.168.1.10 {
  starts 3 2025/08/20 11:00:00;
  ends 3 2025/08/20 14:00:00;
  binding state active;
  hardware ethernet aa:bb:cc:00:00:01;
  set vendor-class-identifier = "x { y";
  on expiry { log(info, "gone"); }
}
lease 192.168.1.11 {
  starts 2 2025/08/19 08:00:00;
  ends 2 2025/08/19 20:00:00;
  binding state active;
  hardware ethernet aa:bb:cc:00:00:02;
}
lease 192.168.1.11 {
  starts 2 2025/08/19 08:00:00;
  ends 2 2025/08/19 12:30:00;
  binding state free;
  hardware ethernet aa:bb:cc:00:00:02;
}
lease 192.168.1.11 {
  starts epoch 1755676800; # Wed Aug 20 10:00:00 2025
  ends never;
  binding state active;
  hardware ethernet aa:bb:cc:00:00:02;
}
lease 192.168.1.12 { starts 3 2025/08/20 08:00:00; ends never; binding state abandoned; }
lease 192.168.1.13 { binding state free; }
lease 192.168.1.14 { starts 3 2025/02/30 08:00:00; ends never; hardware ethernet aa:bb:cc:00:00:03; }
lease 192.168.1.15 {
  starts 3 2025/08/20 08:00:00;
  ends 3 2025/08/20 20:00:00;
  binding state released;
  hardware ethernet aa:bb:cc:00:00:04;
}
ia-na "\001\000" {
  cltt 3 2025/08/20 08:00:00;
  iaaddr 2001:db8::5 { binding state active; ends 3 2025/08/20 20:00:00; }
}
failover peer "dhcp" state { my state normal at 3 2025/08/20 08:00:00; }
"""

KEA4 = """address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
10.0.0.10,aa:bb:cc:00:00:01,01:aa,7200,{e10},1,0,0,phone.example.,0,{{ "a": "x"&#x2c "b": 1 }},0
10.0.0.10,aa:bb:cc:00:00:01,01:aa,7200,{e11},1,0,0,a&#x2cb,0,,0
10.0.0.10,aa:bb:cc:00:00:01,01:aa,7200,{e13},1,0,0,a&#x2cb,0,,0
10.0.0.11,aa:bb:cc:00:00:02,,7200,{e10},1,0,0,,0,,0
10.0.0.11,aa:bb:cc:00:00:02,,0,{e9},1,0,0,,0,,0
10.0.0.12,aa:bb:cc:00:00:03,,4294967295,{forever},1,0,0,,0,,0
10.0.0.13,aa:bb:cc:00:00:04,,3600,{e9},1,0,0,,2,,0
10.0.0.14,,,3600,{e13},1,0,0,,1,,0
10.0.0.15,aa:bb:cc:00:00:05:06,,3600,{e13},1,0,0,,0,,0
10.0.0.16,aa:bb:cc:00:00:05,,3600,soon,1,0,0,,0,,0
10.0.0.17,aa:bb:cc:00:00:05,,3600,{e13},1,0,0,,9,,0
"""

KEA6 = """address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,\
lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id
2001:db8::1,00:01:02,7200,{e13},1,3600,0,7,128,0,0,,aa:bb:cc:00:00:01,0,,1,2,0
2001:db8::2,00:01:03,7200,{e13},1,3600,0,7,128,0,0,,,0,,,,0
2001:db8:1::,00:01:03,7200,{e13},1,3600,2,7,56,0,0,,aa:bb:cc:00:00:01,0,,1,2,0
"""


def epoch_seconds(hour: int) -> int:
    """Return the time of an hour of 20 August 2025, in seconds since the epoch."""
    return at(f"2025-08-20T{hour:02}:00:00Z") // 1_000_000


KEA_EXPIRIES = {f"e{hour}": epoch_seconds(hour) for hour in range(24)} | {"forever": epoch_seconds(8) + 2**32 - 1}

DNSMASQ = f"""{epoch_seconds(18)} aa:bb:cc:00:00:01 10.0.0.10 phone 01:aa:bb:cc:00:00:01
{epoch_seconds(10)} aa:bb:cc:00:00:02 10.0.0.11 * *
0 aa:bb:cc:00:00:03 10.0.0.12 nas *
43200 aa:bb:cc:00:00:04 10.0.0.13 * *
{epoch_seconds(18)} 06-aa:bb:cc:00:00:05 10.0.0.14 * *
duid 00:01:00:01:2a
{epoch_seconds(18)} 123456 2001:db8::9 phone 00:01:00:01:2b
"""


def dhcpd_lease(starts: int, ends: int, state: str = "active") -> str:
    """Return a dhcpd lease of device A, from and to an hour of 20 August 2025."""
    return (
        f"lease 10.0.0.10 {{ starts epoch {epoch_seconds(starts)}; ends epoch {epoch_seconds(ends)}; binding state {state};"
        " hardware ethernet aa:bb:cc:00:00:01; client-hostname \"phone\"; }\n"
    )  # fmt: skip


SAMPLES: dict[Format, bytes] = {
    "csv": (CSV_HEADER + csv_line(A, COMPLETE, '"1,\r\n""2"" \r 3"') + csv_line(B, OPEN)).encode(),
    "ndjson": b'{"mac":"%s","ip":"10.0.0.1","connected_at":"2025-08-01T10:00:00Z","disconnected_at":null,"connection_event":'
    b'"x","disconnection_event":null,"state":"CONNECTED","info":"\\n\xc3\xbc"}\n' % A.encode(),
    "dhcpd": DHCPD.encode(),
    "kea": KEA4.format(**KEA_EXPIRIES).encode(),
    "dnsmasq": DNSMASQ.encode(),
}
