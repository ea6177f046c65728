/** Welcome page of an empty database: how to record the first session. */

import { useEffect } from "preact/hooks";
import { Command } from "../components";
import { useTitle } from "../hooks";

const REFETCH_INTERVAL = 5_000; // milliseconds; imports are not published to subscribers

export function WelcomePage({ refetch }: { refetch: () => void }) {
  useTitle("No sessions yet");
  useEffect(() => {
    const timer = setInterval(refetch, REFETCH_INTERVAL);
    return () => clearInterval(timer);
  }, [refetch]);
  const body = `{"mac": "AA:BB:CC:DD:EE:FF", "ip": "192.168.1.10", "start_time": "2025-08-01T10:00:00", "end_time": "2025-08-01T12:00:00"}`;
  return (
    <main class="page welcome" tabIndex={-1}>
      <h1>No sessions yet</h1>
      <p>This page updates as soon as the first session is recorded.</p>
      <h2>Record a session</h2>
      <Command
        text={[
          `curl -X POST "${location.origin}/sessions/create" \\`,
          `  -H "Authorization: Bearer $API_TOKEN" \\`,
          `  -H "Content-Type: application/json" \\`,
          `  -d '${body}'`,
        ].join("\n")}
      />
      <h2>Import from NetAlertX, Pi.Alert or a DHCP server</h2>
      <Command text="netsessions import app.db --timezone Europe/Berlin" />
      <h2>Try it with demo data</h2>
      <Command text="netsessions demo" />
      <p class="hint">
        In a source checkout, the program is <code>.venv/bin/netsessions</code>. It needs the same <code>DATABASE_URL</code> as the server.
      </p>
    </main>
  );
}
