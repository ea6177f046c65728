import { describe, expect, test } from "vitest";
import { normalizeMac } from "../src/mac";
import { addMonths, parseMonth, firstWeekday } from "../src/month";
import { pageArgs } from "../src/pagination";
import { buildUrl } from "../src/url";
import { viewParams, parseView } from "../src/timeline/view-params";
import { DAY, HOUR, TimeZone } from "../src/time-zone";

const NOW = Date.parse("2026-11-26T12:00Z");
const berlin = new TimeZone("Europe/Berlin");

describe("a URL", () => {
  test("keeps parameters, applies changes, and leaves out empty values", () => {
    expect(buildUrl("/events", { type: "NEW", after: "x" }, { after: "", search: "a b&c" })).toBe("/events?type=NEW&search=a+b%26c");
    expect(buildUrl("/", { search: "x" }, { search: "" })).toBe("/");
  });

  test("selects the page of a list", () => {
    expect(pageArgs({})).toEqual({ first: 50 });
    expect(pageArgs({ after: "x" })).toEqual({ first: 50, after: "x" });
    expect(pageArgs({ before: "y" })).toEqual({ last: 50, before: "y" });
  });
});

test("a MAC address in any notation is normalized, and other text is not a MAC address", () => {
  for (const text of ["02:00:5e:05:ff:05", "02-00-5E-05-FF-05", "0200.5e05.ff05", "02005e05ff05"]) expect(normalizeMac(text)).toBe("02:00:5E:05:FF:05");
  for (const text of ["phone", "02:00:5e", "02005e05ff0g", ""]) expect(normalizeMac(text)).toBeNull();
});

describe("the timeline's view in the URL", () => {
  test("survives a reload, to the second", () => {
    const view = { from: Date.parse("2026-11-01T10:17Z"), to: Date.parse("2026-11-02T10:17Z") };
    expect(parseView(viewParams(view), NOW)).toEqual(view);
    expect(viewParams(view)).toEqual({ from: "2026-11-01T10:17:00Z", to: "2026-11-02T10:17:00Z", span: "" });
  });

  test("follows the clock if only a span is set", () => {
    const { from, to } = parseView({ span: "24" }, NOW);
    expect(to - from).toBeCloseTo(DAY);
    expect(from < NOW && NOW < to).toBe(true);
  });

  test("defaults to a week if the parameters are missing or invalid", () => {
    for (const query of [{}, { from: "yesterday", to: "?" }, { from: "2026-11-02T00:00Z", to: "2026-11-01T00:00Z" }, { span: "x" }])
      expect(parseView(query, NOW).to - parseView(query, NOW).from).toBeCloseTo(7 * DAY);
  });

  test("is never shorter than an hour or longer than a year", () => {
    expect(parseView({ from: "2026-11-01T10:00Z", to: "2026-11-01T10:01Z" }, NOW).to).toBe(Date.parse("2026-11-01T11:00Z"));
    expect(parseView({ span: "1000000" }, NOW).to - parseView({ span: "1000000" }, NOW).from).toBeCloseTo(366 * DAY);
    expect(parseView({ span: "0.1" }, NOW).to - parseView({ span: "0.1" }, NOW).from).toBeCloseTo(HOUR);
  });
});

describe("the calendar's month in the URL", () => {
  test("defaults to the current month in the server's time zone", () => {
    expect(parseMonth("2025-02", NOW, berlin)).toEqual({ year: 2025, month: 2 });
    expect(parseMonth("2025-13", NOW, berlin)).toMatchObject({ year: 2026, month: 11 });
    expect(parseMonth(undefined, Date.parse("2026-11-30T23:30Z"), berlin)).toMatchObject({ year: 2026, month: 12 });
  });

  test("can be in the next or previous year, and starts on its weekday", () => {
    expect(addMonths({ year: 2026, month: 12 }, 1)).toEqual({ year: 2027, month: 1 });
    expect(addMonths({ year: 2026, month: 1 }, -1)).toEqual({ year: 2025, month: 12 });
    expect([firstWeekday({ year: 2026, month: 6 }), firstWeekday({ year: 2026, month: 11 })]).toEqual([0, 6]);
  });
});
