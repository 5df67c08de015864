// Trials: what a filter or a whole chain would make of records that are there, before anything is changed.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import type { TopicState } from '../api';
import { boxFilters } from '../box/poll';
import { count } from '../format';
import { Bones, Failed, IconButton } from '../parts/bits';
import { Icon } from '../parts/icons';
import { trialId, view, writeAddress } from '../state';
import { outside } from './chains';
import type { Last, Trial, VersionState, Wish } from './life';
import * as life from './life';
import { PutFilter, fileName } from './put';
import { TrialReport } from './report';
import { When } from './shown';

interface Draft { topic: string; filter: string; version: number | undefined; count: number }
/** What a trial is prepared with; null while none is. */
const draft = signal<Draft | null>(null);
let drafts = 0;

/** Prepares a trial: of a filter's version, or of a change that is still to be written. */
export function askTrial(topic: string, filter = '', version?: number): void {
  draft.value = { topic, filter, version, count: ++drafts };
}

export function showTrial(id: string): void {
  trialId.value = id;
  view.value = 'filters';
  writeAddress(true);
}

const MARK: Record<Trial['state'], string> = { running: 'good', done: 'quiet', cancelled: 'warn', failed: 'bad' };

export function Trials({ topics }: { topics: TopicState[] }): JSX.Element {
  const { value, problem } = life.trials.value;
  const newest = [...(value ?? [])].reverse();
  const wanted = draft.value;
  return (
    <section class="card" aria-label="Trials" data-trials>
      <header>
        <h2>Trials</h2><small>{value?.length ? count(value.length) : ''}</small><span class="gap" />
        <IconButton icon="trial" label="Try a change" text="Try a change" disabled={!outside(topics).length} onClick={() => askTrial('')} />
      </header>
      {wanted && <TrialForm key={wanted.count} topics={topics} wanted={wanted} />}
      {trialId.value && <TrialReport key={trialId.value} id={trialId.value} />}
      {problem && !value && <Failed title="The trials could not be had" text={problem} onRetry={() => void life.refreshLife()} />}
      {!value && !problem && <Bones lines={2} />}
      {value && !value.length && !wanted && <p class="quiet pad">None yet. A trial gives records that came in to another chain and says what would be different; nothing that runs changes.</p>}
      {newest.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Topic</th><th>What</th><th>State</th><th>Begun</th><th class="number">Records</th><th class="number">Same</th><th class="number">Changed</th><th class="number">Newly dropped</th><th class="number">Newly kept</th><th class="number">Newly failed</th><th class="number">Mended</th></tr></thead>
            <tbody>
              {newest.map(({ id, topic, what, state, at, report }) => (
                <tr key={id} class={`topic-row ${trialId.value === id ? 'open' : ''}`} data-trial={id} onClick={() => showTrial(id)}>
                  <th scope="row"><button type="button" class="expander" aria-expanded={trialId.value === id} onClick={(click) => { click.stopPropagation(); showTrial(id); }}><Icon name="right" />{topic}</button></th>
                  <td class="chain-short" title={what}>{what}</td><td><span class={`mark ${MARK[state] ?? 'quiet'}`}><i />{state}</span></td><td><When at={at} /></td>
                  {[report.records, report.same, report.changed, report.newly_dropped, report.newly_kept, report.newly_failed, report.mended].map((figure, index) => <td key={index} class={`number ${index === 5 && figure ? 'bad' : ''}`}>{count(figure)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function parsed(text: string, isRight: (value: unknown) => boolean, form: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${api.sentence(error)}`);
  }
  if (!isRight(value)) throw new Error(form);
  return value;
}
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

function TrialForm({ topics, wanted }: { topics: TopicState[]; wanted: Draft }): JSX.Element {
  const names = outside(topics).map((topic) => topic.name);
  const [topic, setTopic] = useState(names.includes(wanted.topic) ? wanted.topic : names[0] ?? '');
  const chainOf = (name: string): string => life.chainText(topics.find((one) => one.name === name)?.chain ?? []);
  const [whole, setWhole] = useState(!wanted.filter);
  const [chain, setChain] = useState(chainOf(topic));
  const known = boxFilters.value.value ?? [];
  const [filter, setFilter] = useState(wanted.filter || (known[0]?.name ?? ''));
  const [version, setVersion] = useState(wanted.version === undefined ? '' : String(wanted.version));
  const [when, setWhen] = useState('');
  const [config, setConfig] = useState('');
  const [unit, setUnit] = useState<'records' | 'minutes'>('records');
  const [amount, setAmount] = useState('10000');
  const [versions, setVersions] = useState<VersionState[]>([]);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState('');
  const [asked, setAsked] = useState(0);
  const [file, setFile] = useState<File | null>(null);
  useEffect(() => {
    document.querySelector('[data-trial-form]')?.scrollIntoView({ block: 'nearest' });
    document.querySelector<HTMLElement>('[data-trial-form] select')?.focus();
  }, []);
  useEffect(() => {
    const abort = new AbortController();
    setVersions([]);
    if (filter) life.versions(filter, abort.signal).then(setVersions, () => undefined); // Then only the newest can be chosen.
    return () => abort.abort();
  }, [filter, asked]);
  const wish = (): Wish => {
    if (whole) return { chain: parsed(chain, Array.isArray, 'A chain is a list: [ {"filter": "…"}, … ].') as api.ChainEntry[] };
    return {
      filter, ...(version ? { version: Number(version) } : {}), ...(when.trim() ? { when: when.trim() } : {}),
      ...(config.trim() ? { config: parsed(config, isObject, 'A configuration is an object: { "name": value, … }.') as Record<string, unknown> } : {}),
    };
  };
  const number = Number(amount);
  const begin = async (): Promise<void> => {
    setProblem('');
    try {
      const last: Last = unit === 'records' ? { records: number } : { seconds: Math.ceil(number * 60) };
      const what = wish();
      setBusy('Beginning …');
      const begun = await life.beginTrial(topic, what, last);
      draft.value = null;
      showTrial(begun.id);
      void life.refreshLife();
    } catch (error) {
      setProblem(api.sentence(error));
      setBusy('');
    }
  };
  return (<>
    {file && <PutFilter file={file} first={file.name.startsWith(filter) ? filter : fileName(file)} known={known} onClose={() => setFile(null)} onPut={(done) => {
      setFile(null);
      setFilter(done.name);
      setVersion(String(done.version ?? ''));
      setAsked(asked + 1);
    }} />}
    <form class="trial-form" data-trial-form onSubmit={(submit) => { submit.preventDefault(); void begin(); }}>
      <div class="trial-line">
        <label class="field-input">Topic <select value={topic} onChange={(change) => { setTopic(change.currentTarget.value); setChain(chainOf(change.currentTarget.value)); }}>{names.map((name) => <option key={name} value={name}>{name}</option>)}</select></label>
        <div class="field-input">What
          <div class="segments" role="group" aria-label="What is tried">
            <button type="button" aria-pressed={whole} onClick={() => setWhole(true)}>A chain</button>
            <button type="button" aria-pressed={!whole} onClick={() => setWhole(false)}>A filter’s version</button>
          </div>
        </div>
        <label class="field-input">On the last <span class="joined"><input value={amount} inputMode="numeric" aria-invalid={!(number > 0)} aria-label="How many" onInput={(input) => setAmount(input.currentTarget.value)} />
          <select value={unit} aria-label="Records or minutes" onChange={(change) => { const next = change.currentTarget.value as 'records' | 'minutes'; setUnit(next); setAmount(next === 'records' ? '10000' : '60'); }}><option value="records">records</option><option value="minutes">minutes</option></select></span></label>
      </div>
      {whole ? (
        <label class="field-input">Chain as JSON: what runs now, to be changed
          <textarea class="code-area" rows={Math.max(6, Math.min(18, chain.split('\n').length + 1))} spellcheck={false} value={chain} aria-label="Chain to try, as JSON" onInput={(input) => setChain(input.currentTarget.value)} />
          <small>Filters: {known.map((one) => one.name).join(', ')}. <code>name@3</code> is version 3 of a filter.</small>
        </label>
      ) : (
        <>
          <div class="trial-line">
            <label class="field-input">Filter <select value={filter} data-trial-filter onChange={(change) => { setFilter(change.currentTarget.value); setVersion(''); }}>{known.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}</select></label>
            <label class="field-input">Version <select value={version} data-trial-version onChange={(change) => setVersion(change.currentTarget.value)}>
              <option value="">the newest</option>
              {[...versions].reverse().map((one) => <option key={one.version} value={String(one.version)}>{one.version === 0 ? '0, the box’s own' : one.version}{one.current ? ' (current)' : ''}</option>)}
            </select></label>
            <label class="button upload"><Icon name="upload" />Upload a .wasm<input class="offscreen" type="file" accept=".wasm,application/wasm" data-trial-wasm onChange={(change) => { setFile(change.currentTarget.files?.[0] ?? null); change.currentTarget.value = ''; }} /></label>
          </div>
          <div class="trial-line">
            <label class="field-input wide">When (empty: as it is) <input value={when} spellcheck={false} placeholder="response>=500" onInput={(input) => setWhen(input.currentTarget.value)} /></label>
            <label class="field-input wide">Configuration as JSON (empty: as it is) <input value={config} spellcheck={false} placeholder='{"add": ["alarm"]}' onInput={(input) => setConfig(input.currentTarget.value)} /></label>
          </div>
          <small>In the place that it has in the topic’s chain, or last if it is not there. An uploaded module waits as a version; nothing that runs changes.</small>
        </>
      )}
      {problem && <p class="bad" role="alert">{problem}</p>}
      <footer><button type="button" class="button" onClick={() => void (draft.value = null)}>Cancel</button><button type="submit" class="button primary" disabled={busy !== '' || !(number > 0) || !topic}>{busy || 'Begin the trial'}</button></footer>
    </form>
  </>);
}
