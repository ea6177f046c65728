/** Device: what is known of one, how long it was there each day, and its sessions. */

import { useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { ask, Problem } from "../api";
import { DaysDocument, DeviceDocument, DeviceSessionsDocument, type KnownFragment, NameDeviceDocument } from "../operations";
import { Answered, deviceAddress, Online, State } from "../parts";
import { Pages, placeOf } from "../paging";
import { addressOf, useAnswer, useNow, useQuery, useServer, useTitle } from "../use";
import { at, counted, duration } from "../words";
import { isoDay, MINUTE } from "../zone";
import { Plot } from "../plot";

const REACHES = [7, 30, 90, 365];

export function Device() {
  const { mac } = useRoute().params;
  return <OneDevice key={mac} mac={mac!} />;
}

function OneDevice({ mac }: { mac: string }) {
  const answer = useAnswer(DeviceDocument, { mac });
  return (
    <main class="page" tabIndex={-1}>
      <Answered of={answer}>
        {({ device }) =>
          device ? (
            <>
              <Known device={device} again={answer.again} />
              <Hours mac={device.mac} />
              <Sessions mac={device.mac} />
            </>
          ) : (
            <p class="notice">Nothing is known of a device with the MAC address {mac}. <a href="/">All devices</a></p>
          )
        }
      </Answered>
    </main>
  );
}

function Known({ device, again }: { device: KnownFragment; again: () => void }) {
  const { zone } = useServer();
  const [editing, setEditing] = useState(false);
  const { mac, name, owner, isConnected, firstSeen, lastSeen } = device;
  useTitle(name ?? mac);
  return (
    <header class="device">
      <h1>{name ?? mac}</h1>
      <p>
        <Online is={isConnected} /> {isConnected ? "Online now" : lastSeen ? `Last seen ${at(lastSeen, zone)}` : "Never seen"}
      </p>
      <dl class="facts">
        <dt>MAC</dt><dd class="mac">{mac}</dd>
        <dt>Owner</dt><dd>{owner ?? "–"}</dd>
        <dt>First seen</dt><dd>{firstSeen ? at(firstSeen, zone) : "–"}</dd>
      </dl>
      {editing ? (
        <Names device={device} done={() => { setEditing(false); again(); }} cancel={() => setEditing(false)} />
      ) : (
        <p class="tools">
          <button type="button" onClick={() => setEditing(true)}>Edit name and owner</button>
          <a class="button" href={addressOf("/", { search: mac })}>Timeline</a>
          <a class="button" href={addressOf("/calendar", { mac })}>Calendar</a>
        </p>
      )}
    </header>
  );
}

function Names({ device, done, cancel }: { device: KnownFragment; done: () => void; cancel: () => void }) {
  // What is sent is what was changed here: the other may be somebody else's change meanwhile.
  const [before] = useState({ name: device.name ?? "", owner: device.owner ?? "" });
  const [name, setName] = useState(before.name);
  const [owner, setOwner] = useState(before.owner);
  const [problem, setProblem] = useState("");
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      await ask(NameDeviceDocument, {
        mac: device.mac,
        ...(name !== before.name && { name: name.trim() || null }),
        ...(owner !== before.owner && { owner: owner.trim() || null }),
      });
      done();
    } catch (cause) {
      if (!(cause instanceof Problem)) throw cause;
      setProblem(cause.message);
    }
  };
  return (
    <form class="names-form" onSubmit={save} onKeyDown={(event) => event.key === "Escape" && cancel()}>
      <label>Name <input value={name} onInput={(event) => setName(event.currentTarget.value)} autoFocus /></label>
      <label>Owner <input value={owner} onInput={(event) => setOwner(event.currentTarget.value)} /></label>
      <button>Save</button>
      <button type="button" onClick={cancel}>Cancel</button>
      {problem && <p role="alert">{problem}</p>}
    </form>
  );
}

function Hours({ mac }: { mac: string }) {
  const { zone } = useServer();
  const [query] = useQuery();
  const now = useNow(MINUTE);
  const reach = REACHES.find((days) => String(days) === query.days) ?? 30;
  const today = zone.day(now);
  const start = isoDay(zone.day(zone.midnight(today, 1 - reach)));
  const answer = useAnswer(DaysDocument, { start, end: isoDay(today), macs: [mac] });
  return (
    <section aria-labelledby="hours">
      <div class="tools">
        <h2 id="hours">Hours online per day</h2>
        <nav class="spans" aria-label="Days">
          {REACHES.map((days) => (
            <a
              class="button" aria-current={days === reach ? "true" : undefined}
              href={addressOf(deviceAddress(mac), query, { days: String(days) })}
            >
              {days} d
            </a>
          ))}
        </nav>
      </div>
      <Answered of={answer}>{({ presence }) => <Plot days={presence} zone={zone} now={now} />}</Answered>
    </section>
  );
}

function Sessions({ mac }: { mac: string }) {
  const { zone } = useServer();
  const [query] = useQuery();
  const answer = useAnswer(DeviceSessionsDocument, { mac, ...placeOf(query) });
  return (
    <section aria-labelledby="sessions">
      <Answered of={answer}>
        {({ sessions: { nodes, totalCount, pageInfo } }) => (
          <>
            <h2 id="sessions">{counted(totalCount, "session")}</h2>
            <table>
              <thead>
                <tr><th>Connection</th><th>Disconnection</th><th>Online</th><th>IP</th><th>State</th><th>Info</th></tr>
              </thead>
              <tbody>
                {nodes.map((session) => (
                  <tr key={session.id}>
                    <td data-label="Connection">{at(session.connectedAt, zone)}</td>
                    <td data-label="Disconnection">{session.state === "CONNECTED" ? "…" : at(session.disconnectedAt, zone)}</td>
                    <td data-label="Online">{session.durationSeconds === null ? "–" : duration(session.durationSeconds)}</td>
                    <td data-label="IP">{session.ip}</td>
                    <td data-label="State"><State of={session.state} /></td>
                    <td data-label="Info">{session.info}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <Pages path={deviceAddress(mac)} query={query} info={pageInfo} />
          </>
        )}
      </Answered>
    </section>
  );
}
