"""The command `radius`: hears what network access servers report (RFC 2866), has a resolver store it, and answers."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import click
import structlog

from netsessions.commands.store_commands import with_store
from netsessions.http.access_log import configure_logging
from netsessions.radius.packets import DroppedError, Restart, opened, plain, read
from netsessions.settings import Client, Settings, settings_options
from resolvers import radius_accounting as accounting
from resolvers.context import Context, acting
from resolvers.radius_accounting import Packet
from storage.errors import StoreUnavailableError

UNDER_WAY = 1000  # packets at a time; what is beyond is left unanswered, so that it is sent again
ARRIVALS = 20_000  # packets of which it is remembered when they came, about 300 bytes each
GRACE_SECONDS = 30  # for packets under way when the command is told to end
EVERY, FORGET = 60, 60  # seconds after which counts are logged; times of that after which old names are forgotten

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


class Listener(asyncio.DatagramProtocol):
    """The socket. Packets are carried out beside each other, those of one session one after the other."""

    def __init__(self, context: Context, clients: Sequence[Client]) -> None:
        self.counts: Counter[str] = Counter()
        self._context = context
        self._clients = clients
        self._ending = False
        self._arrivals: dict[tuple[Any, bytes], int] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._latest: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        """Called once, with what answers are sent by."""
        self._transport = transport

    def datagram_received(self, data: bytes, sender: Any) -> None:
        """Called for each datagram."""
        if self._ending:
            return
        try:
            address = plain(sender[0])
            packet = opened(data, address, self._clients)
            what = read(packet, str(address), self._arrived(packet, sender))
            if len(self._under_way) >= UNDER_WAY:
                raise DroppedError("busy")
        except DroppedError as why:
            self.counts[str(why)] += 1
            log.debug("packet dropped", reason=str(why), sender=sender[0])
            return
        if isinstance(what, Restart):
            # It ends what the packets before it have begun.
            self._begin(packet, what, sender, set(self._under_way))
            return
        key = ("", "") if what is None else (what.nas, what.name)
        before = self._latest.get(key)
        task = self._latest[key] = self._begin(packet, what, sender, {before} if before else set())
        task.add_done_callback(lambda _: self._latest.pop(key) if self._latest.get(key) is task else None)

    def _arrived(self, packet: Any, sender: Any) -> int:
        """When a packet came first: one that is sent again without a time of its own is the same to the octet."""
        now, key = self._context.clock.now(), (sender, packet.authenticator)
        if self._arrivals.get(key, 0) < now - accounting.RETRIED:
            self._arrivals.pop(key, None)
            self._arrivals[key] = now
            if len(self._arrivals) > ARRIVALS:
                del self._arrivals[next(iter(self._arrivals))]
        return self._arrivals[key]

    def _begin(
        self, packet: Any, what: Packet | Restart | None, sender: Any, before: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._answer(packet, what, sender, before))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _answer(
        self, packet: Any, what: Packet | Restart | None, sender: Any, before: set[asyncio.Task[None]]
    ) -> None:
        """Answers when what the packet tells is durable. Without an answer, its server sends it again."""
        if before:
            await asyncio.wait(before)
        try:
            await self._store(what)
        except StoreUnavailableError as cause:
            log.debug("store unavailable", cause=str(cause))
            self.counts["store_unavailable"] += 1
        except Exception:
            log.exception("packet failed")
            self.counts["failed"] += 1
        else:
            self._transport.sendto(packet.CreateReply().ReplyPacket(), sender)
            self.counts["answered"] += 1

    async def _store(self, what: Packet | Restart | None) -> None:
        if what is None:
            self.counts["without_device"] += 1
        elif isinstance(what, Restart):
            ended = await accounting.restart(self._context, what.nas, what.at, what.why)
            log.info("sessions stopped", nas=what.nas, reason=what.why, sessions=ended)
        else:
            done = await accounting.receive(self._context, what)
            if done is not None and done.what is not None:
                row = done.session
                log.info(f"session {done.what}", nas=what.nas, session=what.name, mac=row.mac, ip=row.ip, info=row.info)

    async def end(self) -> None:
        """Takes no more packets, and waits for those under way."""
        self._ending = True
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GRACE_SECONDS)


async def _keep(listener: Listener, context: Context) -> None:
    """Every minute tells of what could not be stored, if there was any."""
    told: Counter[str] = Counter()
    for minute in count():
        try:
            if minute % FORGET == 0:
                await accounting.forget(context)
        except StoreUnavailableError as cause:
            log.warning("store unavailable", cause=str(cause))
        except Exception:
            log.exception("upkeep failed")
        await asyncio.sleep(EVERY)
        counts = listener.counts.copy()
        if new := {name: n for name, n in (counts - told).items() if name != "answered"}:
            log.warning("packets not stored", **new)
        told = counts


async def _listen(context: Context, settings: Settings) -> Counter[str]:
    acting.set("radius")
    loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, told_to_end.set)
    host, port = settings.radius_host, settings.radius_port
    try:
        transport, listener = await loop.create_datagram_endpoint(
            lambda: Listener(context, settings.clients), local_addr=(host, port)
        )
    except OSError as problem:
        raise click.ClickException(
            f"Port {port} of {host} cannot be listened on ({problem.strerror}); set RADIUS_PORT or RADIUS_HOST to another."
        ) from None
    click.echo(f"RADIUS Accounting: {f'[{host}]' if ':' in host else host}:{port} (UDP)")
    keeping = asyncio.create_task(_keep(listener, context))
    await told_to_end.wait()
    await listener.end()
    transport.close()
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    return listener.counts


@click.command("radius")
@settings_options("radius_clients", "radius_host", "radius_port", "database_url", "log_level")
def radius_command(settings: Settings) -> None:
    """Record the sessions that network access servers report by RADIUS Accounting, until it is ended.

    It runs beside the server, on the same database.
    """
    if not settings.clients:
        raise click.UsageError("RADIUS_CLIENTS (--radius-clients): is required, as in 192.168.1.0/24=secret.")
    configure_logging(settings.log_level)
    counts = with_store(settings, lambda context: _listen(context, settings))
    click.echo(f"Answered {counts.pop('answered', 0):,} packets.")
    for name, n in sorted(counts.items()):
        click.echo(f"  {name.replace('_', ' ')}: {n:,}")
