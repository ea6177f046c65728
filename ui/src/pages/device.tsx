/** Device page: a device's details, its hours online per day, and its sessions. */

import { useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { ApiError, request } from "../api";
import { OnlineDot, QueryBoundary, StateLabel } from "../components";
import { formatCount, formatDuration, formatTime } from "../format";
import { useNow, useQuery, useSearchParams, useServer, useTitle } from "../hooks";
import { DaysDocument, type DeviceDetailsFragment, DeviceDocument, DeviceSessionsDocument, UpdateDeviceDocument } from "../operations";
import { pageArgs, Pagination } from "../pagination";
import { HoursPlot } from "../plot";
import { isoDate, MINUTE } from "../time-zone";
import { buildUrl, deviceUrl } from "../url";

const DAY_COUNTS = [7, 30, 90, 365];

export function DevicePage() {
  const { mac } = useRoute().params;
  return <DeviceView key={mac} mac={mac!} />;
}

function DeviceView({ mac }: { mac: string }) {
  const result = useQuery(DeviceDocument, { mac });
  return (
    <main class="page" tabIndex={-1}>
      <QueryBoundary result={result}>
        {({ device }) =>
          device ? (
            <>
              <DeviceHeader device={device} refetch={result.refetch} />
              <HoursSection mac={device.mac} />
              <SessionsSection mac={device.mac} />
            </>
          ) : (
            <p class="notice">There is no device with the MAC address {mac}. <a href="/">All devices</a></p>
          )
        }
      </QueryBoundary>
    </main>
  );
}

function DeviceHeader({ device, refetch }: { device: DeviceDetailsFragment; refetch: () => void }) {
  const { zone } = useServer();
  const [editing, setEditing] = useState(false);
  const { mac, name, owner, isConnected, firstSeen, lastSeen } = device;
  useTitle(name ?? mac);
  return (
    <header class="device">
      <h1>{name ?? mac}</h1>
      <p>
        <OnlineDot online={isConnected} />{" "}
        {isConnected ? "Online now" : lastSeen ? `Last seen ${formatTime(lastSeen, zone)}` : "Never seen"}
      </p>
      <dl class="facts">
        <dt>MAC</dt><dd class="mac">{mac}</dd>
        <dt>Owner</dt><dd>{owner ?? "–"}</dd>
        <dt>First seen</dt><dd>{firstSeen ? formatTime(firstSeen, zone) : "–"}</dd>
      </dl>
      {editing ? (
        <EditForm device={device} onSave={() => { setEditing(false); refetch(); }} onCancel={() => setEditing(false)} />
      ) : (
        <p class="toolbar">
          <button type="button" onClick={() => setEditing(true)}>Edit name and owner</button>
          <a class="button" href={buildUrl("/", { search: mac })}>Timeline</a>
          <a class="button" href={buildUrl("/calendar", { mac })}>Calendar</a>
        </p>
      )}
    </header>
  );
}

function EditForm({ device, onSave, onCancel }: { device: DeviceDetailsFragment; onSave: () => void; onCancel: () => void }) {
  // Only changed fields are sent, so that concurrent changes to the other field survive.
  const [initial] = useState({ name: device.name ?? "", owner: device.owner ?? "" });
  const [name, setName] = useState(initial.name);
  const [owner, setOwner] = useState(initial.owner);
  const [error, setError] = useState("");
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      await request(UpdateDeviceDocument, {
        mac: device.mac,
        ...(name !== initial.name && { name: name.trim() || null }),
        ...(owner !== initial.owner && { owner: owner.trim() || null }),
      });
      onSave();
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      setError(cause.message);
    }
  };
  return (
    <form class="edit-form" onSubmit={save} onKeyDown={(event) => event.key === "Escape" && onCancel()}>
      <label>Name <input value={name} onInput={(event) => setName(event.currentTarget.value)} autoFocus /></label>
      <label>Owner <input value={owner} onInput={(event) => setOwner(event.currentTarget.value)} /></label>
      <button>Save</button>
      <button type="button" onClick={onCancel}>Cancel</button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}

function HoursSection({ mac }: { mac: string }) {
  const { zone } = useServer();
  const [params] = useSearchParams();
  const now = useNow(MINUTE);
  const dayCount = DAY_COUNTS.find((count) => String(count) === params.days) ?? 30;
  const today = zone.day(now);
  const start = isoDate(zone.day(zone.startOfDay(today, 1 - dayCount)));
  const result = useQuery(DaysDocument, { start, end: isoDate(today), macs: [mac] });
  return (
    <section aria-labelledby="hours">
      <div class="toolbar">
        <h2 id="hours">Hours online per day</h2>
        <nav class="button-group" aria-label="Number of days">
          {DAY_COUNTS.map((count) => (
            <a
              class="button" aria-current={count === dayCount ? "true" : undefined}
              href={buildUrl(deviceUrl(mac), params, { days: String(count) })}
            >
              {count} d
            </a>
          ))}
        </nav>
      </div>
      <QueryBoundary result={result}>{({ presence }) => <HoursPlot days={presence} zone={zone} now={now} />}</QueryBoundary>
    </section>
  );
}

function SessionsSection({ mac }: { mac: string }) {
  const { zone } = useServer();
  const [params] = useSearchParams();
  const result = useQuery(DeviceSessionsDocument, { mac, ...pageArgs(params) });
  return (
    <section aria-labelledby="sessions">
      <QueryBoundary result={result}>
        {({ sessions: { nodes, totalCount, pageInfo } }) => (
          <>
            <h2 id="sessions">{formatCount(totalCount, "session")}</h2>
            <table>
              <thead>
                <tr><th>Connection</th><th>Disconnection</th><th>Online</th><th>IP</th><th>State</th><th>Info</th></tr>
              </thead>
              <tbody>
                {nodes.map((session) => (
                  <tr key={session.id}>
                    <td data-label="Connection">{formatTime(session.connectedAt, zone)}</td>
                    <td data-label="Disconnection">{session.state === "CONNECTED" ? "…" : formatTime(session.disconnectedAt, zone)}</td>
                    <td data-label="Online">{session.durationSeconds === null ? "–" : formatDuration(session.durationSeconds)}</td>
                    <td data-label="IP">{session.ip}</td>
                    <td data-label="State"><StateLabel state={session.state} /></td>
                    <td data-label="Info">{session.info}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <Pagination path={deviceUrl(mac)} params={params} pageInfo={pageInfo} />
          </>
        )}
      </QueryBoundary>
    </section>
  );
}
