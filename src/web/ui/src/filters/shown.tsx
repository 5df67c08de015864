// How the view shows what it is told: instants, versions, chains, values before and after, raw records. All of it as text.

import type { ComponentChildren, JSX } from 'preact';
import type { ChainEntry } from '../api';
import { count, plain } from '../format';
import { CopyButton } from '../parts/bits';
import { bothZones, moment } from '../time';
import type { Range, Raw } from './life';

const LONG = 160;

export function When({ at, otherwise = '–' }: { at: string | null; otherwise?: string }): JSX.Element {
  const ms = Date.parse(at ?? '');
  return Number.isFinite(ms) ? <time dateTime={at ?? ''} title={bothZones(ms, at ?? '')}>{moment(ms)}</time> : <span class="quiet">{otherwise}</span>;
}

export const versionWord = (version: number | null | undefined): string => (version === null || version === undefined ? '' : version === 0 ? 'the box’s own' : `version ${version}`);

/** A value on one line; where it is long its beginning, and all of it on hover. */
export function Value({ value }: { value: unknown }): JSX.Element {
  if (value === null || value === undefined) return <em class="quiet">nothing</em>;
  const text = typeof value === 'object' ? JSON.stringify(value) : plain(value);
  if (text === '') return <em class="quiet">empty</em>;
  return text.length > LONG ? <span title={text}>{text.slice(0, LONG)}…</span> : <span>{text}</span>;
}

export function Change({ old, now }: { old: unknown; now: unknown }): JSX.Element {
  return <span class="change"><del><Value value={old} /></del><i aria-label="became">→</i><ins><Value value={now} /></ins></span>;
}

/** A chain in its order. */
export function ChainList({ chain, none }: { chain: ChainEntry[]; none: ComponentChildren }): JSX.Element {
  if (!chain.length) return <p class="quiet">{none}</p>;
  return (
    <ol>
      {chain.map((entry, at) => {
        const config = entry.config && Object.keys(entry.config).length ? JSON.stringify(entry.config) : '';
        return (
          <li key={at}>
            <div>
              <strong>{entry.filter}</strong>
              {versionWord(entry.version) && <small>{versionWord(entry.version)}</small>}
              {entry.when ? <span class="when">when <code>{entry.when}</code></span> : <span class="quiet">every record</span>}
            </div>
            {config && <code class="config" title={config}>{config.length > LONG ? `${config.slice(0, LONG)}…` : config}</code>}
            {entry.sha256 && <small class="sha" title={entry.sha256}>{entry.sha256.slice(0, 12)}</small>}
          </li>
        );
      })}
    </ol>
  );
}

export const NO_CHAIN = 'No chain of its own: JSON objects become fields, other lines become messages.';
export const chainWords = (chain: { filter: string; version?: number | null }[]): string =>
  chain.length ? chain.map((entry) => (entry.version ? `${entry.filter}@${entry.version}` : entry.filter)).join(' → ') : 'default';

export function RawRecord({ raw, what = 'Record' }: { raw: Raw | null; what?: string }): JSX.Element {
  if (!raw) return <p class="quiet">It is gone from the queue.</p>;
  const text = raw.text ?? raw.base64 ?? '';
  return (
    <div class="raw">
      <pre>{text}</pre>
      <p class="quiet">{count(raw.bytes)} bytes{raw.base64 !== undefined ? ', not UTF-8: base64 of them' : ''}<CopyButton text={raw.base64 ?? text} what={what} /></p>
    </div>
  );
}

export const rangeWords = (ranges: Range[]): string =>
  ranges.slice(0, 6).map(({ partition, first, end }) => `partition ${partition}: ${count(first)}–${count(Math.max(first, end - 1))}`).join('; ') + (ranges.length > 6 ? ` and ${count(ranges.length - 6)} more` : '');

/** Nanoseconds for people. */
export function nanoseconds(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(1)} ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toFixed(1)} µs`;
  return `${Math.round(ns)} ns`;
}
