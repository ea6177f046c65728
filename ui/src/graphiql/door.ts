// How GraphiQL asks the server: queries by HTTP, subscriptions by WebSocket, both with the token that is signed in.
import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";
import { ask, Problem } from "../api";
import { ServerDocument } from "../operations";
import { keepToken, token } from "../token";

const headers = (token: string | null) => ({ Authorization: `Bearer ${token ?? ""}` });

/** Whether the server takes a token; if so, it is kept. Throws where the server does not answer. */
export async function signIn(token: string): Promise<boolean> {
  try {
    await ask(ServerDocument, {}, { token });
  } catch (cause) {
    if (cause instanceof Problem && cause.kind === "token") return false;
    throw cause;
  }
  keepToken(token);
  return true;
}

/** Asks with the token that is kept, and tells when that is refused. */
export function door(refused: () => void): Fetcher {
  const url = new URL("/graphql", location.href);
  let refusal: Response | undefined; // it stays one: the server is not asked again with the same token
  return createGraphiQLFetcher({
    url: url.href,
    headers: headers(token()),
    // The server answers in one piece, as JSON.
    enableIncrementalDelivery: false,
    wsClient: createClient({
      url: url.href.replace(/^http/, "ws"),
      connectionParams: headers(token()),
    }),
    async fetch(input, init) {
      if (refusal) return refusal.clone();
      const answer = await fetch(input, init);
      if (answer.status === 401) {
        refusal = answer.clone();
        refused();
      }
      return answer;
    },
  });
}
