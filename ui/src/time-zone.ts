/** Wall-clock time in the server's time zone. Instants are milliseconds since 1970. */

import { tzOffset } from "@date-fns/tz";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A calendar day. Months count from 1. */
export type Day = { year: number; month: number; day: number };

const pad = (n: number): string => String(n).padStart(2, "0");

/** Format a day as YYYY-MM-DD. */
export const isoDate = ({ year, month, day }: Day): string => `${String(year).padStart(4, "0")}-${pad(month)}-${pad(day)}`;

export class TimeZone {
  constructor(readonly name: string) {}

  /** Return the wall-clock time of an instant, in the UTC fields of a Date. */
  wallClock(instant: number): Date {
    return new Date(instant + this.#offset(instant));
  }

  /**
   * Return the instant of a wall-clock time: the first one of a time that occurs twice, and for a skipped time the moment when
   * the clock was put forward.
   */
  instant(year: number, month: number, day: number, hour = 0, minute = 0): number {
    const wallClock = Date.UTC(year, month - 1, day, hour, minute);
    const candidates = [wallClock - this.#offset(wallClock - DAY), wallClock - this.#offset(wallClock + DAY)];
    const matches = candidates.filter((instant) => instant + this.#offset(instant) === wallClock);
    return matches.length ? Math.min(...matches) : Math.max(...candidates);
  }

  /** Return the calendar day of an instant. */
  day(instant: number): Day {
    const date = this.wallClock(instant);
    return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
  }

  /** Return the start of a day, or of the day that is `offset` days later. */
  startOfDay({ year, month, day }: Day, offset = 0): number {
    return this.instant(year, month, day + offset);
  }

  /** Split a half-open range of time at midnights. */
  splitByDay(from: number, to: number): [from: number, to: number][] {
    const parts: [number, number][] = [];
    const firstDay = this.day(from);
    for (let n = 1, start = from; start < to; n++) {
      const end = Math.min(this.startOfDay(firstDay, n), to);
      if (end > start) parts.push([start, end]);
      start = Math.max(start, end);
    }
    return parts;
  }

  /** Format an instant as YYYY-MM-DD HH:MM. */
  format(instant: number): string {
    const date = this.wallClock(instant);
    return `${isoDate(this.day(instant))} ${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}`;
  }

  #offset(instant: number): number {
    return tzOffset(this.name, new Date(instant)) * MINUTE;
  }
}
