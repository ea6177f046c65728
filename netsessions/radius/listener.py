"""The UDP listener for RADIUS Accounting (RFC 2866). It responds to a packet after the packet is stored."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import click
import structlog

from netsessions.radius.packets import PacketDroppedError, Restart, decode_packet, normalize_address, parse_packet
from netsessions.settings import RadiusClient, Settings
from resolvers import radius_accounting
from resolvers.context import Context, actor
from resolvers.radius_accounting import Packet
from storage.errors import StoreUnavailableError

MAX_CONCURRENT_PACKETS = 1000  # more get no response, so that the NAS repeats them
MAX_REMEMBERED_ARRIVALS = 20_000  # packets, about 300 bytes each
GRACE_SECONDS = 30  # for packets in progress at shutdown
LOG_INTERVAL_SECONDS, PURGE_INTERVAL_MINUTES = 60, 60

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


class AccountingListener(asyncio.DatagramProtocol):
    """The protocol of the UDP socket. Stores packets concurrently, those of one session one after the other."""

    def __init__(self, context: Context, clients: Sequence[RadiusClient]) -> None:
        self.counts: Counter[str] = Counter()
        self._context = context
        self._clients = clients
        self._closing = False
        self._arrivals: dict[tuple[Any, bytes], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest_tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        """Keep the transport for responses."""
        self._transport = transport

    def datagram_received(self, data: bytes, sender: Any) -> None:
        """Decode a datagram and start to store it, or count it as dropped."""
        if self._closing:
            return
        try:
            address = normalize_address(sender[0])
            packet = decode_packet(data, address, self._clients)
            request = parse_packet(packet, str(address), self._arrived(packet, sender))
            if len(self._tasks) >= MAX_CONCURRENT_PACKETS:
                raise PacketDroppedError("busy")
        except PacketDroppedError as reason:
            self.counts[str(reason)] += 1
            log.debug("packet dropped", reason=str(reason), sender=sender[0])
            return
        if isinstance(request, Restart):
            # A restart ends the sessions of earlier packets, so it waits for them.
            self._start(packet, request, sender, set(self._tasks))
            return
        key = ("", "") if request is None else (request.nas, request.acct_session_id)
        before = self._latest_tasks.get(key)
        task = self._latest_tasks[key] = self._start(packet, request, sender, {before} if before else set())
        task.add_done_callback(lambda _: self._latest_tasks.pop(key) if self._latest_tasks.get(key) is task else None)

    def _arrived(self, packet: Any, sender: Any) -> int:
        """Return when a packet first arrived. A repeated packet has the same authenticator."""
        now, key = self._context.clock.now(), (sender, packet.authenticator)
        if self._arrivals.get(key, 0) < now - radius_accounting.RETRY_WINDOW:
            self._arrivals.pop(key, None)
            self._arrivals[key] = now
            if len(self._arrivals) > MAX_REMEMBERED_ARRIVALS:
                del self._arrivals[next(iter(self._arrivals))]
        return self._arrivals[key]

    def _start(
        self, packet: Any, request: Packet | Restart | None, sender: Any, before: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._respond(packet, request, sender, before))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _respond(
        self, packet: Any, request: Packet | Restart | None, sender: Any, before: set[asyncio.Task[None]]
    ) -> None:
        """Store a packet after the tasks in `before`, then respond. Without a response, the NAS repeats the packet."""
        if before:
            await asyncio.wait(before)
        try:
            await self._store(request)
        except StoreUnavailableError as cause:
            log.debug("store unavailable", cause=str(cause))
            self.counts["store_unavailable"] += 1
        except Exception:
            log.exception("packet failed")
            self.counts["failed"] += 1
        else:
            self._transport.sendto(packet.CreateReply().ReplyPacket(), sender)
            self.counts["answered"] += 1

    async def _store(self, request: Packet | Restart | None) -> None:
        if request is None:
            self.counts["without_device"] += 1
        elif isinstance(request, Restart):
            ended = await radius_accounting.end_sessions_of_nas(self._context, request.nas, request.at, request.status)
            log.info("sessions stopped", nas=request.nas, reason=request.status, sessions=ended)
        else:
            outcome = await radius_accounting.apply_packet(self._context, request)
            if outcome is not None and outcome.change is not None:
                row = outcome.session
                log.info(
                    f"session {outcome.change}",
                    nas=request.nas,
                    session=request.acct_session_id,
                    mac=row.mac,
                    ip=row.ip,
                    info=row.info,
                )

    async def close(self) -> None:
        """Stop accepting packets and wait for those in progress."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)


async def _run_jobs(listener: AccountingListener, context: Context) -> None:
    """Log the packets that were not stored every minute, and purge expired ids every hour."""
    logged: Counter[str] = Counter()
    for minute in count():
        try:
            if minute % PURGE_INTERVAL_MINUTES == 0:
                await radius_accounting.purge_accounting_ids(context)
        except StoreUnavailableError as cause:
            log.warning("store unavailable", cause=str(cause))
        except Exception:
            log.exception("maintenance failed")
        await asyncio.sleep(LOG_INTERVAL_SECONDS)
        counts = listener.counts.copy()
        if new := {name: n for name, n in (counts - logged).items() if name != "answered"}:
            log.warning("packets not stored", **new)
        logged = counts


async def run_listener(context: Context, settings: Settings) -> Counter[str]:
    """Listen until SIGTERM or SIGINT. Return the number of packets by outcome. Raise ClickException if the port is taken."""
    actor.set("radius")
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    host, port = settings.radius_host, settings.radius_port
    try:
        transport, listener = await loop.create_datagram_endpoint(
            lambda: AccountingListener(context, settings.parsed_radius_clients), local_addr=(host, port)
        )
    except OSError as problem:
        raise click.ClickException(
            f"Port {port} of {host} cannot be listened on ({problem.strerror}); set RADIUS_PORT or RADIUS_HOST to another."
        ) from None
    click.echo(f"RADIUS Accounting: {f'[{host}]' if ':' in host else host}:{port} (UDP)")
    jobs = asyncio.create_task(_run_jobs(listener, context))
    await stop.wait()
    await listener.close()
    transport.close()
    jobs.cancel()
    with suppress(asyncio.CancelledError):
        await jobs
    return listener.counts
