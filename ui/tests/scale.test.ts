import { describe, expect, test } from "vitest";
import { MAX_SPAN, pan, MIN_SPAN, span, ticks, toInstant, toX, zoom } from "../src/timeline/scale";
import { DAY, HOUR, TimeZone } from "../src/time-zone";

const day = { from: Date.parse("2026-11-10T00:00Z"), to: Date.parse("2026-11-11T00:00Z") };
const utc = new TimeZone("UTC");
const berlin = new TimeZone("Europe/Berlin");

describe("the scale", () => {
  test("converts time to pixels and back", () => {
    expect(toX(day, 960, day.from + 6 * HOUR)).toBe(240);
    expect(toInstant(day, 960, 240)).toBe(day.from + 6 * HOUR);
  });

  test("keeps its span when panned", () => {
    expect(pan(day, HOUR)).toEqual({ from: day.from + HOUR, to: day.to + HOUR });
  });

  test("zooms around an anchor", () => {
    const anchor = day.from + 6 * HOUR;
    const zoomedIn = zoom(day, anchor, 1 / 2);
    expect(span(zoomedIn)).toBe(12 * HOUR);
    expect(toX(zoomedIn, 960, anchor)).toBe(240);
  });

  test("is limited to spans from an hour to a year", () => {
    expect(span(zoom(day, day.from, 1e-6))).toBe(MIN_SPAN);
    expect(span(zoom(day, day.from, 1e6))).toBe(MAX_SPAN);
  });
});

describe("the axis", () => {
  test.each([
    [HOUR, "00:15"],
    [DAY, "02:00", "03:00"],
    [7 * DAY, "Wed 11 Nov"],
    [31 * DAY, "Mon 16 Nov"],
    [366 * DAY, "2027"],
  ])("of a span of %d has labels that do not overlap, such as %s", (length, ...expected) => {
    const view = { from: day.from, to: day.from + length };
    const axis = ticks(view, 960, utc);
    const positions = axis.map((tick) => toX(view, 960, tick.at));
    expect(positions.length).toBeGreaterThan(2);
    for (let n = 1; n < positions.length; n++) expect(positions[n]! - positions[n - 1]!).toBeGreaterThanOrEqual(70);
    expect(axis.some(({ label }) => expected.includes(label))).toBe(true);
  });

  test("uses wall-clock time, and labels midnight with the date", () => {
    const [first] = ticks({ from: Date.parse("2026-11-10T22:30Z"), to: Date.parse("2026-11-11T22:30Z") }, 960, berlin);
    expect(first).toEqual({ at: Date.parse("2026-11-10T23:00Z"), label: "Wed 11 Nov", major: true });
  });

  test("has ordered, distinct ticks where the clock is put back", () => {
    const view = { from: Date.parse("2026-10-24T20:00Z"), to: Date.parse("2026-10-25T06:00Z") };
    const instants = ticks(view, 960, berlin).map((tick) => tick.at);
    expect(instants).toEqual([...new Set(instants)].sort((a, b) => a - b));
  });

  test("keeps its ticks in place while the view moves", () => {
    const view = { from: day.from, to: day.from + 100 * DAY };
    const tickInstants = (offset: number) => ticks(pan(view, offset), 960, utc).map((tick) => tick.at);
    const inBothViews = (at: number) => at >= view.from + 3 * DAY && at <= view.to;
    expect(tickInstants(3 * DAY).filter(inBothViews)).toEqual(tickInstants(0).filter(inBothViews));
  });
});
