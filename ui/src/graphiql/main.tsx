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
import { token } from "../token";
import { door, signIn } from "./door";

const QUERY = `# The last ten sessions.
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
const REFUSED = "The server does not take this token.";

function SignIn({ refused, done }: { refused: boolean; done: () => void }) {
  const [problem, setProblem] = useState(refused ? REFUSED : "");

  async function submitted(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = event.currentTarget.querySelector("input")!.value.trim();
    try {
      if (await signIn(given)) done();
      else setProblem(REFUSED);
    } catch (cause) {
      setProblem(`The server could not be asked (${cause instanceof Error ? cause.message : cause}).`);
    }
  }

  return (
    <form onSubmit={submitted}>
      <label htmlFor="token">Token</label>
      {/* Without a name: no browser sends it along with the form. */}
      <input id="token" type="password" autoComplete="off" spellCheck={false} required
        placeholder="API_TOKEN, or what the file api_token holds" />
      <button type="submit">Sign in</button>
      <span role="alert">{problem}</span>
    </form>
  );
}

function Page() {
  const [signed, setSigned] = useState(token() ? 1 : 0); // how often; each time GraphiQL begins anew
  const [refused, setRefused] = useState(false);
  const fetcher = useMemo(() => door(() => setRefused(true)), [signed]);

  function done() {
    setRefused(false);
    setSigned(signed + 1);
  }

  return (
    <>
      <header>
        <a href="/">netsessions</a>
        {(!signed || refused) && <SignIn refused={refused} done={done} />}
      </header>
      {signed > 0 && (
        <GraphiQL key={signed} fetcher={fetcher} defaultQuery={QUERY} isHeadersEditorEnabled={false}
          shouldPersistHeaders={false}>
          <GraphiQL.Logo>GraphiQL</GraphiQL.Logo>
        </GraphiQL>
      )}
    </>
  );
}

createRoot(document.getElementById("graphiql")!).render(<Page />);
