/** The application: sign-in, the connection to the server, the header and the routes. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { LocationProvider, Route, Router, useLocation } from "preact-iso";
import { type ApiError, ChangeFeed, type ConnectionState, request } from "./api";
import { ErrorNotice, Loading } from "./components";
import { runRequest, ServerContext, type Server, useQuery } from "./hooks";
import icon from "./icon.svg";
import { HasSessionsDocument, ServerDocument } from "./operations";
import { CalendarPage } from "./pages/calendar";
import { DevicePage } from "./pages/device";
import { EventsPage } from "./pages/events";
import { PresencePage } from "./pages/presence";
import { SignInPage } from "./pages/sign-in";
import { WelcomePage } from "./pages/welcome";
import { TimeZone } from "./time-zone";
import { clearToken, loadToken } from "./token";

// Paths that the router handles; /graphiql and /docs are separate documents.
const ROUTED_PATHS = /^\/(?:[?#].*|(?:calendar|events|devices\/).*)?$/;

export function App() {
  const [signedIn, setSignedIn] = useState(loadToken() !== null);
  const [signOutMessage, setSignOutMessage] = useState("");
  const signOut = useCallback((message = "") => {
    clearToken();
    setSignOutMessage(message);
    setSignedIn(false);
  }, []);
  return (
    <LocationProvider scope={ROUTED_PATHS}>
      {signedIn ? <SignedInApp signOut={signOut} /> : <SignInPage message={signOutMessage} onSignIn={() => setSignedIn(true)} />}
    </LocationProvider>
  );
}

/** Loads the server's settings and opens the change feed, then renders the pages. */
function SignedInApp({ signOut }: { signOut: Server["signOut"] }) {
  const [server, setServer] = useState<Server | null>(null);
  const [connection, setConnection] = useState<ConnectionState>("connecting");
  const [error, setError] = useState<ApiError | null>(null);
  const [attempt, setAttempt] = useState(0);
  const retry = useCallback(() => setAttempt((n) => n + 1), []);

  useEffect(() => {
    let changes: ChangeFeed | null = null;
    const abort = runRequest(
      (signal) => request(ServerDocument, {}, { signal }),
      ({ server: { timeZone, now } }) => {
        changes = new ChangeFeed(setConnection, () => signOut("The token is no longer valid."));
        setServer({ zone: new TimeZone(timeZone), clockSkew: Date.parse(now) - Date.now(), changes, signOut });
        setError(null);
      },
      setError,
      { retry, signOut },
    );
    return () => {
      abort();
      changes?.close();
    };
  }, [attempt, signOut]);

  if (server === null)
    return <main class="page" tabIndex={-1}>{error ? <ErrorNotice error={error} retry={retry} /> : <Loading />}</main>;
  return (
    <ServerContext.Provider value={server}>
      <Header connection={connection} server={server} />
      <Routes />
    </ServerContext.Provider>
  );
}

const CONNECTION_LABELS: Record<ConnectionState, string> = {
  connecting: "Connecting",
  live: "Live",
  offline: "Disconnected, reconnecting",
};

function Header({ connection, server }: { connection: ConnectionState; server: Server }) {
  const { path } = useLocation();
  const link = (url: string, label: string) => <a href={url} aria-current={path === url ? "page" : undefined}>{label}</a>;
  return (
    <header class="header">
      <a class="brand" href="/"><img src={icon} alt="" width="20" height="20" />netsessions</a>
      <nav aria-label="Pages">
        {link("/", "Presence")}
        {link("/calendar", "Calendar")}
        {link("/events", "Events")}
        <a href="/graphiql">GraphiQL</a>
      </nav>
      <p class="connection" role="status">
        <span class={connection === "live" ? "dot on" : "dot"} /> {CONNECTION_LABELS[connection]}
      </p>
      <p class="zone">Times in {server.zone.name}</p>
      <button type="button" onClick={() => server.signOut()}>Sign out</button>
    </header>
  );
}

/** The page of the current URL. Without any sessions, the welcome page. */
function Routes() {
  const { data, refetch } = useQuery(HasSessionsDocument, {});
  if (data?.sessions.nodes.length === 0) return <WelcomePage refetch={refetch} />;
  return (
    // Moving the focus makes screen readers announce the new page.
    <Router onRouteChange={() => document.querySelector("main")?.focus()}>
      <Route path="/" component={PresencePage} />
      <Route path="/calendar" component={CalendarPage} />
      <Route path="/events" component={EventsPage} />
      <Route path="/devices/:mac" component={DevicePage} />
      <Route default component={NotFoundPage} />
    </Router>
  );
}

const NotFoundPage = () => (
  <main class="page" tabIndex={-1}><p class="notice">Page not found. <a href="/">Presence</a></p></main>
);
