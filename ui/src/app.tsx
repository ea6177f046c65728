/** The frame of the pages: who looks at which server, and which page. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { LocationProvider, Route, Router, useLocation } from "preact-iso";
import { ask, type Line, Live, type Problem } from "./api";
import icon from "./icon.svg";
import { AnySessionDocument, ServerDocument } from "./operations";
import { Calendar } from "./pages/calendar";
import { Device } from "./pages/device";
import { Events } from "./pages/events";
import { Presence } from "./pages/presence";
import { SignIn } from "./pages/sign-in";
import { Welcome } from "./pages/welcome";
import { Failed, Loading } from "./parts";
import { forgetToken, token } from "./token";
import { pursue, ServerContext, type Server, useAnswer } from "./use";
import { Zone } from "./zone";

// The addresses that are pages of ours; /graphiql and /docs are not.
const OURS = /^\/(?:[?#].*|(?:calendar|events|devices\/).*)?$/;

export function App() {
  const [signedIn, setSignedIn] = useState(token() !== null);
  const [why, setWhy] = useState("");
  const signOut = useCallback((why = "") => {
    forgetToken();
    setWhy(why);
    setSignedIn(false);
  }, []);
  return (
    <LocationProvider scope={OURS}>
      {signedIn ? <Known signOut={signOut} /> : <SignIn why={why} done={() => setSignedIn(true)} />}
    </LocationProvider>
  );
}

/** Learns what server this is, and opens the line to it. */
function Known({ signOut }: { signOut: Server["signOut"] }) {
  const [server, setServer] = useState<Server | null>(null);
  const [line, setLine] = useState<Line>("connecting");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((n) => n + 1), []);

  useEffect(() => {
    let live: Live | null = null;
    const giveUp = pursue(
      (signal) => ask(ServerDocument, {}, { signal }),
      ({ server: { timeZone, now } }) => {
        live = new Live(setLine, () => signOut("The token is not accepted any more."));
        setServer({ zone: new Zone(timeZone), skew: Date.parse(now) - Date.now(), live, signOut });
        setProblem(null);
      },
      setProblem,
      { again, signOut },
    );
    return () => {
      giveUp();
      live?.close();
    };
  }, [turn, signOut]);

  if (server === null)
    return <main class="page" tabIndex={-1}>{problem ? <Failed problem={problem} again={again} /> : <Loading />}</main>;
  return (
    <ServerContext.Provider value={server}>
      <Head line={line} server={server} />
      <Pages />
    </ServerContext.Provider>
  );
}

const LINES: Record<Line, string> = { connecting: "Connecting", live: "Live", away: "Not connected, trying again" };

function Head({ line, server }: { line: Line; server: Server }) {
  const { path } = useLocation();
  const link = (to: string, name: string) => <a href={to} aria-current={path === to ? "page" : undefined}>{name}</a>;
  return (
    <header class="head">
      <a class="brand" href="/"><img src={icon} alt="" width="20" height="20" />netsessions</a>
      <nav aria-label="Pages">
        {link("/", "Presence")}
        {link("/calendar", "Calendar")}
        {link("/events", "Events")}
        <a href="/graphiql">GraphiQL</a>
      </nav>
      <p class="line" role="status">
        <span class={line === "live" ? "dot on" : "dot"} /> {LINES[line]}
      </p>
      <p class="zone">Times in {server.zone.name}</p>
      <button type="button" onClick={() => server.signOut()}>Sign out</button>
    </header>
  );
}

/** The page of the address; of a store without sessions, what to do first. */
function Pages() {
  const { data, again } = useAnswer(AnySessionDocument, {});
  if (data?.sessions.nodes.length === 0) return <Welcome again={again} />;
  return (
    // Who does not see the page hears that it is another one.
    <Router onRouteChange={() => document.querySelector("main")?.focus()}>
      <Route path="/" component={Presence} />
      <Route path="/calendar" component={Calendar} />
      <Route path="/events" component={Events} />
      <Route path="/devices/:mac" component={Device} />
      <Route default component={() => <main class="page" tabIndex={-1}><p class="notice">There is no such page. <a href="/">Presence</a></p></main>} />
    </Router>
  );
}
