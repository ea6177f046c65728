/** Sign-in: with the token that every client sends. */

import { useState } from "preact/hooks";
import { ask, Problem } from "../api";
import { ServerDocument } from "../operations";
import { keepToken } from "../token";

export function SignIn({ why, done }: { why: string; done: () => void }) {
  const [given, setGiven] = useState("");
  const [problem, setProblem] = useState(why);
  const [asking, setAsking] = useState(false);

  const submit = async (event: Event) => {
    event.preventDefault();
    setAsking(true);
    try {
      await ask(ServerDocument, {}, { token: given.trim() });
      keepToken(given.trim());
      done();
    } catch (cause) {
      setProblem(cause instanceof Problem ? cause.message : "This cannot be a token: a header cannot carry it.");
      setAsking(false);
    }
  };

  return (
    <main class="sign-in">
      <h1>netsessions</h1>
      <p>Who was there when. Sign in with the server's token.</p>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        {/* Without a name: no browser sends it along, or keeps it. */}
        <input
          id="token" type="password" autocomplete="off" spellcheck={false} required autoFocus
          value={given} onInput={(event) => setGiven(event.currentTarget.value)} aria-describedby="where problem"
        />
        <button disabled={asking}>Sign in</button>
        <p id="problem" role="alert">{problem}</p>
      </form>
      <p id="where" class="hint">
        It is what the server was given as <code>API_TOKEN</code>; without that, it has made one and told at its start which file
        keeps it. It is kept here until this tab is closed.
      </p>
    </main>
  );
}
