/** Wall-clock time in the server's time zone. Instants are milliseconds since 1970. */

import { tzOffset } from "@date-fns/tz";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A day of the calendar; months are counted from 1. */
export type Day = { year: number; month: number; day: number };

const two = (n: number): string => String(n).padStart(2, "0");

/** YYYY-MM-DD. */
export const isoDay = ({ year, month, day }: Day): string => `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}`;

export class Zone {
  constructor(readonly name: string) {}

  /** What a clock on the wall shows then, in the UTC fields of a Date. */
  wall(instant: number): Date {
    return new Date(instant + this.#offset(instant));
  }

  /**
   * When a clock on the wall shows this. Of a time that occurs twice the first; of one that is left out, when the clock
   * was put forward.
   */
  instant(year: number, month: number, day: number, hour = 0, minute = 0): number {
    const shown = Date.UTC(year, month - 1, day, hour, minute);
    const both = [shown - this.#offset(shown - DAY), shown - this.#offset(shown + DAY)];
    const right = both.filter((instant) => instant + this.#offset(instant) === shown);
    return right.length ? Math.min(...right) : Math.max(...both);
  }

  day(instant: number): Day {
    const shown = this.wall(instant);
    return { year: shown.getUTCFullYear(), month: shown.getUTCMonth() + 1, day: shown.getUTCDate() };
  }

  /** The start of the day that comes so many days after this one. */
  midnight({ year, month, day }: Day, later = 0): number {
    return this.instant(year, month, day + later);
  }

  /** The spans of the days that a half-open span of time touches, cut at its ends. */
  days(from: number, to: number): [from: number, to: number][] {
    const parts: [number, number][] = [];
    const first = this.day(from);
    for (let n = 1, start = from; start < to; n++) {
      const end = Math.min(this.midnight(first, n), to);
      if (end > start) parts.push([start, end]);
      start = Math.max(start, end);
    }
    return parts;
  }

  /** YYYY-MM-DD HH:MM. */
  minutes(instant: number): string {
    const shown = this.wall(instant);
    return `${isoDay(this.day(instant))} ${two(shown.getUTCHours())}:${two(shown.getUTCMinutes())}`;
  }

  #offset(instant: number): number {
    return tzOffset(this.name, new Date(instant)) * MINUTE;
  }
}
