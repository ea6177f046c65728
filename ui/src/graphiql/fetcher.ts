/** GraphiQL's connection to the server: queries over HTTP and subscriptions over WebSocket, with the stored token. */
import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";
import { ApiError, request } from "../api";
import { ServerDocument } from "../operations";
import { loadToken, saveToken } from "../token";

const authorization = (token: string | null) => ({ Authorization: `Bearer ${token ?? ""}` });

/** Store a token if it is valid. Returns whether it is. Throws ApiError if the server cannot be reached. */
export async function signIn(token: string): Promise<boolean> {
  try {
    await request(ServerDocument, {}, { token });
  } catch (cause) {
    if (cause instanceof ApiError && cause.kind === "unauthorized") return false;
    throw cause;
  }
  saveToken(token);
  return true;
}

/** Return a fetcher that sends the stored token. Calls `onUnauthorized` if the server rejects the token. */
export function createFetcher(onUnauthorized: () => void): Fetcher {
  const url = new URL("/graphql", location.href);
  let rejection: Response | undefined; // repeated for later requests: the server would reject the same token again
  return createGraphiQLFetcher({
    url: url.href,
    headers: authorization(loadToken()),
    // The server does not support @defer and @stream.
    enableIncrementalDelivery: false,
    wsClient: createClient({
      url: url.href.replace(/^http/, "ws"),
      connectionParams: authorization(loadToken()),
    }),
    async fetch(input, init) {
      if (rejection) return rejection.clone();
      const response = await fetch(input, init);
      if (response.status === 401) {
        rejection = response.clone();
        onUnauthorized();
      }
      return response;
    },
  });
}
