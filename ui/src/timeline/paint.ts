/** Drawing of the timeline, on a canvas: ten thousand DOM elements would take seconds. */

import type { SessionState } from "../operations";
import { DAY, type TimeZone } from "../time-zone";
import type { Bar, Row } from "./rows";
import { span, ticks, toX, type View } from "./scale";

// In pixels.
export const ROW_HEIGHT = 28;
export const AXIS_HEIGHT = 32;
const BAR_HEIGHT = 14;
const MIN_BAR_WIDTH = 2;
const WEDGE_WIDTH = 9;

const MAX_SHADED_SPAN = 62 * DAY;

export type Colors = Record<SessionState | "text" | "faint" | "line" | "band" | "now" | "ring", string>;

/** Read the colors from the style sheet, for the element's color scheme. */
export function readColors(element: Element): Colors {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(`--${name}`);
  return {
    CONNECTED: color("connected"),
    COMPLETE: color("complete"),
    MISSING_CONNECTION: color("missing"),
    MISSING_DISCONNECTION: color("missing"),
    text: color("text"),
    faint: color("faint"),
    line: color("line"),
    band: color("band"),
    now: color("now"),
    ring: color("ring"),
  };
}

export type Scene = {
  width: number;
  height: number;
  /** The scroll position of the rows. */
  top: number;
  view: View;
  rows: Row[];
  zone: TimeZone;
  now: number;
  highlighted: Bar | null;
};

/** Return the range of visible rows, end excluded. */
export function visibleRows({ top, height, rows }: Pick<Scene, "top" | "height" | "rows">): [number, number] {
  return [Math.max(Math.floor(top / ROW_HEIGHT), 0), Math.min(Math.ceil((top + height - AXIS_HEIGHT) / ROW_HEIGHT), rows.length)];
}

export function paint(context: CanvasRenderingContext2D, colors: Colors, scene: Scene): void {
  const { width, height, top, view, rows, zone, now, highlighted } = scene;
  const x = (instant: number) => toX(view, width, instant);
  context.clearRect(0, 0, width, height);

  // Shade every other day while days are wide enough to see.
  if (span(view) < MAX_SHADED_SPAN) {
    context.fillStyle = colors.band;
    for (const [from, to] of zone.splitByDay(view.from, view.to)) {
      if (zone.wallClock(from).getTime() / DAY % 2 < 1) context.fillRect(x(from), AXIS_HEIGHT, x(to) - x(from), height);
    }
  }

  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const { at, label, major } of ticks(view, width, zone)) {
    const left = Math.round(x(at)) + 0.5;
    context.strokeStyle = major ? colors.faint : colors.line;
    strokeLine(context, left, AXIS_HEIGHT - 8, left, height);
    context.fillStyle = major ? colors.text : colors.faint;
    context.fillText(label, left + 4, AXIS_HEIGHT / 2);
  }

  context.save();
  context.beginPath();
  context.rect(0, AXIS_HEIGHT, width, height - AXIS_HEIGHT);
  context.clip();
  const [first, last] = visibleRows(scene);
  for (let n = first; n < last; n++) {
    const y = AXIS_HEIGHT + n * ROW_HEIGHT - top;
    context.strokeStyle = colors.line;
    strokeLine(context, 0, Math.round(y + ROW_HEIGHT) - 0.5, width, Math.round(y + ROW_HEIGHT) - 0.5);
    paintRow(context, colors, rows[n]!.bars, y + (ROW_HEIGHT - BAR_HEIGHT) / 2, width, x, now);
    if (highlighted && highlighted.mac === rows[n]!.device.mac) strokeRing(context, colors.ring, highlighted, y, x, now);
  }
  context.restore();

  context.strokeStyle = context.fillStyle = colors.now;
  const nowX = Math.round(x(now)) + 0.5;
  strokeLine(context, nowX, AXIS_HEIGHT - 8, nowX, height);
  context.beginPath();
  context.arc(nowX, AXIS_HEIGHT - 8, 3, 0, 7);
  context.fill();
}

function paintRow(
  context: CanvasRenderingContext2D, colors: Colors, bars: Bar[], y: number, width: number, x: (instant: number) => number, now: number,
): void {
  let paintedUntil = -Infinity;
  let color = "";
  for (const bar of bars) {
    const [left, right] = barExtent(bar, x, now);
    if (left > width) break;
    // Pixels that already have the color are skipped: a year of short sessions costs no more than a week.
    if (right < 0 || (right <= paintedUntil && colors[bar.state] === color)) continue;
    if (color !== colors[bar.state]) paintedUntil = -Infinity;
    color = context.fillStyle = colors[bar.state];
    if (bar.state === "MISSING_DISCONNECTION") fillWedge(context, left, y, WEDGE_WIDTH);
    else if (bar.state === "MISSING_CONNECTION") fillWedge(context, right, y, -WEDGE_WIDTH);
    else {
      context.fillRect(Math.max(left, -1), y, Math.min(right, width + 1) - Math.max(left, -1), BAR_HEIGHT);
      paintedUntil = right;
    }
  }
}

/** Return the left and right edges of a bar, in pixels. A bar is never too narrow to see. */
function barExtent(bar: Bar, x: (instant: number) => number, now: number): [number, number] {
  const left = x(bar.start);
  return [left, Math.max(x(Math.min(bar.end, Math.max(now, bar.start))), left + MIN_BAR_WIDTH)];
}

/** Fill a wedge that points away from the known end of a session whose other end is missing. */
function fillWedge(context: CanvasRenderingContext2D, x: number, y: number, width: number): void {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + width, y + BAR_HEIGHT / 2);
  context.lineTo(x, y + BAR_HEIGHT);
  context.fill();
}

function strokeRing(
  context: CanvasRenderingContext2D, color: string, bar: Bar, y: number, x: (instant: number) => number, now: number,
): void {
  const [left, right] = barExtent(bar, x, now);
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.strokeRect(left - 2, y + (ROW_HEIGHT - BAR_HEIGHT) / 2 - 3, right - left + 4, BAR_HEIGHT + 6);
  context.lineWidth = 1;
}

function strokeLine(context: CanvasRenderingContext2D, fromX: number, fromY: number, toX: number, toY: number): void {
  context.beginPath();
  context.moveTo(fromX, fromY);
  context.lineTo(toX, toY);
  context.stroke();
}
