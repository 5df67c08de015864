// An open row: every field with what can be done with it, and where the row comes from in plain words.

import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Row, TopicState } from '../api';
import { plain } from '../format';
import { CopyButton, IconButton } from '../parts/bits';
import { fieldList, narrow, toggleColumn } from '../search';
import { columns } from '../state';
import { bothZones, rowMs } from '../time';
import { TopList } from '../parts/toplist';
import { knownTopics, learnTopics } from '../topics';
import { Around } from './around';
import { explainOrigin, explained } from './explain';
import { ownFields } from './rowmodel';
import { TypeMark, typeOf } from './types';

export function Detail({ row }: { row: Row }): JSX.Element {
  const [open, setOpen] = useState<string | null>(null);
  const [asJson, setAsJson] = useState(false);
  const [around, setAround] = useState(false);
  const { data } = row;
  return (
    <div class="detail" data-detail>
      <div class="detail-fields">
        <div class="detail-bar">
          <div class="segments" role="group" aria-label="Shown as">
            <button type="button" aria-pressed={!asJson} onClick={() => setAsJson(false)}>Fields</button>
            <button type="button" aria-pressed={asJson} onClick={() => setAsJson(true)}>JSON</button>
          </div>
          <CopyButton text={row.text} what="JSON" label="Copy JSON" />
          {data['message'] !== undefined && <CopyButton text={plain(data['message'])} what="Message" label="Copy message" />}
        </div>
        {asJson ? <pre class="json">{JSON.stringify(data, null, 2)}</pre> : (
          <table class="fields-table">
            <thead class="offscreen"><tr><th>Field</th><th>Value</th><th>What to do</th></tr></thead>
            <tbody>
              {ownFields(data).map(([name, value]) => (
                <FieldRow key={name} name={name} value={value} open={open === name} onTop={() => setOpen(open === name ? null : name)} />
              ))}
            </tbody>
          </table>
        )}
      </div>
      <Lineage data={data} around={around} onAround={() => setAround(!around)} />
      {around && <Around data={data} />}
    </div>
  );
}

function FieldRow({ name, value, open, onTop }: { name: string; value: unknown; open: boolean; onTop: () => void }): JSX.Element {
  const known = fieldList.value.find((field) => field.name === name);
  const values = Array.isArray(value) ? value : [value];
  const single = values.length === 1 ? values[0] : undefined;
  const text = plain(value);
  const shown = columns.value.includes(name);
  const long = name === 'message' || text.length > 512;
  return (
    <>
      <tr data-field={name}>
        <th scope="row"><span><TypeMark type={known?.types[0] ?? typeOf(value)} />{name}</span></th>
        <td class="value">
          {values.length > 1 || name === 'tags' ? values.map((one, at) => (
            <button key={at} type="button" class="tag" title={`Show only ${name} ${plain(one)}`} onClick={() => narrow(name, one, true)}>{plain(one)}</button>
          )) : text === '' ? <em class="quiet">empty</em> : text}
        </td>
        <td class="acts">
          {single !== undefined && !long && <>
            <IconButton icon="plus" label="Show only this value" onClick={() => narrow(name, single, true)} />
            <IconButton icon="minus" label="Leave this value out" onClick={() => narrow(name, single, false)} />
          </>}
          {!long && <IconButton icon="bars" label="Top values" pressed={open} onClick={onTop} />}
          {name !== 'message' && <IconButton icon="column" label={shown ? 'Take the column away' : 'Show as a column'} pressed={shown} onClick={() => toggleColumn(name)} />}
          <CopyButton text={text} what="Value" />
        </td>
      </tr>
      {open && <tr class="top-row"><td colSpan={3}><TopList field={name} /></td></tr>}
    </>
  );
}

function Lineage({ data, around, onAround }: { data: Record<string, unknown>; around: boolean; onAround: () => void }): JSX.Element {
  useEffect(() => learnTopics(), []);
  const before = explainOrigin(data['_origin']);
  const topic = plain(data['_topic']);
  const offset = Number(data['_offset']);
  const n = Number(data['_n'] ?? 0);
  const generation = plain(data['_generation']);
  const ms = rowMs(data['_time']);
  const state = knownTopics.value.find((other) => other.name === topic);
  const entries: [string, string, string][] = [
    ['Topic', topic, 'the queue it arrived in'],
    ['Partition', plain(data['_partition']), 'the log inside the topic'],
    ['Offset', plain(data['_offset']), 'the place in that log; never used twice'],
    ['n', String(n), n === 0 ? 'the record’s first row' : `row number ${n + 1} of the same record`],
    ['Generation', generation, 'the state of the chain that made it'],
  ];
  return (
    <aside class="lineage" aria-label="Lineage" data-lineage>
      <h3>Where this row comes from</h3>
      <dl>{entries.map(([name, value, words]) => <div key={name}><dt>{name}</dt><dd><code data-lineage-value={name.toLowerCase()}>{value}</code><small>{words}</small></dd></div>)}</dl>
      <p class="chain-words">{chainWords(state, generation)}</p>
      {Number.isFinite(ms) && <pre class="zones">{bothZones(ms, plain(data['_time']))}</pre>}
      <div class="lineage-acts">
        {Number.isSafeInteger(offset) && <button type="button" class="button" onClick={() => void (explained.value = { topic, partition: plain(data['_partition']), offset: plain(data['_offset']) })}>Explain</button>}
        {before && <button type="button" class="button" onClick={before}>Explain its origin</button>}
        {Number.isSafeInteger(offset) && <button type="button" class="button" aria-expanded={around} onClick={onAround}>Rows around this one</button>}
        <CopyButton text={`${topic}/${plain(data['_partition'])}/${plain(data['_offset'])}/${n}`} what="Origin" label="Copy origin" />
      </div>
    </aside>
  );
}

function chainWords(state: TopicState | undefined, generation: string): string {
  if (!state) return '';
  if (String(state.generation) !== generation) return `Made by an earlier chain; the topic is at generation ${state.generation} now.`;
  if (!state.chain.length) return 'Made by the chain that every topic has: JSON objects become fields, other lines become messages.';
  return `Made by ${state.chain.map((entry) => (entry.when ? `${entry.filter} (when ${entry.when})` : entry.filter)).join(' → ')}.`;
}
