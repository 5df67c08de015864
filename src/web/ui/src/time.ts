// Time on the page: the range that is looked at, and how instants are written.
//
// A range is `all`, a span back from now (`15m`), or two instants in milliseconds. Times are shown in the browser's zone or
// in UTC, whichever the reader chose; the other one is on hover.

import { signal } from '@preact/signals';
import { boxNow } from './api';

export type Range = { kind: 'all' } | { kind: 'last'; span: string } | { kind: 'fixed'; from: number; to: number };

export const ZONE_KEY = 'sawbox.zone';
/** Whether times are written in UTC. */
export const utc = signal(stored(ZONE_KEY) === 'utc');
export const MODES: [string, string][] = [
  ['5m', '5 minutes'], ['15m', '15 minutes'], ['1h', '1 hour'], ['6h', '6 hours'], ['24h', '24 hours'], ['7d', '7 days'], ['30d', '30 days'],
];

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // Storage may be forbidden; then nothing is remembered.
  }
}
export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // As above.
  }
}
export const recall = stored;

const UNIT: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Milliseconds of `90s`, `15m`, `7d`; null when it is none. */
export function spanMs(text: string): number | null {
  const match = /^([0-9]+(?:\.[0-9]+)?)([smhdw])$/.exec(text.trim());
  return match ? Number(match[1]) * (UNIT[match[2] as string] ?? 0) : null;
}

/** The two instants of a range as they are sent; null is open. */
export function bounds(range: Range, now = boxNow()): { from: number | null; to: number | null } {
  if (range.kind === 'all') return { from: null, to: null };
  if (range.kind === 'fixed') return { from: range.from, to: range.to };
  return { from: now - (spanMs(range.span) ?? 36e5), to: now };
}

export function rangeLabel(range: Range): string {
  if (range.kind === 'all') return 'All time';
  if (range.kind === 'last') {
    const known = MODES.find(([span]) => span === range.span);
    return `Last ${known ? known[1].replace(/^1 /, '') : range.span}`;
  }
  const sameDay = day(range.from) === day(range.to - 1);
  const fine = range.to - range.from < 120_000;
  const from = `${day(range.from)} ${clock(range.from, fine)}`;
  return `${from} – ${sameDay ? '' : `${day(range.to)} `}${clock(range.to, fine)}`;
}

const two = (number: number): string => String(number).padStart(2, '0');

interface Shown { year: number; month: number; day: number; hour: number; minute: number; second: number; ms: number }
function cut(ms: number, inUtc: boolean): Shown {
  const date = new Date(ms);
  return inUtc
    ? { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), hour: date.getUTCHours(), minute: date.getUTCMinutes(), second: date.getUTCSeconds(), ms: date.getUTCMilliseconds() }
    : { year: date.getFullYear(), month: date.getMonth() + 1, day: date.getDate(), hour: date.getHours(), minute: date.getMinutes(), second: date.getSeconds(), ms: date.getMilliseconds() };
}

export function day(ms: number): string {
  const part = cut(ms, utc.value);
  return `${part.year}-${two(part.month)}-${two(part.day)}`;
}
export function clock(ms: number, seconds = true): string {
  const part = cut(ms, utc.value);
  return `${two(part.hour)}:${two(part.minute)}${seconds ? `:${two(part.second)}` : ''}`;
}
/** Day and time with milliseconds, as a row shows it. */
export function stamp(ms: number): string {
  return `${day(ms)} ${clock(ms)}.${String(cut(ms, utc.value).ms).padStart(3, '0')}`;
}
/** Day and time to the second. */
export const moment = (ms: number): string => `${day(ms)} ${clock(ms)}`;
/** The same instant in both zones, for a tooltip. */
export function bothZones(ms: number, exact?: string): string {
  const local = cut(ms, false);
  const offset = -new Date(ms).getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = `${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const text = `${local.year}-${two(local.month)}-${two(local.day)} ${two(local.hour)}:${two(local.minute)}:${two(local.second)}.${String(local.ms).padStart(3, '0')} ${zone}`;
  return `Local  ${text}\nUTC    ${exact ?? new Date(ms).toISOString()}`;
}

/** For `<input type="datetime-local">`, in the zone that is shown. */
export function inputValue(ms: number): string {
  return `${day(ms)}T${clock(ms)}`;
}
export function fromInput(text: string): number | null {
  const ms = Date.parse(utc.value ? `${text}Z` : text);
  return text && Number.isFinite(ms) ? ms : null;
}

/** Milliseconds of the row's time (RFC 3339, any number of digits). */
export function rowMs(text: unknown): number {
  return typeof text === 'string' ? Date.parse(text) : typeof text === 'number' ? text : Number.NaN;
}
