/** What a store without sessions shows: how to fill it. */

import { useEffect } from "preact/hooks";
import { Command } from "../parts";
import { useTitle } from "../use";

const EVERY = 5_000; // milliseconds: an import is not among the changes that are told of

export function Welcome({ again }: { again: () => void }) {
  useTitle("No session yet");
  useEffect(() => {
    const timer = setInterval(again, EVERY);
    return () => clearInterval(timer);
  }, [again]);
  const body = `{"mac": "AA:BB:CC:DD:EE:FF", "ip": "192.168.1.10", "start_time": "2025-08-01T10:00:00", "end_time": "2025-08-01T12:00:00"}`;
  return (
    <main class="page welcome" tabIndex={-1}>
      <h1>No session yet</h1>
      <p>This page changes by itself as soon as there is one.</p>
      <h2>Record one</h2>
      <Command
        text={[
          `curl -X POST "${location.origin}/sessions/create" \\`,
          `  -H "Authorization: Bearer $API_TOKEN" \\`,
          `  -H "Content-Type: application/json" \\`,
          `  -d '${body}'`,
        ].join("\n")}
      />
      <h2>Bring what NetAlertX, Pi.Alert or a DHCP server holds</h2>
      <Command text="netsessions import app.db --timezone Europe/Berlin" />
      <h2>Try it on an invented network</h2>
      <Command text="netsessions demo" />
      <p class="hint">
        From a checkout the program is <code>.venv/bin/netsessions</code>; it takes the same <code>DATABASE_URL</code> as the server.
      </p>
    </main>
  );
}
