/** The sessions of the timeline, loaded from the server and updated by the change feed. */

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type ApiError, type Change, request } from "../api";
import { runRequest, useServer } from "../hooks";
import { BarsDocument, type SessionState } from "../operations";
import { type Bar, overlaps, toBar } from "./rows";
import { span, type View } from "./scale";

type Filter = { states: SessionState[]; macs: string[] | null };

/** `complete` is false if the view has more sessions than one response holds. */
type Loaded = { view: View; key: string; bars: Map<string, Bar>; complete: boolean };

const contains = (outer: View, inner: View): boolean => outer.from <= inner.from && inner.to <= outer.to;
const widen = (view: View): View => ({ from: view.from - span(view), to: view.to + span(view) });

/** Load the sessions around the view: more than is visible, so that panning finds bars to draw. */
export function useBars(view: View, states: SessionState[], macs: string[] | null) {
  const { changes, signOut } = useServer();
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [version, setVersion] = useState(0);
  const refetch = useCallback(() => setVersion((n) => n + 1), []);
  const key = JSON.stringify([states, macs, version]);

  // A request continues while it covers the view: the view moves with the clock, and would otherwise abort slow responses.
  const latestRequest = useRef({ key: "", view, pending: false });
  const isLoaded = loaded?.key === key && contains(loaded.view, view)
    && (loaded.complete || Math.abs(span(loaded.view) / span(view) - 1) < 0.01);
  const isPending = latestRequest.current.pending && latestRequest.current.key === key
    && contains(widen(latestRequest.current.view), view);
  if (!isLoaded && !isPending) latestRequest.current = { key, view, pending: true };
  const currentRequest = latestRequest.current;

  useEffect(() => {
    if (!currentRequest.pending) return;
    // Changes between the server's read and the arrival of its response are applied to the response.
    const missedChanges: Change[] = [];
    const stopListening = changes.listen((change) => change && missedChanges.push(change));
    const abort = runRequest(
      (signal) => loadBars(currentRequest.view, { states, macs }, signal),
      (fresh) => {
        stopListening();
        currentRequest.pending = false;
        setLoaded(missedChanges.reduce<Loaded>((bars, change) => applyChange(bars, change, { states, macs }), { ...fresh, key }));
        setError(null);
      },
      setError,
      { retry: refetch, signOut },
    );
    return () => {
      stopListening();
      abort();
    };
  }, [currentRequest]);

  const filter = useRef({ states, macs });
  filter.current = { states, macs };
  useEffect(
    () =>
      changes.listen((change) => {
        if (change) setLoaded((previous) => previous && applyChange(previous, change, filter.current));
        else refetch();
      }),
    [changes, refetch],
  );

  const bars = useMemo(() => (loaded ? [...loaded.bars.values()] : null), [loaded]);
  return { bars, complete: loaded?.complete ?? true, error, refetch };
}

/** Load the widened view, or only the view itself if the widened one has too many sessions. */
async function loadBars(view: View, { states, macs }: Filter, signal: AbortSignal): Promise<Omit<Loaded, "key">> {
  for (const range of [widen(view), view]) {
    const overlaps = { from: new Date(range.from).toISOString(), to: new Date(range.to).toISOString() };
    const filter = { overlaps, ...(states.length && { states }), ...(macs && { macs }) };
    const { nodes, pageInfo } = (await request(BarsDocument, { filter }, { signal })).sessions;
    if (!pageInfo.hasNextPage || range === view)
      return { view: range, bars: new Map(nodes.map((node) => [node.id, toBar(node)])), complete: !pageInfo.hasNextPage };
  }
  throw new Error("unreachable");
}

function applyChange(loaded: Loaded, { sessionId, session }: Change, { states, macs }: Filter): Loaded {
  const bars = new Map(loaded.bars);
  bars.delete(sessionId);
  const bar = session && toBar(session);
  if (bar && overlaps(bar, loaded.view) && (!states.length || states.includes(bar.state)) && (!macs || macs.includes(bar.mac)))
    bars.set(sessionId, bar);
  return { ...loaded, bars };
}
