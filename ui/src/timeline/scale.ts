/** From time to pixels and back, and where the axis is labelled. Instants are milliseconds since 1970. */

import { DAY, HOUR, MINUTE, type Zone } from "../zone";

/** The span of time that is looked at. */
export type View = { from: number; to: number };

export const SHORTEST = HOUR;
export const LONGEST = 366 * DAY;

export const span = (view: View): number => view.to - view.from;

export const toX = (view: View, width: number, instant: number): number => ((instant - view.from) / span(view)) * width;

export const toInstant = (view: View, width: number, x: number): number => view.from + (x / width) * span(view);

export const panned = (view: View, by: number): View => ({ from: view.from + by, to: view.to + by });

/** The view with `factor` times its span, in which `around` stays where it is. */
export function zoomed(view: View, around: number, factor: number): View {
  const length = Math.min(Math.max(span(view) * factor, SHORTEST), LONGEST);
  const from = around - ((around - view.from) / span(view)) * length;
  return { from, to: from + length };
}

export type Tick = { at: number; label: string; major: boolean };

type Step = { about: number; unit: "minute" | "day" | "month"; count: number };

const minutes = (count: number): Step => ({ about: count * MINUTE, unit: "minute", count });
const days = (count: number): Step => ({ about: count * DAY, unit: "day", count });
const months = (count: number): Step => ({ about: count * 30 * DAY, unit: "month", count });

const STEPS = [
  ...[5, 15, 30, 60, 180, 360, 720].map(minutes),
  ...[1, 2, 7].map(days),
  ...[1, 3, 12].map(months),
];

const LABEL_WIDTH = 84; // pixels, so that no label touches the next

const named = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
const TIME = named({ hour: "2-digit", minute: "2-digit" });
const DATE = named({ weekday: "short", day: "numeric", month: "short" });
const MONTH = named({ month: "short" });
const YEAR = named({ year: "numeric" });

/** Where the axis has its lines, all on round wall-clock times; `major` where a larger unit begins. */
export function ticks(view: View, width: number, zone: Zone): Tick[] {
  const least = (span(view) * LABEL_WIDTH) / width;
  const step = STEPS.find(({ about }) => about >= least) ?? STEPS[STEPS.length - 1]!;
  return starts(view, step, zone).map((at) => {
    const shown = zone.wall(at);
    if (step.unit === "month") {
      const january = shown.getUTCMonth() === 0;
      return { at, label: (january ? YEAR : MONTH).format(shown), major: january };
    }
    const midnight = zone.midnight(zone.day(at)) === at;
    if (step.unit === "day") return { at, label: DATE.format(shown), major: shown.getUTCDay() === 1 };
    return { at, label: (midnight ? DATE : TIME).format(shown), major: midnight };
  });
}

function starts(view: View, step: Step, zone: Zone): number[] {
  const found: number[] = [];
  const first = zone.day(view.from);
  const { year, month, day } = first;
  const add = (at: number): boolean => {
    if (at >= view.from && at <= view.to && at !== found.at(-1)) found.push(at);
    return at <= view.to;
  };
  if (step.unit === "month") {
    const begun = Math.floor((month - 1) / step.count) * step.count + 1;
    for (let n = 0; add(zone.instant(year, begun + n * step.count, 1)); n++);
  } else if (step.unit === "day") {
    // Counted from a fixed Monday, so that lines stay where they are while the view moves.
    const number = Date.UTC(year, month - 1, day) / DAY - 4;
    const begun = day - (((number % step.count) + step.count) % step.count);
    for (let n = 0; add(zone.instant(year, month, begun + n * step.count)); n++);
  } else {
    for (let n = 0; add(zone.instant(year, month, day, 0, n * step.count)); n++);
  }
  return found;
}
