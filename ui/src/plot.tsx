/** A bar chart of the hours online per day. */

import { formatHours } from "./format";
import type { DaysQuery } from "./operations";
import { isoDate, type TimeZone } from "./time-zone";

const [HEIGHT, LEFT_MARGIN, BOTTOM_MARGIN] = [160, 28, 18];
const MAX_HOURS = 25; // a day on which the clock is put back
const LABEL_WIDTH = 64;

type Props = { days: DaysQuery["presence"]; zone: TimeZone; now: number };

export function HoursPlot({ days, zone, now }: Props) {
  const pastDays = days.filter(({ start }) => Date.parse(start) <= now);
  const seconds = pastDays.map(({ onlineSeconds }) => onlineSeconds);
  const overlap = pastDays.some(({ start, end, onlineSeconds }) => onlineSeconds * 1000 > Date.parse(end) - Date.parse(start));
  // About the width in pixels, so that text keeps its size.
  const width = matchMedia("(max-width: 700px)").matches ? 340 : 1000;
  const dayWidth = (width - LEFT_MARGIN) / pastDays.length;
  const toY = (hours: number) => (HEIGHT - BOTTOM_MARGIN) * (1 - Math.min(hours, MAX_HOURS) / MAX_HOURS);
  const daysPerLabel = Math.ceil(LABEL_WIDTH / dayWidth);
  const mean = seconds.reduce((sum, value) => sum + value, 0) / Math.max(pastDays.length, 1);
  return (
    <figure class="plot">
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`} role="img"
        aria-label={`Hours online on each of ${pastDays.length} days, ${formatHours(mean)} a day on average`}
      >
        {[0, 6, 12, 18, 24].map((hour) => (
          <g class="grid">
            <line x1={LEFT_MARGIN} x2={width} y1={toY(hour)} y2={toY(hour)} />
            <text x={LEFT_MARGIN - 4} y={toY(hour)} text-anchor="end" dominant-baseline="middle">{hour}</text>
          </g>
        ))}
        {pastDays.map(({ start }, n) => {
          const date = isoDate(zone.day(Date.parse(start)));
          const x = LEFT_MARGIN + n * dayWidth;
          const y = toY(seconds[n]! / 3600);
          return (
            <g>
              <rect class="bar" x={x + dayWidth * 0.1} width={dayWidth * 0.8} y={y} height={toY(0) - y} />
              <rect class="hover-area" x={x} width={dayWidth} y={0} height={toY(0)}>
                <title>{`${date}: ${formatHours(seconds[n]!)}`}</title>
              </rect>
              {(pastDays.length - 1 - n) % daysPerLabel === 0 && (
                <text class="day" x={x + dayWidth / 2} y={HEIGHT - 4} text-anchor={n === pastDays.length - 1 ? "end" : "middle"}>
                  {date.slice(5)}
                </text>
              )}
            </g>
          );
        })}
      </svg>
      <figcaption>{formatHours(mean)} a day on average{overlap && "; overlapping sessions count separately"}</figcaption>
    </figure>
  );
}
