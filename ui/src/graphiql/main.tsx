/** @jsxImportSource react */
import { GraphiQL } from "graphiql";
import { type FormEvent, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/react/style.css";
import "graphiql/graphiql.css";
import "./style.css";
import "graphiql/setup-workers/vite";
import { loadToken } from "../token";
import { createFetcher, signIn } from "./fetcher";

const DEFAULT_QUERY = `# The last ten sessions.
{
  sessions(first: 10) {
    totalCount
    nodes {
      mac
      ip
      state
      connectedAt
      disconnectedAt
      durationSeconds
      device { name owner }
    }
  }
}
`;
const INVALID_TOKEN = "The server rejected this token.";

function SignInForm({ rejected, onSignIn }: { rejected: boolean; onSignIn: () => void }) {
  const [error, setError] = useState(rejected ? INVALID_TOKEN : "");

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const token = event.currentTarget.querySelector("input")!.value.trim();
    try {
      if (await signIn(token)) onSignIn();
      else setError(INVALID_TOKEN);
    } catch (cause) {
      setError(`Could not reach the server: ${cause instanceof Error ? cause.message : cause}`);
    }
  }

  return (
    <form onSubmit={submit}>
      <label htmlFor="token">Token</label>
      {/* No `name`: browsers must not submit it with the form. */}
      <input id="token" type="password" autoComplete="off" spellCheck={false} required
        placeholder="API_TOKEN, or the contents of the file api_token" />
      <button type="submit">Sign in</button>
      <span role="alert">{error}</span>
    </form>
  );
}

function Page() {
  const [signIns, setSignIns] = useState(loadToken() ? 1 : 0); // each one starts a new GraphiQL
  const [rejected, setRejected] = useState(false);
  const fetcher = useMemo(() => createFetcher(() => setRejected(true)), [signIns]);

  function onSignIn() {
    setRejected(false);
    setSignIns(signIns + 1);
  }

  return (
    <>
      <header>
        <a href="/">netsessions</a>
        {(!signIns || rejected) && <SignInForm rejected={rejected} onSignIn={onSignIn} />}
      </header>
      {signIns > 0 && (
        <GraphiQL key={signIns} fetcher={fetcher} defaultQuery={DEFAULT_QUERY} isHeadersEditorEnabled={false}
          shouldPersistHeaders={false}>
          <GraphiQL.Logo>GraphiQL</GraphiQL.Logo>
        </GraphiQL>
      )}
    </>
  );
}

createRoot(document.getElementById("graphiql")!).render(<Page />);
