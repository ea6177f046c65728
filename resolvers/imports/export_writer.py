"""Storing exported sessions so that they can be exported again as they were: each as often, and in the same order."""

from resolvers.imports.records import UTC_ZONE, parameters
from resolvers.imports.reports import Report
from resolvers.imports.session_writer import Given, Storing
from resolvers.sessions import new_ids
from resolvers.validation.clock import Clock
from storage.queries import imports as stays
from storage.queries.imports import HeldRow
from storage.sources.records import SourceSession
from storage.store import Transaction

Stay = tuple[str, str]  # a MAC at an address, within sessions that begin at one instant


class StoringExports(Storing):
    """Sessions of an exported file, of which those that begin at the same instant stand one after the other."""

    def __init__(self, transaction: Transaction, clock: Clock, report: Report, count: int) -> None:
        super().__init__(transaction, clock, report)
        # An export is newest first: of two that begin together, the first has the greater id.
        self._ids = iter(reversed(new_ids(clock, count)))
        self._together: list[Given] = []

    async def take(self, record: SourceSession) -> None:
        """Stores a session, after those that begin with it have been read."""
        given = parameters(record, UTC_ZONE)
        # A file that has grown since it was counted has more than there are ids for.
        given["id"] = next(self._ids, None) or new_ids(self._clock, 1)[0]
        if self._together and self._together[0]["starts_at"] != given["starts_at"]:
            await self._settle()
        self._together.append(given)

    async def end(self) -> None:
        """Stores the last ones."""
        await self._settle()
        await self._write()

    async def _settle(self) -> None:
        """Stores the sessions that begin together, but for those that the store holds."""
        together, self._together = self._together, []
        alike_by_stay: dict[Stay, list[Given]] = {}
        for given in together:
            alike_by_stay.setdefault((given["mac"], given["ip"]), []).append(given)
        for (mac, ip), alike in alike_by_stay.items():
            if self._seen.add(mac, alike[0]["starts_at"], ip):
                await self._match(alike)
            else:
                for given in alike:
                    await self._gather(given)

    async def _match(self, alike: list[Given]) -> None:
        """Stores those of a device at an address that begin together; each one that is held stands for one of them."""
        await self._write()  # what is held must be there to be found
        held = [HeldRow._make(row) for row in await self._transaction.fetch(stays.begun_at(), alike[0])]
        others = []
        for given in alike:
            same = next((row for row in held if row[1:] == _told(given)), None)
            if same is None:
                others.append(given)
            else:
                held.remove(same)
                self._report.already_there += 1
        for given in others:
            await self._later_look(given, held)

    async def _later_look(self, given: Given, held: list[HeldRow]) -> None:
        """One that is held as open has ended by now; one that ended is not opened again by an older file."""
        ended = given["disconnection_event"] is not None
        other = next(
            (row for row in held if row.connected_at is not None and (row.disconnection_event is not None) != ended),
            None,
        )
        if given["connected_at"] is None or other is None:
            await self._gather(given)
            return
        held.remove(other)
        if ended:
            await self._complete(given, other)
        else:
            self._report.already_there += 1


def _told(given: Given) -> tuple[object, ...]:
    return tuple(given[name] for name in HeldRow._fields[1:])
