import { expect, test } from "vitest";
import { type Colours, paint } from "../src/timeline/paint";
import { barOf } from "../src/timeline/rows";
import { HOUR, Zone } from "../src/zone";

const START = Date.parse("2026-11-10T00:00Z");
const at = (hour: number) => new Date(START + hour * HOUR).toISOString();
const COLOURS: Colours = {
  CONNECTED: "blue", COMPLETE: "green", MISSING_CONNECTION: "orange", MISSING_DISCONNECTION: "orange",
  text: "", faint: "", line: "", band: "", now: "", ring: "",
};

function session(id: number, from: number, until: number | null) {
  const state = until === null ? ("MISSING_DISCONNECTION" as const) : ("COMPLETE" as const);
  return barOf({
    id: String(id), mac: "AA:BB:CC:DD:EE:FF", ip: "192.168.1.10", info: "", state, connectionEvent: "Connected", disconnectionEvent: null,
    connectedAt: at(from), disconnectedAt: until === null ? null : at(until),
  });
}

/** What is filled, as colour and kind, in order. */
function filled(bars: ReturnType<typeof session>[]): string[] {
  const done: string[] = [];
  const context = {
    fillStyle: "",
    fill() { done.push(`${this.fillStyle} wedge`); },
    fillRect() { done.push(`${this.fillStyle} bar`); },
  };
  const silent = new Proxy(context, { get: (target, name) => (name in target ? Reflect.get(target, name) : () => {}) });
  const row = { device: { mac: "AA:BB:CC:DD:EE:FF", name: null, isConnected: false }, bars, online: 0 };
  paint(silent as unknown as CanvasRenderingContext2D, COLOURS, {
    width: 960, height: 100, top: 0, view: { from: START, to: START + 24 * HOUR }, rows: [row], zone: new Zone("UTC"), now: START + 30 * HOUR, chosen: null,
  });
  return done.filter((one) => /green|orange/.test(one));
}

test("sessions of which an end was missed are drawn also inside a longer one", () => {
  expect(filled([session(1, 0, 20), session(2, 4, null), session(3, 8, null)])).toEqual(["green bar", "orange wedge", "orange wedge"]);
});

test("what would lie on the same pixels is drawn once", () => {
  expect(filled([session(1, 0, 20), session(2, 4, 5), session(3, 6, 21)])).toEqual(["green bar", "green bar"]);
});
