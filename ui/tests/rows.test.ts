import { describe, expect, test } from "vitest";
import type { BarFragment, DeviceRowFragment } from "../src/operations";
import { toBar, findBar, onlineTime, overlaps, buildRows } from "../src/timeline/rows";
import { HOUR } from "../src/time-zone";

const START = Date.parse("2026-11-10T00:00Z");
const at = (hour: number) => new Date(START + hour * HOUR).toISOString();
const view = { from: START, to: START + 24 * HOUR };
const NOW = START + 20 * HOUR;

function makeSession(values: Partial<BarFragment> & { from?: number; until?: number }): BarFragment {
  const { from, until, ...rest } = values;
  return {
    id: `${from}-${until}`, mac: "AA:BB:CC:DD:EE:FF", ip: "192.168.1.10", info: "", connectionEvent: "Connected", disconnectionEvent: null,
    state: "COMPLETE", connectedAt: from === undefined ? null : at(from), disconnectedAt: until === undefined ? null : at(until), ...rest,
  };
}
const makeBars = (...sessions: Parameters<typeof makeSession>[0][]) => sessions.map((values) => toBar(makeSession(values)));
const makeDevice = (mac: string): DeviceRowFragment => ({ mac, name: null, isConnected: false });

describe("a session", () => {
  test("extends from start to end, is a point if an end is missing, and is open-ended while connected", () => {
    const extents = makeBars(
      { from: 1, until: 2 },
      { from: 1, state: "MISSING_DISCONNECTION" },
      { until: 2, state: "MISSING_CONNECTION" },
      { from: 1, state: "CONNECTED" },
    ).map(({ start, end }) => [(start - START) / HOUR, (end - START) / HOUR]);
    expect(extents).toEqual([[1, 2], [1, 1], [2, 2], [1, Infinity]]);
  });

  test("overlaps a half-open view", () => {
    const overlapsView = (from: number, until: number) => overlaps(makeBars({ from, until })[0]!, view);
    expect([overlapsView(-2, -1), overlapsView(-1, 0), overlapsView(-1, 30), overlapsView(23, 30), overlapsView(24, 30)]).toEqual([false, true, true, true, false]);
  });
});

describe("time online", () => {
  test("is limited to the view and to the past", () => {
    expect(onlineTime(makeBars({ from: -5, until: 2 }, { from: 18, state: "CONNECTED" }), view, NOW)).toBe(4 * HOUR);
  });

  test("excludes sessions outside the view", () => {
    expect(onlineTime(makeBars({ from: -9, until: -8 }, { from: 2, until: 3 }, { from: 30, until: 40 }), view, START + 99 * HOUR)).toBe(HOUR);
  });

  test("counts overlapping sessions once, and sessions with a missing end not at all", () => {
    const bars = makeBars({ from: 1, until: 5 }, { from: 2, until: 3 }, { from: 4, until: 6 }, { from: 8, state: "MISSING_DISCONNECTION" });
    expect(onlineTime(bars, view, NOW)).toBe(5 * HOUR);
  });
});

describe("finding a bar", () => {
  const bars = makeBars({ from: 1, until: 3, id: "a" }, { from: 2, until: 4, id: "b" }, { from: 10, until: 11, id: "c" }, { from: 15, state: "CONNECTED", id: "d" });
  const findId = (hour: number, tolerance = 0.25) => findBar(bars, START + hour * HOUR, tolerance * HOUR)?.id ?? null;

  test("returns the bar at the instant, and of several the one drawn on top", () => {
    expect([findId(1.5), findId(2.5), findId(3.5), findId(10), findId(19)]).toEqual(["a", "b", "b", "c", "d"]);
  });

  test("returns the nearest bar within the tolerance", () => {
    expect([findId(9.8), findId(11.2), findId(9.7), findId(7)]).toEqual(["c", "c", null, null]);
    expect(findId(7.2, 5)).toBe("c");
    expect(findId(6.8, 5)).toBe("b");
  });
});

describe("rows", () => {
  const devices = ["AA:00:00:00:00:02", "AA:00:00:00:00:01", "AA:00:00:00:00:03"].map(makeDevice);
  const bars = [
    ...makeBars({ mac: "AA:00:00:00:00:02", from: 3, until: 4 }, { mac: "AA:00:00:00:00:02", from: 1, until: 2 }, { mac: "AA:00:00:00:00:01", from: 1, until: 9 }),
    ...makeBars({ mac: "FF:FF:FF:FF:FF:FF", from: 1, until: 2 }),
  ];
  const macs = (order: "name" | "online", hideEmpty = false) => buildRows(devices, bars, view, NOW, order, hideEmpty).map((row) => row.device.mac.at(-1)).join("");

  test("keep the order of devices, or are sorted by time online", () => {
    expect([macs("name"), macs("online")]).toEqual(["213", "123"]);
  });

  test("contain their device's sessions by start, and are optionally left out if empty", () => {
    expect(macs("name", true)).toBe("21");
    const [row] = buildRows(devices, bars, view, NOW, "name", true);
    expect(row!.bars.map(({ start }) => (start - START) / HOUR)).toEqual([1, 3]);
    expect(row!.onlineTime).toBe(2 * HOUR);
  });
});
