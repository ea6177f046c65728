/** Pieces that several pages show. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "./api";
import type { SessionState } from "./operations";
import type { Answer } from "./use";
import { STATES } from "./words";

export const State = ({ of }: { of: SessionState }) => <span class={`state ${of}`}>{STATES[of]}</span>;

export const Online = ({ is }: { is: boolean }) => <span class={is ? "dot on" : "dot"} role="img" aria-label={is ? "online" : "offline"} />;

export const deviceAddress = (mac: string): string => `/devices/${mac}`;

export const DeviceLink = ({ mac, name }: { mac: string; name: string | null }) => (
  <a href={deviceAddress(mac)} class={name === null ? "mac" : ""}>
    {name ?? mac}
  </a>
);

type SearchProps = { label: string; hint: string; value: string; onSearch: (text: string) => void };

const TYPING = 250; // milliseconds without a key, after which a search begins

/** A field that tells of its text when nobody types any more, and follows what the address says. */
export function Search({ label, hint, value, onSearch }: SearchProps) {
  const [typed, setTyped] = useState(value);
  const told = useRef(value);
  if (told.current !== value) {
    told.current = value;
    setTyped(value);
  }
  useEffect(() => {
    const text = typed.trim();
    if (text === told.current) return;
    const timer = setTimeout(() => {
      told.current = text;
      onSearch(text);
    }, TYPING);
    return () => clearTimeout(timer);
  }, [typed, onSearch]);
  return (
    <input type="search" aria-label={label} placeholder={hint} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
  );
}

/** A command to copy. */
export function Command({ text }: { text: string }) {
  const code = useRef<HTMLPreElement>(null);
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    getSelection()!.selectAllChildren(code.current!);
    // A browser has a clipboard only for pages by HTTPS or of its own machine; elsewhere there is the old way.
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

export function Failed({ problem, again }: { problem: Problem; again: () => void }) {
  return (
    <div class="notice failed" role="alert">
      <p>{problem.message}{problem.kind === "away" && " It is asked again every few seconds."}</p>
      <button type="button" onClick={again}>Try again</button>
    </div>
  );
}

/** What an answer makes, or why there is none yet. An answer that could not be renewed is shown with the reason. */
export function Answered<T>({ of, children }: { of: Answer<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {of.problem && <Failed problem={of.problem} again={of.again} />}
      {of.data !== null ? children(of.data) : !of.problem && <Loading />}
    </>
  );
}

export const Loading = () => (
  <div class="loading" role="status">
    <span class="sr-only">Loading</span>
    <i /><i /><i />
  </div>
);
