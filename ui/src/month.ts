/** Months, as the calendar's address and its page have them. */

import type { Day, Zone } from "./zone";

export type Month = { year: number; month: number };

/** YYYY-MM of the address; this month where it tells none. */
export function monthOf(text: string | undefined, now: number, zone: Zone): Month {
  const [, year, month] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text ?? "") ?? [];
  return year && month ? { year: Number(year), month: Number(month) } : zone.day(now);
}

/** So many months later. */
export function monthLater({ year, month }: Month, by: number): Month {
  const date = new Date(Date.UTC(year, month - 1 + by, 1));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1 };
}

export const lastDay = ({ year, month }: Month): Day => ({ year, month, day: new Date(Date.UTC(year, month, 0)).getUTCDate() });

/** How many fields of a week, from Monday, come before the first day. */
export const offsetOf = ({ year, month }: Month): number => (new Date(Date.UTC(year, month - 1, 1)).getUTCDay() + 6) % 7;
