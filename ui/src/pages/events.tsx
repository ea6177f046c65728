/** Events page: connections and disconnections in a table, filtered by type and period. */

import { useCallback } from "preact/hooks";
import { DeviceLink, QueryBoundary, SearchField, StateLabel } from "../components";
import { formatCount, formatDuration, formatTime } from "../format";
import { useQuery, useSearchParams, useServer, useTitle } from "../hooks";
import { EventsDocument, type EventsQuery, type SessionEventOrder, type SessionEventType, TotalsDocument, type TotalsQuery } from "../operations";
import { pageArgs, Pagination } from "../pagination";
import type { TimeZone } from "../time-zone";
import { buildUrl, type SearchParams } from "../url";

const EVENT_TYPES: [type: SessionEventType, totalKey: keyof TotalsQuery["sessionTotals"], label: string][] = [
  ["ALL", "all", "All events"],
  ["SESSIONS", "sessions", "Sessions"],
  ["MISSING", "missing", "Missing"],
  ["VOIDED", "voided", "Voided"],
  ["NEW", "new", "New devices"],
  ["DOWN", "down", "Down"],
];
const PERIODS = ["1 day", "7 days", "30 days", "90 days", "1 year", "10 years"];
const COLUMNS: [title: string, order: SessionEventOrder | null, reverseOrder: SessionEventOrder | null][] = [
  ["Time", "NEWEST", "OLDEST"],
  ["Device", "NAME", "NAME_DESC"],
  ["Owner", "OWNER", "OWNER_DESC"],
  ["Event", "EVENT_TYPE", "EVENT_TYPE_DESC"],
  ["IP", "IP", "IP_DESC"],
  ["Session", null, null],
];
const ORDERS = COLUMNS.flatMap(([, order, reverseOrder]) => [order, reverseOrder]);
const FIRST_PAGE = { after: "", before: "" };

export function EventsPage() {
  const { zone } = useServer();
  const [params, setParams] = useSearchParams();
  const selectedType = EVENT_TYPES.find(([type]) => type === params.type)?.[0] ?? "ALL";
  const period = params.period || "7 days";
  const orderBy = ORDERS.find((order) => order === params.order) ?? "NEWEST";
  const search = params.search ?? "";
  const setSearch = useCallback((search: string) => setParams({ search, ...FIRST_PAGE }, { replace: true }), [setParams]);
  useTitle("Events");

  const totals = useQuery(TotalsDocument, { period });
  const result = useQuery(EventsDocument, { type: selectedType, period, search: search || null, orderBy, ...pageArgs(params) });
  const eventsUrl = (changes: SearchParams) => buildUrl("/events", params, { ...changes, ...FIRST_PAGE });
  const periods = PERIODS.includes(period) ? PERIODS : [...PERIODS, period];

  return (
    <main class="page" tabIndex={-1}>
      <h1 class="sr-only">Events</h1>
      <nav class="event-types" aria-label="Event types">
        {EVENT_TYPES.map(([type, totalKey, label]) => (
          <a href={eventsUrl({ type: type === "ALL" ? "" : type })} aria-current={type === selectedType ? "page" : undefined}>
            <b>{totals.data ? totals.data.sessionTotals[totalKey].toLocaleString("en") : "–"}</b> {label}
          </a>
        ))}
      </nav>
      <div class="toolbar">
        <SearchField label="Search events" placeholder="Device, owner, IP, event" value={search} onSearch={setSearch} />
        <label>
          Last{" "}
          <select value={period} onChange={(event) => setParams({ period: event.currentTarget.value, ...FIRST_PAGE })}>
            {periods.map((option) => <option value={option}>{option}</option>)}
          </select>
        </label>
        <label class="narrow-only">
          Order{" "}
          <select value={orderBy} onChange={(event) => setParams({ order: event.currentTarget.value, ...FIRST_PAGE })}>
            {COLUMNS.flatMap(([title, order, reverseOrder]) =>
              order ? [<option value={order}>{title}</option>, <option value={reverseOrder!}>{title}, reversed</option>] : [],
            )}
          </select>
        </label>
      </div>
      <QueryBoundary result={result}>
        {({ sessionEvents: { nodes, totalCount, pageInfo } }) => (
          <>
            <p class="summary" role="status">{formatCount(totalCount, "row")}</p>
            {totalCount === 0 ? <p class="notice">No events of this type in the last {period}.</p>
              : <EventTable events={nodes} orderBy={orderBy} eventsUrl={eventsUrl} zone={zone} />}
            <Pagination path="/events" params={params} pageInfo={pageInfo} />
          </>
        )}
      </QueryBoundary>
    </main>
  );
}

type EventTableProps = {
  events: EventsQuery["sessionEvents"]["nodes"];
  orderBy: SessionEventOrder;
  eventsUrl: (changes: SearchParams) => string;
  zone: TimeZone;
};

function EventTable({ events, orderBy, eventsUrl, zone }: EventTableProps) {
  return (
    <table>
      <thead>
        <tr>
          {COLUMNS.map(([title, order, reverseOrder]) => {
            if (order === null) return <th>{title}</th>;
            const sorted = orderBy === order || orderBy === reverseOrder;
            // Time starts with the newest, the other columns start ascending.
            const ascending = orderBy === (order === "NEWEST" ? reverseOrder : order);
            return (
              <th aria-sort={sorted ? (ascending ? "ascending" : "descending") : undefined}>
                <a href={eventsUrl({ order: orderBy === order ? reverseOrder! : order })}>{title}{sorted && (ascending ? " ▲" : " ▼")}</a>
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>
        {events.map(({ eventType, occurredAt, session }) => (
          <tr key={session.id + eventType + occurredAt}>
            <td data-label="Time">{formatTime(occurredAt ?? session.connectedAt ?? session.disconnectedAt, zone)}</td>
            <td data-label="Device"><DeviceLink mac={session.mac} name={session.device.name} /></td>
            <td data-label="Owner">{session.device.owner ?? "–"}</td>
            <td data-label="Event">{eventType ?? "–"}</td>
            <td data-label="IP">{session.ip}</td>
            <td data-label="Session">
              <StateLabel state={session.state} /> {session.durationSeconds !== null && formatDuration(session.durationSeconds)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
