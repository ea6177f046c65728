import { describe, expect, test } from "vitest";
import { DAY, HOUR, isoDate, MINUTE, TimeZone } from "../src/time-zone";

const berlin = new TimeZone("Europe/Berlin");
const utc = (text: string) => Date.parse(`${text}Z`);

describe("wall-clock time", () => {
  test("is correct in winter and in summer", () => {
    expect(berlin.format(utc("2026-01-10T12:00"))).toBe("2026-01-10 13:00");
    expect(berlin.format(utc("2026-07-10T22:30"))).toBe("2026-07-11 00:30");
  });

  test("converts back to its instant", () => {
    expect(berlin.instant(2026, 7, 11, 0, 30)).toBe(utc("2026-07-10T22:30"));
    expect(new TimeZone("Asia/Kathmandu").instant(2026, 1, 1)).toBe(utc("2025-12-31T18:15"));
  });

  test("that occurs twice is the first instant, and that is skipped is the instant of the change", () => {
    expect(berlin.instant(2026, 10, 25, 2, 30)).toBe(utc("2026-10-25T00:30"));
    expect(berlin.instant(2026, 3, 29, 2, 30)).toBe(utc("2026-03-29T01:30"));
  });

  test("has a start of each day, even if midnight is skipped", () => {
    const cairo = new TimeZone("Africa/Cairo");
    const start = cairo.startOfDay({ year: 2026, month: 4, day: 24 });
    expect(cairo.format(start)).toBe("2026-04-24 01:00");
    expect(cairo.format(start - MINUTE)).toBe("2026-04-23 23:59");
  });
});

describe("a range of time split by day", () => {
  test("is split at each midnight of the time zone", () => {
    expect(berlin.splitByDay(utc("2026-07-10T20:00"), utc("2026-07-11T23:00"))).toEqual([
      [utc("2026-07-10T20:00"), utc("2026-07-10T22:00")],
      [utc("2026-07-10T22:00"), utc("2026-07-11T22:00")],
      [utc("2026-07-11T22:00"), utc("2026-07-11T23:00")],
    ]);
  });

  test("has days of 23 and 25 hours where clocks change, without gaps or overlaps", () => {
    const hours = (from: string, to: string) => berlin.splitByDay(utc(from), utc(to)).map(([start, end]) => (end - start) / HOUR);
    expect(hours("2026-03-27T23:00", "2026-03-30T22:00")).toEqual([24, 23, 24]);
    expect(hours("2026-10-23T22:00", "2026-10-26T23:00")).toEqual([24, 25, 24]);
    const year = berlin.splitByDay(utc("2025-12-31T23:00"), utc("2026-12-31T23:00"));
    expect(year).toHaveLength(365);
    expect(year.reduce((sum, [start, end]) => sum + end - start, 0)).toBe(365 * DAY);
  });

  test("is empty if the range is empty", () => {
    expect(berlin.splitByDay(0, 0)).toEqual([]);
  });
});

test("a date is padded with zeros", () => {
  expect(isoDate({ year: 2026, month: 3, day: 5 })).toBe("2026-03-05");
});
