/** How the pages say things. */

import type { BarFragment, SessionState } from "./operations";
import type { Zone } from "./zone";

export const STATES: Record<SessionState, string> = {
  CONNECTED: "connected",
  COMPLETE: "complete",
  MISSING_CONNECTION: "connection missed",
  MISSING_DISCONNECTION: "disconnection missed",
};

// What the ends themselves have told already.
const USUAL = new Set<string | null>([null, "Connected", "Disconnected", "<missing event>"]);

/** 1d 2h 3m, as the REST door says it. */
export function duration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const days = Math.floor(minutes / 1440);
  return `${days ? `${days}d ` : ""}${Math.floor(minutes / 60) % 24}h ${minutes % 60}m`;
}

/** 12.5 h. */
export const hours = (seconds: number): string => {
  const n = seconds / 3600;
  return `${n >= 100 ? Math.round(n).toLocaleString("en") : Number(n.toFixed(1))} h`;
};

export const counted = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

export const at = (time: string | null, zone: Zone): string => (time === null ? "not seen" : zone.minutes(Date.parse(time)));

/** What there is to tell of a session, as label and value. */
export function told(session: BarFragment, zone: Zone, now: number): [string, string][] {
  const { connectedAt, disconnectedAt, state } = session;
  const lines: [string, string][] = [
    ["Connection", at(connectedAt, zone)],
    ["Disconnection", state === "CONNECTED" ? "still connected" : at(disconnectedAt, zone)],
  ];
  if (connectedAt !== null && (disconnectedAt !== null || state === "CONNECTED")) {
    const end = disconnectedAt === null ? now : Date.parse(disconnectedAt);
    lines.push(["Online", duration(Math.max(end - Date.parse(connectedAt), 0) / 1000)]);
  }
  lines.push(["IP", session.ip]);
  if (!USUAL.has(session.connectionEvent)) lines.push(["Began as", session.connectionEvent]);
  if (!USUAL.has(session.disconnectionEvent)) lines.push(["Ended as", session.disconnectionEvent!]);
  if (session.info) lines.push(["Info", session.info]);
  return lines;
}
