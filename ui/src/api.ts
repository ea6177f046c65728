/** Asking the GraphQL door, and hearing from it what changes. */

import { type Client, createClient } from "graphql-ws";
import { type ChangesSubscription, ChangesDocument, type TypedDocumentString } from "./operations";
import { token } from "./token";

/** Why there is no answer. `token`: it is refused; `offline`: nobody answered; `refused`: the server says why. */
export class Problem extends Error {
  constructor(
    readonly kind: "token" | "offline" | "refused",
    message: string,
  ) {
    super(message);
  }
}

const OFFLINE = "The server does not answer.";

/** The answer of an operation. Throws Problem. */
export async function ask<Answer, Variables>(
  document: TypedDocumentString<Answer, Variables>,
  variables: Variables,
  options: { signal?: AbortSignal; token?: string } = {},
): Promise<Answer> {
  let response: Response;
  let told: { data?: Answer; errors?: { message: string; extensions?: { code?: string } }[] };
  try {
    response = await fetch("/graphql", {
      method: "POST",
      headers: { Authorization: `Bearer ${options.token ?? token()}`, "Content-Type": "application/json" },
      body: JSON.stringify({ query: document.toString(), variables }),
      signal: options.signal ?? null,
    });
    told = await response.json();
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new Problem("offline", OFFLINE);
  }
  if (response.status === 401) throw new Problem("token", "The server refuses this token.");
  const [error] = told.errors ?? [];
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

/** The one subscription of the pages. It comes back by itself, and tells then that something may have changed. */
export class Live {
  #listeners = new Set<Listener>();
  #client: Client;
  #stop: () => void;

  constructor(
    onLine: (line: Line) => void,
    onRefused: () => void,
  ) {
    let before = false;
    this.#client = createClient({
      url: `${location.origin.replace(/^http/, "ws")}/graphql`,
      connectionParams: () => ({ Authorization: `Bearer ${token()}` }),
      retryAttempts: Infinity,
      retryWait: (attempt) => new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** attempt, LONGEST_WAIT))),
      shouldRetry: () => true,
      on: {
        connected: () => {
          onLine("live");
          if (before) setTimeout(() => this.#tell(null), SETTLING);
          before = true;
        },
        closed: (event) => {
          if ((event as CloseEvent).code === 4401) onRefused();
          onLine("away");
        },
      },
    });
    this.#stop = this.#client.subscribe<ChangesSubscription>(
      { query: ChangesDocument.toString() },
      { next: ({ data }) => data && this.#tell(data.sessionChanges), error: () => onLine("away"), complete: () => {} },
    );
  }

  /** Calls the listener at every change, until what it returns is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#stop();
    void this.#client.dispose();
  }

  #tell(change: Change | null): void {
    for (const listener of this.#listeners) listener(change);
  }
}
