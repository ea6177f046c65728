/** The timeline: a canvas for the pointer, and a list of the same rows for the keyboard and screen readers. */

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { OnlineDot, StateLabel } from "../components";
import { formatCount, formatDuration, sessionDetails, STATE_LABELS } from "../format";
import type { TimeZone } from "../time-zone";
import { deviceUrl } from "../url";
import { AXIS_HEIGHT, paint, readColors, ROW_HEIGHT, visibleRows } from "./paint";
import { type Bar, findBar, overlaps, type Row } from "./rows";
import { pan, span, toInstant, toX, type View, zoom } from "./scale";

const HIT_TOLERANCE = 4; // pixels next to a bar
const VIEW_CHANGE_DELAY = 150; // milliseconds after the last movement
const CLICK_TOLERANCE = 4; // pixels that the pointer may move during a click
const ZOOM_STEP = 1.25;

type Props = {
  rows: Row[];
  view: View;
  zone: TimeZone;
  now: number;
  /** Called when a movement of the view ends. */
  onViewChange: (view: View) => void;
  onOpenDevice: (mac: string) => void;
};

type Hover = { id: string; mac: string; x: number; y: number };

export function Timeline({ rows, view, zone, now, onViewChange, onOpenDevice }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [top, setTop] = useState(0);
  const [hover, setHover] = useState<Hover | null>(null);
  const [focusedMac, setFocusedMac] = useState("");
  const [selectedId, setSelectedId] = useState<string | null>(null);
  // Looked up by MAC and id, not by index: rows and sessions change while they are focused.
  const focusedIndex = Math.max(rows.findIndex(({ device }) => device.mac === focusedMac), 0);
  const selectedBar = rows[focusedIndex]?.bars.find(({ id }) => id === selectedId) ?? null;
  const hoveredBar = hover && (rows.find(({ device }) => device.mac === hover.mac)?.bars.find(({ id }) => id === hover.id) ?? null);
  // The next frame. Pointer events change it without rendering the component.
  const state = useRef({ view, top: 0, frame: 0, viewTimer: 0 });

  const draw = useCallback(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context || !size.width) return;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (element.width !== width || element.height !== height) [element.width, element.height] = [width, height];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { view, top } = state.current;
    paint(context, readColors(element), { ...size, top, view, rows, zone, now, highlighted: hoveredBar ?? selectedBar });
    element.dataset.drawnSessions = String(rows.reduce((sum, row) => sum + row.bars.length, 0));
  }, [size, rows, zone, now, hoveredBar, selectedBar]);
  const drawRef = useRef(draw);
  drawRef.current = draw;

  const scheduleDraw = useCallback(() => {
    state.current.frame ||= requestAnimationFrame(() => {
      state.current.frame = 0;
      drawRef.current();
    });
  }, []);

  const move = useCallback(
    (next: View) => {
      state.current.view = next;
      scheduleDraw();
      clearTimeout(state.current.viewTimer);
      state.current.viewTimer = window.setTimeout(() => {
        state.current.viewTimer = 0;
        onViewChange(next);
      }, VIEW_CHANGE_DELAY);
    },
    [scheduleDraw, onViewChange],
  );

  // A new view must not interrupt a movement.
  useLayoutEffect(() => {
    if (!state.current.viewTimer) state.current.view = view;
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
    dark.addEventListener("change", scheduleDraw);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", scheduleDraw);
      cancelAnimationFrame(state.current.frame);
      clearTimeout(state.current.viewTimer);
    };
  }, [scheduleDraw]);

  // Native listeners: Preact's are passive, and could not prevent the page from scrolling.
  useEffect(() => {
    const element = canvas.current!;
    const pointers = new Map<number, number>();
    let distance = 0;

    const onWheel = (event: WheelEvent) => {
      const { view } = state.current;
      const zooms = event.ctrlKey || event.metaKey;
      const deltaX = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
      if (!zooms && Math.abs(deltaX) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
      event.preventDefault();
      setHover(null);
      const width = element.clientWidth;
      if (zooms) move(zoom(view, toInstant(view, width, event.offsetX), ZOOM_STEP ** Math.sign(event.deltaY)));
      else move(pan(view, (deltaX / width) * span(view)));
    };

    const onPointerDown = (event: PointerEvent) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event.offsetX);
      if (pointers.size === 1) distance = 0;
    };

    const onPointerMove = (event: PointerEvent) => {
      const previousX = pointers.get(event.pointerId);
      if (previousX === undefined) return setHover(findHover(event));
      const { view } = state.current;
      const width = element.clientWidth;
      const otherX = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      pointers.set(event.pointerId, event.offsetX);
      distance += Math.abs(event.offsetX - previousX);
      if (distance > CLICK_TOLERANCE) setHover(null);
      if (otherX === undefined) return move(pan(view, ((previousX - event.offsetX) / width) * span(view)));
      const [oldGap, newGap] = [Math.abs(previousX - otherX), Math.abs(event.offsetX - otherX)];
      if (oldGap > 0 && newGap > 0) move(zoom(view, toInstant(view, width, otherX), oldGap / newGap));
    };

    const onPointerUp = (event: PointerEvent) => {
      if (!pointers.delete(event.pointerId) || pointers.size || distance > CLICK_TOLERANCE || event.type === "pointercancel") return;
      const tapped = findHover(event);
      if (!tapped) return;
      // Touch cannot hover: the first tap shows the tooltip, the second opens the device.
      if (event.pointerType === "mouse" || hoverRef.current?.id === tapped.id) onOpenDevice(tapped.mac);
      else setHover(tapped);
    };

    const onPointerLeave = () => setHover(null);

    const findHover = (event: PointerEvent): Hover | null => {
      const { view, top } = state.current;
      const row = rowsRef.current[Math.floor((event.offsetY - AXIS_HEIGHT + top) / ROW_HEIGHT)];
      if (!row || event.offsetY < AXIS_HEIGHT) return null;
      const msPerPixel = span(view) / element.clientWidth;
      const bar = findBar(row.bars, toInstant(view, element.clientWidth, event.offsetX), HIT_TOLERANCE * msPerPixel);
      return bar && { id: bar.id, mac: bar.mac, x: event.offsetX, y: event.offsetY };
    };

    const listeners: [string, (event: any) => void][] = [
      ["wheel", onWheel], ["pointerdown", onPointerDown], ["pointermove", onPointerMove], ["pointerup", onPointerUp],
      ["pointercancel", onPointerUp], ["pointerleave", onPointerLeave],
    ];
    for (const [name, listener] of listeners) element.addEventListener(name, listener, { passive: false });
    return () => {
      for (const [name, listener] of listeners) element.removeEventListener(name, listener);
    };
  }, [move, onOpenDevice]);
  const rowsRef = useRef(rows);
  rowsRef.current = rows;
  const hoverRef = useRef(hover);
  hoverRef.current = hover;

  const onScroll = () => {
    state.current.top = scroller.current!.scrollTop;
    setTop(state.current.top);
    setHover(null);
    scheduleDraw();
  };

  const focusRow = (n: number) => {
    const index = Math.min(Math.max(n, 0), rows.length - 1);
    setFocusedMac(rows[index]!.device.mac);
    setSelectedId(null);
    const element = scroller.current!;
    const [maxTop, minTop] = [index * ROW_HEIGHT, (index + 1) * ROW_HEIGHT + AXIS_HEIGHT - element.clientHeight];
    if (element.scrollTop > maxTop) element.scrollTop = maxTop;
    if (element.scrollTop < minTop) element.scrollTop = minTop;
    // The list has only visible rows: the element may not exist until the next render.
    requestAnimationFrame(() => requestAnimationFrame(() => element.querySelector<HTMLElement>(`[data-row="${index}"]`)?.focus()));
  };

  /** Select the next or previous session of the focused device and move it into view. */
  const selectAdjacent = (offset: 1 | -1) => {
    const bars = rows[focusedIndex]?.bars ?? [];
    const { view } = state.current;
    const firstInView = offset > 0 ? bars.findIndex((bar) => bar.end >= view.from) : bars.findLastIndex((bar) => bar.start <= view.to);
    const next = bars[selectedBar ? bars.indexOf(selectedBar) + offset : firstInView];
    if (!next) return;
    setSelectedId(next.id);
    const end = Math.min(next.end, now);
    if (next.start > view.to || end < view.from) move(pan(view, (next.start + end) / 2 - (view.from + view.to) / 2));
  };

  const shortcuts: Record<string, () => void> = {
    ArrowDown: () => focusRow(focusedIndex + 1),
    ArrowUp: () => focusRow(focusedIndex - 1),
    Home: () => focusRow(0),
    End: () => focusRow(rows.length - 1),
    PageDown: () => focusRow(focusedIndex + 10),
    PageUp: () => focusRow(focusedIndex - 10),
    ArrowRight: () => selectAdjacent(1),
    ArrowLeft: () => selectAdjacent(-1),
    "+": () => move(zoom(state.current.view, centerOf(state.current.view), 1 / ZOOM_STEP)),
    "-": () => move(zoom(state.current.view, centerOf(state.current.view), ZOOM_STEP)),
    Escape: () => setSelectedId(null),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : shortcuts[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };

  const [first, last] = visibleRows({ top, height: size.height, rows });
  const listedIndexes = [...rows.keys()].slice(first, last);
  // The focused row must stay in the list, or it would lose the focus.
  if (!(first <= focusedIndex && focusedIndex < last)) listedIndexes.push(focusedIndex);
  const selectedX = selectedBar && Math.min(Math.max(toX(state.current.view, size.width, selectedBar.start), 0), size.width);
  const tooltip = hoveredBar
    ? { bar: hoveredBar, x: hover!.x, y: hover!.y }
    : selectedBar && { bar: selectedBar, x: selectedX!, y: AXIS_HEIGHT + (focusedIndex + 0.5) * ROW_HEIGHT - top };

  return (
    <div class="timeline" ref={scroller} onScroll={onScroll}>
      <div class="sheet">
        <div class="device-count">{formatCount(rows.length, "device")}</div>
        <canvas ref={canvas} aria-hidden="true" style={{ height: `${size.height}px`, cursor: hoveredBar ? "pointer" : "" }} />
        {tooltip && (
          <Tooltip {...tooltip} width={size.width} height={size.height} zone={zone} now={now} name={deviceName(rows, tooltip.bar.mac)} />
        )}
      </div>
      <ul
        class="device-list" aria-label="Devices and their sessions" aria-describedby="shortcuts"
        style={{ height: `${rows.length * ROW_HEIGHT}px` }} onKeyDown={onKeyDown}
      >
        {listedIndexes.map((n) => {
          const { device, onlineTime, bars } = rows[n]!;
          const visibleCount = bars.filter((bar) => overlaps(bar, view)).length;
          return (
            <li key={device.mac} aria-setsize={rows.length} aria-posinset={n + 1} style={{ top: `${n * ROW_HEIGHT}px` }}>
              <a
                href={deviceUrl(device.mac)}
                data-row={n}
                tabIndex={n === focusedIndex ? 0 : -1}
                onFocus={() => setFocusedMac(device.mac)}
                onBlur={() => setSelectedId(null)}
                title={device.name === null ? device.mac : `${device.name}, ${device.mac}`}
              >
                <OnlineDot online={device.isConnected} />
                <span class={device.name === null ? "name mac" : "name"}>{device.name ?? device.mac}</span>
                <span class="sr-only">, {formatCount(visibleCount, "session")}, online for</span>
                <span class="online-time">{onlineTime ? formatDuration(onlineTime / 1000) : "–"}</span>
              </a>
            </li>
          );
        })}
      </ul>
      <p id="shortcuts">↑ ↓ select a device, ← → select a session, + − zoom, Enter opens the device.</p>
      <p class="sr-only" aria-live="polite">
        {selectedBar && [
          deviceName(rows, selectedBar.mac),
          STATE_LABELS[selectedBar.state],
          ...sessionDetails(selectedBar, zone, now).map(([label, value]) => `${label}: ${value}`),
        ].join(", ")}
      </p>
    </div>
  );
}

const centerOf = (view: View): number => (view.from + view.to) / 2;

const deviceName = (rows: Row[], mac: string): string => rows.find((row) => row.device.mac === mac)?.device.name ?? mac;

type TooltipProps = { bar: Bar; x: number; y: number; width: number; height: number; zone: TimeZone; now: number; name: string };

/** A session's tooltip, on the side with more space. */
function Tooltip({ bar, x, y, width, height, zone, now, name }: TooltipProps) {
  const horizontal = { [x > width / 2 ? "right" : "left"]: `${x > width / 2 ? width - x + 12 : x + 12}px` };
  const vertical = { [y > height / 2 ? "bottom" : "top"]: `${y > height / 2 ? height - y + 12 : y + 12}px` };
  return (
    <div class="overlay">
      <div class="tooltip" style={{ ...horizontal, ...vertical }}>
        <b>{name}</b> <StateLabel state={bar.state} />
        <dl>
          {sessionDetails(bar, zone, now).map(([label, value]) => (
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
