/** Asking the GraphQL door, and hearing from it what changes. */

import { type Client, createClient } from "graphql-ws";
import { type ChangesSubscription, ChangesDocument, type TypedDocumentString } from "./operations";
import { token } from "./token";

/** Why there is no answer. `token`: it is refused; `away`: there is none for now; `refused`: the server says why. */
export class Problem extends Error {
  constructor(
    readonly kind: "token" | "away" | "refused",
    message: string,
  ) {
    super(message);
  }
}

const AWAY = "The server does not answer.";
const PATIENCE = 45_000; // milliseconds for an answer: longer than the server works for one

/** The answer of an operation. Throws Problem. */
export async function ask<Answer, Variables>(
  document: TypedDocumentString<Answer, Variables>,
  variables: Variables,
  options: { signal?: AbortSignal; token?: string } = {},
): Promise<Answer> {
  // Made here, so that a text that no header can carry is not taken for a server that is away.
  const headers = new Headers({ Authorization: `Bearer ${options.token ?? token()}`, "Content-Type": "application/json" });
  const body = JSON.stringify({ query: document.toString(), variables });
  const timeout = AbortSignal.timeout(PATIENCE);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let response: Response;
  let told: { data?: Answer; errors?: { message: string; extensions?: { code?: string } }[] };
  try {
    response = await fetch("/graphql", { method: "POST", headers, body, signal });
    told = await response.json();
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new Problem("away", AWAY);
  }
  const [error] = told.errors ?? [];
  if (response.status === 401) throw new Problem("token", "The server refuses this token.");
  if (response.status >= 500 || response.status === 429 || response.status === 408)
    throw new Problem("away", error?.message ?? AWAY);
  if (error) throw new Problem("refused", error.message);
  if (!told.data) throw new Problem("refused", `The server answered ${response.status}.`);
  return told.data;
}

export type Change = ChangesSubscription["sessionChanges"];
/** `null`: it is not known what has changed. */
export type Listener = (change: Change | null) => void;
export type Line = "connecting" | "live" | "away";

const SETTLING = 500; // milliseconds after which a subscription that was sent has surely begun
const LONGEST_WAIT = 5_000; // milliseconds between two attempts to come back
const PULSE = 10_000; // milliseconds between two signs of life, each of which is waited for half as long
const REFUSED = 4401;

/** The one subscription of the pages. It comes back by itself, and tells whenever it has begun that something may have changed. */
export class Live {
  #listeners = new Set<Listener>();
  #client: Client;
  #stop = () => {};
  #timers = { begin: 0, pulse: 0, settled: 0 };
  #over = false;

  constructor(
    readonly onLine: (line: Line) => void,
    onRefused: () => void,
  ) {
    this.#client = createClient({
      url: `${location.origin.replace(/^http/, "ws")}/graphql`,
      connectionParams: () => ({ Authorization: `Bearer ${token()}` }),
      retryAttempts: Infinity,
      retryWait: (attempt) => new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** attempt, LONGEST_WAIT))),
      shouldRetry: () => true,
      keepAlive: PULSE,
      on: {
        connected: () => {
          onLine("live");
          this.#timers.settled = window.setTimeout(() => this.#tell(null), SETTLING);
        },
        // A line that is dead without having been closed is not noticed otherwise.
        ping: (received) => {
          if (!received) this.#timers.pulse = window.setTimeout(() => this.#client.terminate(), PULSE / 2);
        },
        pong: () => clearTimeout(this.#timers.pulse),
        closed: (event) => {
          clearTimeout(this.#timers.pulse);
          if (this.#over) return;
          onLine("away");
          if ((event as CloseEvent).code === REFUSED) onRefused();
        },
      },
    });
    this.#begin();
  }

  /** Calls the listener at every change, until what it returns is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#over = true;
    Object.values(this.#timers).forEach(clearTimeout);
    this.#stop();
    void this.#client.dispose();
  }

  #begin(): void {
    // The library gives up at some closes, and whenever the server ends the subscription.
    const later = () => {
      if (this.#over) return;
      this.onLine("away");
      this.#timers.begin = window.setTimeout(() => this.#begin(), LONGEST_WAIT);
    };
    this.#stop = this.#client.subscribe<ChangesSubscription>(
      { query: ChangesDocument.toString() },
      { next: ({ data }) => data && this.#tell(data.sessionChanges), error: later, complete: later },
    );
  }

  #tell(change: Change | null): void {
    for (const listener of this.#listeners) listener(change);
  }
}
