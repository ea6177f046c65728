/** The timeline's span of time in the address: fixed, from=…&to=…, or one that follows the clock, span=<hours>. */

import { LONGEST, SHORTEST, type View } from "./timeline/scale";
import type { Query } from "./use";
import { DAY, HOUR } from "./zone";

const AHEAD = 0.03; // of the span, that a view which follows the clock shows of the future

const within = (length: number): number => Math.min(Math.max(length, SHORTEST), LONGEST);

/** A week up to now, where the address tells nothing that can be shown. */
export function viewOf({ from, to, span }: Query, now: number): View {
  const [start, end] = [Date.parse(from ?? ""), Date.parse(to ?? "")];
  if (start < end) return { from: start, to: start + within(end - start) };
  const length = within(Number(span) * HOUR || 7 * DAY);
  return { from: now - length * (1 - AHEAD), to: now + length * AHEAD };
}

/** What the address tells of a view: to the second, in UTC. */
export function viewIn({ from, to }: View): Query {
  const told = (instant: number) => `${new Date(instant).toISOString().slice(0, 19)}Z`;
  return { from: told(from), to: told(Math.max(to, from + SHORTEST)), span: "" };
}
