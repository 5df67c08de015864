// What became of one record: as it came, what every filter of its generation did with it, and where it ended.

import { signal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import type { Explanation, Step } from '../filters/life';
import { explain } from '../filters/life';
import { Change, RawRecord, Value, When, nanoseconds, versionWord } from '../filters/shown';
import { count } from '../format';
import { Bones, Dialog, Failed } from '../parts/bits';

const OUTCOMES: Record<string, [string, string]> = {
  passed: ['passed on', 'good'], dropped: ['dropped it', 'warn'], failed: ['failed', 'bad'], held: ['keeps it for later', 'warn'],
  not_selected: ['not meant for it', 'quiet'], not_reached: ['not reached', 'quiet'],
};
const IS: Record<string, [string, string]> = {
  same: ['The store has this very row.', 'good'], pending: ['Its lane has not come to it yet.', 'warn'],
  missing: ['The store does not have the row, which is a bug in the box.', 'bad'], different: ['The store has another row, which is a bug in the box.', 'bad'],
};

/** The record that is explained. It is shown beside the views, so that it stays when its row scrolls away. */
export const explained = signal<{ topic: string; partition: number | string; offset: number | string } | null>(null);

/** Explains the record that an origin (`<topic id>/<partition>@<offset>`) names; null where it names none. */
export function explainOrigin(origin: unknown): (() => void) | null {
  const [, topic, partition, offset] = /^([0-9a-f-]+)\/([0-9]+)@([0-9]+)/.exec(String(origin ?? '')) ?? [];
  return topic && partition && offset ? () => void (explained.value = { topic, partition, offset }) : null;
}

export function Explained(): JSX.Element | null {
  const wanted = explained.value;
  return wanted && <Explain key={`${wanted.topic}/${wanted.partition}/${wanted.offset}`} {...wanted} onClose={() => void (explained.value = null)} />;
}

function Explain({ topic, partition, offset, onClose }: { topic: string; partition: number | string; offset: number | string; onClose: () => void }): JSX.Element {
  const [found, setFound] = useState<Explanation | null>(null);
  const [problem, setProblem] = useState('');
  const [again, setAgain] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setProblem('');
    explain(topic, partition, offset, abort.signal).then(setFound, (error: unknown) => { if (!api.isAbort(error)) setProblem(api.sentence(error)); });
    return () => abort.abort();
  }, [topic, partition, offset, again]);
  return (
    <Dialog wide title={`What became of ${found?.topic ?? topic}/${partition}/${offset}`} onClose={onClose}>
      {problem ? <Failed title="It could not be explained" text={problem} onRetry={() => setAgain(again + 1)} /> : found ? <Shown found={found} /> : <Bones lines={6} />}
    </Dialog>
  );
}

function Shown({ found }: { found: Explanation }): JSX.Element {
  const { record } = found;
  return (
    <div class="explain" data-explain>
      <p class="verdict" data-summary>{found.summary}</p>
      {found.notes.map((note) => <p key={note} class="warn">{note}</p>)}
      <section aria-label="The record as it came">
        <h3>As it came</h3>
        <RawRecord raw={record?.payload ?? null} />
        {record && (
          <dl class="diff">
            <div><dt>arrived</dt><dd><When at={record.arrival ?? null} />{record.receiver && <> through {record.receiver}</>}{record.peer && <> from {record.peer}</>}</dd></div>
            {record.key && <div><dt>key</dt><dd><Value value={record.key.text ?? record.key.base64} /></dd></div>}
            {record.headers.filter(([name]) => name !== '_peer' && name !== '_receiver').map(([name, value], at) => <div key={at}><dt>{name}</dt><dd><Value value={value} /></dd></div>)}
            {found.document !== null && found.document !== undefined && <div><dt>read as</dt><dd><Value value={found.document} />{found.codec?.codec && <small> {found.codec.codec}</small>}</dd></div>}
          </dl>
        )}
      </section>
      {found.generation !== null && (
        <section aria-label="What the filters did">
          <h3>Generation {found.generation} <small>{found.call ? `handled with ${count(found.call.records)} records, offsets ${found.call.first} to ${found.call.last}` : ''}</small></h3>
          {!found.steps.length && <p class="quiet">No filter: JSON objects become fields, other lines become messages.</p>}
          <ol class="steps">{found.steps.map((step, at) => <OneStep key={at} step={step} />)}</ol>
        </section>
      )}
      <section aria-label="Where it ended"><h3>Where it ended</h3><EndedAt found={found} /></section>
      {found.sent.length > 0 && (
        <section aria-label="Sent to other topics">
          <h3>Sent to other topics</h3>
          <dl class="diff">{found.sent.map((one, at) => <div key={at}><dt>{one.topic}</dt><dd><Value value={one.payload} />{one.row === null && <small class="quiet"> no row of it is found there</small>}</dd></div>)}</dl>
        </section>
      )}
    </div>
  );
}

function OneStep({ step }: { step: Step }): JSX.Element {
  const [words, colour] = OUTCOMES[step.outcome] ?? [step.outcome, 'quiet'];
  const idle = step.outcome === 'not_selected' || step.outcome === 'not_reached';
  const changes: [string, string, ComponentChildren][] = [
    ...Object.entries(step.added).map(([name, value]): [string, string, ComponentChildren] => ['added', name, <Value value={value} />]),
    ...Object.entries(step.changed).map(([name, value]): [string, string, ComponentChildren] => ['changed', name, <Change old={value.old} now={value.new} />]),
    ...Object.entries(step.removed).map(([name, value]): [string, string, ComponentChildren] => ['removed', name, <Value value={value} />]),
  ];
  return (
    <li class={idle ? 'idle' : ''} data-step={step.filter} data-outcome={step.outcome}>
      <div class="step-head">
        <strong>{step.filter}</strong>{versionWord(step.version) && <small>{versionWord(step.version)}</small>}
        {step.when && <span class="when">when <code>{step.when}</code></span>}
        <span class={`mark ${colour}`}><i />{words}</span>
        {!idle && <small class="cost" title={`${count(step.call_fuel)} fuel for the ${count(step.records)} records of its call`}>{count(step.fuel)} fuel, {nanoseconds(step.time_ns)}</small>}
      </div>
      {step.reason && <p class={step.outcome === 'failed' ? 'bad' : 'quiet'}>{step.reason}</p>}
      {!idle && !changes.length && step.outcome === 'passed' && <p class="quiet">It changed nothing.</p>}
      {changes.length > 0 && <dl class="diff">{changes.map(([kind, name, shown]) => <div key={`${kind} ${name}`} class={kind}><dt title={kind}>{name}</dt><dd>{shown}</dd></div>)}</dl>}
      {step.emissions.length > 0 && <p class="quiet">Sent: <Value value={step.emissions} /></p>}
      {step.log.map((line, at) => <p key={at} class="quiet">Logged{line.level ? ` (${line.level})` : ''}: {line.text ?? JSON.stringify(line)}</p>)}
    </li>
  );
}

function EndedAt({ found }: { found: Explanation }): JSX.Element {
  const { ended } = found;
  const whole = (title: string, value: unknown): JSX.Element | null => (value === null || value === undefined ? null : <details><summary>{title}</summary><pre class="json">{JSON.stringify(value, null, 2)}</pre></details>);
  switch (ended.kind) {
    case 'stored': {
      const [words, colour] = IS[ended.is ?? ''] ?? [ended.is ?? '', 'quiet'];
      return (
        <>
          <p><span class={`mark ${colour}`}><i />stored</span> {words}</p>
          {(ended.differences?.length ?? 0) > 0 && <ul class="plain-list">{ended.differences?.map((one, at) => <li key={at}><Value value={one} /></li>)}</ul>}
          {whole('The row', ended.stored ?? ended.row)}
        </>
      );
    }
    case 'dropped': return <><p><span class="mark warn"><i />dropped</span> by {ended.filter}{ended.reason && ended.reason !== 'dropped' ? `: ${ended.reason}` : ''}</p>{whole('The store has a row of it, which is a bug in the box', ended.stored)}</>;
    case 'failed': return <><p><span class="mark bad"><i />failed</span> in {ended.filter}: {ended.reason}. It is in <code>{ended.topic}</code>.</p>{whole('The dead letter', ended.letter)}</>;
    case 'held': return <p><span class="mark warn"><i />held</span> by {ended.filter}, which makes a row of it and others later.</p>;
    default: return <><p><span class="mark quiet"><i />gone</span> The queue has the record no more{Array.isArray(ended.stored) && ended.stored.length ? '; this is left of it.' : '.'}</p>{whole('Its rows', Array.isArray(ended.stored) && ended.stored.length ? ended.stored : null)}</>;
  }
}
