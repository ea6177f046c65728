/** What the pages share: the server that they look at, answers that stay true, and the state in their address. */

import { createContext } from "preact";
import { useCallback, useContext, useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { ask, type Live, Problem } from "./api";
import type { TypedDocumentString } from "./operations";
import type { Zone } from "./zone";

/** `skew`: by how many milliseconds its clock is ahead of the browser's. */
export type Server = { zone: Zone; skew: number; live: Live; signOut: (why?: string) => void };

export const ServerContext = createContext<Server>(null!);
export const useServer = (): Server => useContext(ServerContext);

export type Answer<T> = { data: T | null; problem: Problem | null; again: () => void };

const PAUSE = 2_000; // milliseconds at least between two askings because of changes
const EASE = 20; // times as long as an answer took is waited, so that a busy network's pages do not load its server
const RETRY = 5_000; // milliseconds until a server that did not answer is asked again

/**
 * Waits for what the server was asked. One that is away is asked again by `again`, one that refuses the token ends it all;
 * `failed` hears of all but that. Answers what gives it up.
 */
export function pursue<T>(
  work: (signal: AbortSignal) => Promise<T>,
  done: (answer: T) => void,
  failed: (problem: Problem) => void,
  { again, signOut }: { again: () => void; signOut: Server["signOut"] },
): () => void {
  const abort = new AbortController();
  let retry = 0;
  work(abort.signal).then(done, (problem: unknown) => {
    if (abort.signal.aborted || !(problem instanceof Problem)) return;
    if (problem.kind === "token") return signOut(problem.message);
    if (problem.kind === "away") retry = window.setTimeout(again, RETRY);
    failed(problem);
  });
  return () => {
    abort.abort();
    clearTimeout(retry);
  };
}

/**
 * The answer to a question, asked again when it changes, when `again` is called, when the server was away, and, not too often,
 * when sessions change. What is there stays until the same question is answered again.
 */
export function useAnswer<T, V>(document: TypedDocumentString<T, V>, variables: V): Answer<T> {
  const { live, signOut } = useServer();
  const key = JSON.stringify(variables);
  const [state, setState] = useState<{ of: string; data: T | null; problem: Problem | null }>({ of: "", data: null, problem: null });
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  const asking = useRef(false);
  const took = useRef(0);

  useEffect(() => {
    const asked = Date.now();
    asking.current = true;
    return pursue(
      (signal) => ask(document, variables, { signal }),
      (data) => {
        asking.current = false;
        took.current = Date.now() - asked;
        setState({ of: key, data, problem: null });
      },
      (problem) => {
        asking.current = false;
        setState((before) => ({ of: key, data: before.of === key ? before.data : null, problem }));
      },
      { again, signOut },
    );
  }, [document, key, turn]);

  useEffect(() => {
    let timer = 0;
    let last = 0;
    const tick = () => {
      // Not while it is asked already: on a busy network a slow answer would never come.
      if (asking.current) timer = window.setTimeout(tick, PAUSE);
      else {
        [timer, last] = [0, Date.now()];
        again();
      }
    };
    const stop = live.listen(() => {
      timer ||= window.setTimeout(tick, Math.max(last + Math.max(PAUSE, EASE * took.current) - Date.now(), 0));
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [live, again]);

  return state.of === key ? { data: state.data, problem: state.problem, again } : { data: null, problem: null, again };
}

/** The instant by the server's clock, told anew every so many milliseconds. */
export function useNow(every: number): number {
  const { skew } = useServer();
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now + skew;
}

/** What the browser calls the page. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} – netsessions`;
  }, [title]);
}

export type Query = Record<string, string>;

/** An address with changed parameters; an empty one is left out. */
export function addressOf(path: string, query: Query, change: Query = {}): string {
  const given = Object.entries({ ...query, ...change }).filter(([, value]) => value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** The parameters of the address, and how to change them; a change that is not worth a step back replaces the address. */
export function useQuery(): [Query, (change: Query, options?: { replace: boolean }) => void] {
  const { path, query, route } = useLocation();
  const latest = useRef({ path, query });
  latest.current = { path, query };
  const change = useCallback(
    (change: Query, { replace } = { replace: false }) =>
      route(addressOf(latest.current.path, latest.current.query, change), replace),
    [route],
  );
  return [query, change];
}
