// Asks the box what the state says, and holds what came back.
//
// Invariants: a new question cancels the old one, so an answer shown always belongs to the question shown; rows, histogram
// and fields are asked side by side over the very same span, and each fails by itself. Old answers stay (dimmed) until the
// first byte of new ones, so the page never jumps to nothing and back.

import { batch, computed, signal } from '@preact/signals';
import * as api from './api';
import type { ApiError, FieldInfo, HistogramAnswer, QueryStats, Row, Span } from './api';
import { isRowByRow, isTable, narrowed, predicate, saysHowMany } from './language';
import * as state from './state';
import type { Range } from './time';
import { bounds, rowMs } from './time';

/** `refused`: the query could not be read, which is said at the query. */
export type Phase = 'idle' | 'loading' | 'done' | 'failed' | 'refused';

/** What is being typed. */
export const draft = signal('');
/** The span of the question on show; `q` is the predicate alone, which is what histogram, top values and fields take. */
export const span = signal<Span>({ q: '', from: null, to: null });
export const rows = signal<Row[]>([]);
export const phase = signal<Phase>('idle');
export const problem = signal<ApiError | null>(null);
export const stats = signal<QueryStats | null>(null);
export const took = signal<number | null>(null);
export const exhausted = signal(false);
export const loadingMore = signal(false);
export const bars = signal<HistogramAnswer | null>(null);
export const barsPhase = signal<Phase>('idle');
export const barsProblem = signal('');
export const fieldList = signal<FieldInfo[]>([]);
export const fieldsPhase = signal<Phase>('idle');
export const fieldsProblem = signal('');
/** Rows that match in all time, asked for when the span has none. */
export const elsewhere = signal<HistogramAnswer | null>(null);
/** Identities of the rows that are open. */
export const opened = signal<ReadonlySet<string>>(new Set());
/** How many bars fit; set by the histogram as it is laid out. */
export const barCount = signal(barsFor(innerWidth - (innerWidth > 980 ? 320 : 70)));

export function barsFor(width: number): number {
  return Math.max(24, Math.min(120, Math.round(width / 10)));
}

export const tabular = computed(() => {
  const first = rows.value[0];
  return first ? !('_offset' in first.data) : isTable(state.asked.value);
});

const ORIGIN = ['_topic', '_partition', '_offset', '_n'] as const;
let anonymous = 0;
const ids = new WeakMap<Row, string>();
/** What lies below the rows: nothing, older ones that can be asked for, or perhaps some that only another question brings. */
export const ending = computed<'all' | 'older' | 'cut'>(() => {
  if (exhausted.value) return 'all';
  // Older rows are asked for by time and told from those on show by their origin; `fields` may have left these out.
  const oldest = rows.value.at(-1);
  return oldest && isRowByRow(state.asked.value) && ['_time', ...ORIGIN].every((name) => name in oldest.data) ? 'older' : 'cut';
});

/** A row's identity: its origin, which no other row shares. */
export function rowId(row: Row): string {
  let id = ids.get(row);
  if (id === undefined) {
    id = '_offset' in row.data ? ORIGIN.map((name) => String(row.data[name] ?? 0)).join('/') : `#${anonymous++}`;
    ids.set(row, id);
  }
  return id;
}

/** How many rows the box gives: fewer than it was asked for, where its configuration allows no more. */
const atMost = (asked: number, said: api.QueryStats): number => (typeof said['limit'] === 'number' ? Math.min(asked, said['limit']) : asked);

let running: AbortController | null = null;
let more: AbortController | null = null;
let sideways: AbortController | null = null;

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

export function currentSpan(): Span {
  const { from, to } = bounds(state.range.value);
  return { q: state.asked.value.trim(), from: iso(from), to: iso(to) };
}

/** Asks anew. `quiet` keeps what is shown undimmed (refreshing while live). */
export async function run(quiet = false): Promise<void> {
  running?.abort();
  more?.abort();
  const mine = new AbortController();
  running = mine;
  const whole = currentSpan();
  const side: Span = { ...whole, q: predicate(whole.q) };
  batch(() => {
    span.value = side;
    problem.value = null;
    if (!quiet) phase.value = 'loading';
    if (!quiet) elsewhere.value = null;
    loadingMore.value = false;
  });
  void runSideways(side, quiet);
  const started = performance.now();
  let fresh: Row[] | null = null;
  let most = state.limit.value;
  try {
    await api.query(whole, most, mine.signal, (piece) => {
      fresh = fresh ? fresh.concat(piece) : piece;
      if (!quiet) rows.value = fresh;
    }, (found) => {
      stats.value = found;
      most = atMost(most, found);
    });
    batch(() => {
      rows.value = fresh ?? [];
      phase.value = 'done';
      took.value = performance.now() - started;
      exhausted.value = saysHowMany(whole.q) || (fresh?.length ?? 0) < most;
    });
    if (!fresh && whole.from !== null) void lookElsewhere(side, mine.signal);
  } catch (error) {
    if (api.isAbort(error) || running !== mine) return;
    batch(() => {
      problem.value = error instanceof api.ApiError ? error : new api.ApiError(api.sentence(error), 0);
      phase.value = 'failed';
    });
  }
}

async function runSideways(side: Span, quiet: boolean): Promise<void> {
  sideways?.abort();
  const mine = new AbortController();
  sideways = mine;
  if (!quiet) barsPhase.value = fieldsPhase.value = 'loading';
  // A query that cannot be read is said once, at the query.
  const isQueryFault = (error: unknown): boolean => error instanceof api.ApiError && error.status === 400 && error.position !== null;
  const settle = async <T,>(work: Promise<T>, put: (answer: T) => void, failed: (text: string) => void, phaseOf: { value: Phase }): Promise<void> => {
    try {
      const answer = await work;
      if (sideways === mine) batch(() => put(answer));
    } catch (error) {
      if (api.isAbort(error) || sideways !== mine) return;
      if (isQueryFault(error)) phaseOf.value = 'refused';
      else batch(() => failed(api.sentence(error)));
    }
  };
  await Promise.all([
    settle(api.histogram(side, barCount.value, mine.signal),
      (answer) => { bars.value = answer; barsPhase.value = 'done'; },
      (text) => { barsProblem.value = text; barsPhase.value = 'failed'; }, barsPhase),
    settle(api.fields(side, mine.signal),
      (answer) => { fieldList.value = answer; fieldsPhase.value = 'done'; },
      (text) => { fieldsProblem.value = text; fieldsPhase.value = 'failed'; }, fieldsPhase),
  ]);
}

async function lookElsewhere(side: Span, abort: AbortSignal): Promise<void> {
  try {
    const answer = await api.histogram({ q: side.q, from: null, to: null }, 12, abort);
    if (!abort.aborted && answer.total > 0) elsewhere.value = answer;
  } catch {
    // It was only a hint.
  }
}

/** The histogram and the fields again, over the span as it is now. */
export function refreshSideways(): void {
  const whole = currentSpan();
  const side = { ...whole, q: predicate(whole.q) };
  span.value = side;
  void runSideways(side, true);
}

/** Older rows, below the ones that are shown. Asked up to and with the oldest millisecond; rows already here are left out. */
export async function loadMore(): Promise<void> {
  const oldest = rows.value.at(-1);
  if (!oldest || loadingMore.value || ending.value !== 'older') return;
  const mine = new AbortController();
  more = mine;
  loadingMore.value = true;
  try {
    for (let ask = Math.max(state.limit.value, 200); ; ask *= 4) {
      const known = new Set(rows.value.map(rowId));
      const to = new Date(Math.floor(rowMs(oldest.data['_time'])) + 1).toISOString();
      const found: Row[] = [];
      let [all, most] = [0, ask];
      await api.query({ q: currentSpan().q, from: span.value.from, to }, ask, mine.signal, (piece) => {
        all += piece.length;
        found.push(...piece.filter((row) => !known.has(rowId(row))));
      }, (said) => {
        most = atMost(most, said);
        if (said['partial'] === true) stats.value = { ...stats.value, partial: true, note: said['note'] };
      });
      if (mine.signal.aborted) return;
      if (found.length) rows.value = rows.value.concat(found);
      if (all < most) exhausted.value = true;
      if (found.length || all < most || ask > 50_000) break;
    }
  } catch (error) {
    if (!api.isAbort(error)) problem.value = error instanceof api.ApiError ? error : new api.ApiError(api.sentence(error), 0);
  } finally {
    if (more === mine) loadingMore.value = false;
  }
}

/** Asks another question: a step in the history. */
export function ask(change: { q?: string; range?: Range }): void {
  const before = `${state.asked.value}\n${JSON.stringify(state.range.value)}`;
  batch(() => {
    if (change.q !== undefined) {
      state.asked.value = change.q.trim();
      draft.value = change.q;
    }
    if (change.range) {
      state.range.value = change.range;
      if (change.range.kind === 'fixed') state.live.value = false;
    }
    opened.value = new Set();
  });
  state.writeAddress(before !== `${state.asked.value}\n${JSON.stringify(state.range.value)}`);
  void run();
}

/** Only rows with this value, or only rows without it. */
export function narrow(field: string, value: unknown, keep: boolean): void {
  ask({ q: narrowed(state.asked.value, field, value, keep) });
}

export function toggleColumn(name: string): void {
  const { columns } = state;
  columns.value = columns.value.includes(name) ? columns.value.filter((other) => other !== name) : [...columns.value, name];
  state.writeAddress(false);
}

export function toggleRow(id: string): void {
  const next = new Set(opened.value);
  if (!next.delete(id)) next.add(id);
  opened.value = next;
}
