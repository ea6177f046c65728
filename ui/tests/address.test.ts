import { describe, expect, test } from "vitest";
import { macOf } from "../src/mac";
import { monthLater, monthOf, offsetOf } from "../src/month";
import { placeOf } from "../src/paging";
import { addressOf } from "../src/use";
import { viewIn, viewOf } from "../src/view";
import { DAY, HOUR, Zone } from "../src/zone";

const NOW = Date.parse("2026-11-26T12:00Z");
const berlin = new Zone("Europe/Berlin");

describe("the address", () => {
  test("keeps what was there, takes what is changed, and leaves out what is empty", () => {
    expect(addressOf("/events", { type: "NEW", after: "x" }, { after: "", search: "a b&c" })).toBe("/events?type=NEW&search=a+b%26c");
    expect(addressOf("/", { search: "x" }, { search: "" })).toBe("/");
  });

  test("tells the place in a list", () => {
    expect(placeOf({})).toEqual({ first: 50 });
    expect(placeOf({ after: "x" })).toEqual({ first: 50, after: "x" });
    expect(placeOf({ before: "y" })).toEqual({ last: 50, before: "y" });
  });
});

test("a MAC address in any notation is the one that the server answers, and nothing else is one", () => {
  for (const text of ["02:00:5e:05:ff:05", "02-00-5E-05-FF-05", "0200.5e05.ff05", "02005e05ff05"]) expect(macOf(text)).toBe("02:00:5E:05:FF:05");
  for (const text of ["phone", "02:00:5e", "02005e05ff0g", ""]) expect(macOf(text)).toBeNull();
});

describe("the timeline's span in the address", () => {
  test("survives a reload, to the second", () => {
    const view = { from: Date.parse("2026-11-01T10:17Z"), to: Date.parse("2026-11-02T10:17Z") };
    expect(viewOf(viewIn(view), NOW)).toEqual(view);
    expect(viewIn(view)).toEqual({ from: "2026-11-01T10:17:00Z", to: "2026-11-02T10:17:00Z", span: "" });
  });

  test("follows the clock where only its length is told", () => {
    const { from, to } = viewOf({ span: "24" }, NOW);
    expect(to - from).toBeCloseTo(DAY);
    expect(from < NOW && NOW < to).toBe(true);
  });

  test("is a week where it tells nothing, or nothing that can be shown", () => {
    for (const query of [{}, { from: "yesterday", to: "?" }, { from: "2026-11-02T00:00Z", to: "2026-11-01T00:00Z" }, { span: "x" }])
      expect(viewOf(query, NOW).to - viewOf(query, NOW).from).toBeCloseTo(7 * DAY);
  });

  test("is never shorter than an hour or longer than a year", () => {
    expect(viewOf({ from: "2026-11-01T10:00Z", to: "2026-11-01T10:01Z" }, NOW).to).toBe(Date.parse("2026-11-01T11:00Z"));
    expect(viewOf({ span: "1000000" }, NOW).to - viewOf({ span: "1000000" }, NOW).from).toBeCloseTo(366 * DAY);
    expect(viewOf({ span: "0.1" }, NOW).to - viewOf({ span: "0.1" }, NOW).from).toBeCloseTo(HOUR);
  });
});

describe("the calendar's month in the address", () => {
  test("is this one in the server's zone unless told", () => {
    expect(monthOf("2025-02", NOW, berlin)).toEqual({ year: 2025, month: 2 });
    expect(monthOf("2025-13", NOW, berlin)).toMatchObject({ year: 2026, month: 11 });
    expect(monthOf(undefined, Date.parse("2026-11-30T23:30Z"), berlin)).toMatchObject({ year: 2026, month: 12 });
  });

  test("goes over the turn of the year, and begins on its weekday", () => {
    expect(monthLater({ year: 2026, month: 12 }, 1)).toEqual({ year: 2027, month: 1 });
    expect(monthLater({ year: 2026, month: 1 }, -1)).toEqual({ year: 2025, month: 12 });
    expect([offsetOf({ year: 2026, month: 6 }), offsetOf({ year: 2026, month: 11 })]).toEqual([0, 6]);
  });
});
