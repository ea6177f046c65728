/** Draws the timeline: by hand on a canvas, as ten thousand elements of a page would take seconds. */

import type { SessionState } from "../operations";
import type { Zone } from "../zone";
import type { Bar, Row } from "./rows";
import { span, ticks, toX, type View } from "./scale";

export const ROW = 28; // pixels, as are all of these
export const AXIS = 32;
const BAR = 14;
const LEAST = 2; // of a session's width
const WEDGE = 9; // of an end that was never seen

export type Colours = Record<SessionState | "text" | "faint" | "line" | "band" | "now" | "ring", string>;

/** The colours that the style sheet gives, light or dark as the element is. */
export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(`--${name}`);
  return {
    CONNECTED: of("connected"),
    COMPLETE: of("complete"),
    MISSING_CONNECTION: of("missing"),
    MISSING_DISCONNECTION: of("missing"),
    text: of("text"),
    faint: of("faint"),
    line: of("line"),
    band: of("band"),
    now: of("now"),
    ring: of("ring"),
  };
}

export type Picture = {
  width: number;
  height: number;
  /** How far the rows are scrolled. */
  top: number;
  view: View;
  rows: Row[];
  zone: Zone;
  now: number;
  chosen: Bar | null;
};

/** The rows that are on the picture, from and up to. */
export function shown({ top, height, rows }: Pick<Picture, "top" | "height" | "rows">): [number, number] {
  return [Math.max(Math.floor(top / ROW), 0), Math.min(Math.ceil((top + height - AXIS) / ROW), rows.length)];
}

export function paint(context: CanvasRenderingContext2D, colours: Colours, picture: Picture): void {
  const { width, height, top, view, rows, zone, now, chosen } = picture;
  const x = (instant: number) => toX(view, width, instant);
  context.clearRect(0, 0, width, height);

  // Every other day is shaded, as long as days can be told apart.
  if (span(view) < 62 * 86_400_000) {
    context.fillStyle = colours.band;
    for (const [from, to] of zone.days(view.from, view.to)) {
      if (zone.wall(from).getTime() / 86_400_000 % 2 < 1) context.fillRect(x(from), AXIS, x(to) - x(from), height);
    }
  }

  const lines = ticks(view, width, zone);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const { at, label, major } of lines) {
    const left = Math.round(x(at)) + 0.5;
    context.strokeStyle = major ? colours.faint : colours.line;
    line(context, left, AXIS - 8, left, height);
    context.fillStyle = major ? colours.text : colours.faint;
    context.fillText(label, left + 4, AXIS / 2);
  }

  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();
  const [first, last] = shown(picture);
  for (let n = first; n < last; n++) {
    const y = AXIS + n * ROW - top;
    context.strokeStyle = colours.line;
    line(context, 0, Math.round(y + ROW) - 0.5, width, Math.round(y + ROW) - 0.5);
    paintRow(context, colours, rows[n]!.bars, y + (ROW - BAR) / 2, width, x, now);
    if (chosen && chosen.mac === rows[n]!.device.mac) ring(context, colours.ring, chosen, y, x, now);
  }
  context.restore();

  context.strokeStyle = context.fillStyle = colours.now;
  const today = Math.round(x(now)) + 0.5;
  line(context, today, AXIS - 8, today, height);
  context.beginPath();
  context.arc(today, AXIS - 8, 3, 0, 7);
  context.fill();
}

function paintRow(
  context: CanvasRenderingContext2D, colours: Colours, bars: Bar[], y: number, width: number, x: (instant: number) => number, now: number,
): void {
  let until = -Infinity;
  let colour = "";
  for (const bar of bars) {
    const [left, right] = ends(bar, x, now);
    if (left > width) break;
    // What would lie on the same pixels in the same colour is drawn once: a year of short sessions costs no more than a week.
    if (right < 0 || (right <= until && colours[bar.state] === colour)) continue;
    if (colour !== colours[bar.state]) until = -Infinity;
    colour = context.fillStyle = colours[bar.state];
    if (bar.state === "MISSING_DISCONNECTION") wedge(context, left, y, WEDGE);
    else if (bar.state === "MISSING_CONNECTION") wedge(context, right, y, -WEDGE);
    else {
      context.fillRect(Math.max(left, -1), y, Math.min(right, width + 1) - Math.max(left, -1), BAR);
      until = right;
    }
  }
}

/** A bar's pixels from and to; it is never too narrow to be seen. */
function ends(bar: Bar, x: (instant: number) => number, now: number): [number, number] {
  const left = x(bar.start);
  return [left, Math.max(x(Math.min(bar.end, Math.max(now, bar.start))), left + LEAST)];
}

/** A session of which one end is known: it fades away from there, as nobody knows how long it was. */
function wedge(context: CanvasRenderingContext2D, x: number, y: number, width: number): void {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + width, y + BAR / 2);
  context.lineTo(x, y + BAR);
  context.fill();
}

function ring(context: CanvasRenderingContext2D, colour: string, bar: Bar, y: number, x: (instant: number) => number, now: number): void {
  const [left, right] = ends(bar, x, now);
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(left - 2, y + (ROW - BAR) / 2 - 3, right - left + 4, BAR + 6);
  context.lineWidth = 1;
}

function line(context: CanvasRenderingContext2D, x: number, y: number, toX: number, toY: number): void {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.stroke();
}
