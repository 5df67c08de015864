// Live tail: rows as they become searchable, put on top.
//
// Rows are shown four times a second at most, whatever comes in; while the reader has scrolled down they wait behind a
// counter. At most `KEPT` rows are held. A broken connection is opened again, waiting longer each time, and meanwhile the
// page says so; what was stored while it was broken (or was too much at once) is then asked for, from a little before the break.
// A query with pipes cannot be tailed: it is asked again every few seconds instead.

import { batch, effect, signal, untracked } from '@preact/signals';
import * as api from './api';
import type { Row } from './api';
import { isPlain } from './language';
import { exhausted, refreshSideways, rowId, rows, run } from './search';
import * as state from './state';

const KEPT = 2_000;
const SHOW_EVERY_MS = 250;
const REFRESH_EVERY_MS = 5_000;
/** How much older than the break rows may be that were stored after it. */
const BEFORE_BREAK_MS = 60_000;

export type Connection = 'off' | 'connecting' | 'open' | 'waiting';
export const connection = signal<Connection>('off');
/** Rows that wait because the reader has scrolled away from the top. */
export const waiting = signal(0);
/** Whether the reader is at the top; kept by the list. */
export const atTop = signal(true);

let buffer: Row[] = [];
let stop: (() => void) | null = null;

function show(): void {
  if (!buffer.length) return;
  if (!atTop.peek()) {
    if (buffer.length > KEPT) buffer = buffer.slice(-KEPT);
    waiting.value = buffer.length;
    return;
  }
  const known = new Set(rows.peek().slice(0, KEPT).map(rowId));
  const fresh = buffer.filter((row) => !known.has(rowId(row))).reverse();
  buffer = [];
  batch(() => {
    waiting.value = 0;
    const all = fresh.concat(rows.peek());
    if (fresh.length) rows.value = all.slice(0, KEPT);
    if (fresh.length && all.length > KEPT) exhausted.value = false;
  });
}

/** Brings the waiting rows in. */
export function catchUp(): void {
  atTop.value = true;
  show();
}

function start(q: string): () => void {
  const abort = new AbortController();
  const timers: number[] = [];
  buffer = [];
  if (!isPlain(q)) {
    connection.value = 'open';
    timers.push(window.setInterval(() => { if (!document.hidden) void run(true); }, REFRESH_EVERY_MS));
  } else {
    timers.push(window.setInterval(show, SHOW_EVERY_MS));
    timers.push(window.setInterval(() => { if (!document.hidden) refreshSideways(); }, REFRESH_EVERY_MS));
    void follow(q, abort.signal);
  }
  return () => {
    abort.abort();
    timers.forEach((timer) => clearInterval(timer));
    buffer = [];
    waiting.value = 0;
    connection.value = 'off';
  };
}

function take(piece: Row[]): void {
  buffer.push(...piece);
  if (buffer.length > 2 * KEPT) buffer = buffer.slice(-KEPT);
}

/** Fetches what the tail did not bring; rows that are here already are left out when they are shown. */
async function fetchMissed(q: string, since_ms: number, abort: AbortSignal): Promise<void> {
  const found: Row[] = [];
  await api.query({ q, from: new Date(since_ms - BEFORE_BREAK_MS).toISOString(), to: null }, KEPT, abort, (piece) => found.push(...piece), () => undefined);
  if (!abort.aborted) take(found.reverse());
}

async function follow(q: string, abort: AbortSignal): Promise<void> {
  let broken_ms: number | null = null;
  let last_ms = api.boxNow();
  const catchUpFrom = (since_ms: number): void => void fetchMissed(q, since_ms, abort).catch(() => undefined);
  for (let pause = 500; !abort.aborted; pause = Math.min(pause * 2, 15_000)) {
    connection.value = 'connecting';
    try {
      await api.tail(q, abort, () => {
        connection.value = 'open';
        pause = 250;
        if (broken_ms !== null) catchUpFrom(broken_ms);
        broken_ms = null;
        last_ms = api.boxNow();
      }, (piece) => {
        take(piece);
        last_ms = api.boxNow();
      }, () => catchUpFrom(last_ms));
    } catch (error) {
      if (abort.aborted) return;
      if (error instanceof api.ApiError && error.status === 400) return void (connection.value = 'off'); // The query itself is wrong, and the page says so.
    }
    if (abort.aborted) return;
    broken_ms ??= last_ms;
    connection.value = 'waiting';
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

/** Tails whenever the state says so. */
export function followLive(): void {
  effect(() => {
    const on = state.live.value && state.view.value === 'search';
    const q = state.asked.value;
    untracked(() => {
      stop?.();
      stop = on ? start(q) : null;
    });
  });
}

export function toggleLive(): void {
  const on = !state.live.value;
  batch(() => {
    state.live.value = on;
    if (on && state.range.value.kind === 'fixed') state.range.value = { kind: 'last', span: '15m' };
  });
  state.writeAddress(false);
  if (on) void run();
}
