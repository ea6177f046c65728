/** Pieces that several pages show. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
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

/** A command to copy. */
export function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <div class="command">
      <pre tabIndex={0}>{text}</pre>
      {/* A browser has a clipboard only for pages that it trusts: by HTTPS, or of this machine. */}
      {navigator.clipboard && <button type="button" onClick={copy}>{copied ? "Copied" : "Copy"}</button>}
    </div>
  );
}

export function Failed({ problem, again }: { problem: Problem; again: () => void }) {
  return (
    <div class="notice failed" role="alert">
      <p>{problem.message}{problem.kind === "offline" && " It is asked again every few seconds."}</p>
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
