"""Write exported sessions so that the next export repeats them: the same duplicates, in the same order."""

from resolvers.imports.conversion import UTC_ZONE, session_parameters
from resolvers.imports.reports import ImportReport
from resolvers.imports.session_writer import SessionParameters, SessionWriter
from resolvers.sessions import new_session_ids
from resolvers.validation.clock import Clock
from storage.queries import imports as import_queries
from storage.queries.imports import ExistingSession
from storage.sources.records import SourceSession
from storage.store import Transaction


class ExportWriter(SessionWriter):
    """Writes exported sessions. An export is sorted by start, so sessions with the same start are adjacent."""

    def __init__(self, transaction: Transaction, clock: Clock, report: ImportReport, count: int) -> None:
        super().__init__(transaction, clock, report)
        # An export is newest first. Of two sessions with the same start, the first has the greater id.
        self._ids = iter(reversed(new_session_ids(clock, count)))
        self._same_start: list[SessionParameters] = []

    async def write(self, record: SourceSession) -> None:
        """Buffer a session. Write the buffer when a session with another start arrives."""
        parameters = session_parameters(record, UTC_ZONE)
        # The file may have grown since its lines were counted.
        parameters["id"] = next(self._ids, None) or new_session_ids(self._clock, 1)[0]
        if self._same_start and self._same_start[0]["starts_at"] != parameters["starts_at"]:
            await self._flush_same_start()
        self._same_start.append(parameters)

    async def finish(self) -> None:
        """Write the buffered sessions."""
        await self._flush_same_start()
        await self._flush()

    async def _flush_same_start(self) -> None:
        """Write the buffered sessions, all with the same start, except those that exist."""
        sessions, self._same_start = self._same_start, []
        groups: dict[tuple[str, str], list[SessionParameters]] = {}  # by MAC and IP address
        for parameters in sessions:
            groups.setdefault((parameters["mac"], parameters["ip"]), []).append(parameters)
        for (mac, ip), group in groups.items():
            if self._filter.add(mac, group[0]["starts_at"], ip):
                await self._write_unmatched(group)
            else:
                for parameters in group:
                    await self._add_new(parameters)

    async def _write_unmatched(self, group: list[SessionParameters]) -> None:
        """Write sessions with the same device, address and start. Each existing session matches one of them."""
        await self._flush()  # so that the query finds the buffered sessions
        existing = [
            ExistingSession._make(row)
            for row in await self._transaction.fetch(import_queries.sessions_started_at(), group[0])
        ]
        unmatched = []
        for parameters in group:
            same = next((row for row in existing if row[1:] == _comparable(parameters)), None)
            if same is None:
                unmatched.append(parameters)
            else:
                existing.remove(same)
                self._report.already_there += 1
        for parameters in unmatched:
            await self._update_or_add(parameters, existing)

    async def _update_or_add(self, parameters: SessionParameters, existing: list[ExistingSession]) -> None:
        """Write a session that equals no existing one: end an open one, ignore an older state, or add a new session."""
        ended = parameters["disconnection_event"] is not None
        counterpart = next(
            (
                row
                for row in existing
                if row.connected_at is not None and (row.disconnection_event is not None) != ended
            ),
            None,
        )
        if parameters["connected_at"] is None or counterpart is None:
            await self._add_new(parameters)
            return
        existing.remove(counterpart)
        if ended:
            await self._end_existing(parameters, counterpart)
        else:
            self._report.already_there += 1


def _comparable(parameters: SessionParameters) -> tuple[object, ...]:
    return tuple(parameters[name] for name in ExistingSession._fields[1:])
