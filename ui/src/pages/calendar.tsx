/** Calendar page: the devices and hours online of each day of a month. */

import { useMemo } from "preact/hooks";
import { DeviceLink, QueryBoundary } from "../components";
import { formatCount, formatHours } from "../format";
import { useNow, useQuery, useSearchParams, useServer, useTitle } from "../hooks";
import { normalizeMac } from "../mac";
import { addMonths, firstWeekday, lastDayOf, type Month, parseMonth } from "../month";
import { DaysDocument, DeviceDocument, type DaysQuery } from "../operations";
import { isoDate, MINUTE, type TimeZone } from "../time-zone";
import { viewParams } from "../timeline/view-params";
import { buildUrl } from "../url";

const MONTH_FORMAT = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function CalendarPage() {
  const { zone } = useServer();
  const [params] = useSearchParams();
  const now = useNow(MINUTE);
  const month = parseMonth(params.month, now, zone);
  const mac = params.mac ? (normalizeMac(params.mac) ?? params.mac) : null;
  const result = useQuery(DaysDocument, {
    start: isoDate({ ...month, day: 1 }),
    end: isoDate(lastDayOf(month)),
    macs: mac ? [mac] : null,
  });
  const title = MONTH_FORMAT.format(Date.UTC(month.year, month.month - 1, 1));
  useTitle(title);
  const monthUrl = (offset: number) =>
    buildUrl("/calendar", params, { month: isoDate({ ...addMonths(month, offset), day: 1 }).slice(0, 7) });

  return (
    <main class="page" tabIndex={-1}>
      <div class="toolbar">
        <h1>{title}</h1>
        <nav class="button-group" aria-label="Months">
          <a class="button" href={monthUrl(-1)} aria-label="Previous month">‹</a>
          <a class="button" href={buildUrl("/calendar", params, { month: "" })}>This month</a>
          <a class="button" href={monthUrl(1)} aria-label="Next month">›</a>
        </nav>
        {mac && <DeviceFilter mac={mac} allUrl={buildUrl("/calendar", params, { mac: "" })} />}
      </div>
      <QueryBoundary result={result}>
        {({ presence }) => <MonthGrid days={presence} month={month} now={now} zone={zone} mac={mac} />}
      </QueryBoundary>
    </main>
  );
}

function DeviceFilter({ mac, allUrl }: { mac: string; allUrl: string }) {
  const { data } = useQuery(DeviceDocument, { mac });
  return (
    <p class="summary">
      Only <DeviceLink mac={mac} name={data?.device?.name ?? null} /> · <a href={allUrl}>All devices</a>
    </p>
  );
}

type MonthGridProps = { days: DaysQuery["presence"]; month: Month; now: number; zone: TimeZone; mac: string | null };

function MonthGrid({ days, month, now, zone, mac }: MonthGridProps) {
  const maxSeconds = useMemo(() => Math.max(...days.map((day) => day.onlineSeconds), 1), [days]);
  return (
    <ol class={`days first-weekday-${firstWeekday(month)}`} aria-label="Days">
      {WEEKDAYS.map((name) => <li class="weekday" aria-hidden="true">{name}</li>)}
      {days.map((day) => {
        const [from, to] = [Date.parse(day.start), Date.parse(day.end)];
        const date = zone.day(from);
        const isToday = from <= now && now < to;
        const content = (
          <>
            <time dateTime={isoDate(date)} aria-current={isToday ? "date" : undefined}>{date.day}</time>
            {day.sessions > 0 && (
              <>
                {mac === null && <span>{formatCount(day.devices, "device")}</span>}
                <span>{formatHours(day.onlineSeconds)}<span class="wide-only"> online</span></span>
              </>
            )}
            <meter min={0} max={maxSeconds} value={day.onlineSeconds} aria-hidden="true" />
          </>
        );
        const search = mac ? { search: mac } : {};
        return (
          <li key={day.start}>
            {from > now ? <span class="day">{content}</span>
              : <a class="day" href={buildUrl("/", { ...viewParams({ from, to }), ...search })}>{content}</a>}
          </li>
        );
      })}
    </ol>
  );
}
