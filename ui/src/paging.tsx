/** Lists that the server gives page by page: the place in the address, and the way to the pages beside. */

import { addressOf, type Query } from "./use";

const PAGE = 50;

export type Place = { first: number; after?: string } | { last: number; before: string };

export const placeOf = ({ after, before }: Query): Place =>
  before ? { last: PAGE, before } : after ? { first: PAGE, after } : { first: PAGE };

type Info = { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };

export function Pages({ path, query, info }: { path: string; query: Query; info: Info }) {
  const there = (place: Query, label: string, is: boolean) =>
    is ? <a class="button" href={addressOf(path, query, { after: "", before: "", ...place })}>{label}</a>
       : <span class="button off">{label}</span>;
  if (!info.hasNextPage && !info.hasPreviousPage) return null;
  return (
    <nav class="pages" aria-label="Pages">
      {there({}, "First", info.hasPreviousPage)}
      {there({ before: info.startCursor ?? "" }, "Back", info.hasPreviousPage)}
      {there({ after: info.endCursor ?? "" }, "Next", info.hasNextPage)}
    </nav>
  );
}
