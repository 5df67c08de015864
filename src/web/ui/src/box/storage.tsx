// What the columns of each topic take in the store: asked when it is opened, for it looks at every part.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import * as api from '../api';
import { bytes, count, plural, short } from '../format';
import { Bones, Failed } from '../parts/bits';

interface ColumnStats { name: string; kind: string; rows: number; bytes: number; dictionary_bytes: number; distinct: number | null; encodings: Record<string, number> }
interface TopicStats { topic: string; parts: number; unreadable: number; rows: number; bytes: number; raw_bytes: number; memtable_rows: number; columns: ColumnStats[] }

/** Columns shown of a topic. */
const MANY = 15;
const found = signal<{ value: TopicStats[] | null; problem: string }>({ value: null, problem: '' });

async function load(): Promise<void> {
  try {
    const { topics } = await api.json<{ topics: TopicStats[] }>('store/stats', null);
    found.value = { value: topics.filter((topic) => topic.parts > 0).sort((a, b) => b.bytes - a.bytes), problem: '' };
  } catch (error) {
    found.value = { value: null, problem: api.sentence(error) };
  }
}

export function Storage(): JSX.Element {
  const { value, problem } = found.value;
  return (
    <details class="card more" data-storage onToggle={(toggle) => { if (toggle.currentTarget.open) void load(); }}>
      <summary>What the store’s columns take</summary>
      {problem && <Failed title="The store could not be measured" text={problem} onRetry={() => void load()} />}
      {!value && !problem && <Bones lines={3} />}
      {value?.length === 0 && <p class="quiet pad">All rows are still in memory; there are no parts yet.</p>}
      {value?.map((topic) => <Topic key={topic.topic} topic={topic} />)}
    </details>
  );
}

function Topic({ topic }: { topic: TopicStats }): JSX.Element {
  return (
    <section class="pad">
      <h3>{topic.topic} <small>{plural(topic.rows, 'row')} in {plural(topic.parts, 'part')}, {bytes(topic.bytes)} of {bytes(topic.raw_bytes)}</small></h3>
      <div class="table-scroll">
        <table class="grid">
          <thead><tr><th>Column</th><th>Kind</th><th class="number">Rows</th><th class="number">Bytes</th><th class="number" title="in the part that has most">Distinct</th><th>Encodings</th></tr></thead>
          <tbody>
            {topic.columns.slice(0, MANY).map((column) => (
              <tr key={`${column.name} ${column.kind}`}>
                <td>{column.name}</td><td>{column.kind}</td><td class="number" title={count(column.rows)}>{short(column.rows)}</td>
                <td class="number">{bytes(column.bytes)}</td><td class="number">{column.distinct === null ? '–' : count(column.distinct)}</td>
                <td>{Object.entries(column.encodings).sort((a, b) => b[1] - a[1]).map(([name, size]) => `${name} ${bytes(size)}`).join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {topic.columns.length > MANY && <p class="quiet">{count(topic.columns.length - MANY)} more; `sawbox store stats {topic.topic}` lists all.</p>}
    </section>
  );
}
