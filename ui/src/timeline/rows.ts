/** The rows of the timeline: one per device, with its sessions as bars. Instants are milliseconds since 1970. */

import type { BarFragment, DeviceRowFragment } from "../operations";
import type { View } from "./scale";

/** A session with its extent. `end` is Infinity while connected. If one end is missing, `start` and `end` are the other end. */
export type Bar = BarFragment & { start: number; end: number };

/** A device with its bars, by start, and its time online in the view, in milliseconds. */
export type Row = { device: DeviceRowFragment; bars: Bar[]; onlineTime: number };

export const ORDERS = ["name", "seen", "online"] as const;
export type Order = (typeof ORDERS)[number];

export function toBar(session: BarFragment): Bar {
  const start = Date.parse((session.connectedAt ?? session.disconnectedAt)!);
  const end = session.disconnectedAt !== null ? Date.parse(session.disconnectedAt) : session.state === "CONNECTED" ? Infinity : start;
  return { ...session, start, end };
}

export const overlaps = (bar: Bar, view: View): boolean => bar.start < view.to && bar.end >= view.from;

/** Return the time online in the view, until now. Overlapping sessions count once. */
export function onlineTime(bars: Bar[], view: View, now: number): number {
  let sum = 0;
  let countedUntil = view.from;
  for (const bar of bars) {
    const start = Math.max(bar.start, countedUntil);
    const end = Math.min(bar.end, now, view.to);
    if (end > start) {
      sum += end - start;
      countedUntil = end;
    }
  }
  return sum;
}

/** Return a row for each device. Devices keep their order, except for the order "online". */
export function buildRows(devices: DeviceRowFragment[], bars: Bar[], view: View, now: number, order: Order, hideEmpty: boolean): Row[] {
  const barsByMac = new Map<string, Bar[]>(devices.map(({ mac }) => [mac, []]));
  for (const bar of bars) barsByMac.get(bar.mac)?.push(bar);
  const rows: Row[] = [];
  for (const device of devices) {
    const deviceBars = barsByMac.get(device.mac)!.sort((a, b) => a.start - b.start);
    if (!hideEmpty || deviceBars.some((bar) => overlaps(bar, view)))
      rows.push({ device, bars: deviceBars, onlineTime: onlineTime(deviceBars, view, now) });
  }
  return order === "online" ? rows.sort((a, b) => b.onlineTime - a.onlineTime) : rows;
}

/** Return the bar nearest to an instant within the tolerance. Of several, return the one drawn on top. */
export function findBar(bars: Bar[], instant: number, tolerance: number): Bar | null {
  let nearest: Bar | null = null;
  let minDistance = tolerance;
  for (const bar of bars) {
    if (bar.start > instant + tolerance) break;
    const distance = Math.max(bar.start - instant, instant - bar.end, 0);
    if (distance <= minDistance) [nearest, minDistance] = [bar, distance];
  }
  return nearest;
}
