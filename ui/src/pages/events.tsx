/** Events: the ends of sessions, in six kinds. */

import { useCallback } from "preact/hooks";
import { EventsDocument, type EventsQuery, type SessionEventOrder, type SessionEventType, TotalsDocument, type TotalsQuery } from "../operations";
import { Answered, DeviceLink, Search, State } from "../parts";
import { Pages, placeOf } from "../paging";
import { addressOf, useAnswer, useQuery, useServer, useTitle } from "../use";
import { at, counted, duration } from "../words";
import type { Zone } from "../zone";

type Kind = SessionEventType;

const KINDS: [Kind, keyof TotalsQuery["sessionTotals"], string][] = [
  ["ALL", "all", "All events"],
  ["SESSIONS", "sessions", "Sessions"],
  ["MISSING", "missing", "Missing"],
  ["VOIDED", "voided", "Voided"],
  ["NEW", "new", "New devices"],
  ["DOWN", "down", "Down"],
];
const PERIODS = ["1 day", "7 days", "30 days", "90 days", "1 year", "10 years"];
const COLUMNS: [title: string, order: SessionEventOrder | null, reversed: SessionEventOrder | null][] = [
  ["Time", "NEWEST", "OLDEST"],
  ["Device", "NAME", "NAME_DESC"],
  ["Owner", "OWNER", "OWNER_DESC"],
  ["Event", "EVENT_TYPE", "EVENT_TYPE_DESC"],
  ["IP", "IP", "IP_DESC"],
  ["Session", null, null],
];
const ORDERS = COLUMNS.flatMap(([, order, reversed]) => [order, reversed]);

export function Events() {
  const { zone } = useServer();
  const [query, change] = useQuery();
  const kind = KINDS.find(([known]) => known === query.type)?.[0] ?? "ALL";
  const period = query.period || "7 days";
  const orderBy = ORDERS.find((known) => known === query.order) ?? "NEWEST";
  const search = query.search ?? "";
  const seek = useCallback((search: string) => change({ search, after: "", before: "" }, { replace: true }), [change]);
  useTitle("Events");

  const totals = useAnswer(TotalsDocument, { period });
  const answer = useAnswer(EventsDocument, { type: kind, period, search: search || null, orderBy, ...placeOf(query) });
  const to = (change: Record<string, string>) => addressOf("/events", query, { ...change, after: "", before: "" });
  const periods = PERIODS.includes(period) ? PERIODS : [...PERIODS, period];

  return (
    <main class="page" tabIndex={-1}>
      <h1 class="sr-only">Events</h1>
      <nav class="kinds" aria-label="Kinds of events">
        {KINDS.map(([known, key, title]) => (
          <a href={to({ type: known === "ALL" ? "" : known })} aria-current={known === kind ? "page" : undefined}>
            <b>{totals.data ? totals.data.sessionTotals[key].toLocaleString("en") : "–"}</b> {title}
          </a>
        ))}
      </nav>
      <div class="tools">
        <Search label="Search events" hint="Device, owner, IP, event" value={search} onSearch={seek} />
        <label>
          Last{" "}
          <select value={period} onChange={(event) => change({ period: event.currentTarget.value, after: "", before: "" })}>
            {periods.map((known) => <option value={known}>{known}</option>)}
          </select>
        </label>
        <label class="narrow">
          Order{" "}
          <select value={orderBy} onChange={(event) => change({ order: event.currentTarget.value, after: "", before: "" })}>
            {COLUMNS.flatMap(([title, forward, back]) =>
              forward ? [<option value={forward}>{title}</option>, <option value={back!}>{title}, reversed</option>] : [],
            )}
          </select>
        </label>
      </div>
      <Answered of={answer}>
        {({ sessionEvents: { nodes, totalCount, pageInfo } }) => (
          <>
            <p class="when" role="status">{counted(totalCount, "row")}</p>
            {totalCount === 0 ? <p class="notice">Nothing of this kind in the last {period}.</p> : <Table rows={nodes} order={orderBy} to={to} zone={zone} />}
            <Pages path="/events" query={query} info={pageInfo} />
          </>
        )}
      </Answered>
    </main>
  );
}

type TableProps = { rows: EventsQuery["sessionEvents"]["nodes"]; order: SessionEventOrder; to: (change: Record<string, string>) => string; zone: Zone };

function Table({ rows, order, to, zone }: TableProps) {
  return (
    <table>
      <thead>
        <tr>
          {COLUMNS.map(([title, forward, back]) => {
            if (forward === null) return <th>{title}</th>;
            const sorted = order === forward || order === back;
            // Time falls by itself, names rise.
            const rises = order === (forward === "NEWEST" ? back : forward);
            return (
              <th aria-sort={sorted ? (rises ? "ascending" : "descending") : undefined}>
                <a href={to({ order: order === forward ? back! : forward })}>{title}{sorted && (rises ? " ▲" : " ▼")}</a>
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ eventType, occurredAt, session }) => (
          <tr key={session.id + eventType + occurredAt}>
            <td data-label="Time">{at(occurredAt ?? session.connectedAt ?? session.disconnectedAt, zone)}</td>
            <td data-label="Device"><DeviceLink mac={session.mac} name={session.device.name} /></td>
            <td data-label="Owner">{session.device.owner ?? "–"}</td>
            <td data-label="Event">{eventType ?? "–"}</td>
            <td data-label="IP">{session.ip}</td>
            <td data-label="Session">
              <State of={session.state} /> {session.durationSeconds !== null && duration(session.durationSeconds)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
