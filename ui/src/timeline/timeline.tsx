/** The timeline: a canvas to look at and to drag, beside it a list of the same rows for the keyboard and for those who hear. */

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { deviceAddress, Online, State } from "../parts";
import { counted, duration, STATES, told } from "../words";
import type { Zone } from "../zone";
import { AXIS, coloursOf, paint, ROW, shown } from "./paint";
import { type Bar, hit, overlaps, type Row } from "./rows";
import { panned, span, toInstant, toX, type View, zoomed } from "./scale";

const REACH = 4; // pixels beside a session that still hit it
const STILL = 150; // milliseconds without a move, after which the view is told of
const A_CLICK = 4; // pixels that a pointer may move and still click
const STEP = 1.25; // of zooming

type Props = {
  rows: Row[];
  view: View;
  zone: Zone;
  now: number;
  /** Told when the view has been moved and rests. */
  onView: (view: View) => void;
  onOpen: (mac: string) => void;
};

type Pointed = { id: string; mac: string; x: number; y: number };

export function Timeline({ rows, view, zone, now, onView, onOpen }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [top, setTop] = useState(0);
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const [focus, setFocus] = useState("");
  const [chosenId, setChosen] = useState<string | null>(null);
  // By their names, as rows move and sessions change while somebody looks at them.
  const at = Math.max(rows.findIndex(({ device }) => device.mac === focus), 0);
  const chosen = rows[at]?.bars.find(({ id }) => id === chosenId) ?? null;
  const under = pointed && (rows.find(({ device }) => device.mac === pointed.mac)?.bars.find(({ id }) => id === pointed.id) ?? null);
  // What is drawn next: moved at every event of the pointer, without a turn through the page.
  const state = useRef({ view, top: 0, frame: 0, still: 0 });

  const draw = useCallback(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context || !size.width) return;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (element.width !== width || element.height !== height) [element.width, element.height] = [width, height];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { view, top } = state.current;
    paint(context, coloursOf(element), { ...size, top, view, rows, zone, now, chosen: under ?? chosen });
    element.dataset.drawn = String(rows.reduce((sum, row) => sum + row.bars.length, 0));
  }, [size, rows, zone, now, under, chosen]);
  const latest = useRef(draw);
  latest.current = draw;

  const soon = useCallback(() => {
    state.current.frame ||= requestAnimationFrame(() => {
      state.current.frame = 0;
      latest.current();
    });
  }, []);

  const move = useCallback(
    (next: View) => {
      state.current.view = next;
      soon();
      clearTimeout(state.current.still);
      state.current.still = window.setTimeout(() => {
        state.current.still = 0;
        onView(next);
      }, STILL);
    },
    [soon, onView],
  );

  // What comes in while somebody moves the view does not take it out of their hand.
  useLayoutEffect(() => {
    if (!state.current.still) state.current.view = view;
  }, [view]);
  useLayoutEffect(draw, [view, draw]);

  useEffect(() => {
    const element = scroller.current!;
    const measure = () => {
      if (canvas.current) setSize({ width: canvas.current.clientWidth, height: element.clientHeight });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", soon);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", soon);
      cancelAnimationFrame(state.current.frame);
      clearTimeout(state.current.still);
    };
  }, [soon]);

  // Wheel and touch: not by Preact, whose listeners could not keep the page from scrolling.
  useEffect(() => {
    const element = canvas.current!;
    const pointers = new Map<number, number>();
    let moved = 0;

    const wheel = (event: WheelEvent) => {
      const { view } = state.current;
      const zooming = event.ctrlKey || event.metaKey;
      const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
      if (!zooming && Math.abs(sideways) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
      event.preventDefault();
      setPointed(null);
      const width = element.clientWidth;
      if (zooming) move(zoomed(view, toInstant(view, width, event.offsetX), STEP ** Math.sign(event.deltaY)));
      else move(panned(view, (sideways / width) * span(view)));
    };

    const down = (event: PointerEvent) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event.offsetX);
      if (pointers.size === 1) moved = 0;
    };

    const drag = (event: PointerEvent) => {
      const before = pointers.get(event.pointerId);
      if (before === undefined) return setPointed(barAt(event));
      const { view } = state.current;
      const width = element.clientWidth;
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      pointers.set(event.pointerId, event.offsetX);
      moved += Math.abs(event.offsetX - before);
      if (moved > A_CLICK) setPointed(null);
      if (other === undefined) return move(panned(view, ((before - event.offsetX) / width) * span(view)));
      const [wide, wider] = [Math.abs(before - other), Math.abs(event.offsetX - other)];
      if (wide > 0 && wider > 0) move(zoomed(view, toInstant(view, width, other), wide / wider));
    };

    const up = (event: PointerEvent) => {
      if (!pointers.delete(event.pointerId) || pointers.size || moved > A_CLICK || event.type === "pointercancel") return;
      const found = barAt(event);
      if (!found) return;
      // A finger cannot hover: its first tap tells, its second opens.
      if (event.pointerType === "mouse" || pointedNow.current?.id === found.id) onOpen(found.mac);
      else setPointed(found);
    };

    const leave = () => setPointed(null);

    const barAt = (event: PointerEvent): Pointed | null => {
      const { view, top } = state.current;
      const row = rowsNow.current[Math.floor((event.offsetY - AXIS + top) / ROW)];
      if (!row || event.offsetY < AXIS) return null;
      const perPixel = span(view) / element.clientWidth;
      const bar = hit(row.bars, toInstant(view, element.clientWidth, event.offsetX), REACH * perPixel);
      return bar && { id: bar.id, mac: bar.mac, x: event.offsetX, y: event.offsetY };
    };

    const listeners: [string, (event: any) => void][] = [
      ["wheel", wheel], ["pointerdown", down], ["pointermove", drag], ["pointerup", up], ["pointercancel", up], ["pointerleave", leave],
    ];
    for (const [name, listener] of listeners) element.addEventListener(name, listener, { passive: false });
    return () => {
      for (const [name, listener] of listeners) element.removeEventListener(name, listener);
    };
  }, [move, onOpen]);
  const rowsNow = useRef(rows);
  rowsNow.current = rows;
  const pointedNow = useRef(pointed);
  pointedNow.current = pointed;

  const scrolled = () => {
    state.current.top = scroller.current!.scrollTop;
    setTop(state.current.top);
    setPointed(null);
    soon();
  };

  const focusRow = (n: number) => {
    const next = Math.min(Math.max(n, 0), rows.length - 1);
    setFocus(rows[next]!.device.mac);
    setChosen(null);
    const element = scroller.current!;
    const [above, below] = [next * ROW, (next + 1) * ROW + AXIS - element.clientHeight];
    if (element.scrollTop > above) element.scrollTop = above;
    if (element.scrollTop < below) element.scrollTop = below;
    // The list holds what is on the screen: the row may only be there after the next turn.
    requestAnimationFrame(() => requestAnimationFrame(() => element.querySelector<HTMLElement>(`[data-row="${next}"]`)?.focus()));
  };

  /** Goes to the session after or before the chosen one, and brings it into view. */
  const choose = (by: 1 | -1) => {
    const bars = rows[at]?.bars ?? [];
    const { view } = state.current;
    const inView = by > 0 ? bars.findIndex((bar) => bar.end >= view.from) : bars.findLastIndex((bar) => bar.start <= view.to);
    const next = bars[chosen ? bars.indexOf(chosen) + by : inView];
    if (!next) return;
    setChosen(next.id);
    const end = Math.min(next.end, now);
    if (next.start > view.to || end < view.from) move(panned(view, (next.start + end) / 2 - (view.from + view.to) / 2));
  };

  const keys: Record<string, () => void> = {
    ArrowDown: () => focusRow(at + 1),
    ArrowUp: () => focusRow(at - 1),
    Home: () => focusRow(0),
    End: () => focusRow(rows.length - 1),
    PageDown: () => focusRow(at + 10),
    PageUp: () => focusRow(at - 10),
    ArrowRight: () => choose(1),
    ArrowLeft: () => choose(-1),
    "+": () => move(zoomed(state.current.view, middle(state.current.view), 1 / STEP)),
    "-": () => move(zoomed(state.current.view, middle(state.current.view), STEP)),
    Escape: () => setChosen(null),
  };
  const pressed = (event: KeyboardEvent) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };

  const [first, last] = shown({ top, height: size.height, rows });
  const listed = [...rows.keys()].slice(first, last);
  // The row that has the focus stays in the list, also when it is scrolled away.
  if (!(first <= at && at < last)) listed.push(at);
  const chosenX = chosen && Math.min(Math.max(toX(state.current.view, size.width, chosen.start), 0), size.width);
  const tip = under
    ? { bar: under, x: pointed!.x, y: pointed!.y }
    : chosen && { bar: chosen, x: chosenX!, y: AXIS + (at + 0.5) * ROW - top };

  return (
    <div class="timeline" ref={scroller} onScroll={scrolled}>
      <div class="sheet">
        <div class="corner">{counted(rows.length, "device")}</div>
        <canvas ref={canvas} aria-hidden="true" style={{ height: `${size.height}px`, cursor: under ? "pointer" : "" }} />
        {tip && <Tip {...tip} width={size.width} height={size.height} zone={zone} now={now} name={nameOf(rows, tip.bar.mac)} />}
      </div>
      <ul class="names" aria-label="Devices and their sessions" aria-describedby="keys" style={{ height: `${rows.length * ROW}px` }} onKeyDown={pressed}>
        {listed.map((n) => {
          const { device, online, bars } = rows[n]!;
          return (
            <li key={device.mac} aria-setsize={rows.length} aria-posinset={n + 1} style={{ top: `${n * ROW}px` }}>
              <a
                href={deviceAddress(device.mac)}
                data-row={n}
                tabIndex={n === at ? 0 : -1}
                onFocus={() => setFocus(device.mac)}
                onBlur={() => setChosen(null)}
                title={device.name === null ? device.mac : `${device.name}, ${device.mac}`}
              >
                <Online is={device.isConnected} />
                <span class={device.name === null ? "name mac" : "name"}>{device.name ?? device.mac}</span>
                <span class="sr-only">, {counted(bars.filter((bar) => overlaps(bar, view)).length, "session")}, online for</span>
                <span class="much">{online ? duration(online / 1000) : "–"}</span>
              </a>
            </li>
          );
        })}
      </ul>
      <p id="keys">↑ ↓ from device to device, ← → through its sessions, + − zoom, Enter opens the device.</p>
      <p class="sr-only" aria-live="polite">
        {chosen && [nameOf(rows, chosen.mac), STATES[chosen.state], ...told(chosen, zone, now).map(([label, value]) => `${label}: ${value}`)].join(", ")}
      </p>
    </div>
  );
}

const middle = (view: View): number => (view.from + view.to) / 2;

const nameOf = (rows: Row[], mac: string): string => rows.find((row) => row.device.mac === mac)?.device.name ?? mac;

type TipProps = { bar: Bar; x: number; y: number; width: number; height: number; zone: Zone; now: number; name: string };

/** What a session's tooltip says, on the side where there is room. */
function Tip({ bar, x, y, width, height, zone, now, name }: TipProps) {
  const side = { [x > width / 2 ? "right" : "left"]: `${x > width / 2 ? width - x + 12 : x + 12}px` };
  const edge = { [y > height / 2 ? "bottom" : "top"]: `${y > height / 2 ? height - y + 12 : y + 12}px` };
  return (
    <div class="over">
      <div class="tip" style={{ ...side, ...edge }}>
        <b>{name}</b> <State of={bar.state} />
        <dl>
          {told(bar, zone, now).map(([label, value]) => (
            <>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </>
          ))}
        </dl>
      </div>
    </div>
  );
}
