/** The horizontal axis: conversion between time and pixels, and tick marks. Instants are milliseconds since 1970. */

import { DAY, HOUR, MINUTE, type TimeZone } from "../time-zone";

/** The visible range of time. */
export type View = { from: number; to: number };

export const MIN_SPAN = HOUR;
export const MAX_SPAN = 366 * DAY;

export const span = (view: View): number => view.to - view.from;

export const toX = (view: View, width: number, instant: number): number => ((instant - view.from) / span(view)) * width;

export const toInstant = (view: View, width: number, x: number): number => view.from + (x / width) * span(view);

export const pan = (view: View, offset: number): View => ({ from: view.from + offset, to: view.to + offset });

/** Multiply the view's span by `factor` and keep the instant `anchor` in place. */
export function zoom(view: View, anchor: number, factor: number): View {
  const length = Math.min(Math.max(span(view) * factor, MIN_SPAN), MAX_SPAN);
  const from = anchor - ((anchor - view.from) / span(view)) * length;
  return { from, to: from + length };
}

export type Tick = { at: number; label: string; major: boolean };

type Step = { length: number; unit: "minute" | "day" | "month"; count: number };

const minutes = (count: number): Step => ({ length: count * MINUTE, unit: "minute", count });
const days = (count: number): Step => ({ length: count * DAY, unit: "day", count });
const months = (count: number): Step => ({ length: count * 30 * DAY, unit: "month", count });

const STEPS = [
  ...[5, 15, 30, 60, 180, 360, 720].map(minutes),
  ...[1, 2, 7].map(days),
  ...[1, 3, 12].map(months),
];

const LABEL_WIDTH = 84; // pixels, including the gap to the next label

const dateFormat = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
const TIME_FORMAT = dateFormat({ hour: "2-digit", minute: "2-digit" });
const DATE_FORMAT = dateFormat({ weekday: "short", day: "numeric", month: "short" });
const MONTH_FORMAT = dateFormat({ month: "short" });
const YEAR_FORMAT = dateFormat({ year: "numeric" });

/** Return the tick marks, at round wall-clock times. `major` marks the start of a larger unit. */
export function ticks(view: View, width: number, zone: TimeZone): Tick[] {
  const minLength = (span(view) * LABEL_WIDTH) / width;
  const step = STEPS.find(({ length }) => length >= minLength) ?? STEPS[STEPS.length - 1]!;
  return tickInstants(view, step, zone).map((at) => {
    const wallClock = zone.wallClock(at);
    if (step.unit === "month") {
      const isJanuary = wallClock.getUTCMonth() === 0;
      return { at, label: (isJanuary ? YEAR_FORMAT : MONTH_FORMAT).format(wallClock), major: isJanuary };
    }
    const isMidnight = zone.startOfDay(zone.day(at)) === at;
    if (step.unit === "day") return { at, label: DATE_FORMAT.format(wallClock), major: wallClock.getUTCDay() === 1 };
    return { at, label: (isMidnight ? DATE_FORMAT : TIME_FORMAT).format(wallClock), major: isMidnight };
  });
}

function tickInstants(view: View, step: Step, zone: TimeZone): number[] {
  const instants: number[] = [];
  const { year, month, day } = zone.day(view.from);
  /** Add an instant if it is in the view. Returns false past the end of the view. */
  const add = (at: number): boolean => {
    if (at >= view.from && at <= view.to && at !== instants.at(-1)) instants.push(at);
    return at <= view.to;
  };
  if (step.unit === "month") {
    const firstMonth = Math.floor((month - 1) / step.count) * step.count + 1;
    for (let n = 0; add(zone.instant(year, firstMonth + n * step.count, 1)); n++);
  } else if (step.unit === "day") {
    // Steps count from a fixed Monday, so that ticks stay in place while the view moves.
    const daysSinceMonday = Date.UTC(year, month - 1, day) / DAY - 4;
    const firstDay = day - (((daysSinceMonday % step.count) + step.count) % step.count);
    for (let n = 0; add(zone.instant(year, month, firstDay + n * step.count)); n++);
  } else {
    for (let n = 0; add(zone.instant(year, month, day, 0, n * step.count)); n++);
  }
  return instants;
}
