// The box's view: is it well, what comes in, what the lanes and filters and outputs are doing.

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { bytes, count, duration, short } from '../format';
import { Bar, Bones, CopyButton, Failed } from '../parts/bits';
import { FirstLogs } from './firstlogs';
import { Groups } from './groups';
import { Outputs } from './outputs';
import { boxStatus, boxTopics, lag, rates, refresh, watch } from './poll';
import { Spark } from './spark';
import { Storage } from './storage';
import { Topics } from './topics';

export function Box(): JSX.Element {
  useEffect(() => watch(), []);
  const topics = boxTopics.value;
  const outside = topics.value?.filter((topic) => !topic.internal && !topic.name.startsWith('_')) ?? [];
  return (
    <main class="box" data-box>
      <div class="box-inside">
        <Head />
        {topics.problem && !topics.value && <Failed title="The topics could not be had" text={topics.problem} onRetry={() => void refresh()} />}
        {!topics.value && !topics.problem && <Bones lines={6} />}
        {topics.value && (outside.length ? <Topics topics={topics.value} stale={topics.problem} /> : <FirstLogs />)}
        <Groups />
        <Outputs />
        <Listeners />
        {outside.length > 0 && <Storage />}
        {outside.length > 0 && <details class="card more"><summary>How to send logs</summary><FirstLogs /></details>}
      </div>
    </main>
  );
}

function Head(): JSX.Element {
  const { value, problem } = boxStatus.value;
  const topics = boxTopics.value.value ?? [];
  const outside = topics.filter((topic) => !topic.internal && !topic.name.startsWith('_'));
  const all = [...rates.value.values()];
  const ids = new Set(outside.map((topic) => topic.id));
  const incoming = [...rates.value].filter(([id]) => ids.has(id)).map(([, rate]) => rate);
  const perSecond = incoming.reduce((sum, rate) => sum + rate.records, 0);
  const length = Math.max(0, ...incoming.map((rate) => rate.history.length));
  const history = Array.from({ length }, (_, at) => incoming.reduce((sum, rate) => sum + (rate.history.at(at - length) ?? 0), 0));
  const behind = topics.reduce((sum, topic) => sum + lag(topic), 0);
  const stored = topics.reduce((sum, topic) => sum + topic.rows, 0);
  const dead = topics.filter((topic) => topic.name.startsWith('_dead.')).reduce((sum, topic) => sum + topic.partitions.reduce((all_, partition) => all_ + partition.high_watermark - partition.log_start, 0), 0);
  const onDisk = topics.reduce((sum, topic) => sum + topic.store_bytes + topic.queue_bytes, 0);
  return (
    <section class="head" aria-label="The box">
      {problem && <Failed title="The box does not answer" text={`${problem}${value ? ' What is shown is from before.' : ''}`} onRetry={() => void refresh()} />}
      <div class="tiles">
        <div class="tile"><h3>Arriving</h3><p><strong>{all.length ? short(perSecond) : '–'}</strong> records/s</p><Spark values={history} /></div>
        <div class="tile"><h3>Rows kept</h3><p><strong>{short(stored)}</strong></p><small>{bytes(onDisk)} in queue and store</small></div>
        <div class={`tile ${behind > 10_000 ? 'warn' : ''}`}><h3>Lag</h3><p><strong>{short(behind)}</strong> records</p><small>{behind === 0 ? 'everything that arrived is searchable' : 'arrived, not yet handled'}</small></div>
        <div class={`tile ${dead > 0 ? 'warn' : ''}`}><h3>Dead letters</h3><p><strong>{short(dead)}</strong></p><small>{dead === 0 ? 'every record was handled' : 'records no filter could handle'}</small></div>
        <div class="tile"><h3>Disk</h3>
          {value ? <><p><strong>{bytes(value.disk.available)}</strong> free</p><Bar part={value.disk.total - value.disk.available} all={value.disk.total} /><small>of {bytes(value.disk.total)}</small></> : <Bones lines={2} />}
        </div>
      </div>
      {value && (
        <p class="facts">
          <span>Sawbox {value.version}</span><span>up {duration(value.uptime_seconds)}</span><span>{bytes(value.memory_bytes)} of memory</span><span>data in <code>{value.data_dir}</code></span>
        </p>
      )}
    </section>
  );
}

function Listeners(): JSX.Element | null {
  const { value } = boxStatus.value;
  if (!value?.listeners.length) return null;
  return (
    <section class="card" aria-label="Listeners" data-listeners>
      <header><h2>Listeners</h2><small>{count(value.listeners.length)} open</small></header>
      <ul class="listeners">{value.listeners.map(({ name, address }) => <li key={`${name}${address}`}><span>{name}</span><code>{address}</code><CopyButton text={address} what="Address" /></li>)}</ul>
    </section>
  );
}
