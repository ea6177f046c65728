/** What the timeline draws: a row a device, in it the device's sessions as bars. Instants are milliseconds since 1970. */

import type { BarFragment, ListedFragment } from "../operations";
import type { View } from "./scale";

/** A session between its ends; Infinity while it is connected. One of which an end was never seen is at the other. */
export type Bar = BarFragment & { start: number; end: number };

/** Bars are in the order of their starts. */
export type Row = { device: ListedFragment; bars: Bar[]; online: number };

export const ORDERS = ["name", "seen", "online"] as const;
export type Order = (typeof ORDERS)[number];

export function barOf(session: BarFragment): Bar {
  const known = Date.parse((session.connectedAt ?? session.disconnectedAt)!);
  const end = session.disconnectedAt !== null ? Date.parse(session.disconnectedAt) : session.state === "CONNECTED" ? Infinity : known;
  return { ...session, start: known, end };
}

export const overlaps = (bar: Bar, view: View): boolean => bar.start < view.to && bar.end >= view.from;

/** How long a device was there in the view, until now; where its sessions overlap, once. */
export function online(bars: Bar[], view: View, now: number): number {
  let sum = 0;
  let until = view.from;
  for (const { start, end } of bars) {
    const last = Math.min(end, now, view.to);
    const first = Math.max(start, until);
    if (last > first) {
      sum += last - first;
      until = last;
    }
  }
  return sum;
}

// The others are the order in which the server gives devices.
const byTime = (a: Row, b: Row): number => b.online - a.online;

/** A row for each device, in the order given unless it is by the time online; `only` leaves out those without a session in the view. */
export function rowsOf(devices: ListedFragment[], bars: Bar[], view: View, now: number, order: Order, only: boolean): Row[] {
  const of = new Map<string, Bar[]>(devices.map(({ mac }) => [mac, []]));
  for (const bar of bars) of.get(bar.mac)?.push(bar);
  const rows: Row[] = [];
  for (const device of devices) {
    const own = of.get(device.mac)!.sort((a, b) => a.start - b.start);
    if (!only || own.some((bar) => overlaps(bar, view))) rows.push({ device, bars: own, online: online(own, view, now) });
  }
  return order === "online" ? rows.sort(byTime) : rows;
}

/** The bar at an instant, or the nearest within reach; of several the one that is drawn on top. */
export function hit(bars: Bar[], instant: number, reach: number): Bar | null {
  let found: Bar | null = null;
  let nearest = reach;
  for (const bar of bars) {
    if (bar.start > instant + reach) break;
    const away = Math.max(bar.start - instant, instant - bar.end, 0);
    if (away <= nearest) [found, nearest] = [bar, away];
  }
  return found;
}
