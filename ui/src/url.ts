/** URLs of the pages. */

export type SearchParams = Record<string, string>;

/** Return the path with the parameters and their changes. Empty parameters are left out. */
export function buildUrl(path: string, params: SearchParams, changes: SearchParams = {}): string {
  const entries = Object.entries({ ...params, ...changes }).filter(([, value]) => value !== "");
  return entries.length ? `${path}?${new URLSearchParams(entries)}` : path;
}

export const deviceUrl = (mac: string): string => `/devices/${mac}`;
