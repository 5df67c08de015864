// The state of the box, asked every two seconds while somebody looks; rates are the difference of two answers.
//
// Each of the questions fails by itself, and a slow answer delays only the next asking, never the page.

import { signal } from '@preact/signals';
import * as api from '../api';
import type { BoxStatus, FilterState, GroupState, OutputState, TopicState } from '../api';
import { knownTopics } from '../topics';

const EVERY_MS = 2_000;

export interface Part<T> { value: T | null; problem: string }
export const boxStatus = signal<Part<BoxStatus>>({ value: null, problem: '' });
export const boxTopics = signal<Part<TopicState[]>>({ value: null, problem: '' });
export const boxFilters = signal<Part<FilterState[]>>({ value: null, problem: '' });
export const boxOutputs = signal<Part<OutputState[]>>({ value: null, problem: '' });
export const boxGroups = signal<Part<GroupState[]>>({ value: null, problem: '' });

export interface Rate { records: number; stored: number; history: number[] }
/** Records and rows a second by topic, smoothed over the last askings. */
export const rates = signal<ReadonlyMap<string, Rate>>(new Map());
const HISTORY = 30;

interface Sample { at: number; records: Map<string, number>; stored: Map<string, number> }
let previous: Sample | null = null;

export const received = (topic: TopicState): number => topic.partitions.reduce((sum, partition) => sum + partition.high_watermark, 0);
export const lag = (topic: TopicState): number => topic.partitions.reduce((sum, partition) => sum + partition.lag_records, 0);

function measure(topics: TopicState[]): void {
  const at = performance.now();
  const now: Sample = { at, records: new Map(), stored: new Map() };
  const next = new Map<string, Rate>();
  for (const topic of topics) {
    now.records.set(topic.id, received(topic));
    now.stored.set(topic.id, topic.rows);
    const seconds = previous ? (at - previous.at) / 1000 : 0;
    const before = rates.value.get(topic.id);
    if (!previous || seconds <= 0 || !previous.records.has(topic.id)) {
      if (before) next.set(topic.id, before);
      continue;
    }
    const per = (map: Map<string, number>, value: number): number => Math.max(0, (value - (map.get(topic.id) ?? value)) / seconds);
    const records = per(previous.records, received(topic));
    const stored = per(previous.stored, topic.rows);
    next.set(topic.id, { records, stored, history: [...(before?.history ?? []), records].slice(-HISTORY) });
  }
  previous = now;
  rates.value = next;
}

export async function part<T>(into: { value: Part<T> }, work: Promise<T>, then?: (value: T) => void): Promise<void> {
  try {
    const value = await work;
    then?.(value);
    into.value = { value, problem: '' };
  } catch (error) {
    if (!api.isAbort(error)) into.value = { value: into.value.value, problem: api.sentence(error) };
  }
}

/** Asks now and from now on; the answer stops it. */
export function watch(): () => void {
  const abort = new AbortController();
  let timer = 0;
  const round = async (): Promise<void> => {
    if (!document.hidden) await refresh(abort.signal);
    if (!abort.signal.aborted) timer = window.setTimeout(() => void round(), EVERY_MS);
  };
  void round();
  return () => {
    abort.abort();
    clearTimeout(timer);
    previous = null;
  };
}

export async function refresh(signal_: AbortSignal | null = null): Promise<void> {
  await Promise.all([
    part(boxStatus, api.status(signal_)),
    part(boxTopics, api.topics(signal_), (found) => {
      measure(found);
      knownTopics.value = found;
    }),
    part(boxFilters, api.filters(signal_)),
    part(boxOutputs, api.outputs(signal_)),
    part(boxGroups, api.groups(signal_)),
  ]);
}
