/** Requests to the GraphQL API, and the subscription to session changes. */

import { type Client, createClient } from "graphql-ws";
import { type ChangesSubscription, ChangesDocument, type TypedDocumentString } from "./operations";
import { loadToken } from "./token";

/** A failed request. `unauthorized`: invalid token; `unavailable`: worth a retry; `rejected`: the server explains why. */
export class ApiError extends Error {
  constructor(
    readonly kind: "unauthorized" | "unavailable" | "rejected",
    message: string,
  ) {
    super(message);
  }
}

const NO_RESPONSE = "The server is not responding.";
const REQUEST_TIMEOUT = 45_000; // milliseconds; longer than the server's own time limit

/** Execute an operation and return its data. Throws ApiError. */
export async function request<Data, Variables>(
  document: TypedDocumentString<Data, Variables>,
  variables: Variables,
  options: { signal?: AbortSignal; token?: string } = {},
): Promise<Data> {
  // Outside of `try`: a token that no header can carry must not look like an unavailable server.
  const headers = new Headers({ Authorization: `Bearer ${options.token ?? loadToken()}`, "Content-Type": "application/json" });
  const body = JSON.stringify({ query: document.toString(), variables });
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let response: Response;
  let result: { data?: Data; errors?: { message: string; extensions?: { code?: string } }[] };
  try {
    response = await fetch("/graphql", { method: "POST", headers, body, signal });
    result = await response.json();
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError("unavailable", NO_RESPONSE);
  }
  const [error] = result.errors ?? [];
  if (response.status === 401) throw new ApiError("unauthorized", "The server rejected this token.");
  if (response.status >= 500 || response.status === 429 || response.status === 408)
    throw new ApiError("unavailable", error?.message ?? NO_RESPONSE);
  if (error) throw new ApiError("rejected", error.message);
  if (!result.data) throw new ApiError("rejected", `The server responded with status ${response.status}.`);
  return result.data;
}

export type Change = ChangesSubscription["sessionChanges"];
/** Called with a change, or with `null` if changes may have been missed. */
export type ChangeListener = (change: Change | null) => void;
export type ConnectionState = "connecting" | "live" | "offline";

const SUBSCRIBE_DELAY = 500; // milliseconds from connecting until the server has certainly started the subscription
const MAX_RETRY_DELAY = 5_000; // milliseconds
const PING_INTERVAL = 10_000; // milliseconds; a pong must arrive within half of it
const UNAUTHORIZED_CLOSE_CODE = 4401;

/** The subscription that all pages share. It reconnects by itself, and then notifies listeners that changes may have been missed. */
export class ChangeFeed {
  #listeners = new Set<ChangeListener>();
  #client: Client;
  #unsubscribe = () => {};
  #timers = { resubscribe: 0, pong: 0, subscribed: 0 };
  #closed = false;

  constructor(
    readonly onState: (state: ConnectionState) => void,
    onUnauthorized: () => void,
  ) {
    this.#client = createClient({
      url: `${location.origin.replace(/^http/, "ws")}/graphql`,
      connectionParams: () => ({ Authorization: `Bearer ${loadToken()}` }),
      retryAttempts: Infinity,
      retryWait: (attempt) => new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** attempt, MAX_RETRY_DELAY))),
      shouldRetry: () => true,
      keepAlive: PING_INTERVAL,
      on: {
        connected: () => {
          onState("live");
          this.#timers.subscribed = window.setTimeout(() => this.#notify(null), SUBSCRIBE_DELAY);
        },
        // Detects a connection that is dead but was never closed.
        ping: (received) => {
          if (!received) this.#timers.pong = window.setTimeout(() => this.#client.terminate(), PING_INTERVAL / 2);
        },
        pong: () => clearTimeout(this.#timers.pong),
        closed: (event) => {
          clearTimeout(this.#timers.pong);
          if (this.#closed) return;
          onState("offline");
          if ((event as CloseEvent).code === UNAUTHORIZED_CLOSE_CODE) onUnauthorized();
        },
      },
    });
    this.#subscribe();
  }

  /** Call the listener on every change. Returns a function that removes the listener. */
  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    Object.values(this.#timers).forEach(clearTimeout);
    this.#unsubscribe();
    void this.#client.dispose();
  }

  #subscribe(): void {
    // The library stops retrying after some close codes, and when the server completes the subscription.
    const resubscribe = () => {
      if (this.#closed) return;
      this.onState("offline");
      this.#timers.resubscribe = window.setTimeout(() => this.#subscribe(), MAX_RETRY_DELAY);
    };
    this.#unsubscribe = this.#client.subscribe<ChangesSubscription>(
      { query: ChangesDocument.toString() },
      { next: ({ data }) => data && this.#notify(data.sessionChanges), error: resubscribe, complete: resubscribe },
    );
  }

  #notify(change: Change | null): void {
    for (const listener of this.#listeners) listener(change);
  }
}
