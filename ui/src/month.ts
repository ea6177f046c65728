/** Months of the calendar. */

import type { Day, TimeZone } from "./time-zone";

export type Month = { year: number; month: number };

/** Parse YYYY-MM. Returns the current month if the text is missing or invalid. */
export function parseMonth(text: string | undefined, now: number, zone: TimeZone): Month {
  const [, year, month] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text ?? "") ?? [];
  return year && month ? { year: Number(year), month: Number(month) } : zone.day(now);
}

export function addMonths({ year, month }: Month, count: number): Month {
  const date = new Date(Date.UTC(year, month - 1 + count, 1));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1 };
}

export const lastDayOf = ({ year, month }: Month): Day => ({ year, month, day: new Date(Date.UTC(year, month, 0)).getUTCDate() });

/** Return the weekday of the first day: 0 for Monday. */
export const firstWeekday = ({ year, month }: Month): number => (new Date(Date.UTC(year, month - 1, 1)).getUTCDay() + 6) % 7;
