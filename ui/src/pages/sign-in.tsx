/** Sign-in page. */

import { useState } from "preact/hooks";
import { ApiError, request } from "../api";
import { ServerDocument } from "../operations";
import { saveToken } from "../token";

const UNSENDABLE_TOKEN = "The token contains characters that cannot be sent in an HTTP header. Copy it again.";

export function SignInPage({ message, onSignIn }: { message: string; onSignIn: () => void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState(message);
  const [submitting, setSubmitting] = useState(false);

  const submit = async (event: Event) => {
    event.preventDefault();
    setSubmitting(true);
    try {
      await request(ServerDocument, {}, { token: token.trim() });
      saveToken(token.trim());
      onSignIn();
    } catch (cause) {
      setError(cause instanceof ApiError ? cause.message : UNSENDABLE_TOKEN);
      setSubmitting(false);
    }
  };

  return (
    <main class="sign-in">
      <h1>netsessions</h1>
      <p>See which devices were online, and when. Sign in with an API token.</p>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        {/* No `name`: browsers must not submit or store it. */}
        <input
          id="token" type="password" autocomplete="off" spellcheck={false} required autoFocus
          value={token} onInput={(event) => setToken(event.currentTarget.value)} aria-describedby="hint error"
        />
        <button disabled={submitting}>Sign in</button>
        <p id="error" role="alert">{error}</p>
      </form>
      <p id="hint" class="hint">
        The token is the value of <code>API_TOKEN</code>. If that is not set, the server generates a token and logs the path of its
        file at startup. The token is stored here until you close this tab.
      </p>
    </main>
  );
}
