import { expect, test } from "vitest";
import { type Colors, paint } from "../src/timeline/paint";
import { toBar } from "../src/timeline/rows";
import { HOUR, TimeZone } from "../src/time-zone";

const START = Date.parse("2026-11-10T00:00Z");
const at = (hour: number) => new Date(START + hour * HOUR).toISOString();
const COLORS: Colors = {
  CONNECTED: "blue", COMPLETE: "green", MISSING_CONNECTION: "orange", MISSING_DISCONNECTION: "orange",
  text: "", faint: "", line: "", band: "", now: "", ring: "",
};

function makeBar(id: number, from: number, until: number | null) {
  const state = until === null ? ("MISSING_DISCONNECTION" as const) : ("COMPLETE" as const);
  return toBar({
    id: String(id), mac: "AA:BB:CC:DD:EE:FF", ip: "192.168.1.10", info: "", state, connectionEvent: "Connected", disconnectionEvent: null,
    connectedAt: at(from), disconnectedAt: until === null ? null : at(until),
  });
}

/** Return the color and kind of each filled shape, in order. */
function paintedShapes(bars: ReturnType<typeof makeBar>[]): string[] {
  const shapes: string[] = [];
  const context = {
    fillStyle: "",
    fill() { shapes.push(`${this.fillStyle} wedge`); },
    fillRect() { shapes.push(`${this.fillStyle} bar`); },
  };
  const canvas = new Proxy(context, { get: (target, name) => (name in target ? Reflect.get(target, name) : () => {}) });
  const row = { device: { mac: "AA:BB:CC:DD:EE:FF", name: null, isConnected: false }, bars, onlineTime: 0 };
  paint(canvas as unknown as CanvasRenderingContext2D, COLORS, {
    width: 960, height: 100, top: 0, view: { from: START, to: START + 24 * HOUR }, rows: [row], zone: new TimeZone("UTC"), now: START + 30 * HOUR, highlighted: null,
  });
  return shapes.filter((shape) => /green|orange/.test(shape));
}

test("sessions with a missing end are drawn inside a longer session", () => {
  expect(paintedShapes([makeBar(1, 0, 20), makeBar(2, 4, null), makeBar(3, 8, null)])).toEqual(["green bar", "orange wedge", "orange wedge"]);
});

test("a session whose pixels are already painted is not drawn again", () => {
  expect(paintedShapes([makeBar(1, 0, 20), makeBar(2, 4, 5), makeBar(3, 6, 21)])).toEqual(["green bar", "green bar"]);
});
