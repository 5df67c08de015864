// Topics with what they hold and how far behind their lanes are; one opens to its partitions, lanes and chain.

import { signal } from '@preact/signals';
import { Fragment } from 'preact';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { PartitionState, TopicState } from '../api';
import { bytes, count, short } from '../format';
import { CopyButton, IconButton } from '../parts/bits';
import { Icon } from '../parts/icons';
import { ask } from '../search';
import { view } from '../state';
import { ChainEditor } from './chain';
import { lag, rates } from './poll';
import { Spark } from './spark';

const openTopic = signal<string | null>(null);
const showInternal = signal(false);

/** A lane's state in one word, as a mark with a colour. */
function kind(state: string): 'good' | 'warn' | 'bad' | 'quiet' {
  if (/fail|error|stuck|quarantin|poison|broken/i.test(state)) return 'bad';
  if (/back|wait|retry|paus|behind|full/i.test(state)) return 'warn';
  return /run|ok|live|idle|caught|ready|good/i.test(state) ? 'good' : 'quiet';
}

export function StateMark({ state }: { state: string }): JSX.Element {
  return <span class={`mark ${kind(state)}`}><i />{state || 'unknown'}</span>;
}

const worst = (topic: TopicState): PartitionState | undefined =>
  topic.partitions.find((partition) => partition.last_error || kind(partition.state) === 'bad') ?? topic.partitions.find((partition) => kind(partition.state) === 'warn') ?? topic.partitions[0];

export function Topics({ topics, stale }: { topics: TopicState[]; stale: string }): JSX.Element {
  const isInternal = (topic: TopicState): boolean => topic.internal || topic.name.startsWith('_');
  const internal = topics.filter(isInternal).length;
  const shown = topics.filter((topic) => showInternal.value || !isInternal(topic) || (topic.name.startsWith('_dead.') && topic.rows > 0)).sort((a, b) => Number(isInternal(a)) - Number(isInternal(b)) || a.name.localeCompare(b.name));
  return (
    <section class="card" aria-label="Topics" data-topics>
      <header>
        <h2>Topics</h2><small>{count(topics.length - internal)}{internal ? ` and ${count(internal)} of the box’s own` : ''}</small>
        {stale && <small class="bad" role="alert">{stale}</small>}
        <span class="gap" />
        {internal > 0 && <label class="check"><input type="checkbox" checked={showInternal.value} onChange={(change) => void (showInternal.value = change.currentTarget.checked)} /> The box’s own</label>}
      </header>
      <div class="table-scroll">
        <table class="grid">
          <thead><tr><th>Topic</th><th>Lanes</th><th class="number">Records/s</th><th /><th class="number">Lag</th><th class="number">Rows</th><th class="number">Store</th><th class="number">Queue</th><th class="number">Parts</th><th>Chain</th></tr></thead>
          <tbody>{shown.map((topic) => <TopicRow key={topic.id} topic={topic} />)}</tbody>
        </table>
      </div>
    </section>
  );
}

function TopicRow({ topic }: { topic: TopicState }): JSX.Element {
  const open = openTopic.value === topic.id;
  const rate = rates.value.get(topic.id);
  const behind = lag(topic);
  const lane = worst(topic);
  const toggle = (): void => void (openTopic.value = open ? null : topic.id);
  return (
    <>
      <tr class={`topic-row ${open ? 'open' : ''}`} data-topic={topic.name} onClick={toggle}>
        <th scope="row"><button type="button" class="expander" aria-expanded={open} onClick={(click) => { click.stopPropagation(); toggle(); }}><Icon name={open ? 'down' : 'right'} />{topic.name}</button></th>
        <td>{lane ? <StateMark state={lane.last_error && kind(lane.state) === 'good' ? 'erring' : lane.state} /> : <span class="quiet">none</span>}</td>
        <td class="number">{rate ? short(rate.records) : '–'}</td>
        <td class="spark-cell"><Spark values={rate?.history ?? []} /></td>
        <td class={`number ${behind > 10_000 ? 'warn' : ''}`}>{short(behind)}</td>
        <td class="number" title={count(topic.rows)}>{short(topic.rows)}</td>
        <td class="number">{bytes(topic.store_bytes)}</td>
        <td class="number">{bytes(topic.queue_bytes)}</td>
        <td class="number">{count(topic.parts)}</td>
        <td class="chain-short">{topic.chain.length ? topic.chain.map((entry) => entry.filter).join(' → ') : <span class="quiet">default</span>}</td>
      </tr>
      {open && <tr class="topic-open"><td colSpan={10}><TopicDetail topic={topic} /></td></tr>}
    </>
  );
}

function TopicDetail({ topic }: { topic: TopicState }): JSX.Element {
  const [editing, setEditing] = useState(false);
  const { counters } = topic;
  const search = (): void => {
    view.value = 'search';
    ask({ q: `_topic:="${topic.name}"` });
  };
  return (
    <div class="topic-detail">
      <div class="chain" data-chain>
        <h3>Chain <small>generation {topic.generation}</small></h3>
        {topic.chain.length ? (
          <ol>
            {topic.chain.map((entry, at) => (
              <li key={at}>
                <div><strong>{entry.filter}</strong>{entry.when ? <span class="when">when <code>{entry.when}</code></span> : <span class="quiet">every record</span>}</div>
                {entry.config && Object.keys(entry.config).length > 0 && <code class="config">{JSON.stringify(entry.config)}</code>}
                {entry.sha256 && <small class="sha" title={entry.sha256}>{entry.sha256.slice(0, 12)}</small>}
              </li>
            ))}
          </ol>
        ) : <p class="quiet">No chain of its own: JSON objects become fields, other lines become messages.</p>}
        <div class="topic-acts">
          {!topic.internal && <IconButton icon="pen" label="Change the chain" text="Change the chain" onClick={() => setEditing(true)} />}
          <IconButton icon="search" label="Search its rows" text="Search its rows" onClick={search} />
        </div>
        <p class="quiet">Since the box’s start:</p>
        <dl class="counters">
          {([['records taken', counters?.records], ['rows stored', counters?.stored], ['dropped', counters?.dropped], ['failed', counters?.failed]] as const).map(([name, value]) => <div key={name} class={name === 'failed' && value ? 'bad' : ''}><dt>{name}</dt><dd>{value === undefined ? '–' : count(value)}</dd></div>)}
        </dl>
      </div>
      <div class="partitions">
        <h3>Partitions and lanes</h3>
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th class="number">Partition</th><th>Lane</th><th class="number">First offset</th><th class="number">Next to arrive</th><th class="number" title="the next offset the lane will handle">Handled to</th><th class="number" title="what a crash would go on from">Committed</th><th class="number">Lag</th><th class="number">Queue</th><th class="number">Generation</th></tr></thead>
            <tbody>
              {topic.partitions.map((partition) => (
                <Fragment key={partition.partition}>
                  <tr>
                    <td class="number">{partition.partition}</td><td><StateMark state={partition.state} /></td>
                    <td class="number">{count(partition.log_start)}</td><td class="number">{count(partition.high_watermark)}</td><td class="number">{count(partition.next)}</td><td class="number">{count(partition.committed)}</td>
                    <td class="number">{count(partition.lag_records)}</td><td class="number">{bytes(partition.bytes)}</td><td class="number">{partition.generation}</td>
                  </tr>
                  {partition.last_error && <tr class="error-row"><td colSpan={9}><Icon name="warn" />{partition.last_error}<CopyButton text={partition.last_error} what="Error" /></td></tr>}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      </div>
      {editing && <ChainEditor topic={topic} onClose={() => setEditing(false)} />}
    </div>
  );
}
