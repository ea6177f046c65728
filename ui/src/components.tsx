/** Components that several pages use. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiError } from "./api";
import { STATE_LABELS } from "./format";
import type { QueryResult } from "./hooks";
import type { SessionState } from "./operations";
import { deviceUrl } from "./url";

export const StateLabel = ({ state }: { state: SessionState }) => <span class={`state ${state}`}>{STATE_LABELS[state]}</span>;

export const OnlineDot = ({ online }: { online: boolean }) => (
  <span class={online ? "dot on" : "dot"} role="img" aria-label={online ? "online" : "offline"} />
);

export const DeviceLink = ({ mac, name }: { mac: string; name: string | null }) => (
  <a href={deviceUrl(mac)} class={name === null ? "mac" : ""}>
    {name ?? mac}
  </a>
);

type SearchFieldProps = { label: string; placeholder: string; value: string; onSearch: (text: string) => void };

const SEARCH_DELAY = 250; // milliseconds after the last keystroke

/** A search field that reports its text after a pause in typing, and follows `value`. */
export function SearchField({ label, placeholder, value, onSearch }: SearchFieldProps) {
  const [text, setText] = useState(value);
  const reported = useRef(value);
  if (reported.current !== value) {
    reported.current = value;
    setText(value);
  }
  useEffect(() => {
    const trimmed = text.trim();
    if (trimmed === reported.current) return;
    const timer = setTimeout(() => {
      reported.current = trimmed;
      onSearch(trimmed);
    }, SEARCH_DELAY);
    return () => clearTimeout(timer);
  }, [text, onSearch]);
  return (
    <input type="search" aria-label={label} placeholder={placeholder} value={text} onInput={(event) => setText(event.currentTarget.value)} />
  );
}

/** A shell command with a button that copies it. */
export function Command({ text }: { text: string }) {
  const code = useRef<HTMLPreElement>(null);
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    getSelection()!.selectAllChildren(code.current!);
    // Browsers offer navigator.clipboard only over HTTPS and on localhost.
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else document.execCommand("copy");
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <div class="command">
      <pre tabIndex={0} ref={code}>{text}</pre>
      <button type="button" onClick={copy}>{copied ? "Copied" : "Copy"}</button>
    </div>
  );
}

export function ErrorNotice({ error, retry }: { error: ApiError; retry: () => void }) {
  return (
    <div class="notice failed" role="alert">
      <p>{error.message}{error.kind === "unavailable" && " Retrying every few seconds."}</p>
      <button type="button" onClick={retry}>Try again</button>
    </div>
  );
}

/** Render the data of a query, its error, or a placeholder. Older data stays visible below the error of a refetch. */
export function QueryBoundary<T>({ result, children }: { result: QueryResult<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {result.error && <ErrorNotice error={result.error} retry={result.refetch} />}
      {result.data !== null ? children(result.data) : !result.error && <Loading />}
    </>
  );
}

export const Loading = () => (
  <div class="loading" role="status">
    <span class="sr-only">Loading</span>
    <i /><i /><i />
  </div>
);
