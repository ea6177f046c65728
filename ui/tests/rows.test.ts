import { describe, expect, test } from "vitest";
import type { BarFragment, ListedFragment } from "../src/operations";
import { barOf, hit, online, overlaps, rowsOf } from "../src/timeline/rows";
import { HOUR } from "../src/zone";

const START = Date.parse("2026-11-10T00:00Z");
const at = (hour: number) => new Date(START + hour * HOUR).toISOString();
const view = { from: START, to: START + 24 * HOUR };
const NOW = START + 20 * HOUR;

function session(given: Partial<BarFragment> & { from?: number; until?: number }): BarFragment {
  const { from, until, ...rest } = given;
  return {
    id: `${from}-${until}`, mac: "AA:BB:CC:DD:EE:FF", ip: "192.168.1.10", info: "", connectionEvent: "Connected", disconnectionEvent: null,
    state: "COMPLETE", connectedAt: from === undefined ? null : at(from), disconnectedAt: until === undefined ? null : at(until), ...rest,
  };
}
const bars = (...given: Parameters<typeof session>[0][]) => given.map((one) => barOf(session(one)));
const device = (mac: string): ListedFragment => ({ mac, name: null, isConnected: false });

describe("a session", () => {
  test("reaches from its start to its end; without one, at the end that was seen; connected, on and on", () => {
    const ends = bars(
      { from: 1, until: 2 },
      { from: 1, state: "MISSING_DISCONNECTION" },
      { until: 2, state: "MISSING_CONNECTION" },
      { from: 1, state: "CONNECTED" },
    ).map(({ start, end }) => [(start - START) / HOUR, (end - START) / HOUR]);
    expect(ends).toEqual([[1, 2], [1, 1], [2, 2], [1, Infinity]]);
  });

  test("overlaps a half-open view", () => {
    const of = (from: number, until: number) => overlaps(bars({ from, until })[0]!, view);
    expect([of(-2, -1), of(-1, 0), of(-1, 30), of(23, 30), of(24, 30)]).toEqual([false, true, true, true, false]);
  });
});

describe("time online", () => {
  test("is cut at the view and at now", () => {
    expect(online(bars({ from: -5, until: 2 }, { from: 18, state: "CONNECTED" }), view, NOW)).toBe(4 * HOUR);
  });

  test("leaves out what lies beside the view", () => {
    expect(online(bars({ from: -9, until: -8 }, { from: 2, until: 3 }, { from: 30, until: 40 }), view, START + 99 * HOUR)).toBe(HOUR);
  });

  test("counts once where sessions overlap, and nothing where an end was not seen", () => {
    const some = bars({ from: 1, until: 5 }, { from: 2, until: 3 }, { from: 4, until: 6 }, { from: 8, state: "MISSING_DISCONNECTION" });
    expect(online(some, view, NOW)).toBe(5 * HOUR);
  });
});

describe("hitting", () => {
  const some = bars({ from: 1, until: 3, id: "a" }, { from: 2, until: 4, id: "b" }, { from: 10, until: 11, id: "c" }, { from: 15, state: "CONNECTED", id: "d" });
  const found = (hour: number, reach = 0.25) => hit(some, START + hour * HOUR, reach * HOUR)?.id ?? null;

  test("finds what is there, and of several what is drawn on top", () => {
    expect([found(1.5), found(2.5), found(3.5), found(10), found(19)]).toEqual(["a", "b", "b", "c", "d"]);
  });

  test("reaches a little beside, to the nearest, and not further", () => {
    expect([found(9.8), found(11.2), found(9.7), found(7)]).toEqual(["c", "c", null, null]);
    expect(found(7.2, 5)).toBe("c");
    expect(found(6.8, 5)).toBe("b");
  });
});

describe("rows", () => {
  const devices = ["AA:00:00:00:00:02", "AA:00:00:00:00:01", "AA:00:00:00:00:03"].map(device);
  const some = [
    ...bars({ mac: "AA:00:00:00:00:02", from: 3, until: 4 }, { mac: "AA:00:00:00:00:02", from: 1, until: 2 }, { mac: "AA:00:00:00:00:01", from: 1, until: 9 }),
    ...bars({ mac: "FF:FF:FF:FF:FF:FF", from: 1, until: 2 }),
  ];
  const order = (by: "name" | "online", only = false) => rowsOf(devices, some, view, NOW, by, only).map((row) => row.device.mac.at(-1)).join("");

  test("are in the order in which devices came, or by time online", () => {
    expect([order("name"), order("online")]).toEqual(["213", "123"]);
  });

  test("hold their device's sessions in order, or are left out without any", () => {
    expect(order("name", true)).toBe("21");
    const [row] = rowsOf(devices, some, view, NOW, "name", true);
    expect(row!.bars.map(({ start }) => (start - START) / HOUR)).toEqual([1, 3]);
    expect(row!.online).toBe(2 * HOUR);
  });
});
