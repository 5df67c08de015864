// The life of filters as the API tells it: generations, versions, trials, replays, explanations, dead letters.
//
// What is asked again while somebody looks stands in signals here; each question fails by itself.

import { signal } from '@preact/signals';
import * as api from '../api';
import type { ChainEntry, FilterState } from '../api';
import type { Part } from '../box/poll';
import { boxFilters, part, watch } from '../box/poll';

export interface Range { partition: number; first: number; end: number }
export interface GenerationState {
  generation: number; live: boolean; made_by: string; why: string | null; at: string | null; from: { partition: number; offset: number }[];
  ranges?: Range[]; chain: ChainEntry[];
}
export interface VersionState {
  version: number; sha256: string; bytes: number | null; stock: boolean; current: boolean; at: string | null; by: string | null; compile_ns: number | null;
  used_by: { topic: string; generations: number[]; live: boolean }[];
}
export interface Opened { topic: string; generation: number }
export interface PromotedVersion { filter: string; version: number; generations: Opened[]; kept: { topic: string; version: number | null }[] }

export type Wish = { chain: ChainEntry[] } | { filter: string; version?: number; when?: string; config?: Record<string, unknown> };
export type Last = { records: number } | { seconds: number };
export interface Cost { fuel: number; fuel_per_record: number; ns_per_record: number; calls: number; traps: number }
export interface Raw { text?: string; bytes: number; base64?: string }
export interface Outcome { verdict: string; fields?: Record<string, unknown>; reason?: string; emissions?: unknown }
export interface Example { kind: string; partition: number; offset: number; old: Outcome | null; new: Outcome | null; raw: Raw | null }
export interface FieldDiff { added: number; removed: number; changed: number; examples: { partition: number; offset: number; old: unknown; new: unknown }[] }
export interface Pair { live: number; candidate: number }
export interface Report {
  records: number; same: number; changed: number; newly_dropped: number; newly_kept: number; newly_failed: number; mended: number;
  emissions_differ: number; unreadable: number; deleted: number; waited?: Pair;
  fields?: Record<string, FieldDiff>; emissions: Record<string, Pair>; drop_reasons: Record<string, number>; fail_reasons: Record<string, number>;
  examples?: Example[]; live: Cost; candidate: Cost;
  unsteady: { partition?: number; offset?: number; before?: unknown; now?: unknown } | null;
}
export interface Side { generation: number | null; chain: ChainEntry[] }
export interface Trial {
  id: string; topic: string; what: string; state: 'running' | 'done' | 'cancelled' | 'failed'; error: string | null; tried: number; of: number;
  at: string | null; took_ms: number; live: Side; candidate: Side; report: Report;
}

export interface Replay {
  id: number; topic: string; state: 'running' | 'paused' | 'done' | 'cancelled' | 'failed'; generation: number; chain: string[]; percent: number;
  offsets: number; offsets_done: number; bytes: number; records_per_second: number | null; bytes_per_second: number | null; eta_seconds: number | null;
  records: number; stored: number; dropped: number; failed: number; deleted: number; routed: number; rebuilt: number; began: string; ended: string | null; waits_for: string | null; why: string | null;
  out_of_reach: Range[];
}
export interface ReplayAsked { from?: string; to?: string; throttle?: string; dry_run?: boolean }
export interface Past { ranges: Range[]; records: number; rows_left: number; notes: string[] }
export interface ReplayPlan { ranges: Range[]; records: number; past: Past; out_of_reach: Range[]; same: Range[]; chain: string[] }

export interface Step {
  filter: string; version: number | null; when: string | null; outcome: string; reason: string | null;
  added: Record<string, unknown>; changed: Record<string, { old: unknown; new: unknown }>; removed: Record<string, unknown>;
  emissions: unknown[]; log: { level?: string; text?: string }[]; fuel: number; time_ns: number; records: number; call_fuel: number;
}
export interface Ended { kind: string; is?: string; filter?: string; reason?: string; topic?: string; row?: unknown; stored?: unknown; letter?: unknown; differences?: unknown[] }
export interface Explanation {
  topic: string; partition: number; offset: number; summary: string;
  record: { payload: Raw; key: Raw | null; headers: [string, string][]; arrival?: string; timestamp_ms: number; receiver: string | null; peer: string | null } | null;
  generation: number | null; chain: ChainEntry[]; codec: { codec?: string } | null; document: unknown; call: { first: number; last: number; records: number } | null;
  before: Record<string, unknown>; steps: Step[]; ended: Ended; sent: { topic: string; payload: unknown; row: unknown }[]; notes: string[];
}

const name = encodeURIComponent;
export const generations = async (topic: string, signal_: AbortSignal | null): Promise<GenerationState[]> =>
  (await api.json<{ generations: GenerationState[] }>(`topics/${name(topic)}/generations`, signal_)).generations ?? [];
export const versions = async (filter: string, signal_: AbortSignal | null): Promise<VersionState[]> =>
  (await api.json<{ versions: VersionState[] }>(`filters/${name(filter)}/versions`, signal_)).versions ?? [];
export const promoteVersion = (filter: string, version: number): Promise<PromotedVersion> => api.send('POST', `filters/${name(filter)}/promote`, { version });
export const promote = (topic: string, wish: Wish): Promise<Opened> => api.send('POST', `topics/${name(topic)}/promote`, wish);
export const rollBack = (topic: string, to: number): Promise<Opened> => api.send('POST', `topics/${name(topic)}/rollback`, { to });
export const beginTrial = (topic: string, wish: Wish, last: Last): Promise<Trial> => api.send('POST', `topics/${name(topic)}/trial`, { ...wish, last });
export const trial = (id: string, signal_: AbortSignal | null): Promise<Trial> => api.json(`trials/${name(id)}`, signal_);
export const endTrial = (id: string): Promise<unknown> => api.send('DELETE', `trials/${name(id)}`);
export const explain = (topic: string, partition: number | string, offset: number | string, signal_: AbortSignal | null): Promise<Explanation> =>
  api.json(`explain/${name(topic)}/${name(String(partition))}/${name(String(offset))}`, signal_);
export const planReplay = async (topic: string, asked: ReplayAsked): Promise<ReplayPlan> =>
  (await api.send<{ plan: ReplayPlan }>('POST', `topics/${name(topic)}/replay`, { ...asked, dry_run: true })).plan;
export const startReplay = (topic: string, asked: ReplayAsked): Promise<Replay> => api.send('POST', `topics/${name(topic)}/replay`, asked);
export const actReplay = (id: number, action: 'pause' | 'resume' | 'cancel'): Promise<Replay> => api.send('POST', `replays/${id}/${action}`);

export const trials = signal<Part<Trial[]>>({ value: null, problem: '' });
export const replays = signal<Part<Replay[]>>({ value: null, problem: '' });
export interface Graveyard { topic: string; letters: number; bytes: number; oldest: string | null; newest: string | null; reasons: { filter: string; reason: string; letters: number }[] }
export interface Letter { partition: number; offset: number; buried: string | null; origin: string; filter: string; reason: string; generation: number; payload: Raw | null }
export interface Retried {
  tried: number; stored: number; dropped: number; deleted: number; failed: number; failures: { partition: number; offset: number; filter: string; reason: string }[];
  of_emissions: number; not_now: number; left: number; generation: number | null; notes?: string[];
}
/** What the box says of its dead letters; null where it says nothing. */
export const dead = signal<Graveyard[] | null>(null);
/** One letter as a file that fails anywhere; to be downloaded. */
export const bundleAddress = (topic: string, { partition, offset }: Letter): string => `/api/v1/dead/${name(topic)}/${partition}/${offset}/bundle`;
export const letters = async (topic: string, signal_: AbortSignal | null): Promise<Letter[]> =>
  (await api.json<{ last?: Letter[] }>(`dead/${name(topic)}`, signal_, { limit: 20 })).last ?? [];
export const retry = (topic: string, dry_run: boolean): Promise<Retried> => api.send('POST', `dead/${name(topic)}/retry`, { dry_run });

let knowsDead = true;
/** A box that knows nothing of it is asked once. */
export async function refreshDead(signal_: AbortSignal | null = null): Promise<void> {
  if (!knowsDead) return;
  try {
    dead.value = (await api.json<{ topics?: Graveyard[] }>('dead', signal_)).topics ?? [];
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 404) knowsDead = false;
  }
}

export async function refreshLife(signal_: AbortSignal | null = null): Promise<void> {
  await Promise.all([
    part(trials, api.json<{ trials: Trial[] }>('trials', signal_).then((answer) => answer.trials ?? [])),
    part(replays, api.json<{ replays: Replay[] }>('replays', signal_).then((answer) => answer.replays ?? [])),
  ]);
}

/** Asks while the view is open; the answer stops it. */
export function watchLife(): () => void {
  const abort = new AbortController();
  let timer = 0;
  let turn = 0;
  const stop = watch();
  const round = async (): Promise<void> => {
    // The letters are counted on the disk, so they are asked for less often.
    if (!document.hidden) await Promise.all([refreshLife(abort.signal), ...(turn++ % 4 ? [] : [refreshDead(abort.signal)])]);
    if (!abort.signal.aborted) timer = window.setTimeout(() => void round(), 1_500);
  };
  void round();
  return () => {
    stop();
    abort.abort();
    clearTimeout(timer);
  };
}

/** A chain as JSON, an entry a line where it is short. */
export const chainText = (chain: ChainEntry[]): string =>
  chain.length ? `[\n${written(chain).map((entry) => `  ${JSON.stringify(entry).length < 100 ? spaced(entry) : JSON.stringify(entry, null, 2).replace(/\n/g, '\n  ')}`).join(',\n')}\n]` : '[]';
const spaced = (entry: ChainEntry): string => `{ ${Object.entries(entry).map(([key, value]) => `"${key}": ${JSON.stringify(value)}`).join(', ')} }`;

/** Entries as people write them: no hashes, nothing that is empty; a version is named where the plain name means another. */
export function written(chain: ChainEntry[], known: FilterState[] | null = boxFilters.peek().value): ChainEntry[] {
  return chain.map(({ filter, version, when, config }) => {
    const current = known?.find((other) => other.name === filter)?.version;
    const plain = version === null || version === undefined || current === undefined || current === version || filter.includes('@');
    return { filter: plain ? filter : `${filter}@${version}`, ...(when ? { when } : {}), ...(config && Object.keys(config).length ? { config } : {}) };
  });
}
