/** The timeline's view in the URL: fixed, from=…&to=…, or following the clock, span=<hours>. */

import { DAY, HOUR } from "../time-zone";
import type { SearchParams } from "../url";
import { MAX_SPAN, MIN_SPAN, type View } from "./scale";

const FUTURE_SHARE = 0.03; // of a view that follows the clock

const clampSpan = (length: number): number => Math.min(Math.max(length, MIN_SPAN), MAX_SPAN);

/** Return the view of the URL's parameters. Defaults to the last week if they are missing or invalid. */
export function parseView({ from, to, span }: SearchParams, now: number): View {
  const [start, end] = [Date.parse(from ?? ""), Date.parse(to ?? "")];
  if (start < end) return { from: start, to: start + clampSpan(end - start) };
  const length = clampSpan(Number(span) * HOUR || 7 * DAY);
  return { from: now - length * (1 - FUTURE_SHARE), to: now + length * FUTURE_SHARE };
}

/** Return the URL's parameters of a fixed view: UTC, in whole seconds. */
export function viewParams({ from, to }: View): SearchParams {
  const format = (instant: number) => `${new Date(instant).toISOString().slice(0, 19)}Z`;
  return { from: format(from), to: format(Math.max(to, from + MIN_SPAN)), span: "" };
}
