/** Presence: who was there when, as a timeline. */

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { ask, type Change, type Problem } from "../api";
import { BarsDocument, DevicesDocument, type SessionState } from "../operations";
import { macOf } from "../mac";
import { deviceAddress, Failed, Loading, Search } from "../parts";
import { type Bar, barOf, type Order, ORDERS, overlaps, rowsOf } from "../timeline/rows";
import { panned, span, type View, zoomed } from "../timeline/scale";
import { Timeline } from "../timeline/timeline";
import { pursue, useAnswer, useNow, useQuery, useServer, useTitle } from "../use";
import { STATES } from "../words";
import { DAY, HOUR } from "../zone";
import { viewIn, viewOf } from "../view";

const SPANS: [string, number][] = [["Hour", HOUR], ["Day", DAY], ["Week", 7 * DAY], ["Month", 31 * DAY], ["Year", 366 * DAY]];
const ORDER_NAMES: Record<Order, string> = { name: "by name", seen: "by last seen", online: "by time online" };
const MOST_NAMED = 1_000; // devices of a search that are asked for by name

export function Presence() {
  const { zone } = useServer();
  const { route } = useLocation();
  const [query, change] = useQuery();
  const now = useNow(15_000);
  useTitle("Presence");
  const view = useMemo(() => viewOf(query, now), [query.from, query.to, query.span, now]);
  const states = useMemo(() => (query.states?.split(",") ?? []).filter((state) => state in STATES) as SessionState[], [query.states]);
  const order = ORDERS.find((known) => known === query.order) ?? "name";

  const search = query.search ?? "";
  const found = useAnswer(DevicesDocument, { search: (macOf(search) ?? search) || null, orderBy: order === "seen" ? "LAST_SEEN" : "NAME" });
  const devices = found.data?.devices.nodes;
  const macs = useMemo(
    () => (search && devices && devices.length <= MOST_NAMED ? devices.map(({ mac }) => mac) : null),
    [search, devices],
  );
  const { bars, complete, problem, again } = useBars(view, states, macs);
  const rows = useMemo(
    () => (devices && bars ? rowsOf(devices, bars, view, now, order, states.length > 0) : null),
    [devices, bars, view, now, order, states.length],
  );

  const show = useCallback((next: View) => change(viewIn(next), { replace: true }), [change]);
  const seek = useCallback((search: string) => change({ search }, { replace: true }), [change]);
  const open = useCallback((mac: string) => route(deviceAddress(mac)), [route]);
  const toggle = (state: SessionState) => {
    const kept = states.includes(state) ? states.filter((other) => other !== state) : [...states, state];
    change({ states: kept.join(",") }, { replace: true });
  };
  const centre = (view.from + view.to) / 2;

  return (
    <main class="presence" tabIndex={-1}>
      <h1 class="sr-only">Presence</h1>
      <div class="tools">
        <Search label="Search devices" hint="Name, owner or MAC" value={search} onSearch={seek} />
        <fieldset class="chips">
          <legend class="sr-only">States</legend>
          {(Object.keys(STATES) as SessionState[]).map((state) => (
            <button type="button" class={`chip ${state}`} aria-pressed={states.includes(state)} onClick={() => toggle(state)}>
              {STATES[state]}
            </button>
          ))}
        </fieldset>
        <select aria-label="Order" value={order} onChange={(event) => change({ order: event.currentTarget.value }, { replace: true })}>
          {ORDERS.map((known) => <option value={known}>{ORDER_NAMES[known]}</option>)}
        </select>
        <div class="spans" role="group" aria-label="Span of time">
          {SPANS.map(([name, length]) => (
            <button
              type="button" aria-pressed={Math.abs(span(view) / length - 1) < 0.01}
              onClick={() => (query.from ? show(zoomed(view, centre, length / span(view))) : change({ span: String(length / HOUR) }))}
            >
              {name}
            </button>
          ))}
        </div>
        <div class="spans" role="group" aria-label="Move">
          <button type="button" aria-label="Earlier" onClick={() => show(panned(view, -span(view) / 2))}>‹</button>
          <button
            type="button" aria-pressed={!query.from}
            onClick={() => change({ from: "", to: "", span: String(Math.round(span(view) / HOUR)) })}
          >
            Now
          </button>
          <button type="button" aria-label="Later" onClick={() => show(panned(view, span(view) / 2))}>›</button>
          <button type="button" aria-label="Zoom out" onClick={() => show(zoomed(view, centre, 2))}>−</button>
          <button type="button" aria-label="Zoom in" onClick={() => show(zoomed(view, centre, 1 / 2))}>+</button>
        </div>
        <p class="when">{zone.minutes(view.from)} – {zone.minutes(view.to)}</p>
      </div>
      {(found.problem ?? problem) && <Failed problem={(found.problem ?? problem)!} again={() => { found.again(); again(); }} />}
      {!complete && <p class="notice">More than 10,000 sessions: the newest are drawn. Zoom in, search, or choose a state.</p>}
      {found.data?.devices.pageInfo.hasNextPage && <p class="notice">More than 10,000 devices: search to see the others.</p>}
      {rows === null ? !(found.problem ?? problem) && <Loading />
        : rows.length ? <Timeline rows={rows} view={view} zone={zone} now={now} onView={show} onOpen={open} />
        : <p class="notice">No device {search && <>matches “{search}”</>} {states.length > 0 && "has such a session in this span"}.</p>}
    </main>
  );
}

type Loaded = { view: View; key: string; bars: Map<string, Bar>; complete: boolean };

const covers = (outer: View, inner: View): boolean => outer.from <= inner.from && inner.to <= outer.to;
const around = (view: View): View => ({ from: view.from - span(view), to: view.to + span(view) });

/**
 * The sessions around the view. More than the view is loaded, so that the next move finds something to draw, unless that is
 * more than can be. `complete` is false where there are more in the view than are drawn.
 */
function useBars(view: View, states: SessionState[], macs: string[] | null) {
  const { live, signOut } = useServer();
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  const key = JSON.stringify([states, macs, turn]);

  // Asked once for as long as the answer will do: the view moves with the clock, and a slow answer is to arrive.
  const asked = useRef({ key: "", view, open: false });
  const has = loaded?.key === key && covers(loaded.view, view)
    && (loaded.complete || Math.abs(span(loaded.view) / span(view) - 1) < 0.01);
  const coming = asked.current.open && asked.current.key === key && covers(around(asked.current.view), view);
  if (!has && !coming) asked.current = { key, view, open: true };
  const question = asked.current;

  useEffect(() => {
    if (!question.open) return;
    // What changes after the server has read, and before its answer is here, comes on top of it.
    const since: Change[] = [];
    const stop = live.listen((change) => change && since.push(change));
    const giveUp = pursue(
      (signal) => load(question.view, { states, macs }, signal),
      (fresh) => {
        stop();
        question.open = false;
        setLoaded(since.reduce<Loaded>((all, change) => changed(all, change, { states, macs }), { ...fresh, key }));
        setProblem(null);
      },
      setProblem,
      { again, signOut },
    );
    return () => {
      stop();
      giveUp();
    };
  }, [question]);

  // What changes is put in its place; what is not known is asked for.
  const wanted = useRef({ states, macs });
  wanted.current = { states, macs };
  useEffect(
    () => live.listen((change) => (change ? setLoaded((before) => before && changed(before, change, wanted.current)) : again())),
    [live, again],
  );

  const bars = useMemo(() => (loaded ? [...loaded.bars.values()] : null), [loaded]);
  return { bars, complete: loaded?.complete ?? true, problem, again };
}

type Wanted = { states: SessionState[]; macs: string[] | null };

async function load(view: View, { states, macs }: Wanted, signal: AbortSignal): Promise<Omit<Loaded, "key">> {
  for (const part of [around(view), view]) {
    const overlaps = { from: new Date(part.from).toISOString(), to: new Date(part.to).toISOString() };
    const filter = { overlaps, ...(states.length && { states }), ...(macs && { macs }) };
    const { nodes, pageInfo } = (await ask(BarsDocument, { filter }, { signal })).sessions;
    if (!pageInfo.hasNextPage || part === view)
      return { view: part, bars: new Map(nodes.map((node) => [node.id, barOf(node)])), complete: !pageInfo.hasNextPage };
  }
  throw new Error("unreachable");
}

function changed(loaded: Loaded, { sessionId, session }: Change, { states, macs }: Wanted): Loaded {
  const bars = new Map(loaded.bars);
  bars.delete(sessionId);
  const bar = session && barOf(session);
  if (bar && overlaps(bar, loaded.view) && (!states.length || states.includes(bar.state)) && (!macs || macs.includes(bar.mac)))
    bars.set(sessionId, bar);
  return { ...loaded, bars };
}
