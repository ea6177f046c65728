/** Cursor pagination: the page in the URL, and links to the other pages. */

import { buildUrl, type SearchParams } from "./url";

const PAGE_SIZE = 50;

export type PageArgs = { first: number; after?: string } | { last: number; before: string };

/** Return the GraphQL arguments of the URL's page. */
export const pageArgs = ({ after, before }: SearchParams): PageArgs =>
  before ? { last: PAGE_SIZE, before } : after ? { first: PAGE_SIZE, after } : { first: PAGE_SIZE };

type PageInfo = { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };

export function Pagination({ path, params, pageInfo }: { path: string; params: SearchParams; pageInfo: PageInfo }) {
  const { hasNextPage, hasPreviousPage, startCursor, endCursor } = pageInfo;
  const link = (label: string, cursor: SearchParams, enabled: boolean) =>
    enabled ? <a class="button" href={buildUrl(path, params, { after: "", before: "", ...cursor })}>{label}</a>
            : <span class="button disabled">{label}</span>;
  if (!hasNextPage && !hasPreviousPage) return null;
  return (
    <nav class="pagination" aria-label="Pagination">
      {link("First", {}, hasPreviousPage)}
      {link("Back", { before: startCursor ?? "" }, hasPreviousPage)}
      {link("Next", { after: endCursor ?? "" }, hasNextPage)}
    </nav>
  );
}
