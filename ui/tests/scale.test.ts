import { describe, expect, test } from "vitest";
import { LONGEST, panned, SHORTEST, span, ticks, toInstant, toX, zoomed } from "../src/timeline/scale";
import { DAY, HOUR, Zone } from "../src/zone";

const day = { from: Date.parse("2026-11-10T00:00Z"), to: Date.parse("2026-11-11T00:00Z") };
const utc = new Zone("UTC");
const berlin = new Zone("Europe/Berlin");

describe("the scale", () => {
  test("goes from time to pixels and back", () => {
    expect(toX(day, 960, day.from + 6 * HOUR)).toBe(240);
    expect(toInstant(day, 960, 240)).toBe(day.from + 6 * HOUR);
  });

  test("pans without another span", () => {
    expect(panned(day, HOUR)).toEqual({ from: day.from + HOUR, to: day.to + HOUR });
  });

  test("zooms around the instant under the pointer", () => {
    const around = day.from + 6 * HOUR;
    const near = zoomed(day, around, 1 / 2);
    expect(span(near)).toBe(12 * HOUR);
    expect(toX(near, 960, around)).toBe(240);
  });

  test("goes no further than an hour and a year", () => {
    expect(span(zoomed(day, day.from, 1e-6))).toBe(SHORTEST);
    expect(span(zoomed(day, day.from, 1e6))).toBe(LONGEST);
  });
});

describe("the axis", () => {
  test.each([
    [HOUR, "00:15"],
    [DAY, "02:00", "03:00"],
    [7 * DAY, "Wed 11 Nov"],
    [31 * DAY, "Mon 16 Nov"],
    [366 * DAY, "2027"],
  ])("of a span of %d has labels that do not touch, %s among them", (length, ...some) => {
    const view = { from: day.from, to: day.from + length };
    const found = ticks(view, 960, utc);
    const at = found.map((tick) => toX(view, 960, tick.at));
    expect(at.length).toBeGreaterThan(2);
    for (let n = 1; n < at.length; n++) expect(at[n]! - at[n - 1]!).toBeGreaterThanOrEqual(70);
    expect(found.some(({ label }) => some.includes(label))).toBe(true);
  });

  test("stands on wall-clock time, and names the day at its midnight", () => {
    const [first] = ticks({ from: Date.parse("2026-11-10T22:30Z"), to: Date.parse("2026-11-11T22:30Z") }, 960, berlin);
    expect(first).toEqual({ at: Date.parse("2026-11-10T23:00Z"), label: "Wed 11 Nov", major: true });
  });

  test("has no line twice, and goes on in order, where the clock is put back", () => {
    const view = { from: Date.parse("2026-10-24T20:00Z"), to: Date.parse("2026-10-25T06:00Z") };
    const at = ticks(view, 960, berlin).map((tick) => tick.at);
    expect(at).toEqual([...new Set(at)].sort((a, b) => a - b));
  });

  test("keeps its lines where they are while the view moves", () => {
    const view = { from: day.from, to: day.from + 100 * DAY };
    const lines = (by: number) => ticks(panned(view, by), 960, utc).map((tick) => tick.at);
    const both = (at: number) => at >= view.from + 3 * DAY && at <= view.to;
    expect(lines(3 * DAY).filter(both)).toEqual(lines(0).filter(both));
  });
});
