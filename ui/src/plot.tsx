/** Hours online per day, as bars. */

import type { DaysQuery } from "./operations";
import { hours } from "./words";
import { isoDay, type Zone } from "./zone";

const [HEIGHT, LEFT, BOTTOM] = [160, 28, 18];

type Props = { days: DaysQuery["presence"]; zone: Zone; now: number };

export function Plot({ days, zone, now }: Props) {
  const until = days.filter(({ start }) => Date.parse(start) <= now);
  const seconds = until.map(({ onlineSeconds }) => onlineSeconds);
  const overlap = until.some(({ start, end, onlineSeconds }) => onlineSeconds * 1000 > Date.parse(end) - Date.parse(start));
  // About as wide as the screen has it, so that the text is of its size.
  const width = matchMedia("(max-width: 700px)").matches ? 340 : 1000;
  const wide = (width - LEFT) / until.length;
  const y = (hours: number) => (HEIGHT - BOTTOM) * (1 - Math.min(hours, 25) / 25);
  const every = Math.ceil(64 / wide);
  const mean = seconds.reduce((sum, one) => sum + one, 0) / Math.max(until.length, 1);
  return (
    <figure class="plot">
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`Hours online on each of ${until.length} days, ${hours(mean)} a day on average`}>
        {[0, 6, 12, 18, 24].map((n) => (
          <g class="grid">
            <line x1={LEFT} x2={width} y1={y(n)} y2={y(n)} />
            <text x={LEFT - 4} y={y(n)} text-anchor="end" dominant-baseline="middle">{n}</text>
          </g>
        ))}
        {until.map(({ start }, n) => {
          const day = isoDay(zone.day(Date.parse(start)));
          const left = LEFT + n * wide;
          return (
            <g>
              <rect class="bar" x={left + wide * 0.1} width={wide * 0.8} y={y(seconds[n]! / 3600)} height={y(0) - y(seconds[n]! / 3600)} />
              <rect class="over" x={left} width={wide} y={0} height={y(0)}><title>{`${day}: ${hours(seconds[n]!)}`}</title></rect>
              {(until.length - 1 - n) % every === 0 && (
                <text class="day" x={left + wide / 2} y={HEIGHT - 4} text-anchor={n === until.length - 1 ? "end" : "middle"}>{day.slice(5)}</text>
              )}
            </g>
          );
        })}
      </svg>
      <figcaption>{hours(mean)} a day on average{overlap && "; sessions that overlap count each"}</figcaption>
    </figure>
  );
}
