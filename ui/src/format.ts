/** Text for values. */

import type { BarFragment, SessionState } from "./operations";
import type { TimeZone } from "./time-zone";

export const STATE_LABELS: Record<SessionState, string> = {
  CONNECTED: "connected",
  COMPLETE: "complete",
  MISSING_CONNECTION: "connection missed",
  MISSING_DISCONNECTION: "disconnection missed",
};

// Event types that add nothing to the connection and disconnection times.
const ORDINARY_EVENTS = new Set<string | null>([null, "Connected", "Disconnected", "<missing event>"]);

/** Format a duration as 1d 2h 3m, as the REST API does. */
export function formatDuration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const days = Math.floor(minutes / 1440);
  return `${days ? `${days}d ` : ""}${Math.floor(minutes / 60) % 24}h ${minutes % 60}m`;
}

/** Format a duration as 12.5 h. */
export const formatHours = (seconds: number): string => {
  const hours = seconds / 3600;
  return `${hours >= 100 ? Math.round(hours).toLocaleString("en") : Number(hours.toFixed(1))} h`;
};

export const formatCount = (n: number, singular: string, plural = `${singular}s`): string =>
  `${n.toLocaleString("en")} ${n === 1 ? singular : plural}`;

export const formatTime = (time: string | null, zone: TimeZone): string => (time === null ? "not seen" : zone.format(Date.parse(time)));

/** Return a session's details as labels and values. */
export function sessionDetails(session: BarFragment, zone: TimeZone, now: number): [label: string, value: string][] {
  const { connectedAt, disconnectedAt, state } = session;
  const details: [string, string][] = [
    ["Connection", formatTime(connectedAt, zone)],
    ["Disconnection", state === "CONNECTED" ? "still connected" : formatTime(disconnectedAt, zone)],
  ];
  if (connectedAt !== null && (disconnectedAt !== null || state === "CONNECTED")) {
    const end = disconnectedAt === null ? now : Date.parse(disconnectedAt);
    details.push(["Online", formatDuration(Math.max(end - Date.parse(connectedAt), 0) / 1000)]);
  }
  details.push(["IP", session.ip]);
  if (!ORDINARY_EVENTS.has(session.connectionEvent)) details.push(["Connection event", session.connectionEvent]);
  if (!ORDINARY_EVENTS.has(session.disconnectionEvent)) details.push(["Disconnection event", session.disconnectionEvent!]);
  if (session.info) details.push(["Info", session.info]);
  return details;
}
