/** Hooks of the pages: the server context, query results that refetch on changes, the clock, and the URL's parameters. */

import { createContext } from "preact";
import { useCallback, useContext, useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { ApiError, type ChangeFeed, request } from "./api";
import type { TypedDocumentString } from "./operations";
import type { TimeZone } from "./time-zone";
import { buildUrl, type SearchParams } from "./url";

/** `clockSkew`: milliseconds by which the server's clock is ahead of the browser's. */
export type Server = { zone: TimeZone; clockSkew: number; changes: ChangeFeed; signOut: (message?: string) => void };

export const ServerContext = createContext<Server>(null!);
export const useServer = (): Server => useContext(ServerContext);

export type QueryResult<T> = { data: T | null; error: ApiError | null; refetch: () => void };

const MIN_REFETCH_INTERVAL = 2_000; // milliseconds between two refetches because of changes
const IDLE_FACTOR = 20; // wait this many times the last response time, so that a busy network's pages do not load its server
const RETRY_DELAY = 5_000; // milliseconds

/**
 * Run a request. Calls `retry` after a delay if the server is unavailable, `signOut` if the token is invalid, and `onError` on
 * every other failure and on unavailability. Returns a function that aborts the request and its retry.
 */
export function runRequest<T>(
  send: (signal: AbortSignal) => Promise<T>,
  onData: (data: T) => void,
  onError: (error: ApiError) => void,
  { retry, signOut }: { retry: () => void; signOut: Server["signOut"] },
): () => void {
  const abort = new AbortController();
  let timer = 0;
  send(abort.signal).then(onData, (error: unknown) => {
    if (abort.signal.aborted || !(error instanceof ApiError)) return;
    if (error.kind === "unauthorized") return signOut(error.message);
    if (error.kind === "unavailable") timer = window.setTimeout(retry, RETRY_DELAY);
    onError(error);
  });
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}

/**
 * Fetch a query. Refetches when the variables change, when `refetch` is called, after the server was unavailable, and, at a
 * limited rate, when sessions change. Keeps the last data until the same query returns new data.
 */
export function useQuery<T, V>(document: TypedDocumentString<T, V>, variables: V): QueryResult<T> {
  const { changes, signOut } = useServer();
  const key = JSON.stringify(variables);
  const [state, setState] = useState<{ key: string; data: T | null; error: ApiError | null }>({ key: "", data: null, error: null });
  const [version, setVersion] = useState(0);
  const refetch = useCallback(() => setVersion((n) => n + 1), []);
  const fetching = useRef(false);
  const duration = useRef(0); // milliseconds of the last request

  useEffect(() => {
    const startedAt = Date.now();
    fetching.current = true;
    return runRequest(
      (signal) => request(document, variables, { signal }),
      (data) => {
        fetching.current = false;
        duration.current = Date.now() - startedAt;
        setState({ key, data, error: null });
      },
      (error) => {
        fetching.current = false;
        setState((previous) => ({ key, data: previous.key === key ? previous.data : null, error }));
      },
      { retry: refetch, signOut },
    );
  }, [document, key, version]);

  useEffect(() => {
    let timer = 0;
    let lastRefetch = 0;
    const refetchWhenIdle = () => {
      // A refetch aborts the request in progress: on a busy network a slow response would never arrive.
      if (fetching.current) timer = window.setTimeout(refetchWhenIdle, MIN_REFETCH_INTERVAL);
      else {
        [timer, lastRefetch] = [0, Date.now()];
        refetch();
      }
    };
    const stopListening = changes.listen(() => {
      const interval = Math.max(MIN_REFETCH_INTERVAL, IDLE_FACTOR * duration.current);
      timer ||= window.setTimeout(refetchWhenIdle, Math.max(lastRefetch + interval - Date.now(), 0));
    });
    return () => {
      stopListening();
      clearTimeout(timer);
    };
  }, [changes, refetch]);

  return state.key === key ? { data: state.data, error: state.error, refetch } : { data: null, error: null, refetch };
}

/** Return the server's time, updated every `interval` milliseconds. */
export function useNow(interval: number): number {
  const { clockSkew } = useServer();
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now + clockSkew;
}

/** Set the document's title. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} – netsessions`;
  }, [title]);
}

/** Return the URL's parameters and a function that changes some of them. `replace`: without a new entry in the history. */
export function useSearchParams(): [SearchParams, (changes: SearchParams, options?: { replace: boolean }) => void] {
  const { path, query, route } = useLocation();
  const latest = useRef({ path, query });
  latest.current = { path, query };
  const setParams = useCallback(
    (changes: SearchParams, { replace } = { replace: false }) =>
      route(buildUrl(latest.current.path, latest.current.query, changes), replace),
    [route],
  );
  return [query, setParams];
}
