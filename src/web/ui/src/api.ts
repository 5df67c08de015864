// The box's HTTP API as the page sees it: types of the answers, one function per address, NDJSON read as it arrives.
//
// Every call takes an AbortSignal, because every call can be overtaken by the next one. A failure is an `ApiError`, whose
// message is a sentence for people and whose `position` (bytes into the query) says where a query went wrong.

export interface FieldInfo { name: string; count: number; types: string[] }
export interface TopValues { field: string; total: number; values: { value: unknown; count: number }[] }
export interface HistogramAnswer { from: string | null; to: string | null; step_ms: number; buckets: { time: string; count: number }[]; total: number }
export interface PartitionState {
  partition: number; log_start: number; high_watermark: number; bytes: number; next: number; committed: number;
  lag_records: number; generation: number; state: string; last_error: string | null;
}
export interface ChainEntry { filter: string; version?: number | null; when?: string | null; sha256?: string; config?: Record<string, unknown> | null }
export interface TopicState {
  name: string; id: string; internal: boolean; partitions: PartitionState[]; rows: number; store_bytes: number; queue_bytes: number;
  parts: number; generation: number; chain: ChainEntry[];
  counters: { records: number; stored: number; dropped: number; failed: number };
}
/** Since the box's start, over all topics. */
export interface FilterCounters {
  records: number; stored: number; dropped: number; held: number; failed: number; emissions: number;
  calls: number; traps: number; fuel: number; time_ns: number; memory_bytes: number; starts: number;
}
/** `version` is null, and module and size are missing, where nothing was promoted yet. */
export interface FilterState { name: string; version?: number | null; sha256?: string; stock: boolean; bytes?: number; used_by: string[]; counters?: FilterCounters | null }
export interface OutputState { name: string; type: string; lag_records: number; sent: number; failed: number; state: string; last_error: string | null }
export interface GroupState {
  group: string; kind: string; state: string; protocol: string; generation: number; members: number; topics: string[];
  lag_records: number; lag_bytes: number; lag_seconds: number | null;
}
export interface GroupOffset {
  topic: string; partition: number; committed: number | null; end: number;
  lag_records: number; lag_bytes: number; lag_seconds: number | null; owner: string | null;
}
export interface GroupMember { member: string; instance: string | null; client_id: string; host: string; assigned: { topic: string; partitions: number[] }[] }
export interface GroupDetail extends GroupState { offsets: GroupOffset[]; member_list: GroupMember[] }
export interface BoxStatus {
  version: string; uptime_seconds: number; data_dir: string; listeners: { name: string; address: string }[];
  memory_bytes: number; disk: { available: number; total: number };
}
export interface PutFilterAnswer { name: string; version?: number; sha256: string; current?: boolean; generations: { topic: string; generation: number }[] }

/** What could be typed next; `start` and `end` are bytes of the query. */
export interface Completion {
  kind: 'field' | 'value' | 'pipe' | 'figure' | 'function'; field?: string; start: number; end: number; partial: boolean;
  items: { text: string; insert: string; count?: number; about?: string }[];
}
export interface ContextAnswer { before: Record<string, unknown>[]; row: Record<string, unknown> | null; after: Record<string, unknown>[] }
export interface Origin { topic: string; partition: string; offset: string; n: string }

/** A row as it came, and the text it came as (numbers beyond 2^53 survive there). */
export interface Row { readonly data: Record<string, unknown>; readonly text: string }
export interface QueryStats { [name: string]: unknown }

export class ApiError extends Error {
  constructor(message: string, readonly status: number, readonly position: number | null = null) {
    super(message);
  }
}

/** What the box's clock is ahead of this browser's; relative times are counted on the box's clock. */
let skew_ms = 0;
export const boxNow = (): number => Date.now() + skew_ms;

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** The sentence for any failure. */
export function sentence(error: unknown): string {
  return error instanceof Error && error.message ? error.message : String(error);
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text) as { error?: { message?: string; position?: number } | string };
    if (typeof body.error === 'string') return new ApiError(body.error, response.status);
    if (body.error?.message) return new ApiError(body.error.message, response.status, body.error.position ?? null);
  } catch {
    // Not JSON: the text itself, or the status, has to do.
  }
  const short = text.length > 0 && text.length < 300 && !text.startsWith('<') ? text : '';
  return new ApiError(short || `The box answered ${response.status} ${response.statusText}`.trim() + '.', response.status);
}

type Params = Record<string, string | number | boolean | null | undefined>;

function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return `/api/v1/${path}${text ? `?${text}` : ''}`;
}

async function call(path: string, signal: AbortSignal | null, params?: Params, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path, params), { ...init, signal });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError('The box does not answer. Is it running, and can this browser reach it?', 0);
  }
  const date = Date.parse(response.headers.get('date') ?? '');
  // The header counts whole seconds: what is below two of them is noise.
  if (Number.isFinite(date)) {
    const ahead = date - Date.now();
    skew_ms = Math.abs(ahead) > 2_000 ? ahead : 0;
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function json<T>(path: string, signal: AbortSignal | null, params?: Params): Promise<T> {
  return (await (await call(path, signal, params)).json()) as T;
}

/** A body of JSON (or none) sent somewhere, and the answer. */
export async function send<T>(method: string, path: string, body?: unknown, signal: AbortSignal | null = null): Promise<T> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  return (await (await call(path, signal, {}, init)).json()) as T;
}

export interface Span { q: string; from: string | null; to: string | null }

export const histogram = (span: Span, buckets: number, signal: AbortSignal | null): Promise<HistogramAnswer> =>
  json('histogram', signal, { ...span, buckets });
export const top = (span: Span, field: string, limit: number, signal: AbortSignal | null): Promise<TopValues> =>
  json('top', signal, { ...span, field, limit });
export const complete = (span: Span, at: number, signal: AbortSignal | null): Promise<Completion> => json('complete', signal, { ...span, at });
export const context = (origin: Origin, beside: number, same: string, signal: AbortSignal | null): Promise<ContextAnswer> =>
  json('context', signal, { ...origin, before: beside, after: beside, same });
export const fields = async (span: Span, signal: AbortSignal | null): Promise<FieldInfo[]> =>
  (await json<{ fields: FieldInfo[] }>('fields', signal, { ...span })).fields ?? [];
export const topics = async (signal: AbortSignal | null): Promise<TopicState[]> =>
  (await json<{ topics: TopicState[] }>('topics', signal)).topics ?? [];
export const filters = async (signal: AbortSignal | null): Promise<FilterState[]> =>
  (await json<{ filters: FilterState[] }>('filters', signal)).filters ?? [];
export const outputs = async (signal: AbortSignal | null): Promise<OutputState[]> =>
  (await json<{ outputs: OutputState[] }>('outputs', signal)).outputs ?? [];
export const groups = async (signal: AbortSignal | null): Promise<GroupState[]> =>
  (await json<{ groups: GroupState[] }>('groups', signal)).groups ?? [];
export const group = (name: string, signal: AbortSignal | null): Promise<GroupDetail> => json(`groups/${encodeURIComponent(name)}`, signal);
export const status = (signal: AbortSignal | null): Promise<BoxStatus> => json('status', signal);

/** Without `promote` nothing that runs changes: the version waits to be tried. */
export async function putFilter(name: string, wasm: Blob, promote: boolean): Promise<PutFilterAnswer> {
  const init = { method: 'PUT', body: wasm, headers: { 'content-type': 'application/wasm' } };
  return (await (await call(`filters/${encodeURIComponent(name)}`, null, { promote }, init)).json()) as PutFilterAnswer;
}

export async function putChain(topic: string, chain: string): Promise<unknown> {
  const init = { method: 'PUT', body: chain, headers: { 'content-type': 'application/json' } };
  return (await call(`topics/${encodeURIComponent(topic)}/chain`, null, {}, init)).json().catch(() => null);
}

/** Integers of sixteen digits and more may not survive as a number; then they are kept as the text they are. */
const LONG_INTEGER = /[0-9]{16}/;
type Reviver = (key: string, value: unknown, context?: { source?: string }) => unknown;
const keepLong: Reviver = (_key, value, context) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && context?.source && /^-?[0-9]+$/.test(context.source) ? context.source : value;

function parseLine(line: string): Record<string, unknown> {
  return JSON.parse(line, LONG_INTEGER.test(line) ? (keepLong as (key: string, value: unknown) => unknown) : undefined) as Record<string, unknown>;
}

/** Reads NDJSON as it arrives and hands rows over in the pieces the network gives; `_stats` and `_error` lines stand apart. */
async function lines(response: Response, onRows: (rows: Row[]) => void, onStats?: (stats: QueryStats) => void): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  let rest = '';
  const take = (text: string): void => {
    const rows: Row[] = [];
    for (const line of text.split('\n')) {
      if (!line.trim()) continue;
      const data = parseLine(line);
      if (data['_stats'] && typeof data['_stats'] === 'object') onStats?.(data['_stats'] as QueryStats);
      else if (typeof data['_missed'] === 'number' && Object.keys(data).length === 1) onStats?.(data);
      else if (data['error'] && typeof data['error'] === 'object' && Object.keys(data).length === 1) {
        throw new ApiError(String((data['error'] as { message?: unknown }).message ?? 'The query stopped.'), 200);
      } else rows.push({ data, text: line });
    }
    if (rows.length) onRows(rows);
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const text = rest + decoder.decode(value, { stream: true });
    const end = text.lastIndexOf('\n');
    rest = text.slice(end + 1);
    if (end >= 0) take(text.slice(0, end));
  }
  take(rest + decoder.decode());
}

export async function query(span: Span, limit: number, signal: AbortSignal, onRows: (rows: Row[]) => void, onStats: (stats: QueryStats) => void): Promise<void> {
  await lines(await call('query', signal, { ...span, limit, stats: true }), onRows, onStats);
}

/** `onMissed`: the box had to leave rows out, because this reader was too slow. */
export async function tail(q: string, signal: AbortSignal, onOpen: () => void, onRows: (rows: Row[]) => void, onMissed: () => void): Promise<void> {
  const response = await call('tail', signal, { q });
  onOpen();
  await lines(response, onRows, onMissed);
}
