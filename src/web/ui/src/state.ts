// What the page is looking at. It lives in the address, so that it can be sent to a colleague and the back button works.
//
// A change that a reader would want to step back over (query, time, view) is a new entry of the history; a change of
// appearance (columns, wrapping, limit) replaces the entry it belongs to.

import { batch, signal } from '@preact/signals';
import type { Range } from './time';
import { spanMs } from './time';

export type View = 'search' | 'filters' | 'box';
export const VIEWS: [View, string][] = [['search', 'Search'], ['filters', 'Filters'], ['box', 'Box']];
export const DEFAULT_SPAN = '1h';
export const LIMITS = [100, 200, 500, 1000, 5000];
const DEFAULT_LIMIT = 200;

export const view = signal<View>('search');
/** The query that was asked, not the one being typed. */
export const asked = signal('');
export const range = signal<Range>({ kind: 'last', span: DEFAULT_SPAN });
export const limit = signal(DEFAULT_LIMIT);
export const columns = signal<string[]>([]);
export const wrap = signal(false);
export const live = signal(false);
/** The trial whose report is looked at. */
export const trialId = signal('');

function readRange(params: URLSearchParams): Range {
  const from = Date.parse(params.get('from') ?? '');
  const to = Date.parse(params.get('to') ?? '');
  if (Number.isFinite(from) && Number.isFinite(to) && from < to) return { kind: 'fixed', from, to };
  const last = params.get('last') ?? DEFAULT_SPAN;
  if (last === 'all') return { kind: 'all' };
  return { kind: 'last', span: spanMs(last) ? last : DEFAULT_SPAN };
}

function read(): void {
  const params = new URLSearchParams(location.search);
  batch(() => {
    view.value = VIEWS.find(([name]) => name === params.get('view'))?.[0] ?? 'search';
    asked.value = params.get('q') ?? '';
    range.value = readRange(params);
    const rows = Number(params.get('limit'));
    limit.value = LIMITS.includes(rows) ? rows : DEFAULT_LIMIT;
    columns.value = params.getAll('col').filter(Boolean);
    wrap.value = params.get('wrap') === '1';
    live.value = params.get('live') === '1';
    trialId.value = params.get('trial') ?? '';
  });
}

function written(): string {
  const params = new URLSearchParams();
  if (view.value !== 'search') params.set('view', view.value);
  if (asked.value) params.set('q', asked.value);
  const { value } = range;
  if (value.kind === 'all') params.set('last', 'all');
  else if (value.kind === 'fixed') {
    params.set('from', new Date(value.from).toISOString());
    params.set('to', new Date(value.to).toISOString());
  } else if (value.span !== DEFAULT_SPAN) params.set('last', value.span);
  if (limit.value !== DEFAULT_LIMIT) params.set('limit', String(limit.value));
  for (const name of columns.value) params.append('col', name);
  if (wrap.value) params.set('wrap', '1');
  if (live.value) params.set('live', '1');
  if (trialId.value && view.value === 'filters') params.set('trial', trialId.value);
  const text = params.toString();
  return text ? `?${text}` : location.pathname;
}

/** Puts the state into the address: as a new step, or in place. */
export function writeAddress(step: boolean): void {
  const address = written();
  if (address === (location.search || location.pathname)) return;
  history[step ? 'pushState' : 'replaceState'](null, '', address);
}

/** Reads the address now, and whenever the reader goes back or forth. */
export function followAddress(onMove: () => void): void {
  read();
  addEventListener('popstate', () => {
    read();
    onMove();
  });
}
