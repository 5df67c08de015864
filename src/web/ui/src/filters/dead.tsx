// What no filter could handle: how many letters each topic has, and the way to them.

import type { JSX } from 'preact';
import type { TopicState } from '../api';
import { count } from '../format';
import { ask } from '../search';
import { view } from '../state';
import { dead } from './life';
import { Value } from './shown';

/** What the box says of one topic's letters beside their number: whatever of it is a plain value. */
function facts(topic: string): [string, unknown][] {
  const said = dead.value;
  const lists = Array.isArray(said) ? [said] : said && typeof said === 'object' ? Object.values(said).filter(Array.isArray) : [];
  for (const one of lists.flat() as unknown[]) {
    if (!one || typeof one !== 'object') continue;
    const object = one as Record<string, unknown>;
    if (object['topic'] !== topic && object['topic'] !== `_dead.${topic}`) continue;
    return Object.entries(object).filter(([name, value]) => name !== 'topic' && value !== null && typeof value !== 'object');
  }
  return [];
}

const held = (topic: TopicState): number => topic.partitions.reduce((sum, partition) => sum + partition.high_watermark - partition.log_start, 0);

export function DeadLetters({ topics }: { topics: TopicState[] }): JSX.Element {
  const letters = topics.filter((topic) => topic.name.startsWith('_dead.') && held(topic) > 0).sort((a, b) => held(b) - held(a));
  const open = (name: string): void => {
    view.value = 'search';
    ask({ q: `_topic:="${name}"`, range: { kind: 'all' } });
  };
  return (
    <section class="card" aria-label="Dead letters" data-dead>
      <header><h2>Dead letters</h2><small>{letters.length ? count(letters.reduce((sum, topic) => sum + held(topic), 0)) : ''}</small></header>
      {!letters.length && <p class="quiet pad">None: every record was handled.</p>}
      {letters.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Topic</th><th class="number">Letters</th><th>What the box says</th><th /></tr></thead>
            <tbody>
              {letters.map((topic) => (
                <tr key={topic.id} data-dead-topic={topic.name}>
                  <th scope="row">{topic.name.slice('_dead.'.length)}</th>
                  <td class="number">{count(held(topic))}</td>
                  <td>{facts(topic.name.slice('_dead.'.length)).map(([name, value]) => <span key={name} class="fact"><span class="quiet">{name.replace(/_/g, ' ')}</span> <Value value={value} /></span>)}</td>
                  <td class="end"><button type="button" class="textual" onClick={() => open(topic.name)}>Look at them</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
