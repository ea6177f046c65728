/** Calendar: a month of days, each with how many devices were there and for how long. */

import { useMemo } from "preact/hooks";
import { DaysDocument, DeviceDocument, type DaysQuery } from "../operations";
import { Answered, DeviceLink } from "../parts";
import { macOf } from "../mac";
import { addressOf, useAnswer, useNow, useQuery, useServer, useTitle } from "../use";
import { viewIn } from "../view";
import { counted, hours } from "../words";
import { lastDay, type Month, monthLater, monthOf, offsetOf } from "../month";
import { isoDay, MINUTE, type Zone } from "../zone";

const NAMED = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function Calendar() {
  const { zone } = useServer();
  const [query] = useQuery();
  const now = useNow(MINUTE);
  const month = monthOf(query.month, now, zone);
  const mac = query.mac ? (macOf(query.mac) ?? query.mac) : null;
  const answer = useAnswer(DaysDocument, {
    start: isoDay({ ...month, day: 1 }),
    end: isoDay(lastDay(month)),
    macs: mac ? [mac] : null,
  });
  const title = NAMED.format(Date.UTC(month.year, month.month - 1, 1));
  useTitle(title);
  const to = (by: number) => addressOf("/calendar", query, { month: isoDay({ ...monthLater(month, by), day: 1 }).slice(0, 7) });

  return (
    <main class="page" tabIndex={-1}>
      <div class="tools">
        <h1>{title}</h1>
        <nav class="spans" aria-label="Months">
          <a class="button" href={to(-1)} aria-label="Earlier month">‹</a>
          <a class="button" href={addressOf("/calendar", query, { month: "" })}>This month</a>
          <a class="button" href={to(1)} aria-label="Later month">›</a>
        </nav>
        {mac && <Whose mac={mac} all={addressOf("/calendar", query, { mac: "" })} />}
      </div>
      <Answered of={answer}>{({ presence }) => <Days days={presence} month={month} now={now} zone={zone} mac={mac} />}</Answered>
    </main>
  );
}

function Whose({ mac, all }: { mac: string; all: string }) {
  const { data } = useAnswer(DeviceDocument, { mac });
  return (
    <p class="when">
      Only <DeviceLink mac={mac} name={data?.device?.name ?? null} /> · <a href={all}>All devices</a>
    </p>
  );
}

type DaysProps = { days: DaysQuery["presence"]; month: Month; now: number; zone: Zone; mac: string | null };

function Days({ days, month, now, zone, mac }: DaysProps) {
  const most = useMemo(() => Math.max(...days.map((day) => day.onlineSeconds), 1), [days]);
  return (
    <ol class={`days from${offsetOf(month)}`} aria-label="Days">
      {WEEKDAYS.map((name) => <li class="weekday" aria-hidden="true">{name}</li>)}
      {days.map((day) => {
        const [from, to] = [Date.parse(day.start), Date.parse(day.end)];
        const date = zone.day(from);
        const today = from <= now && now < to;
        const text = (
          <>
            <time dateTime={isoDay(date)} aria-current={today ? "date" : undefined}>{date.day}</time>
            {day.sessions > 0 && (
              <>
                {mac === null && <span>{counted(day.devices, "device")}</span>}
                <span>{hours(day.onlineSeconds)}<span class="wide"> online</span></span>
              </>
            )}
            {/* How much of the busiest day's time. */}
            <meter min={0} max={most} value={day.onlineSeconds} aria-hidden="true" />
          </>
        );
        const search = mac ? { search: mac } : {};
        return (
          <li key={day.start}>
            {from > now ? <span class="day">{text}</span>
              : <a class="day" href={addressOf("/", { ...viewIn({ from, to }), ...search })}>{text}</a>}
          </li>
        );
      })}
    </ol>
  );
}
