// Replays: records that are still in the queue, handled anew by the chain of today; their rows take the old ones' place at once.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import * as api from '../api';
import type { TopicState } from '../api';
import { bytes, count, duration, plural, short } from '../format';
import { Bones, Confirm, Dialog, Failed, IconButton, say } from '../parts/bits';
import { Icon } from '../parts/icons';
import { fromInput, inputValue } from '../time';
import { outside } from './chains';
import type { Replay, ReplayAsked, ReplayPlan } from './life';
import * as life from './life';
import { When, rangeWords } from './shown';

/** The topic that a replay is asked for; empty is whichever is the first. */
const asking = signal<string | null>(null);
export const askReplay = (topic: string): void => void (asking.value = topic);

const MARK: Record<Replay['state'], string> = { running: 'good', paused: 'warn', done: 'quiet', cancelled: 'quiet', failed: 'bad' };

export function Replays({ topics }: { topics: TopicState[] }): JSX.Element {
  const { value, problem } = life.replays.value;
  const [ending, setEnding] = useState<Replay | null>(null);
  const act = (replay: Replay, action: 'pause' | 'resume'): void => {
    life.actReplay(replay.id, action).then(() => void life.refreshLife(), (error: unknown) => say(api.sentence(error), true));
  };
  const newest = [...(value ?? [])].sort((a, b) => b.id - a.id);
  return (
    <section class="card" aria-label="Replays" data-replays>
      <header>
        <h2>Replays</h2><small>{value?.length ? count(value.length) : ''}</small><span class="gap" />
        <IconButton icon="refresh" label="Replay records" text="Replay records" disabled={!outside(topics).length} onClick={() => askReplay('')} />
      </header>
      {problem && !value && <Failed title="The replays could not be had" text={problem} onRetry={() => void life.refreshLife()} />}
      {!value && !problem && <Bones lines={2} />}
      {value && !value.length && <p class="quiet pad">None yet. A replay gives records that are still in the queue to today’s chain; their new rows take the old ones’ place all at once.</p>}
      {newest.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Topic</th><th>State</th><th>Progress</th><th class="number">Records</th><th class="number">Stored</th><th class="number">Dropped</th><th class="number">Failed</th><th>Began</th><th>Chain</th><th /></tr></thead>
            <tbody>
              {newest.map((replay) => (
                <ReplayRow key={replay.id} replay={replay} onAct={act} onEnd={() => setEnding(replay)} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asking.value !== null && <StartReplay topics={topics} first={asking.value} onClose={() => void (asking.value = null)} />}
      {ending && (
        <Confirm title={`Cancel the replay of ${ending.topic}?`} action="Cancel the replay" busy="Cancelling …" onClose={() => setEnding(null)} work={async () => {
          await life.actReplay(ending.id, 'cancel');
          await life.refreshLife();
          return `The replay of ${ending.topic} is cancelled.`;
        }}>
          <p class="quiet">Nothing has changed so far, and nothing will: what it made is thrown away, the rows that are there stay.</p>
        </Confirm>
      )}
    </section>
  );
}

/** What is to be known of a replay's rows besides their numbers. */
function notes(replay: Replay): string[] {
  return [
    replay.routed ? `${plural(replay.routed, 'record')} that filters only send to other topics ${replay.routed === 1 ? 'has' : 'have'} no row now: a replay sends nothing.` : '',
    replay.rebuilt ? `${plural(replay.rebuilt, 'record')} came from rows, for the queue has them no longer.` : '',
    replay.out_of_reach.length ? 'Some of what was asked for is past the queue’s retention: its rows stay as they are.' : '',
  ].filter(Boolean);
}

function ReplayRow({ replay, onAct, onEnd }: { replay: Replay; onAct: (replay: Replay, action: 'pause' | 'resume') => void; onEnd: () => void }): JSX.Element {
  const { state } = replay;
  const open = state === 'running' || state === 'paused';
  const trouble = replay.why ?? (open ? replay.waits_for && `waits for ${replay.waits_for}` : null);
  return (
    <>
      <tr data-replay={replay.id} data-state={state}>
        <th scope="row">{replay.topic}</th>
        <td><span class={`mark ${MARK[state] ?? 'quiet'}`}><i />{state}</span></td>
        <td class="progress-cell">
          <progress max={100} value={replay.percent} aria-label={`Replay of ${replay.topic}`} />
          <small>{replay.percent.toFixed(replay.percent < 100 && replay.percent > 99 ? 1 : 0)} % of {count(replay.offsets)}{open && replay.records_per_second ? `, ${short(replay.records_per_second)}/s` : ''}{open && replay.eta_seconds !== null ? `, ${duration(replay.eta_seconds)} left` : ''}</small>
        </td>
        <td class="number">{count(replay.records)}</td><td class="number">{count(replay.stored)}</td><td class="number">{count(replay.dropped)}</td><td class={`number ${replay.failed ? 'bad' : ''}`}>{count(replay.failed)}</td>
        <td><When at={replay.began} /></td>
        <td class="chain-short" title={`generation ${replay.generation}, ${bytes(replay.bytes)} read`}>{replay.chain.join(' → ') || 'default'}</td>
        <td class="end">
          {state === 'running' && <button type="button" class="textual" onClick={() => onAct(replay, 'pause')}>Pause</button>}
          {state === 'paused' && <button type="button" class="textual" onClick={() => onAct(replay, 'resume')}>Resume</button>}
          {open && <> <button type="button" class="textual" onClick={onEnd}>Cancel</button></>}
        </td>
      </tr>
      {notes(replay).map((note) => <tr key={note} class="note-row"><td colSpan={10}>{note}</td></tr>)}
      {trouble && <tr class="error-row"><td colSpan={10}><Icon name="warn" />{trouble}</td></tr>}
    </>
  );
}

type Kind = 'last' | 'fixed' | 'all';
const SPANS = [['15m', '15 minutes'], ['1h', 'hour'], ['6h', '6 hours'], ['24h', '24 hours'], ['7d', '7 days']] as const;

function StartReplay({ topics, first, onClose }: { topics: TopicState[]; first: string; onClose: () => void }): JSX.Element {
  const names = outside(topics).map((topic) => topic.name);
  const [topic, setTopic] = useState(first || (names[0] ?? ''));
  const [kind, setKind] = useState<Kind>('last');
  const [span, setSpan] = useState('1h');
  const [from, setFrom] = useState(inputValue(api.boxNow() - 36e5));
  const [to, setTo] = useState(inputValue(api.boxNow()));
  const [throttle, setThrottle] = useState('');
  const [plan, setPlan] = useState<ReplayPlan | null>(null);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const changed = (): void => {
    setPlan(null);
    setProblem('');
  };
  const asked = (): ReplayAsked => {
    const range = kind === 'all' ? {} : kind === 'last' ? { from: `-${span}` } : { from: new Date(fromInput(from) ?? 0).toISOString(), to: new Date(fromInput(to) ?? 0).toISOString() };
    return { ...range, ...(throttle.trim() ? { throttle: throttle.trim() } : {}) };
  };
  const wrong = kind === 'fixed' && (fromInput(from) === null || fromInput(to) === null);
  const go = async (): Promise<void> => {
    setBusy(true);
    setProblem('');
    try {
      if (!plan) setPlan(await life.planReplay(topic, asked()));
      else {
        await life.startReplay(topic, asked());
        await life.refreshLife();
        say(`The replay of ${topic} has begun.`);
        onClose();
      }
    } catch (error) {
      setProblem(api.sentence(error));
    } finally {
      setBusy(false);
    }
  };
  const choose = <T,>(set: (value: T) => void) => (value: T): void => { set(value); changed(); };
  return (
    <Dialog title="Replay records" onClose={onClose}>
      <form onSubmit={(submit) => { submit.preventDefault(); void go(); }} data-replay-form>
        <label class="field-input">Topic <select value={topic} onChange={(change) => choose(setTopic)(change.currentTarget.value)}>{names.map((name) => <option key={name} value={name}>{name}</option>)}</select></label>
        <div class="segments" role="group" aria-label="Which records">
          {([['last', 'The last …'], ['fixed', 'A time'], ['all', 'Everything']] as const).map(([name, word]) => <button key={name} type="button" aria-pressed={kind === name} onClick={() => choose(setKind)(name)}>{word}</button>)}
        </div>
        {kind === 'last' && <label class="field-input">Records that arrived in the last <select value={span} onChange={(change) => choose(setSpan)(change.currentTarget.value)}>{SPANS.map(([value, word]) => <option key={value} value={value}>{word}</option>)}</select></label>}
        {kind === 'fixed' && (
          <div class="side-by-side">
            <label class="field-input">Arrived from <input type="datetime-local" step={1} value={from} onInput={(input) => choose(setFrom)(input.currentTarget.value)} /></label>
            <label class="field-input">To (not included) <input type="datetime-local" step={1} value={to} onInput={(input) => choose(setTo)(input.currentTarget.value)} /></label>
          </div>
        )}
        {kind === 'all' && <p class="quiet">Everything that the queue still retains, and of what it does not, rows that kept their records.</p>}
        <label class="field-input">At most, a second (optional) <input value={throttle} placeholder="10MiB" spellcheck={false} onInput={(input) => choose(setThrottle)(input.currentTarget.value)} /></label>
        {plan && <Plan plan={plan} />}
        {problem && <p class="bad" role="alert">{problem}</p>}
        <footer>
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button primary" disabled={busy || wrong || !topic || (plan !== null && !plan.records)}>{plan ? (busy ? 'Starting …' : 'Start the replay') : busy ? 'Looking …' : 'See what it would do'}</button>
        </footer>
      </form>
    </Dialog>
  );
}

function Plan({ plan }: { plan: ReplayPlan }): JSX.Element {
  return (
    <div class="plan" data-plan={plan.records} role="status">
      <p><strong>{plan.records ? `About ${plural(plan.records, 'record')} would be handled anew` : 'There is nothing to replay'}</strong>{plan.records ? ` by ${plan.chain.join(' → ') || 'the default chain'}.` : '.'}</p>
      {plan.ranges.length > 0 && <p class="quiet">{rangeWords(plan.ranges)}</p>}
      {plan.same.length > 0 && <p class="quiet">Handled by this very chain already, so left alone: {rangeWords(plan.same)}.</p>}
      {plan.past.ranges.length > 0 && <p class="quiet">The queue has these no more, but their rows kept the records: {rangeWords(plan.past.ranges)}.</p>}
      {plan.out_of_reach.length > 0 && <p class="warn">The queue has these no more, so their rows stay as they are: {rangeWords(plan.out_of_reach)}.</p>}
      {plan.past.notes.map((note) => <p key={note} class="quiet">{note[0]?.toUpperCase() + note.slice(1)}.</p>)}
      {plan.records > 0 && <p class="quiet">Until it is done, searches see the old rows. Nothing is sent to other topics again.</p>}
    </div>
  );
}
