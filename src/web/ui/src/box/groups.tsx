// Consumer groups: who reads what, and how far behind; one opens to its members and its place in every partition.
//
// The lanes and the outputs are groups like any other; a group that nobody reads any more is shown as empty, with what waits.

import { signal, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import * as api from '../api';
import type { GroupDetail, GroupState } from '../api';
import { bytes, count, duration, short } from '../format';
import { Bones, Failed } from '../parts/bits';
import { Icon } from '../parts/icons';
import { boxGroups, refresh } from './poll';

const openGroup = signal<string | null>(null);
const detail = signal<{ value: GroupDetail | null; problem: string }>({ value: null, problem: '' });

const MANY = 100;
const behind = (records: number): string => (records > 10_000 ? 'warn' : '');
const since = (seconds: number | null): string => (seconds === null ? '–' : seconds < 1 ? '0 s' : duration(seconds));

function mark(state: string): 'good' | 'warn' | 'quiet' {
  if (state === 'Stable') return 'good';
  return /Rebalance/.test(state) ? 'warn' : 'quiet';
}

const words: Record<string, string> = { Stable: 'stable', PreparingRebalance: 'rebalancing', CompletingRebalance: 'rebalancing', Empty: 'no members' };

export function Groups(): JSX.Element {
  const { value, problem } = boxGroups.value;
  useSignalEffect(() => {
    // What is open follows the askings of the whole.
    const name = openGroup.value;
    void boxGroups.value;
    if (!name) return;
    const abort = new AbortController();
    api.group(name, abort.signal).then(
      (found) => void (detail.value = { value: found, problem: '' }),
      (error: unknown) => void (api.isAbort(error) || (detail.value = { value: null, problem: api.sentence(error) })),
    );
    return () => abort.abort();
  });
  const rank = (group: GroupState): number => ['consumers', 'lanes', 'output'].indexOf(group.kind);
  const all = [...(value ?? [])].sort((a, b) => rank(a) - rank(b) || b.lag_records - a.lag_records || a.group.localeCompare(b.group));
  return (
    <section class="card" aria-label="Consumer groups" data-groups>
      <header><h2>Consumer groups</h2><small>{value ? count(value.length) : ''}</small></header>
      {problem && !value && <Failed title="The groups could not be had" text={problem} onRetry={() => void refresh()} />}
      {!value && !problem && <Bones lines={2} />}
      {value && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Group</th><th>State</th><th class="number">Members</th><th>Topics</th><th class="number">Lag</th><th class="number">Bytes</th><th class="number" title="how long the oldest record waits">Since</th></tr></thead>
            <tbody>{all.slice(0, MANY).map((group) => <GroupRow key={group.group} group={group} />)}</tbody>
          </table>
          {all.length > MANY && <p class="quiet pad">{count(all.length - MANY)} more; `sawbox group ls` lists all.</p>}
        </div>
      )}
    </section>
  );
}

function GroupRow({ group }: { group: GroupState }): JSX.Element {
  const open = openGroup.value === group.group;
  const toggle = (): void => {
    detail.value = { value: null, problem: '' };
    openGroup.value = open ? null : group.group;
  };
  const own = group.kind !== 'consumers';
  return (
    <>
      <tr class={`topic-row ${open ? 'open' : ''}`} data-group={group.group} onClick={toggle}>
        <th scope="row"><button type="button" class="expander" aria-expanded={open} onClick={(click) => { click.stopPropagation(); toggle(); }}><Icon name={open ? 'down' : 'right'} />{group.group}</button></th>
        <td><span class={`mark ${mark(group.state)}`}><i />{own ? group.kind : words[group.state] ?? group.state}</span></td>
        <td class="number">{own ? '–' : count(group.members)}</td>
        <td>{group.topics.length > 3 ? `${count(group.topics.length)} topics` : group.topics.join(', ')}</td>
        <td class={`number ${behind(group.lag_records)}`} title={count(group.lag_records)}>{short(group.lag_records)}</td>
        <td class="number">{bytes(group.lag_bytes)}</td>
        <td class="number">{since(group.lag_seconds)}</td>
      </tr>
      {open && <tr class="topic-open"><td colSpan={7}><Opened /></td></tr>}
    </>
  );
}

function Opened(): JSX.Element {
  const { value, problem } = detail.value;
  if (problem) return <Failed title="The group could not be had" text={problem} onRetry={() => void refresh()} />;
  if (!value) return <Bones lines={2} />;
  const clients = new Map(value.member_list.map((member) => [member.member, member.instance ?? member.client_id]));
  return (
    <div class="topic-detail group-detail partitions">
      {value.member_list.length > 0 && (
        <>
          <h3>Members <small>generation {value.generation}{value.protocol && `, ${value.protocol}`}</small></h3>
          <div class="table-scroll">
            <table class="grid">
              <thead><tr><th>Client</th><th>Host</th><th>Reads</th><th>Member</th></tr></thead>
              <tbody>
                {value.member_list.map((member) => (
                  <tr key={member.member}>
                    <td>{member.instance ?? member.client_id}</td><td>{member.host.replace('/', '')}</td>
                    <td>{member.assigned.map((one) => `${one.topic} ${one.partitions.join(', ')}`).join('; ') || <span class="quiet">nothing</span>}</td><td><code>{member.member}</code></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      <h3>Partitions</h3>
      <div class="table-scroll">
        <table class="grid">
          <thead><tr><th>Topic</th><th class="number">Partition</th><th class="number">Committed</th><th class="number">End</th><th class="number">Lag</th><th class="number">Bytes</th><th class="number">Since</th><th>Read by</th></tr></thead>
          <tbody>
            {value.offsets.slice(0, MANY).map((one) => (
              <tr key={`${one.topic} ${one.partition}`}>
                <td>{one.topic}</td><td class="number">{one.partition}</td><td class="number">{one.committed === null ? '–' : count(one.committed)}</td><td class="number">{count(one.end)}</td>
                <td class={`number ${behind(one.lag_records)}`}>{count(one.lag_records)}</td><td class="number">{bytes(one.lag_bytes)}</td><td class="number">{since(one.lag_seconds)}</td>
                <td>{one.owner ? clients.get(one.owner) ?? one.owner : <span class="quiet">nobody</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {value.offsets.length > MANY && <p class="quiet pad">{count(value.offsets.length - MANY)} more; `sawbox group show` lists all.</p>}
    </div>
  );
}
