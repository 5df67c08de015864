// The chain of each topic, in its order, and the generations it had: what made them, since when, and the way back.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import type { TopicState } from '../api';
import { ChainEditor } from '../box/chain';
import { refresh } from '../box/poll';
import { count } from '../format';
import { Bones, Confirm, Failed, IconButton } from '../parts/bits';
import { Icon } from '../parts/icons';
import type { GenerationState } from './life';
import * as life from './life';
import { askReplay } from './replays';
import { ChainList, NO_CHAIN, When, chainWords, rangeWords } from './shown';
import { askTrial } from './trials';

const openTopic = signal<string | null>(null);
const MADE: Record<string, string> = { default: 'nobody', config: 'the configuration', hot: 'somebody', replay: 'a replay' };
const MANY = 20;

export const outside = (topics: TopicState[]): TopicState[] =>
  topics.filter((topic) => !topic.internal && !topic.name.startsWith('_')).sort((a, b) => a.name.localeCompare(b.name));

export function Chains({ topics, stale }: { topics: TopicState[]; stale: string }): JSX.Element {
  const shown = outside(topics);
  return (
    <section class="card" aria-label="Chains" data-chains>
      <header><h2>Chains</h2><small>{count(shown.length)} {shown.length === 1 ? 'topic' : 'topics'}</small>{stale && <small class="bad" role="alert">{stale}</small>}</header>
      {!shown.length && <p class="quiet pad">No topics yet; the box’s view says how the first logs get in.</p>}
      {shown.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Topic</th><th class="number">Generation</th><th>Chain</th><th class="number" title="taken since the box’s start, as the figures behind it">Records</th><th class="number">Stored</th><th class="number">Dropped</th><th class="number">Failed</th></tr></thead>
            <tbody>{shown.map((topic) => <ChainRow key={topic.id} topic={topic} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function ChainRow({ topic }: { topic: TopicState }): JSX.Element {
  const open = openTopic.value === topic.id;
  const toggle = (): void => void (openTopic.value = open ? null : topic.id);
  const { counters } = topic;
  return (
    <>
      <tr class={`topic-row ${open ? 'open' : ''}`} data-chain-topic={topic.name} onClick={toggle}>
        <th scope="row"><button type="button" class="expander" aria-expanded={open} onClick={(click) => { click.stopPropagation(); toggle(); }}><Icon name={open ? 'down' : 'right'} />{topic.name}</button></th>
        <td class="number" data-generation={topic.generation}>{topic.generation}</td>
        <td class="chain-short">{chainWords(topic.chain)}</td>
        <td class="number">{count(counters.records)}</td><td class="number">{count(counters.stored)}</td><td class="number">{count(counters.dropped)}</td>
        <td class={`number ${counters.failed ? 'bad' : ''}`}>{count(counters.failed)}</td>
      </tr>
      {open && <tr class="topic-open"><td colSpan={7}><ChainDetail topic={topic} /></td></tr>}
    </>
  );
}

function ChainDetail({ topic }: { topic: TopicState }): JSX.Element {
  const [all, setAll] = useState<GenerationState[] | null>(null);
  const [problem, setProblem] = useState('');
  const [back, setBack] = useState<GenerationState | null>(null);
  const [editing, setEditing] = useState(false);
  const [more, setMore] = useState(false);
  const [again, setAgain] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    life.generations(topic.name, abort.signal).then((found) => { setAll(found); setProblem(''); }, (error: unknown) => { if (!api.isAbort(error)) setProblem(api.sentence(error)); });
    return () => abort.abort();
  }, [topic.name, topic.generation, again]);
  const newest = [...(all ?? [])].reverse();
  const live = newest.find((one) => one.live);
  return (
    <div class="topic-detail" data-chain-detail>
      <div class="chain" data-chain>
        <h3>Chain <small>generation {topic.generation}{live && <>, made by {MADE[live.made_by] ?? live.made_by}, since <When at={live.at} otherwise="before times were noted" /></>}</small></h3>
        <ChainList chain={topic.chain} none={NO_CHAIN} />
        <div class="topic-acts">
          <IconButton icon="trial" label="Try a change" text="Try a change" onClick={() => askTrial(topic.name)} />
          <IconButton icon="pen" label="Change the chain" text="Change the chain" onClick={() => setEditing(true)} />
          <IconButton icon="refresh" label="Replay" text="Replay" onClick={() => askReplay(topic.name)} />
        </div>
      </div>
      <div class="partitions">
        <h3>Generations</h3>
        {problem && <Failed title="The generations could not be had" text={problem} onRetry={() => setAgain(again + 1)} />}
        {!all && !problem && <Bones lines={3} />}
        {all && (
          <div class="table-scroll">
            <table class="grid" data-generations-of={topic.name}>
              <thead><tr><th class="number">No.</th><th /><th>Since</th><th>Made by</th><th>Chain</th><th>From</th></tr></thead>
              <tbody>
                {newest.slice(0, more ? newest.length : MANY).map((one) => (
                  <tr key={one.generation} data-generation-row={one.generation}>
                    <td class="number">{one.generation}</td>
                    <td>{one.live ? <span class="mark good"><i />live</span> : one.made_by === 'replay' ? null : <button type="button" class="textual" onClick={() => setBack(one)}>Roll back</button>}</td>
                    <td><When at={one.at} /></td>
                    <td class="why">{MADE[one.made_by] ?? one.made_by}{one.why && <small> {one.why}</small>}</td>
                    <td class="chain-short" title={JSON.stringify(life.written(one.chain))}>{chainWords(one.chain)}</td>
                    <td class="chain-short" title={one.ranges?.length ? rangeWords(one.ranges) : one.from.map(({ partition, offset }) => `partition ${partition} from ${count(offset)}`).join('\n')}>
                      {one.ranges?.length ? rangeWords(one.ranges) : one.from.map(({ partition, offset }) => `${partition}/${count(offset)}`).join(' ')}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {newest.length > MANY && !more && <p class="pad"><button type="button" class="textual" onClick={() => setMore(true)}>All {count(newest.length)} generations</button></p>}
      </div>
      {editing && <ChainEditor topic={topic} onClose={() => setEditing(false)} />}
      {back && (
        <Confirm title={`Roll ${topic.name} back to generation ${back.generation}?`} action="Roll back" busy="Rolling back …" onClose={() => setBack(null)} work={async () => {
          const { generation } = await life.rollBack(topic.name, back.generation);
          await refresh();
          return `${topic.name} has the chain of generation ${back.generation} again, as generation ${generation}.`;
        }}>
          <div class="chain"><ChainList chain={back.chain} none={NO_CHAIN} /></div>
          <p class="quiet">This chain, with the very modules it had, becomes a new generation from the next batch on. Rows that are stored stay as they are; a replay makes them anew.</p>
        </Confirm>
      )}
    </div>
  );
}
