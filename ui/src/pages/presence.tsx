/** Presence page: the sessions of all devices on a timeline. */

import { useCallback, useMemo } from "preact/hooks";
import { useLocation } from "preact-iso";
import { ErrorNotice, Loading, SearchField } from "../components";
import { STATE_LABELS } from "../format";
import { useNow, useQuery, useSearchParams, useServer, useTitle } from "../hooks";
import { normalizeMac } from "../mac";
import { DevicesDocument, type SessionState } from "../operations";
import { DAY, HOUR } from "../time-zone";
import { buildRows, ORDERS, type Order } from "../timeline/rows";
import { pan, span, type View, zoom } from "../timeline/scale";
import { Timeline } from "../timeline/timeline";
import { useBars } from "../timeline/use-bars";
import { parseView, viewParams } from "../timeline/view-params";
import { deviceUrl } from "../url";

const SPANS: [label: string, length: number][] = [
  ["Hour", HOUR], ["Day", DAY], ["Week", 7 * DAY], ["Month", 31 * DAY], ["Year", 366 * DAY],
];
const ORDER_LABELS: Record<Order, string> = { name: "by name", seen: "by last seen", online: "by time online" };
const MAX_MACS = 1_000; // in the filter of a request; with more devices, all sessions are loaded
const STATES = Object.keys(STATE_LABELS) as SessionState[];

export function PresencePage() {
  const { zone } = useServer();
  const { route } = useLocation();
  const [params, setParams] = useSearchParams();
  const now = useNow(15_000);
  useTitle("Presence");
  const view = useMemo(() => parseView(params, now), [params.from, params.to, params.span, now]);
  const states = useMemo(
    () => (params.states?.split(",") ?? []).filter((state) => state in STATE_LABELS) as SessionState[],
    [params.states],
  );
  const order = ORDERS.find((option) => option === params.order) ?? "name";

  const search = params.search ?? "";
  const deviceQuery = useQuery(DevicesDocument, {
    search: (normalizeMac(search) ?? search) || null,
    orderBy: order === "seen" ? "LAST_SEEN" : "NAME",
  });
  const devices = deviceQuery.data?.devices.nodes;
  const macs = useMemo(
    () => (search && devices && devices.length <= MAX_MACS ? devices.map(({ mac }) => mac) : null),
    [search, devices],
  );
  const { bars, complete, error: barsError, refetch: refetchBars } = useBars(view, states, macs);
  const rows = useMemo(
    () => (devices && bars ? buildRows(devices, bars, view, now, order, states.length > 0) : null),
    [devices, bars, view, now, order, states.length],
  );
  const error = deviceQuery.error ?? barsError;
  const retry = () => {
    deviceQuery.refetch();
    refetchBars();
  };

  const setView = useCallback((next: View) => setParams(viewParams(next), { replace: true }), [setParams]);
  const setSearch = useCallback((search: string) => setParams({ search }, { replace: true }), [setParams]);
  const openDevice = useCallback((mac: string) => route(deviceUrl(mac)), [route]);
  const toggleState = (state: SessionState) => {
    const selected = states.includes(state) ? states.filter((other) => other !== state) : [...states, state];
    setParams({ states: selected.join(",") }, { replace: true });
  };
  const center = (view.from + view.to) / 2;
  const setSpan = (length: number) =>
    params.from ? setView(zoom(view, center, length / span(view))) : setParams({ span: String(length / HOUR) });

  return (
    <main class="presence" tabIndex={-1}>
      <h1 class="sr-only">Presence</h1>
      <div class="toolbar">
        <SearchField label="Search devices" placeholder="Name, owner or MAC" value={search} onSearch={setSearch} />
        <fieldset class="chips">
          <legend class="sr-only">Session states</legend>
          {STATES.map((state) => (
            <button type="button" class={`chip ${state}`} aria-pressed={states.includes(state)} onClick={() => toggleState(state)}>
              {STATE_LABELS[state]}
            </button>
          ))}
        </fieldset>
        <select aria-label="Order" value={order} onChange={(event) => setParams({ order: event.currentTarget.value }, { replace: true })}>
          {ORDERS.map((option) => <option value={option}>{ORDER_LABELS[option]}</option>)}
        </select>
        <div class="button-group" role="group" aria-label="Time span">
          {SPANS.map(([label, length]) => (
            <button type="button" aria-pressed={Math.abs(span(view) / length - 1) < 0.01} onClick={() => setSpan(length)}>
              {label}
            </button>
          ))}
        </div>
        <div class="button-group" role="group" aria-label="Move and zoom">
          <button type="button" aria-label="Earlier" onClick={() => setView(pan(view, -span(view) / 2))}>‹</button>
          <button
            type="button" aria-pressed={!params.from}
            onClick={() => setParams({ from: "", to: "", span: String(Math.round(span(view) / HOUR)) })}
          >
            Now
          </button>
          <button type="button" aria-label="Later" onClick={() => setView(pan(view, span(view) / 2))}>›</button>
          <button type="button" aria-label="Zoom out" onClick={() => setView(zoom(view, center, 2))}>−</button>
          <button type="button" aria-label="Zoom in" onClick={() => setView(zoom(view, center, 1 / 2))}>+</button>
        </div>
        <p class="summary">{zone.format(view.from)} – {zone.format(view.to)}</p>
      </div>
      {error && <ErrorNotice error={error} retry={retry} />}
      {!complete && (
        <p class="notice">More than 10,000 sessions. Only the newest are shown: zoom in, search, or select a state.</p>
      )}
      {deviceQuery.data?.devices.pageInfo.hasNextPage && (
        <p class="notice">More than 10,000 devices. Search to see the others.</p>
      )}
      {rows === null ? !error && <Loading />
        : rows.length ? <Timeline rows={rows} view={view} zone={zone} now={now} onViewChange={setView} onOpenDevice={openDevice} />
        : <p class="notice">{emptyMessage(search, states)}</p>}
    </main>
  );
}

function emptyMessage(search: string, states: SessionState[]): string {
  if (!states.length) return search ? `No device matches “${search}”.` : "No devices.";
  return `No device${search && ` that matches “${search}”`} has a session in the selected states in this time span.`;
}
